"""``report.html`` of a sweep: one file that needs nothing else. Knows no network and no figure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from connectome_sim.records import Manifest

Row = Mapping[str, str]

_STYLE = """
body { font: 14px/1.45 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-size: 12px; margin: 0.5em 0 1.5em; }
th, td { padding: 2px 8px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
img { max-width: 100%; }
.agree { color: #00694d; } .disagree { color: #a04000; }
"""
_SUMMARY = ("group", "mode", "measure", "paired", "control_mean", "case_mean", "difference", "low", "high")
_MORE = ("effect_size", "p", "p_adjusted", "control_failed_share", "case_failed_share")
_DONE = ("case", "kind", "mode", "neurons", "connections", "synapses")
_LITERATURE = ("evidence", "target", "method", "effect", "source", "checked", "verdict", "reason")


def report(
    manifest: Manifest, cases: Sequence[Row], summary: Sequence[Row], literature: Sequence[Row],
    images: Mapping[str, bytes],
) -> str:  # fmt: skip
    """The text of the report.

    Args:
        manifest: what was run.
        cases: rows of ``cases.csv``.
        summary: rows of ``summary.csv``.
        literature: rows of ``literature.csv``; that part is left out where empty.
        images: name -> PNG.
    """
    members = dict.fromkeys(row["member"] for row in cases)
    bad = [row for row in cases if row["status"] != "ok"]
    drawn = " Drawn from wiring statistics: none of its neurons is real." if "statistics" in manifest.dataset else ""
    head = (
        f"{len(cases)} cases on {len(members)} fitted networks ({', '.join(members)}); {len(bad)} failed or diverged. "
        f"Data: {manifest.dataset} {manifest.dataset_version}.{drawn}"
    )
    parts = [f"<h1>Ablation sweep</h1><p>{escape(head)}</p>"]
    if literature:
        parts.append(
            "<h2>Against the literature</h2><p>Bounds and sources: data/silencing_literature. A prediction has "
        )
        parts.append("no published experiment.</p>" + _table(literature, _LITERATURE))
    for name, content in images.items():
        data = base64.b64encode(content).decode("ascii")
        parts.append(f'<h2>{escape(name)}</h2><img alt="{escape(name)}" src="data:image/png;base64,{data}">')
    parts.append("<h2>What was done</h2><p>Neurons aimed at, connections changed, synapses silenced; of a rewired ")
    parts.append("connectome: how many fewer there are, net. In the first network.</p>" + _table(_done(cases), _DONE))
    parts.append("<h2>Differences to the intact control</h2><p>Paired by network; interval: 95 %, BCa bootstrap over ")
    parts.append("networks; p: Wilcoxon's signed-rank test, adjusted after Benjamini and Hochberg over this table.</p>")
    parts.append(_table(summary, (*_SUMMARY, *_MORE)))
    if bad:
        parts.append("<h2>Cases that failed</h2>" + _table(bad, ("case_id", "status", "reason")))
    page = "".join(parts)
    opening = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Ablation sweep</title>'
    return f"{opening}<style>{_STYLE}</style>{page}</html>\n"


def _done(cases: Sequence[Row]) -> list[Row]:
    """One row for each case but the controls."""
    first = {row["case"]: row for row in reversed(cases) if row["kind"] != "control"}
    return [row for row in cases if first.get(row["case"]) is row]


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join("<tr>" + "".join(_field(row[name]) for name in columns) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _field(text: str) -> str:
    try:
        shown = f"{float(text):.3g}"
    except ValueError:
        shown = text
    style = f' class="{escape(text)}"' if text in ("agree", "disagree") else ""
    return f"<td{style}>{escape(shown)}</td>"
