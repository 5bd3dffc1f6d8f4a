"""A run folder that cannot be written to its end is not left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectome_sim.build import fitting
from connectome_sim.config import compose
from connectome_sim.errors import DataError


def test_a_disk_that_fills_up_leaves_no_half_made_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DataError("connectome.h5: no space left on device")

    monkeypatch.setattr(fitting.hdf5, "write", full)
    run = tmp_path / "runs" / "one"
    config = compose("fit", ["+experiment=quickstart", f"run={run}", "threads=1", "progress=false"])
    with pytest.raises(DataError, match="no space left"):
        fitting.run_fit(config)
    assert not run.exists()
