"""What a file is, by its first bytes: what is not read is named, and damage is said only where it is."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path

from connectome_sim.errors import DataError

HDF5, TAR_GZ = "HDF5", "a .tar.gz archive"
READABLE = (
    "readable here: a folder or .tar.gz that holds traced-neurons.csv and traced-total-connections.csv, or a "
    "connectome.h5"
)
_MAGIC = {
    b"\x89HDF\r\n\x1a\n": HDF5,
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"PK\x03\x04": "a ZIP archive (also .npz and .xlsx)",
    b"PK\x05\x06": "an empty ZIP archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"ARROW1": "an Arrow table (.feather)",
    b"FEA1": "an Arrow table (.feather)",
    b"PAR1": "a Parquet table",
    b"SQLite format 3": "an SQLite database",
    b"MATLAB 5.0": "a MATLAB file",
    b"\x80\x04": "a pickle of Python",
    b"\x80\x05": "a pickle of Python",
}
_HINTS = {
    "a NumPy array (.npy)": "from Python: connectome_sim.connectome.io.matrix.from_matrix(numpy.load(...), ...)",
    "GraphML": "from Python: connectome_sim.connectome.io.graph.from_networkx(networkx.read_graphml(...))",
    "a text table (CSV)": "of a pair of such tables, name the folder",
}
_HEAD = 4096  # bytes that are looked at
_BLOCK = 512  # bytes, header of a tar archive


def kind(path: Path) -> str:
    """What a file is: one of the formats known by sight, or "of unknown format".

    Raises:
        DataError: it cannot be read, is empty, or is a gzip file cut off before its content says what it is.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not head:
        raise DataError(f"{path}: the file is empty; {READABLE}")
    if head.startswith(b"\x1f\x8b"):
        return _inside_gzip(path)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), _tar(head) or _text(head))


def refusal(path: Path, found: str) -> DataError:
    """The error for a file whose format is recognised and not read."""
    hint = f"; {_HINTS[found]}" if found in _HINTS else ""
    return DataError(f"{path}: format recognised as {found}, which is not read; {READABLE}{hint}")


def _inside_gzip(path: Path) -> str:
    try:
        with gzip.open(path) as file:
            block = file.read(_BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise DataError(f"{path}: the archive is cut off or damaged ({error}); fetch it again") from None
    return TAR_GZ if _tar(block) else f"{_text(block)}, compressed (.gz)"


def _tar(head: bytes) -> str:
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return ""
    return "a .tar archive without compression"


def _text(head: bytes) -> str:
    """The kind of a text, by its beginning."""
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD else "ignore").lstrip().lower()
    except UnicodeDecodeError:
        return "of unknown format"
    if "<graphml" in text:
        return "GraphML"
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML)"
    if text.startswith("<"):
        return "XML"
    if text.startswith(("{", "[")):
        return "JSON"
    first = text.split("\n", 1)[0]
    separators = {",": "CSV", "\t": "TSV", ";": "CSV with semicolons"}
    found = next((name for separator, name in separators.items() if separator in first), "")
    return f"a text table ({found})" if found else "of unknown format"
