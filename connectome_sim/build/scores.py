"""Held-out scores and what was found of the attractor as small tables for people. Knows metrics by name and no file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_HEADLINES = (
    r"walking_error_\d+s_median_deg",
    r"linear_range_(low|high)_deg_per_s",
    r"rest_drift_\d+s_(median|max)_deg",
    r"bump_present_share",
    r"bump_width_median_deg",
    r"cue_error_median_deg",
    r"gain_at_(minus_)?60_deg_per_s",  # a bump that is frozen stands still also under noise
    r"noise_rms_displacement_\d+s_(at_rate_noise_\w+_)?deg",
    r"noise_diffusion_first_second_deg2_per_s",
)
"""Metrics that are shown beside those with a bound, in this order."""

_ATTRACTOR = (
    ("stable_fixed_points", "stable fixed points", ""),
    ("unstable_fixed_points", "unstable fixed points", ""),
    ("drift_median_deg_per_s", "drift along the ring, median", "deg/s"),
    ("drift_max_deg_per_s", "drift along the ring, maximum", "deg/s"),
    ("barrier_median_deg2_per_s", "barrier around a stable point, median", "deg^2/s"),
    ("slowest_eigenvalue_max_per_s", "slowest eigenvalue, largest size", "1/s"),
    ("spectral_gap_min_per_s", "spectral gap, smallest", "1/s"),
    ("tangent_alignment_min", "slowest mode along the ring, |cos|", ""),
    ("bump_width_median_deg", "bump width at half height, median", "deg"),
    ("one_bump_share", "cued headings with one bump", ""),
    ("visited_loops", "loops of the states that walks visit", ""),
)
"""Numbers of the attractor that are shown: name, words, unit."""

_UNITS = (("_deg2_per_s", "deg^2/s"), ("_deg_per_s", "deg/s"), ("_deg", "deg"), ("_s", "s"), ("_share", ""))


def score_rows(metrics: Mapping[str, float], bounds: Mapping[str, Sequence[float | None]]) -> list[dict[str, str]]:
    """Metrics that are shown, and all with a bound: metric, measure, value (empty: none), unit, wanted, holds."""
    rows = []
    for name in _shown(metrics, bounds):
        words, unit = _words(name)
        value, bound = metrics.get(name, math.nan), bounds.get(name)
        rows.append(
            {
                "metric": name,
                "measure": words,
                "value": "" if math.isnan(value) else repr(float(value)),
                "unit": unit,
                "wanted": "" if bound is None else _wanted(bound),
                "holds": "" if bound is None else _holds(value, bound),
            }
        )
    return rows


def _shown(metrics: Mapping[str, float], bounds: Mapping[str, Sequence[float | None]]) -> list[str]:
    names = [name for pattern in _HEADLINES for name in sorted(metrics, key=_natural) if re.fullmatch(pattern, name)]
    return names + [name for name in bounds if name not in names]


def score_table(metrics: Mapping[str, float], bounds: Mapping[str, Sequence[float | None]]) -> str:
    """Lines of name, value, unit, and where there is a bound, the bound and whether it holds."""
    names = _shown(metrics, bounds)
    width = max((len(_words(name)[0]) for name in names), default=0)
    lines = []
    for name in names:
        words, unit = _words(name)
        value = metrics.get(name, math.nan)
        shown = "-" if math.isnan(value) else f"{value:.3g}"
        lines.append(f"  {words:<{width}}  {shown:>7} {unit:<7}  {_judged(value, bounds.get(name))}".rstrip())
    return "\n".join(lines)


def attractor_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Numbers of the attractor that are shown: measure, value (empty where there is none), unit."""
    return [
        {"measure": words, "value": "" if found.get(name) is None else repr(float(found[name])), "unit": unit}
        for name, words, unit in _ATTRACTOR
        if name in found
    ]


def attractor_table(found: Mapping[str, Any]) -> str:
    """Lines of name, value and unit, for people."""
    width = max(len(words) for _, words, _ in _ATTRACTOR)
    lines = []
    for name, words, unit in _ATTRACTOR:
        value = found.get(name)
        lines.append(f"  {words:<{width}}  {'-' if value is None else f'{value:.3g}':>7} {unit}".rstrip())
    if found["is_continuum"]:
        lines.append("  no drift: a continuum of steady states, no isolated fixed points")
    if found["unresolved_sign_changes"]:
        lines.append(f"  {found['unresolved_sign_changes']:g} sign changes of the drift have no fixed point found")
    return "\n".join(lines)


def _judged(value: float, bound: Sequence[float | None] | None) -> str:
    return "" if bound is None else f"wanted {_wanted(bound)}: {_holds(value, bound)}"


def _wanted(bound: Sequence[float | None]) -> str:
    ends = zip(("at least", "at most"), bound, strict=True)
    return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def _holds(value: float, bound: Sequence[float | None]) -> str:
    low, high = bound
    return "yes" if (low is None or value >= low) and (high is None or value <= high) else "NO"


def _words(name: str) -> tuple[str, str]:
    """``walking_error_10s_median_deg`` -> ("walking error 10s median", "deg")."""
    for ending, unit in _UNITS:
        if name.endswith(ending) and not (ending == "_share"):
            return name.removesuffix(ending).replace("_", " "), unit
    return name.replace("_", " "), ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts 5s before 10s, and low before high."""
    name = name.replace("_low_", "_0low_").replace("_median_", "_0median_")
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
