"""The notebook of the documentation runs from its first cell to its last, and still says what it shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "example.ipynb"


def outputs(path: Path) -> list[dict[str, Any]]:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)  # it was executed
    return [output for cell in cells for output in cell["outputs"]]


def printed(found: list[dict[str, Any]]) -> str:
    return "".join("".join(output["text"]) for output in found if output.get("name") == "stdout")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_notebook_runs_and_says_what_it_shows(hemibrain_dir: Path, tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    run = [sys.executable, "-c", "from nbclient.cli import main; main()", "--timeout=600", "--startup_timeout=300"]
    done = subprocess.run([*run, "--output=done", NOTEBOOK.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    before, now = outputs(NOTEBOOK), outputs(tmp_path / "done.ipynb")
    verdict = printed(before).splitlines()[0]
    assert verdict == printed(now).splitlines()[0] == "one bump at every heading, on a closed ring of slow states"
    assert sum("image/png" in output.get("data", {}) for output in now) == 3
    assert (tmp_path / "results" / "hemibrain_ring" / "member_000" / "report.html").exists()
