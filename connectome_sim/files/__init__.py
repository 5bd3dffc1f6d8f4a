"""Files written whole, read whole, and vouched for by the checksums of their folder. Knows no format and no run."""

from __future__ import annotations

from connectome_sim.files.checksums import NAME, listed, require, start
from connectome_sim.files.door import Content, blamed, exists, read, read_text, remove, write
from connectome_sim.files.limits import JSON_BYTES, PICTURE_BYTES, TABLE_BYTES, TEXT_BYTES

__all__ = [
    "JSON_BYTES",
    "NAME",
    "PICTURE_BYTES",
    "TABLE_BYTES",
    "TEXT_BYTES",
    "Content",
    "blamed",
    "exists",
    "listed",
    "read",
    "read_text",
    "remove",
    "require",
    "start",
    "write",
]
