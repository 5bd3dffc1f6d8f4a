"""``report.html`` of a sweep: one file that needs nothing else. Knows no network and no figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from connectome_sim.ablation.states import STATE, STATES
from connectome_sim.analysis.population import over_fits
from connectome_sim.figures.html import page, picture, table
from connectome_sim.records import Manifest

Row = Mapping[str, str]

_SUMMARY = ("group", "mode", "measure", "paired", "control_mean", "case_mean", "difference", "low", "high")
_MORE = ("still", "chance", "effect_size", "p", "p_adjusted", "control_failed_share", "case_failed_share")
_DONE = ("case", "kind", "mode", "neurons", "connections", "synapses")
_STATES = ("group", "mode", *STATES)
_LITERATURE = ("evidence", "target", "method", "effect", "source", "checked", "verdict", "reason")

_ABOUT_STATES = (
    "<p>By state. Following: moves as the velocity says, to a heading better than the floor. Inaccurate: moves "
    "as the velocity says, but its gain is off or drift carries it away. Erratic: moves, but not as the velocity says. "
    "Frozen: stays where it is. Lost: no single bump in most trials.</p>"
)


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
    over = next((row["over"] for row in summary), over_fits())
    drawn = " Drawn from wiring statistics: none of its neurons is real." if "statistics" in manifest.dataset else ""
    head = (
        f"{len(cases)} cases on {len(members)} fitted networks ({', '.join(members)}); {len(bad)} failed or diverged. "
        f"Data: {manifest.dataset} {manifest.dataset_version}.{drawn}"
    )
    parts = [f"<h1>Ablation sweep</h1><p>{escape(head)}</p>"]
    if literature:
        parts.append(
            "<h2>Against the literature</h2><p>Rules, bounds and sources: data/silencing_literature. A prediction has "
            f"no published experiment. Intervals (in brackets): 95 %, {over}.</p>{table(literature, _LITERATURE)}"
        )
    if any(row[STATE] for row in cases):
        parts.append(f"<h2>What became of the bump</h2>{_ABOUT_STATES}{table(_states(cases), _STATES)}")
    for name, content in images.items():
        parts.append(f"<h2>{escape(name)}</h2>{picture(name, content)}")
    parts.append("<h2>What was done</h2><p>Neurons aimed at, connections changed, synapses silenced; of a rewired ")
    parts.append("connectome: how many fewer there are, net. In the first network.</p>" + table(_done(cases), _DONE))
    parts.append("<h2>Differences to the intact control</h2><p>Paired by network; interval: 95 %, BCa bootstrap; p: ")
    parts.append("Wilcoxon's signed-rank test, adjusted after Benjamini and Hochberg over this table. Intervals and p ")
    parts.append(f"are {over}. Still, chance: the path error of a bump that stays where it is, and of random ")
    parts.append("headings, on the same walks; an error near them says that the heading is lost, not by how much.</p>")
    parts.append(table(summary, (*_SUMMARY, *_MORE)))
    if bad:
        parts.append("<h2>Cases that failed</h2>" + table(bad, ("case_id", "status", "reason")))
    return page("Ablation sweep", "".join(parts))


def _states(cases: Sequence[Row]) -> list[Row]:
    """How many networks of each group are in each state."""
    groups = {row["group"]: row["mode"] for row in cases}
    return [
        {
            "group": group,
            "mode": mode,
            **{name: str(sum(row["group"] == group and row[STATE] == name for row in cases)) for name in STATES},
        }
        for group, mode in groups.items()
    ]


def _done(cases: Sequence[Row]) -> list[Row]:
    """One row for each case but the controls."""
    first = {row["case"]: row for row in reversed(cases) if row["kind"] != "control"}
    return [row for row in cases if first.get(row["case"]) is row]
