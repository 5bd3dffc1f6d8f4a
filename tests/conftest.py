"""What all tests share: shapes checked at run time, one thread per worker, seeds, and the way to real data.

Environment:
    CONNECTOME_SIM_DATA: folder that holds the datasets, each in a folder of its own (``hemibrain_v1.2``).
    CONNECTOME_SIM_REQUIRE_DATA: "1" turns every skipped ``real_data`` test into a failure (set by ``.ci/run``).
    CONNECTOME_SIM_REQUIRE_BROWSER: the same for ``browser``.
    CONNECTOME_SIM_BROWSER: path of a Chromium; found on the path where it is not set.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

# Workers of pytest-xdist share the cores. Read when torch and NumPy are first imported, hence before them.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[_name] = "1"

import hypothesis
import pytest
from jaxtyping import install_import_hook

# Shapes and types in annotations are checked on every call of the package, so it must not be imported already.
# As for the static type checker, an int will do where a float is asked for (PEP 484).
if "connectome_sim" in sys.modules:
    raise pytest.UsageError("connectome_sim was imported before tests/conftest.py: its annotations would go unchecked")
install_import_hook("connectome_sim", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# No deadline: the first call of a compiled kernel is slow. Derandomised: a failure is the same on every machine.
hypothesis.settings.register_profile("connectome_sim", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("connectome_sim")

SEED = 0


PROMISES = {"real_data": "CONNECTOME_SIM_REQUIRE_DATA", "browser": "CONNECTOME_SIM_REQUIRE_BROWSER"}
"""Mark -> variable that promises what its tests need."""


def _promised(mark: str) -> bool:
    return os.environ.get(PROMISES[mark], "") not in ("", "0")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for fixture, mark in (("hemibrain_dir", "real_data"), ("chromium", "browser")):
        unmarked = [
            item.nodeid
            for item in items
            if fixture in getattr(item, "fixturenames", ()) and item.get_closest_marker(mark) is None
        ]
        if unmarked:
            raise pytest.UsageError(f"tests that use {fixture} need the mark {mark}: {', '.join(unmarked)}")
    on_gpu = [item for item in items if item.get_closest_marker("gpu") is not None]
    if on_gpu and not _has_gpu():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that was skipped, for whatever reason, fails where what it needs is promised."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    without_device = item.get_closest_marker("gpu") is not None and not _has_gpu()
    for mark, variable in PROMISES.items():
        if skipped and item.get_closest_marker(mark) is not None and _promised(mark) and not without_device:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"{mark} test skipped although {variable} is set: {reason}"
            break
    return report


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Seeds what draws from global generators. The package itself takes a generator or a seed as an argument."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


@pytest.fixture(scope="session")
def hemibrain_dir() -> Path:
    """Folder of the hemibrain v1.2 export (``traced-neurons.csv``, ``traced-total-connections.csv``)."""
    root = os.environ.get("CONNECTOME_SIM_DATA")
    if not root:
        pytest.skip("CONNECTOME_SIM_DATA is not set")
    folder = Path(root) / "hemibrain_v1.2"
    if not (folder / "traced-neurons.csv").is_file():
        pytest.skip(f"no hemibrain export in {folder}")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium or Chrome that can run without a screen."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CONNECTOME_SIM_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"no browser: CONNECTOME_SIM_BROWSER is not set, and none of {', '.join(names)} is on the path")
    return Path(found)
