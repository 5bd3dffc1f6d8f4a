"""Cut the figures' font: the letters look as in the whole font, others come from it, nothing is left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from connectome_sim.figures.font import FAMILY, WHOLE, families
from connectome_sim.figures.rendering import rendered
from connectome_sim.figures.style import style


def picture(family: str | list[str], text: str) -> np.ndarray:
    figure = Figure(figsize=(3, 1))
    figure.text(0.1, 0.5, text, family=family)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("text", ["Delta7, 12 deg/s, AVAT", "τ = 3.1 ± 0.2 · 10⁻³ → ∞", "Größe ≤ ½ °"])
def test_text_looks_as_in_the_whole_font(text: str) -> None:
    assert families() == (FAMILY, WHOLE)
    whole = picture(WHOLE, text)
    assert whole.min() < 100  # something is drawn
    np.testing.assert_array_equal(picture(FAMILY, text), whole)


def test_a_letter_that_was_cut_comes_from_the_whole_font() -> None:
    cut = FT2Font(font_manager.findfont(families()[0]))
    assert cut.get_char_index(ord("Ж")) == 0
    np.testing.assert_array_equal(picture(list(families()), "Жук"), picture(WHOLE, "Жук"))


def test_a_pdf_names_the_font_that_other_programs_know() -> None:
    figure = Figure()
    with style():
        figure.suptitle("Title", weight="bold")
        figure.text(0.5, 0.5, "text")
    names = set(re.findall(rb"/BaseFont /[A-Z]{6}\+(\S+)", rendered(figure, "pdf")))
    assert names == {b"DejaVuSans", b"DejaVuSans-Bold"}


def test_the_same_figure_is_the_same_file_in_another_process_and_no_font_is_left(tmp_path: Path) -> None:
    script = (
        "import sys, hashlib\n"
        "from matplotlib.figure import Figure\n"
        "from connectome_sim.figures.rendering import rendered\n"
        "from connectome_sim.figures.style import style\n"
        "figure = Figure()\n"
        "with style():\n"
        "    figure.suptitle('Title')\n"
        "print(hashlib.sha256(rendered(figure, 'pdf')).hexdigest())\n"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        ).stdout
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert not list(tmp_path.glob("connectome_sim_font*"))


def test_without_a_folder_to_write_to_the_whole_font_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: str) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("connectome_sim.figures.font.mkdtemp", refuse)
    assert families.__wrapped__() == (WHOLE, WHOLE)
