"""HDF5 files as plain arrays: nothing outside is followed, nothing absurd allocated, no change unnoticed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from connectome_sim.connectome.io import hdf5_tree
from connectome_sim.connectome.io.hdf5_tree import DIGEST, Tree
from connectome_sim.errors import RunFolderError
from connectome_sim.files.checksums import say_once
from connectome_sim.records import read_arrays, read_network, write_arrays, write_network
from tests.damaged_folders import network

ARRAYS = {"a/x": np.arange(12.0).reshape(3, 4), "a/name": np.array(["EPG", "Δ7"]), "n": np.array(3), "b": np.eye(2) > 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "arrays.h5", ARRAYS)
    return tmp_path / "arrays.h5"


def test_arrays_of_every_kind_read_back_equal(path: Path) -> None:
    found = read_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def _external_link(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink("/etc/hostname", "/x")


def _soft_link(file: h5py.File) -> None:
    file["out"] = h5py.SoftLink("/n")


def _circle(file: h5py.File) -> None:
    file["a/again"] = file["/a"]


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("out", shape=(3,), dtype="u1", external=[("/dev/zero", 0, 3)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[...] = h5py.VirtualSource("/nowhere.h5", "x", shape=(3,))
    file.create_virtual_dataset("out", layout)


def _huge(file: h5py.File) -> None:
    file.create_dataset("out", shape=(2**50,), dtype="f8", chunks=(1024,), compression="gzip")


def _never_written(file: h5py.File) -> None:
    file.create_dataset("out", shape=(2**20,), dtype="f8", fillvalue=1.0)


def _reference(file: h5py.File) -> None:
    file.create_dataset("out", shape=(3,), dtype=h5py.ref_dtype)


def _ragged(file: h5py.File) -> None:
    file.create_dataset("out", shape=(3,), dtype=h5py.vlen_dtype(np.int32))


def _compound(file: h5py.File) -> None:
    file["out"] = np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])


def _named_type(file: h5py.File) -> None:
    file["out"] = np.dtype("f8")


def _filter(file: h5py.File) -> None:
    file.create_dataset("out", data=np.zeros(100), compression="lzf")


def _no_shape(file: h5py.File) -> None:
    file["out"] = h5py.Empty("f8")


def _attribute(file: h5py.File) -> None:
    file.attrs["out"] = [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external_link, "/out: is a soft or external link"),
        (_soft_link, "/out: is a soft or external link"),
        (_circle, "/a/again: is there twice"),
        (_external_storage, "/out: lies outside the file"),
        (_virtual, "/out: lies outside the file"),
        (_huge, "/out: claims shape"),
        (_never_written, "/out: claims shape"),
        (_reference, "/out: type object"),
        (_ragged, "/out: type object"),
        (_compound, "/out: type"),
        (_named_type, "/out: is a Datatype"),
        (_filter, "/out: filters"),
        (_no_shape, "/out: has no shape"),
        (_attribute, "attribute 'out': got shape"),
    ],
)
def test_what_no_file_of_ours_holds_is_refused(path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(RunFolderError, match=f"arrays.h5: .*{message}"):
        read_arrays(path)


def test_a_number_changed_in_a_file_that_stands_alone_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "network.h5"
    write_network(path, [network()])
    with h5py.File(path, "r+") as file:
        file["members/000/weights"][2] *= -1
    with pytest.raises(RunFolderError, match=f"network.h5: got content with SHA-256 .*attribute '{DIGEST}'"):
        read_network(path)


def test_a_file_without_a_digest_reads_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "network.h5"
    write_network(path, [network()])
    say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        read_network(path)
        assert not caplog.records
        with h5py.File(path, "r+") as file:
            del file.attrs[DIGEST]
        for _ in range(2):
            read_network(path)
    assert [record.message for record in caplog.records] == [
        f"{path}: carries no checksum; damage since it was written may go unnoticed"
    ]


def test_the_digest_is_of_names_types_shapes_and_values() -> None:
    arrays = {"x": np.arange(6), "t": np.array(["a", "bc"])}
    first = Tree(attributes={"": {"format": "a"}}, arrays=arrays).digest
    assert Tree(attributes={"": {"format": "a", DIGEST: "0"}}, arrays=dict(reversed(arrays.items()))).digest == first
    others: list[tuple[dict, dict]] = [
        ({"": {"format": "b"}}, arrays),
        ({"": {"format": "a"}, "g": {"seed": 1}}, arrays),
        ({"": {"format": "a"}}, arrays | {"x": np.arange(6).reshape(2, 3)}),
        ({"": {"format": "a"}}, arrays | {"x": np.arange(6.0)}),
        ({"": {"format": "a"}}, arrays | {"t": np.array(["ab", "c"])}),
        ({"": {"format": "a"}}, {"y": arrays["x"], "t": arrays["t"]}),
    ]
    digests = {Tree(attributes=attributes, arrays=content).digest for attributes, content in others}
    assert len(digests) == len(others) and first not in digests


@pytest.mark.parametrize(
    ("what", "message"),
    [("import time; time.sleep(60)", "could not be read within"), ("import os; os.abort()", "with signal 6")],
)
def test_a_file_that_hangs_or_kills_its_reader_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str, message: str
) -> None:
    """What a damaged file does to the library that reads it, done by hand."""
    monkeypatch.setattr(hdf5_tree, "_ANSWER", what)
    monkeypatch.setattr(hdf5_tree, "ELSEWHERE_S", 1.0)
    with pytest.raises(RunFolderError, match=f"arrays.h5: .*{message}"):
        read_arrays(path)
