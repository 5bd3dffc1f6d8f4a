"""One damage to a file, drawn from all that can happen to it: bytes, text, numbers, structure, another file."""

from __future__ import annotations

import json
import os
import random
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

Bytes = Callable[[bytearray, random.Random], bytes]
TEXTS = (".json", ".yaml", ".csv", "SHA256SUMS")


def damage(path: Path, rng: random.Random, *, others: Sequence[Path]) -> str:
    """Damage a file in place so that its bytes or its kind differ; what was done.

    Args:
        path: the file.
        rng: decides what is done.
        others: files that may take its place.
    """
    before = path.read_bytes()
    for _ in range(100):
        name, change = rng.choice(_ways(path))
        try:
            change(path, rng, others)
        except (KeyError, IndexError, ValueError):
            continue  # the file has nothing to which that could happen
        if not path.is_file() or path.is_symlink() or path.read_bytes() != before:
            return name
    raise AssertionError(f"{path}: nothing changed it")


def _ways(path: Path) -> list[tuple[str, Callable[..., None]]]:
    found = [(change.__name__.strip("_"), _on_bytes(change)) for change in _BYTES]
    found += [(change.__name__.strip("_"), change) for change in (_another_file, _no_file)]
    if path.name.endswith(TEXTS):
        found += [(change.__name__.strip("_"), _on_text(change)) for change in _TEXTS]
    if path.suffix == ".h5":
        found += [(change.__name__.strip("_"), _on_hdf5(change)) for change in _HDF5]
    if path.suffix == ".safetensors":
        found += [(change.__name__.strip("_"), _on_bytes(change)) for change in _SAFETENSORS]
    return found


def _on_bytes(change: Bytes) -> Callable[..., None]:
    return lambda path, rng, _: path.write_bytes(change(bytearray(path.read_bytes()), rng))


def _on_text(change: Callable[[str, random.Random], str]) -> Callable[..., None]:
    return lambda path, rng, _: path.write_text(change(path.read_text(), rng))


def _on_hdf5(change: Callable[[h5py.File, random.Random], None]) -> Callable[..., None]:
    def changed(path: Path, rng: random.Random, _: object) -> None:
        with h5py.File(path, "r+") as file:
            change(file, rng)

    return changed


# --- bytes ---


def _flipped_bits(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flipped_in_head(data: bytearray, rng: random.Random) -> bytes:
    data[rng.randrange(min(len(data), 2048))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut_off(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def _zeros(data: bytearray, rng: random.Random) -> bytes:
    at, n = rng.randrange(len(data)), rng.randint(1, 512)
    data[at : at + n] = bytes(len(data[at : at + n]))
    return bytes(data)


def _noise(data: bytearray, rng: random.Random) -> bytes:
    at, n = rng.randrange(len(data)), rng.randint(1, 64)
    data[at : at + n] = rng.randbytes(len(data[at : at + n]))
    return bytes(data)


def _block_twice(data: bytearray, rng: random.Random) -> bytes:
    at, n = rng.randrange(len(data)), rng.randint(1, 512)
    return bytes(data[: at + n] + data[at:])


def _block_moved(data: bytearray, rng: random.Random) -> bytes:
    source, at, n = rng.randrange(len(data)), rng.randrange(len(data)), rng.randint(8, 512)
    block = data[source : source + n]
    data[at : at + len(block)] = block
    return bytes(data)


def _block_lost(data: bytearray, rng: random.Random) -> bytes:
    at, n = rng.randrange(len(data)), rng.randint(1, 512)
    return bytes(data[:at] + data[at + n :])


def _empty(_: bytearray, __: random.Random) -> bytes:
    return b""


def _more_at_the_end(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data) + rng.randbytes(rng.randint(1, 100))


# --- the file as a whole ---


def _another_file(path: Path, rng: random.Random, others: Sequence[Path]) -> None:
    alike = [other for other in others if other.suffix == path.suffix and other != path]
    other = rng.choice(alike or [other for other in others if other != path])
    path.write_bytes(other.read_bytes())


def _no_file(path: Path, rng: random.Random, others: Sequence[Path]) -> None:
    """A folder, a pipe, a link out of the folder, or nothing at all."""
    outside = path.parents[1] / f"outside{path.suffix}"
    outside.write_bytes(path.read_bytes() + b" ")
    path.unlink()
    rng.choice([path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(outside), lambda: None])()


# --- text ---

_NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e-?\d+)?(?![\w.])")


def _at_a_number(text: str, rng: random.Random, new: Callable[[str], str]) -> str:
    found = rng.choice(list(_NUMBER.finditer(text)))
    return text[: found.start()] + new(found[0]) + text[found.end() :]


def _digit(text: str, rng: random.Random) -> str:
    at = rng.choice([k for k, letter in enumerate(text) if letter.isdigit()])
    return text[:at] + str((int(text[at]) + rng.randint(1, 9)) % 10) + text[at + 1 :]


def _negated(text: str, rng: random.Random) -> str:
    return _at_a_number(text, rng, lambda number: number[1:] if number.startswith("-") else f"-{number}")


def _no_number(text: str, rng: random.Random) -> str:
    new = rng.choice(["NaN", "Infinity", "null", '"high"', "[]", "{}", "true", "1e999", "9" * 5000, ""])
    return _at_a_number(text, rng, lambda _: new)


def _renamed(text: str, rng: random.Random) -> str:
    found = rng.choice(list(re.finditer(r"[A-Za-z_]{3,}", text)))
    return text[: found.start()] + rng.choice(["x", found[0].upper(), found[0][::-1]]) + text[found.end() :]


def _line_lost(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _line_twice(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return "".join([*lines[: at + 1], *lines[at:]])


def _deep(text: str, rng: random.Random) -> str:
    return rng.choice(["[" * 200_000, '{"a":' * 200_000, text + "[" * 100_000, '"' + text])


_TEXTS = (_digit, _negated, _no_number, _renamed, _line_lost, _line_twice, _deep)

# --- HDF5 ---


def _arrays(file: h5py.File, kinds: str) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(
        lambda _, item: (
            found.append(item) if isinstance(item, h5py.Dataset) and item.dtype.kind in kinds and item.size else None
        )
    )
    return found


def _row_negated(file: h5py.File, rng: random.Random) -> None:
    array = rng.choice(_arrays(file, "if"))
    values = np.atleast_1d(array[()])
    values[rng.randrange(len(values))] *= -1
    array[...] = values.reshape(array.shape)


def _one_nan(file: h5py.File, rng: random.Random) -> None:
    array = rng.choice(_arrays(file, "f"))
    values = array[()]
    np.atleast_1d(values).flat[rng.randrange(values.size)] = rng.choice([np.nan, np.inf, 1e300])
    array[...] = values


def _part_renamed(file: h5py.File, rng: random.Random) -> None:
    file.move(rng.choice(_arrays(file, "biufO")).name, "renamed")


def _part_lost(file: h5py.File, rng: random.Random) -> None:
    del file[rng.choice(_arrays(file, "biufO")).name]


def _part_replaced(file: h5py.File, rng: random.Random) -> None:
    name = rng.choice(_arrays(file, "biufO")).name
    old = file[name][()]
    del file[name]
    news = [old.astype(str).astype("S") if old.dtype.kind != "O" else np.arange(old.size), np.zeros((2, 0, 3)), 5.0]
    news += [np.repeat(old, 2) if old.dtype.kind != "O" else 7, np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])]
    file[name] = rng.choice(news)


def _links(file: h5py.File, rng: random.Random) -> None:
    name = rng.choice(_arrays(file, "biufO")).name
    del file[name]
    file[name] = rng.choice(
        [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/"), h5py.SoftLink(name), h5py.SoftLink("/nowhere")]
    )


def _circle(file: h5py.File, _: random.Random) -> None:
    file["again"] = file["/"]


def _outside(file: h5py.File, rng: random.Random) -> None:
    name = rng.choice(_arrays(file, "f")).name
    shape = file[name].shape
    del file[name]
    if rng.random() < 0.5:
        file.create_dataset(name, shape=shape, dtype="f8", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
        return
    layout = h5py.VirtualLayout(shape=shape, dtype="f8")
    layout[...] = h5py.VirtualSource("/nowhere.h5", "x", shape=shape)
    file.create_virtual_dataset(name, layout)


def _huge(file: h5py.File, rng: random.Random) -> None:
    name = rng.choice(_arrays(file, "if")).name
    del file[name]
    file.create_dataset(name, shape=(2**40,), dtype="f8", chunks=(1024,), compression="gzip")


def _odd_types(file: h5py.File, rng: random.Random) -> None:
    array = rng.choice(_arrays(file, "biufO"))
    name, n = array.name, array.size
    del file[name]
    if rng.random() < 0.5:
        file.create_dataset(name, shape=(n,), dtype=h5py.ref_dtype)
    else:
        file.create_dataset(name, shape=(n,), dtype=h5py.vlen_dtype(np.int32))


def _attribute_changed(file: h5py.File, rng: random.Random) -> None:
    places = [file]
    file.visititems(lambda _, item: places.append(item) if len(item.attrs) else None)
    place = rng.choice(places)
    name = rng.choice(sorted(place.attrs))
    place.attrs[name] = rng.choice([3, -1, 1e9, "x", [1, 2], h5py.Empty("f8"), True])


_HDF5 = (
    _row_negated, _row_negated, _one_nan, _part_renamed, _part_lost, _part_replaced, _links, _circle, _outside, _huge,
    _odd_types, _attribute_changed,
)  # fmt: skip

# --- safetensors ---


def _header_length(data: bytearray, rng: random.Random) -> bytes:
    data[:8] = struct.pack("<Q", rng.choice([0, 1, 2**20, 2**40, 2**63, len(data)]))
    return bytes(data)


def _with_header(data: bytearray, header: dict) -> bytes:
    n = struct.unpack("<Q", data[:8])[0]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data[8 + n :])


def _header_changed(data: bytearray, rng: random.Random) -> bytes:
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header.pop(name)
    change = rng.choice(["renamed", "lost", "shape", "dtype", "offset", "metadata"])
    if change == "renamed":
        header[name + "x"] = entry
    elif change == "metadata":
        header[name] = entry
        header["__metadata__"] = rng.choice([{}, {"format": "x"}, {"state": "[" * 100_000}, {"format_version": "-1"}])
    elif change != "lost":
        new = {"shape": [2**40], "dtype": "F8_E4M3", "offset": [0, 2**40]}[change]
        header[name] = entry | {"data_offsets" if change == "offset" else change: new}
    return _with_header(data, header)


def _number_negated(data: bytearray, rng: random.Random) -> bytes:
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    floats = [entry for entry in header.values() if entry.get("dtype") in ("F32", "F64")]
    entry = rng.choice(floats)
    begin, end = entry["data_offsets"]
    size = 4 if entry["dtype"] == "F32" else 8
    at = 8 + n + begin + size * rng.randrange((end - begin) // size)
    data[at + size - 1] ^= 0x80
    return bytes(data)


_SAFETENSORS = (_header_length, _header_changed, _header_changed, _number_negated, _number_negated)
_BYTES = (
    _flipped_bits, _flipped_bits, _flipped_in_head, _cut_off, _zeros, _noise, _block_twice, _block_moved, _block_lost,
    _empty, _more_at_the_end,
)  # fmt: skip
