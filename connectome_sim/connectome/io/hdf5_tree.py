"""An HDF5 file as plain arrays and attributes, written and read as a whole. Knows nothing of what they mean.

What a reader meets is decided by the file, so the file is taken for hostile: only groups, and arrays of numbers, truth
values and text that lie in the file itself. The attribute ``content_sha256`` of the root is the digest of everything
else in it (`Tree.digest`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from connectome_sim import files
from connectome_sim.errors import ConnectomeSimError, DataError
from connectome_sim.files.checksums import say_once

DIGEST = "content_sha256"
MOST_BYTES = 4 * 2**30  # of a file, and of the arrays in it (chosen)
MOST_PARTS, DEEPEST = 100_000, 8  # groups and arrays, groups within groups (chosen)
DENSEST = 1100  # bytes of content per byte stored: deflate reaches 1032
ELSEWHERE_S = 60.0  # a file that nothing vouches for may take to be opened (chosen; a second is usual)
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_TEXT = h5py.string_dtype("utf-8")
_ANSWER = "import sys; from connectome_sim.connectome.io import hdf5_tree; hdf5_tree.answer(sys.stdin.buffer.read())"

_PACKAGES = Path(__file__).parents[3]  # where this package lies

Attribute = str | int | float


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """Content of a file.

    Attributes:
        attributes: path of a group ("" is the root) -> name -> value.
        arrays: path -> array; text has dtype U.
        path: where it was read; for messages.
        vouched: whether a checksum of its folder vouches for it.
    """

    attributes: Mapping[str, Mapping[str, Attribute]]
    arrays: Mapping[str, np.ndarray]
    path: Path = Path()
    vouched: bool = True

    def __getitem__(self, name: str) -> np.ndarray:
        """An array; a KeyError names one that is missing."""
        if name not in self.arrays:
            raise KeyError(f"/{name}")
        return self.arrays[name]

    def attribute(self, name: str, *, group: str = "") -> Attribute:
        """An attribute; a KeyError names one that is missing."""
        if name not in self.attributes.get(group, {}):
            raise KeyError(f"/{group}, attribute {name!r}")
        return self.attributes[group][name]

    @property
    def digest(self) -> str:
        """SHA-256 over attributes and arrays in the order of their names: name, kind, shape, content."""
        found = hashlib.sha256()
        plain = {group: {k: v for k, v in own.items() if k != DIGEST} for group, own in self.attributes.items()}
        found.update(json.dumps({group: own for group, own in plain.items() if own}, sort_keys=True).encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            is_text = array.dtype.kind == "U"
            kind = "text" if is_text else array.dtype.newbyteorder("<").str
            found.update(json.dumps([name, kind, list(array.shape)]).encode())
            content = json.dumps(array.tolist()).encode() if is_text else _little(array).tobytes()
            found.update(content)
        return found.hexdigest()

    def to_bytes(self, *, compress_above: int | None = None) -> bytes:
        """The file, its digest in it.

        Args:
            compress_above: arrays with more elements are compressed; none if None.
        """
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for name, array in self.arrays.items():
                small = compress_above is None or array.size <= compress_above or array.ndim == 0
                options = {} if small else {"compression": "gzip", "shuffle": True}
                if array.dtype.kind == "U":
                    file.create_dataset(name, data=array.astype(object), dtype=_TEXT, **options)
                else:
                    file.create_dataset(name, data=array, **options)
            for group, own in self.attributes.items():
                file.require_group(group or "/").attrs.update(own)
            file.attrs[DIGEST] = self.digest
        return buffer.getvalue()

    def check_digest(self, error: type[ConnectomeSimError]) -> None:
        """Compare content and digest; a file without one, for which nothing else vouches either, is named once.

        Raises:
            error: they differ.
        """
        wanted = self.attributes.get("", {}).get(DIGEST)
        if wanted is None:
            if not self.vouched:
                say_once(f"{self.path}: carries no checksum; damage since it was written may go unnoticed")
        elif wanted != self.digest:
            raise error(
                f"{self.path}: got content with SHA-256 {self.digest}, wanted {wanted} (its attribute {DIGEST!r}): it "
                "was changed or damaged after it was written; restore it from a copy, or, if the change is meant, "
                "remove the attribute"
            )


def read(path: Path, *, error: type[ConnectomeSimError]) -> Tree:
    """Everything in a file. Its digest is left to `Tree.check_digest`, so that what is malformed is named first.

    Raises:
        FileNotFoundError: there is none.
        error: cut off, not HDF5, damaged, or with parts that it should not have: links, external or virtual storage,
            filters, types or sizes that this package never writes.
    """
    content = files.read(path, most=MOST_BYTES, error=error)
    try:
        tree = _opened(content.data) if content.vouched else _opened_elsewhere(content.data)
        return replace(tree, path=path, vouched=content.vouched)
    except Exception as failure:  # damaged files make h5py raise whatever it likes
        raise error(f"{path}: not a readable HDF5 file, or cut off ({_words(failure)})") from failure


def answer(data: bytes) -> None:
    """What the other process does: write the content of a file, or why there is none, to standard output."""
    signal.alarm(math.ceil(ELSEWHERE_S) + 1)  # by the system, if whoever asked is gone
    arrays: list[np.ndarray] = []
    try:
        tree = _opened(data)
        found, arrays = {"attributes": tree.attributes, "names": list(tree.arrays)}, list(tree.arrays.values())
    except Exception as failure:  # damaged files make h5py raise whatever it likes
        found = {"error": _words(failure)}
    np.savez(buffer := io.BytesIO(), np.array(json.dumps(found)), *arrays)
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.flush()
    os._exit(0)  # what the library does at its end is of no interest


def _opened_elsewhere(data: bytes) -> Tree:
    """Open a file that nothing vouches for in another process: damaged ones can hang, crash or corrupt their reader."""
    command = [sys.executable, "-P", "-c", _ANSWER]  # -P: nothing is imported from the folder where it runs
    paths = {"PYTHONPATH": os.pathsep.join([str(_PACKAGES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
    how: dict[str, Any] = {"capture_output": True, "timeout": ELSEWHERE_S, "env": {**os.environ, **paths}}
    try:
        ended = subprocess.run(command, input=data, check=False, **how)
    except subprocess.TimeoutExpired as failure:
        raise DataError(f"it could not be read within {ELSEWHERE_S:g} s") from failure
    if ended.returncode < 0:
        raise DataError(f"reading it ends a process with signal {-ended.returncode}")
    if ended.returncode:
        raise DataError(f"a process to read it in failed: {ended.stderr.decode(errors='replace')[-300:]}")
    with np.load(io.BytesIO(ended.stdout), allow_pickle=False) as content:
        found, *arrays = [content[name] for name in content.files]
    known = json.loads(str(found))
    if "error" in known:
        raise DataError(known["error"])
    return Tree(attributes=known["attributes"], arrays=dict(zip(known["names"], arrays, strict=True)))


def _opened(data: bytes) -> Tree:
    with h5py.File(h5py.h5f.open_file_image(data)) as file:
        attributes: dict[str, dict[str, Attribute]] = {"": _attributes(file)}
        arrays: dict[str, np.ndarray] = {}
        in_all = 0
        for name, item in _walk(file):
            if isinstance(item, h5py.Group):
                attributes[name] = _attributes(item)
                continue
            in_all += _checked_size(item, name, len(data))
            if in_all > MOST_BYTES:
                raise DataError(f"/{name}: arrays of more than {MOST_BYTES} bytes in all")
            arrays[name] = _array(item, name)
    return Tree(attributes=attributes, arrays=arrays)


def _walk(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every group and array by its path; each must have one path only."""
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    seen = {h5py.h5o.get_info(file.id).addr}
    while waiting:
        place, group = waiting.pop()
        for key in group:
            name = f"{place}/{key}" if place else str(key)
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise DataError(f"/{name}: is a soft or external link, wanted a part of the file itself")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > MOST_PARTS or name.count("/") > DEEPEST:
                raise DataError(f"/{name}: is there twice, or one of too many parts")
            seen.add(address)
            if not isinstance(item, (h5py.Group, h5py.Dataset)):
                raise DataError(f"/{name}: is a {type(item).__name__}, wanted a group or an array")
            if isinstance(item, h5py.Group):
                waiting.append((name, item))
            yield name, item


def _checked_size(item: h5py.Dataset, name: str, file_bytes: int) -> int:
    """Bytes of an array that lies in the file, can be as large as it says, and has a type that we write."""
    creation = item.id.get_create_plist()
    if item.is_virtual or creation.get_external_count():
        raise DataError(f"/{name}: lies outside the file (virtual or external storage), wanted it in the file")
    filters = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())}
    if not filters <= _FILTERS:
        raise DataError(f"/{name}: filters {sorted(filters)}, wanted only deflate, shuffle and fletcher32")
    is_text = h5py.check_string_dtype(item.dtype) is not None
    if not is_text and (item.dtype.kind not in "biuf" or item.dtype.itemsize > 8):
        raise DataError(f"/{name}: type {item.dtype}, wanted numbers, truth values or text")
    if item.shape is None:
        raise DataError(f"/{name}: has no shape")
    size, stored = math.prod(item.shape) * item.dtype.itemsize, item.id.get_storage_size()
    most = stored * (DENSEST if filters else 1)
    if stored > file_bytes or size > most or size > MOST_BYTES:
        raise DataError(f"/{name}: claims shape {item.shape}, {size} bytes, of which {stored} are stored")
    return size


def _array(item: h5py.Dataset, name: str) -> np.ndarray:
    if h5py.check_string_dtype(item.dtype) is not None:
        texts = np.asarray(item.asstr()[()], dtype=object)
        longest = max(map(len, texts.ravel().tolist()), default=0)
        if 4 * longest * texts.size > MOST_BYTES:
            raise DataError(
                f"/{name}: {texts.size} texts of up to {longest} letters, wanted {MOST_BYTES} bytes at most"
            )
        return np.array(texts.tolist(), dtype=str).reshape(item.shape)
    array = np.asarray(item[()])
    if array.shape != item.shape:
        raise DataError(f"/{name}: got shape {array.shape}, wanted {item.shape}")
    return array


def _attributes(item: h5py.Group) -> dict[str, Attribute]:
    return {str(name): _attribute(item, str(name)) for name in item.attrs}


def _attribute(item: h5py.Group, name: str) -> Attribute:
    kind = item.attrs.get_id(name)
    if kind.shape != () or kind.dtype.kind not in "biufOS":
        raise DataError(f"{item.name}, attribute {name!r}: got shape {kind.shape} of {kind.dtype}, wanted one value")
    value = item.attrs[name]
    value = value.decode("utf-8") if isinstance(value, bytes) else value
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (str, int, float)):
        raise DataError(f"{item.name}, attribute {name!r}: got a {type(value).__name__}, wanted text or a number")
    return value


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _words(failure: Exception) -> str:
    return str(failure) if isinstance(failure, (DataError, OSError)) else f"{type(failure).__name__}: {failure}"
