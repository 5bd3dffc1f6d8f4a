"""Pages that need nothing but themselves: style, tables that sort, embedded pictures. Knows no run and no figure."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Collection, Mapping, Sequence
from html import escape

Row = Mapping[str, str]

# A page must need nothing else: whatever slips in, the browser loads nothing from anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
body { font: 14px/1.45 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin-top: 2em; border-bottom: 1px solid #ddd; }
h3 { font-size: 14px; margin-bottom: 0.3em; }
table { border-collapse: collapse; font-size: 12px; margin: 0.5em 0 1.5em; }
th, td { padding: 2px 8px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th button { all: unset; cursor: pointer; font-weight: bold; } th button:focus-visible { outline: 2px solid #0072b2; }
th[aria-sort] button::after { content: " \\25b4"; } th[aria-sort="descending"] button::after { content: " \\25be"; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
img { max-width: 100%; }
pre { background: #f6f6f6; padding: 0.7em; overflow-x: auto; font-size: 12px; }
.verdict { padding: 0.6em 1em; border-left: 6px solid; margin: 1em 0; background: #f6f6f6; }
.verdict.good { border-color: #009e73; } .verdict.bad { border-color: #d55e00; }
.verdict.open { border-color: #6e6e6e; }
.verdict strong { font-size: 16px; }
.yes, .agree { color: #00694d; } .NO, .disagree { color: #a04000; font-weight: bold; }
"""
# Rows by a column: numbers by their value, texts by the alphabet, what is empty last; a second click turns it round.
_SORT = """
for (const head of document.querySelectorAll("table.sortable th")) {
  head.firstElementChild.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0], k = head.cellIndex;
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    const key = row => row.cells[k].dataset.value ?? row.cells[k].textContent;
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const p = Number(x), q = Number(y);
      return sign * (Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q);
    };
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...Array.from(body.rows).sort(compare));
  });
}
"""
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0)?")  # counts and ids keep all digits
_COLOURED = ("agree", "disagree", "yes", "NO")


def page(title: str, body: str) -> str:
    """A whole page: its style, its body, and the script that sorts its tables."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}<script>{_SORT}</script></body></html>\n'


def table(rows: Sequence[Row], columns: Sequence[str] | None = None, *, texts: Collection[str] = ()) -> str:
    """A table that sorts by a click on the head of a column.

    Args:
        rows: column -> text; a number is shown with four digits, a whole one with all, and sorted by all it has.
        columns: those shown, in order; all of the first row where None.
        texts: columns whose numbers are shown as they are.
    """
    shown = list(columns if columns is not None else rows[0] if rows else ())
    head = "".join(f'<th><button type="button">{escape(name.replace("_", " "))}</button></th>' for name in shown)
    body = "".join(
        "<tr>" + "".join(_field(row.get(name, ""), as_it_is=name in texts) for name in shown) + "</tr>" for row in rows
    )
    content = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{content}</div>'


def picture(title: str, content: bytes, *, kind: str = "png") -> str:
    """A picture inside the page, ``kind`` as in image/png."""
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(title)}" src="data:image/{kind};base64,{data}">'


def _field(text: str, *, as_it_is: bool) -> str:
    number = _number(text)
    if number is not None and not as_it_is:
        whole = _WHOLE.fullmatch(text)
        value, shown = ("", "") if math.isnan(number) else (f"{number!r}", whole[1] if whole else f"{number:.4g}")
        return f'<td class="number" data-value="{value}">{shown}</td>'
    style = f' class="{text}"' if text in _COLOURED else ""
    return f"<td{style}>{escape(text)}</td>"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
