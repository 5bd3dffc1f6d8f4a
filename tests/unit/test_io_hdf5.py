"""connectome.h5: the same connectome comes back; what is no such file is refused; a failed write leaves nothing."""

import errno
import os
import resource
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from connectome_sim.connectome.connectome import Connectome, Signs
from connectome_sim.connectome.io import hdf5
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import DataError

NOBODY = 65534  # user without rights, by convention


def small() -> Connectome:
    c = from_matrix(
        np.array([[0, 3, 0], [66, 0, 2**40], [0, 0, 1]]),
        orientation="post_pre",
        types=["EPG", "Delta7", "ER"],
        ids=["5813061260", "720575940623374218", "12"],
        instances=["EPG(PB08)_L5", "Δ7", ""],
        sides=["L", "R", ""],
        glomeruli=[5, 0, 0],
        ring_angles=[np.pi, 0.1, np.nan],
    )
    signs = Signs({"EPG": 1, "Delta7": -1, "ER": -1}, {("EPG", "Delta7"): 1})
    return c.replaced(step="one — edit", signs=signs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connectome.h5"


def test_what_is_written_is_read_back_exactly(path: Path) -> None:
    c = small()
    hdf5.write(c, path)
    back = hdf5.read(path)
    assert back.equals(c)
    assert back.counts.data.dtype == np.int64
    assert back.provenance.history == c.provenance.history
    assert list(back.signs.by_type) == ["EPG", "Delta7", "ER"]


def test_a_connectome_without_synapses_signs_or_history_survives(path: Path) -> None:
    c = from_matrix(np.zeros((2, 2)), orientation="post_pre", types=["A", "A"])
    hdf5.write(c, path)
    assert hdf5.read(path).equals(c)


def test_the_file_is_the_same_every_time(path: Path) -> None:
    hdf5.write(small(), path)
    first = path.read_bytes()
    hdf5.write(small(), path)
    assert path.read_bytes() == first


def test_the_layout_is_the_documented_one(path: Path) -> None:
    hdf5.write(small(), path)
    with h5py.File(path) as file:
        assert file.attrs["format"] == "connectome-sim connectome"
        assert file.attrs["format_version"] == 1
        assert file["neurons/id"].asstr()[()].tolist() == ["5813061260", "720575940623374218", "12"]
        assert file["counts/data"][()].tolist() == [3, 66, 2**40, 1]
        assert file["signs/override_post"].asstr()[0] == "EPG"


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("format_version", 2, "'format_version': got 2, newer than 1, .* update connectome-sim"),
        ("format_version", 0, "'format_version': got 0, wanted a number from 1"),
        ("format_version", "one", "'format_version': got 'one'"),
        ("format", "connectome-sim network", "'format': got 'connectome-sim network', wanted 'connectome-sim conn"),
    ],
)  # fmt: skip
def test_another_format_or_a_newer_version_is_refused(
    path: Path, attribute: str, value: int | str, message: str
) -> None:
    hdf5.write(small(), path)
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = value
    with pytest.raises(DataError, match=message):
        hdf5.read(path)


@pytest.mark.parametrize("part", ["neurons/side", "counts/data", "signs/type", "provenance", "counts", "neurons"])
def test_a_missing_part_is_named(path: Path, part: str) -> None:
    hdf5.write(small(), path)
    with h5py.File(path, "a") as file:
        del file[part]
    with pytest.raises(DataError, match=f"connectome.h5: a part is missing .*/{part}"):
        hdf5.read(path)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("counts/indices", np.array([1, 0, 2, 7]), "no valid CSR matrix of 3 x 3"),
        ("counts/indptr", np.array([0, 1]), "no valid CSR matrix"),
        ("counts/indptr", np.array([0, 1, 3, -4]), "no valid CSR matrix of 3 x 3 .*that rise from 0"),
        ("counts/indptr", np.array([0, 1, 3, 3]), "4 counts and 4 indices, wanted 3 of each"),
        ("counts/indices", np.array([1, 0, -2, 2]), "indices: wanted 0 to 2"),
        ("counts/indices", np.array([1.0, 0, 2, 2]), "wanted lists of whole numbers"),
        ("counts/data", np.array([3, 66, -1, 1]), "got -1, wanted zero or more"),
        ("counts/data", np.array([3, 66, 1.5, 1]), "got 1.5, wanted whole"),
        ("signs/sign", np.array([1, -1, 0]), "sign of 'ER': got 0"),
        ("signs/sign", np.array([1]), "a part is malformed"),
        ("neurons/side", np.array([b"L"]), "connectome.h5: neuron table, field 'side'"),
        ("neurons/id", np.array([1.0, 2.0, 3.0]), "'id': got dtype float64"),
    ],
)
def test_a_malformed_part_is_named(path: Path, part: str, value: np.ndarray, message: str) -> None:
    hdf5.write(small(), path)
    with h5py.File(path, "a") as file:
        del file[part]
        file[part] = value
    with pytest.raises(DataError, match=message):
        hdf5.read(path)


def test_what_is_no_hdf5_file_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="connectome.h5: no such file"):
        hdf5.read(path)
    path.write_text("bodyId,type,instance\n")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        hdf5.read(path)
    hdf5.write(small(), path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="not a readable HDF5 file, or cut off"):
        hdf5.read(path)
    with pytest.raises(DataError, match="not a regular file"):
        hdf5.read(path.parent)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    """A limit on the size of files stops the write half-way, as a full disk does."""
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match="connectome.h5: cannot write .*File too large"):
            hdf5.write(small(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["connectome.h5"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space or choose another folder"),
        (errno.EROFS, "check the folder and try again"),
        (errno.EACCES, "check the folder and try again"),
    ],
)
def test_a_folder_that_cannot_be_written_is_a_typed_error(
    path: Path, code: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DataError, match=f"cannot write .{os.strerror(code)}.; {advice}. Nothing was left half-written"):
        hdf5.write(small(), path)
    assert os.listdir(path.parent) == []


def test_a_read_only_folder_is_a_typed_error(path: Path) -> None:
    hdf5.write(small(), path)  # whatever is imported late is there before rights are given up
    root = os.geteuid() == 0  # who may write anywhere
    with tempfile.TemporaryDirectory() as name:
        locked = Path(name)
        locked.chmod(0o555)
        if root:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(DataError, match="Permission denied"):
                hdf5.write(small(), locked / "connectome.h5")
        finally:
            if root:
                os.seteuid(0)
        assert list(locked.iterdir()) == []


def test_a_missing_folder_is_a_typed_error(path: Path) -> None:
    with pytest.raises(DataError, match="cannot write .No such file or directory"):
        hdf5.write(small(), path.parent / "nowhere" / "connectome.h5")


def test_a_written_file_can_be_read_by_others(path: Path) -> None:
    old = os.umask(0o022)
    try:
        hdf5.write(small(), path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o644
