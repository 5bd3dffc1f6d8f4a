"""``report.html`` of a run: what came out, how good it is and beside what, in one file. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

from connectome_sim.figures.gain import TOLERANCE
from connectome_sim.figures.html import Row, page, picture, table
from connectome_sim.figures.integration import error_times
from connectome_sim.figures.needs import Need, NotDrawn, not_drawn
from connectome_sim.figures.published import beside
from connectome_sim.figures.saved import SavedRun

_SECTIONS = (
    ("How well it integrates", ("bump_kymograph", "integration_error", "gain_curve", "rest_drift")),
    ("What attractor it has", ("drift_field", "eigenvalue_spectrum", "state_space", "bump_shape")),
    ("Beside the animal and other models", ("scorecard", "bump_by_velocity", "beside_others")),
    ("What its cells do", ("bump_animation", "type_kymographs")),
    ("Its circuit and parameters", ("weight_matrix", "type_matrix", "input_shares", "circuit_graph", "parameters")),
    ("How it was fitted", ("loss_curves",)),
)
PARAMETERS = "parameters"
"""Table of the fitted numbers: family, parameter, value, at_bound, fitted and more."""
_NAMED = 12  # parameters that a warning names (chosen: a paragraph, not a list)
_KINDS = {".png": "png", ".gif": "gif", ".svg": "svg+xml"}  # what a page can show, the best first
_GOOD, _BAD, _OPEN = "good", "bad", "open"
_COLUMNS = ("measure", "value", "unit", "wanted", "holds", "published_for_comparison", "source")


def report(
    saved: SavedRun,
    *,
    scores: Sequence[Row],
    attractor: Sequence[Row],
    pictures: Mapping[str, bytes],
    left_out: Mapping[str, Need],
    place: str,
    config: str,
    commands: Mapping[str, str],
) -> str:
    """The text of the report.

    Args:
        saved: what the folder holds.
        scores: the figures that matter: metric, measure, value, unit, wanted, holds.
        attractor: numbers of the attractor that matter: measure, value, unit.
        pictures: name of the file -> content.
        left_out: figures that were not drawn -> what is missing.
        place: where the run lies, for the commands that measure it.
        config: of the run, as it is kept.
        commands: what for -> command that repeats it.
    """
    title = f"Head-direction network: {saved.origin}"
    parts = [f"<h1>{escape(title)}</h1>", _verdict(saved, scores), _warning(saved)]
    parts += [_score_table(scores), _attractor(saved, attractor)]
    parts += _figures(pictures, left_out, place)
    for name, rows in saved.tables.items():
        parts.append(f"<h2>{escape(_words(name))}</h2>{table(rows)}")
    parts.append("<h2>All metrics</h2>" + _numbers(saved.metrics, empty="Nothing was measured."))
    if saved.found:
        numbers = {name: value for name, value in saved.found.items() if isinstance(value, (int, float, type(None)))}
        parts.append("<h2>All numbers of the attractor</h2>" + _numbers(numbers, empty=""))
    parts.append(f"<h2>Provenance</h2>{_provenance(saved)}")
    parts.append("<h2>To repeat it</h2>")
    parts += [f"<h3>{escape(what)}</h3><pre>{escape(command)}</pre>" for what, command in commands.items()]
    shown = f"<details><summary>of the fit</summary><pre>{escape(config)}</pre></details>" if config else "None saved."
    parts.append(f"<h2>Configuration</h2>{shown}")
    return page(title, "".join(parts))


def _verdict(saved: SavedRun, scores: Sequence[Row]) -> str:
    """Whether it worked, in words, before anything else."""
    colour, head = _judgement(saved, scores)
    sentences = [*_reasons(saved, scores), *_behaviour(saved.metrics)]
    text = f"<p><strong>{escape(head)}</strong></p>" + "".join(f"<p>{escape(s)}</p>" for s in sentences)
    return f'<div class="verdict {colour}" id="verdict">{text}</div>'


def _warning(saved: SavedRun) -> str:
    """Which numbers the bounds decided, before any score; empty where none."""
    rows = saved.tables.get(PARAMETERS, ())
    met = [row for row in rows if row["at_bound"] == "yes"]
    if not met:
        return ""
    named = [f"{_words(row['family']).lower()} {row['parameter']} ({float(row['value']):.3g})" for row in met[:_NAMED]]
    more = f" and {len(met) - _NAMED} more, in the table of parameters" if len(met) > _NAMED else ""
    head = f"Warning: {len(met)} of {sum(row['fitted'] == 'yes' for row in rows)} fitted parameters are at a bound."
    text = f"Their values are those of the bounds as much as of the connectome: {', '.join(named)}{more}."
    return f'<div class="verdict bad" id="at_bound"><p><strong>{escape(head)}</strong></p><p>{escape(text)}</p></div>'


def _judgement(saved: SavedRun, scores: Sequence[Row]) -> tuple[str, str]:
    status, bump = saved.manifest.status, saved.bump_warning
    if status == "failed":
        return _BAD, "The fit failed."
    if status in ("running", "interrupted"):
        return _OPEN, "The fit has not ended."
    if bump:
        return _BAD, f"The fit ended, but: {bump}."
    if _broken(scores):
        return _BAD, "The fit succeeded, but not every bound holds at the last evaluation."
    if saved.analysis is not None and saved.analysis.warning:
        return _OPEN, f"The fit succeeded, but: {saved.analysis.warning}."
    if not any(row["holds"] for row in scores):
        return _OPEN, "The fit succeeded, but no bounds were stated."
    return _GOOD, "The fit succeeded."


def _broken(scores: Sequence[Row]) -> list[str]:
    """Measures whose bound does not hold."""
    return [row["measure"] for row in scores if row["holds"] == "NO"]


def _reasons(saved: SavedRun, scores: Sequence[Row]) -> list[str]:
    found = []
    if saved.manifest.status == "failed":
        found.append(f"Reason: {saved.manifest.reason or 'not recorded'}.")
        if not saved.networks:
            found.append("There is no fitted network, so nothing was measured; figures that need it are left out.")
        elif saved.bump_warning:
            found.append(f"Of the network that it left: {saved.bump_warning}.")
    elif saved.manifest.status == "interrupted":
        found.append(f"Reason: {saved.manifest.reason}. It can go on.")
    elif saved.manifest.status == "succeeded":
        if _broken(scores):
            found.append(f"Not within its bound at the last evaluation: {', '.join(_broken(scores))}.")
        elif any(row["holds"] for row in scores):
            found.append("Every bound that its configuration states holds; the table shows them.")
    if "not the connectome" in saved.dataset:
        found.append("The connectome was drawn from wiring statistics: none of its neurons is real.")
    if saved.found:
        means = str(saved.found["verdict_means"])
        found.append(f"Attractor: {means}.")
    return found


def _behaviour(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that a reader asks for first, as sentences; what was not measured is left out."""
    found = []
    times = error_times(metrics)
    if times:
        last, name = max(times.items())
        middle, worse = (metrics.get(f"walking_error_{name}s_{what}_deg", math.nan) for what in ("median", "p90"))
        if math.isfinite(middle):
            found.append(
                f"After {last:g} s of walking in darkness, on traces that no fit saw, the heading is {middle:.3g} deg "
                f"off in the median and {worse:.3g} deg in the 90th percentile of walks."
            )
    low, high = (metrics.get(f"linear_range_{end}_deg_per_s", math.nan) for end in ("low", "high"))
    if math.isfinite(low) and math.isfinite(high):
        found.append(
            f"Its gain is within {100 * TOLERANCE:.0f} % of 1 in both directions from {low:g} to {high:g} deg/s."
        )
    elif "linear_range_low_deg_per_s" in metrics:
        found.append(f"At no speed is its gain within {100 * TOLERANCE:.0f} % of 1 in both directions.")
    return found


def _score_table(scores: Sequence[Row]) -> str:
    if not scores:
        return "<h2>How good</h2><p>Nothing was measured: connectome-sim evaluate run=... does.</p>"
    rows = []
    for row in scores:
        others = beside(row["metric"])
        cells = {
            "published_for_comparison": "; ".join(other.text for other in others),
            "source": "; ".join(dict.fromkeys(other.source for other in others)),
        }
        rows.append({**row, **cells})
    words = (
        "Held-out trials. What was wanted is stated by the configuration of the fit. Published numbers stand beside "
        "ours where they measure the same kind of thing; those of the fly include the noise of imaging, and each "
        "model has noise of its own."
    )
    return f"<h2>How good, and beside what</h2><p>{words}</p>{table(rows, _COLUMNS)}"


def _attractor(saved: SavedRun, rows: Sequence[Row]) -> str:
    if not saved.found:
        how = "connectome-sim analyze run=... does, and connectome-sim figures run=... shows it"
        return f"<h2>Attractor</h2><p>It was not analysed: {how}.</p>"
    means = str(saved.found["verdict_means"])
    return f"<h2>Attractor</h2><p>{escape(means[0].upper() + means[1:])}.</p>{table(rows)}"


def _figures(pictures: Mapping[str, bytes], left_out: Mapping[str, Need], place: str) -> list[str]:
    """Every picture once, in sections; those that no section names come last. What was not drawn has a word instead."""
    best: dict[str, str] = {}
    for kind in _KINDS:
        for name in sorted(pictures):
            if PurePath(name).suffix == kind:
                best.setdefault(PurePath(name).stem, name)
    named = {stem for _, stems in _SECTIONS for stem in stems}
    parts = []
    for title, stems in (*_SECTIONS, ("Further figures", tuple(sorted(best.keys() - named)))):
        shown = [best[stem] for stem in stems if stem in best]
        missing = not_drawn({stem: left_out[stem] for stem in stems if stem in left_out and stem not in best}, place)
        if shown or missing:
            parts.append(f"<h2>{escape(title)}</h2>")
        for name in shown:
            path = PurePath(name)
            parts.append(f"<p>{picture(_words(path.stem), pictures[name], kind=_KINDS[path.suffix])}</p>")
        parts += [_missing(figures) for figures in missing]
    return parts


def _missing(figures: NotDrawn) -> str:
    text = f"Not drawn: {', '.join(map(_words, figures.names))}. {figures.why[0].upper()}{figures.why[1:]}"
    return f"<p>{escape(text)}{':' if figures.command else '.'}</p>" + (
        f"<pre>{escape(figures.command)}</pre>" if figures.command else ""
    )


def _numbers(values: Mapping[str, Any], *, empty: str) -> str:
    if not values:
        return f"<p>{escape(empty)}</p>"
    rows = [{"name": name, "value": _text(values[name])} for name in sorted(values)]
    return f"<details><summary>{len(rows)} numbers, units in their names</summary>{table(rows)}</details>"


def _text(value: Any) -> str:
    return "nan" if value is None else repr(float(value))


def _provenance(saved: SavedRun) -> str:
    manifest = saved.manifest
    facts = {
        "dataset": saved.dataset,
        "SHA-256 of the dataset": manifest.dataset_sha256,
        "SHA-256 of the configuration": manifest.config_sha256,
        "seeds": ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items()),
        "status": manifest.status,
        "notes": "; ".join(manifest.notes),
        "started (UTC)": manifest.started,
        "wall time (s)": "" if manifest.wall_time_s is None else f"{manifest.wall_time_s:.0f}",
        "solver": manifest.solver,
        "commit": manifest.commit or "unknown",
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }
    if saved.connectome is not None:
        facts |= {
            "citation": saved.connectome.provenance.citation,
            "history of the connectome": "; ".join(saved.connectome.provenance.history),
        }
    rows = [{"what": name, "value": value} for name, value in facts.items() if value]
    return table(rows, texts=("value",))


def _words(name: str) -> str:
    """``drift_field`` -> "Drift field"."""
    return name.replace("_", " ").capitalize()
