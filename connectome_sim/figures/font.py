"""The font of all figures: DejaVu Sans, which comes with matplotlib, without what no figure needs. Knows no figure.

A PDF holds the letters that it shows, cut out of the font. From the whole font, with its 6,000 letters and its tables
for scripts that figures do not use, that takes half of the time of writing one.
"""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import matplotlib
from fontTools import subset
from matplotlib import font_manager

WHOLE = "DejaVu Sans"
FAMILY = "DejaVu Sans Figures"

_FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
_LETTERS = (
    *range(0x20, 0x7F),  # ASCII
    *range(0xA0, 0x180),  # Latin
    *range(0x370, 0x400),  # Greek
    *range(0x2000, 0x20A0),  # punctuation, superscripts and subscripts
    *range(0x2190, 0x2300),  # arrows, operators
    *range(0x25A0, 0x2600),  # shapes
)
_FAMILY_NAMES = (1, 3, 4, 16)  # of a font's table of names; 6, by which other programs find the font, stays


@cache
def families() -> tuple[str, str]:
    """The font's name for matplotlib, and that of the whole one for letters that it lacks; made once in a process.

    Where there is nowhere to put it, figures are drawn with the whole font, which is the same and takes longer.
    """
    source = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    try:
        folder = Path(mkdtemp(prefix="connectome_sim_font"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for name in _FILES:
            _cut(source / name, folder / name)
    except OSError:
        return WHOLE, WHOLE
    for name in _FILES:
        font_manager.fontManager.addfont(folder / name)
    return FAMILY, WHOLE


def _cut(source: Path, target: Path) -> None:
    options = subset.Options()
    options.layout_features = []
    options.drop_tables += ["GDEF", "GPOS", "GSUB", "FFTM", "PfEd"]
    options.legacy_kern = True  # matplotlib sets letters by it
    options.glyph_names = True
    options.name_IDs = ["*"]
    options.recommended_glyphs = True
    options.notdef_outline = True
    options.hinting = True
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=_LETTERS)
    with subset.load_font(source, options, dontLoadGlyphNames=False) as font:
        cutter.subset(font)
        for record in font["name"].names:
            if record.nameID in _FAMILY_NAMES:
                record.string = str(record).replace(WHOLE, FAMILY)
        subset.save_font(font, target, options)
