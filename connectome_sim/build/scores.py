"""Held-out scores as a small table for people. Knows metrics by name and no file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_HEADLINES = (
    r"walking_error_\d+s_median_deg",
    r"linear_range_(low|high)_deg_per_s",
    r"rest_drift_\d+s_(median|max)_deg",
    r"bump_present_share",
    r"cue_error_median_deg",
    r"noise_diffusion_deg2_per_s",
)
"""Metrics that are shown beside those with a bound, in this order."""

_UNITS = (("_deg2_per_s", "deg^2/s"), ("_deg_per_s", "deg/s"), ("_deg", "deg"), ("_s", "s"), ("_share", ""))


def score_table(metrics: Mapping[str, float], bounds: Mapping[str, Sequence[float | None]]) -> str:
    """Lines of name, value, unit, and where there is a bound, the bound and whether it holds."""
    names = [name for pattern in _HEADLINES for name in sorted(metrics, key=_natural) if re.fullmatch(pattern, name)]
    names += [name for name in bounds if name not in names]
    width = max((len(_words(name)[0]) for name in names), default=0)
    lines = []
    for name in names:
        words, unit = _words(name)
        value = metrics.get(name, math.nan)
        shown = "-" if math.isnan(value) else f"{value:.3g}"
        lines.append(f"  {words:<{width}}  {shown:>7} {unit:<7}  {_judged(value, bounds.get(name))}".rstrip())
    return "\n".join(lines)


def _judged(value: float, bound: Sequence[float | None] | None) -> str:
    if bound is None:
        return ""
    low, high = bound
    wanted = " and ".join(f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None)
    holds = (low is None or value >= low) and (high is None or value <= high)
    return f"wanted {wanted}: {'yes' if holds else 'NO'}"


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
