"""Where the files that ship with the package lie: configuration and data tables. Does not know what is in them.

A wheel carries them inside the package (``connectome_sim/conf``, ``connectome_sim/data``); in a source checkout they
lie beside it (``conf/``, ``data/``), where people read and edit them.
"""

from __future__ import annotations

from pathlib import Path

from connectome_sim.errors import DataError

_PACKAGE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """Folder of the Hydra configuration: entry configs and config groups.

    Raises:
        DataError: the installation holds no such folder.
    """
    return _shipped_folder("conf", _PACKAGE)


def data_dir() -> Path:
    """Folder of the shipped tables: wiring statistics, physiology, published ablations, with their sources.

    Raises:
        DataError: the installation holds no such folder.
    """
    return _shipped_folder("data", _PACKAGE)


def _shipped_folder(name: str, package: Path) -> Path:
    """``name`` inside the package, else beside it in a checkout (told by its pyproject.toml, not by chance)."""
    installed, checkout = package / name, package.parent / name
    if installed.is_dir():
        return installed
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    raise DataError(
        f"folder {name!r} of the package: found neither {installed} (installed) nor {checkout} (source checkout); "
        "the installation is incomplete, install connectome-sim again"
    )
