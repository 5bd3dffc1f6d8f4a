"""Digests of published releases that ship with the package, ``known_datasets/*.json``. Knows no release."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from connectome_sim.connectome.identity import Cells, KnownDataset, Part
from connectome_sim.connectome.io.files import write_whole
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

FOLDER = "known_datasets"
"""Folder of the digests inside the data folder."""


def load() -> tuple[KnownDataset, ...]:
    """Every release whose digests ship.

    Raises:
        DataError: the installation is incomplete, or a file damaged.
    """
    return tuple(read(path) for path in sorted((data_dir() / FOLDER).glob("*.json")))


def read(path: Path) -> KnownDataset:
    """The digests of one release.

    Raises:
        DataError: not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(_part(part) for part in content.pop("parts"))
        return KnownDataset(**{**content, "releases": tuple(content["releases"])}, parts=parts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: no digests of a release ({error}); install connectome-sim again") from None


def write(dataset: KnownDataset, path: Path) -> None:
    """Write the digests of one release.

    Raises:
        DataError: the file cannot be written.
    """
    write_whole(path, (json.dumps(asdict(dataset), indent=1) + "\n").encode())


def _part(content: dict[str, Any]) -> Part:
    types = {name: Cells(**cells) for name, cells in content["types"].items()}
    return Part(**{**content, "types": types, "partners": tuple(content["partners"])})
