"""Reports in a real browser, headless Chromium: they load nothing, show every picture, and their tables sort."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from omegaconf import OmegaConf

from connectome_sim.build.reporting import write_report
from connectome_sim.figures.all import draw_all
from connectome_sim.records import RunFolder, RunStatus, atomic
from tests.unit.test_figures import finished_run
from tests.unit.test_report import run_with_tables

pytestmark = pytest.mark.browser

# clicks on the head of a column, twice, and leaves what it saw in the page's title
PROBE = """<script>
addEventListener("load", () => {
  const table = [...document.querySelectorAll("table.sortable")].find(t => t.textContent.includes("observation"));
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent);
  const head = table.tHead.rows[0].cells[1].firstElementChild;
  const seen = {before: column()};
  head.click(); seen.up = column(); head.click(); seen.down = column();
  seen.pictures = [...document.images].map(image => image.complete && image.naturalWidth > 0);
  seen.loaded = performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:"));
  seen.top = document.getElementById("verdict").getBoundingClientRect().top;
  document.title = "seen " + JSON.stringify(seen);
});
</script>"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of known content with figures and a table whose numbers sort differently from their texts."""
    folder = finished_run(tmp_path / "run")
    (folder.path / ".hydra").mkdir()
    config = run_with_tables(tmp_path / "other").path / ".hydra" / "config.yaml"
    atomic.write_text(folder.path / ".hydra" / "config.yaml", config.read_text())
    atomic.remove(folder.parameters)  # of another circuit than the configuration's, whose table they would be
    draw_all(folder, formats=("png",))
    atomic.write_text(folder.path / "scorecard.csv", "observation,ours\na,9.5\nb,10.25\nc,\nd,-3\n")
    return folder


def opened(chromium: Path, profile: Path, *arguments: str) -> str:
    command = [str(chromium), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


def test_a_report_shows_every_picture_loads_nothing_and_sorts(chromium: Path, run: RunFolder, tmp_path: Path) -> None:
    page = tmp_path / "probed.html"
    page.write_text(write_report(run).read_text().replace("</body>", PROBE + "</body>"))
    shown = opened(chromium, tmp_path / "profile", "--dump-dom", page.as_uri())
    found = re.search(r"<title>seen (.*?)</title>", shown)
    assert found is not None, shown[:2000]
    seen = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["before"] == ["9.5", "10.25", "", "-3"]
    assert seen["up"] == ["-3", "9.5", "10.25", ""] and seen["down"] == ["10.25", "9.5", "-3", ""]
    assert len(seen["pictures"]) == len(list(run.figures.glob("*.png"))) and all(seen["pictures"])
    assert seen["loaded"] == [] and seen["top"] < 300  # the verdict is on the first screen


@pytest.mark.parametrize(
    ("status", "bounds", "colour"),
    [
        ("succeeded", {"bump_present_share": [0.9, None]}, (0x00, 0x9E, 0x73)),
        ("succeeded", {"rest_distinct_headings": [9.0, None]}, (0xD5, 0x5E, 0x00)),
        ("failed", {}, (0xD5, 0x5E, 0x00)),
    ],
)
def test_the_first_screen_is_coloured_by_the_verdict(
    chromium: Path,
    run: RunFolder,
    tmp_path: Path,
    status: RunStatus,
    bounds: dict[str, list[float | None]],
    colour: tuple[int, int, int],
) -> None:
    config = run.path / ".hydra" / "config.yaml"
    atomic.write_text(config, OmegaConf.to_yaml(OmegaConf.create({**OmegaConf.load(config), "success": bounds})))
    run.finish(status=status, reason="too far" * (status == "failed"), wall_time_s=1.0)
    picture = tmp_path / "screen.png"
    size = "--window-size=1000,700"
    opened(chromium, tmp_path / "profile", size, f"--screenshot={picture}", write_report(run).as_uri())
    pixels = np.round(255 * imread(picture)[:, :, :3]).astype(int)
    assert (np.abs(pixels - colour).max(axis=2) <= 2).sum() > 100  # the bar beside the verdict
