"""Formats by their first bytes: each is named for what it is, and only an archive that is cut off is called so."""

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from connectome_sim.build.objects import source
from connectome_sim.config import ConnectomeConfig
from connectome_sim.connectome import statistics
from connectome_sim.connectome.io import formats, hdf5
from connectome_sim.errors import DataError


def graphml() -> bytes:
    buffer = io.BytesIO()
    nx.write_graphml(nx.path_graph(3, create_using=nx.DiGraph), buffer)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("traced-neurons.csv", "bodyId,type,instance\n")
    return buffer.getvalue()


TABLE = b"bodyId,type,instance\n1,EPG,EPG(PB08)_L1\n"
CASES: dict[str, tuple[bytes, str]] = {
    "x.graphml": (graphml(), "GraphML"),
    "x.npy": (npy(np.eye(3)), "a NumPy array"),
    "x.zip": (zipped(), "a ZIP archive"),
    "x.npz": (zipped(), "a ZIP archive"),
    "x.csv": (TABLE, r"a text table \(CSV\), .*name the folder"),
    "x.tsv": (TABLE.replace(b",", b"\t"), r"a text table \(TSV\)"),
    "semicolons.csv": (TABLE.replace(b",", b";"), "a text table .CSV with semicolons."),
    "x.csv.gz": (gzip.compress(TABLE), r"a text table \(CSV\), compressed"),
    "x.feather": (b"ARROW1\x00\x00" + bytes(100), "an Arrow table"),
    "x.parquet": (b"PAR1" + bytes(100), "a Parquet table"),
    "x.json": (b'{"nodes": []}', "JSON"),
    "x.html": (b"<!DOCTYPE html><html>log in</html>", "a web page"),
    "x.xml": (b"<?xml version='1.0'?><data/>", "XML"),
    "x.pickle": (pickle.dumps({}, protocol=5), "a pickle"),
    "x.tar": (b"a" * 100 + bytes(412), "of unknown format"),
    "x.bin": (bytes(range(128, 256)), "of unknown format"),
    "x.h5": (TABLE, "a text table"),
    "x.tar.gz": (b"a tale", "of unknown format"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_another_format_is_named_and_what_can_be_read_is_said(tmp_path: Path, name: str) -> None:
    content, wanted = CASES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: format recognised as {wanted}") as caught:
        source(ConnectomeConfig(source=str(tmp_path / name)))
    assert "readable here: a folder or .tar.gz that holds traced-neurons.csv" in str(caught.value)
    assert "cut off" not in str(caught.value)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "x.h5").touch()
    with pytest.raises(DataError, match="x.h5: the file is empty; readable here"):
        source(ConnectomeConfig(source=str(tmp_path / "x.h5")))


@pytest.mark.parametrize("length", [1, 5, 12, 40])
def test_a_gzip_file_that_ends_early_is_called_cut_off(tmp_path: Path, length: int) -> None:
    content = gzip.compress(TABLE * 1000)
    (tmp_path / "x.tar.gz").write_bytes(content[:length] if length > 1 else content[:2])
    with pytest.raises(DataError, match="x.tar.gz: the archive is cut off or damaged"):
        source(ConnectomeConfig(source=str(tmp_path / "x.tar.gz")))


def test_a_connectome_file_is_known_by_its_content(tmp_path: Path) -> None:
    drawn = statistics.draw(statistics.load("hemibrain_core"), 0)
    hdf5.write(drawn, tmp_path / "x.connectome")
    assert formats.kind(tmp_path / "x.connectome") == formats.HDF5
    assert source(ConnectomeConfig(source=str(tmp_path / "x.connectome"))).equals(drawn)


def test_a_connectome_file_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    hdf5.write(statistics.draw(statistics.load("hemibrain_core"), 0), tmp_path / "x.h5")
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="x.h5: not a readable HDF5 file, or cut off"):
        source(ConnectomeConfig(source=str(tmp_path / "x.h5")))
