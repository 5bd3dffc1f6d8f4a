from pathlib import Path

import pytest

from connectome_sim import resources
from connectome_sim.errors import DataError


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_the_checkout_under_test_has_both_folders() -> None:
    assert resources.conf_dir().is_dir()
    assert resources.data_dir().is_dir()


def test_an_installed_folder_wins_over_one_beside_the_package(tmp_path: Path) -> None:
    inside = folder(tmp_path / "connectome_sim" / "data")
    folder(tmp_path / "data")
    (tmp_path / "pyproject.toml").touch()
    assert resources._shipped_folder("data", tmp_path / "connectome_sim") == inside


def test_a_checkout_is_told_by_its_pyproject(tmp_path: Path) -> None:
    package = folder(tmp_path / "connectome_sim")
    beside = folder(tmp_path / "data")
    with pytest.raises(DataError):  # a folder called "data" in site-packages is somebody else's
        resources._shipped_folder("data", package)
    (tmp_path / "pyproject.toml").touch()
    assert resources._shipped_folder("data", package) == beside


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'conf'.*install connectome-sim again"):
        resources._shipped_folder("conf", tmp_path / "connectome_sim")
