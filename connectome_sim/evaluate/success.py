"""Judging a fit: metrics against the bounds that a configuration states. Knows no metric by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from connectome_sim.errors import ConfigError

Bound = Sequence[float | int | None]  # (lowest, highest) that still succeeds, None where open


def success(metrics: Mapping[str, float], bounds: Mapping[str, Bound]) -> tuple[bool, list[str]]:
    """Whether every bound holds, and one sentence for each that does not.

    A metric that was not measured or is NaN fails its bound: what is not known to be good is not good.

    Raises:
        ConfigError: a bound that is not a pair, or is open or empty.
    """
    reasons = []
    for name, bound in bounds.items():
        low, high = _checked(name, bound)
        value = metrics.get(name)
        wanted = " and ".join(
            text for text, end in ((f"at least {low:g}", low), (f"at most {high:g}", high)) if math.isfinite(end)
        )
        if value is None:
            reasons.append(f"{name} was not measured, wanted {wanted}")
        elif not low <= value <= high:  # also where it is NaN
            reasons.append(f"{name} is {value:.4g}, wanted {wanted}")
    return not reasons, reasons


def _checked(name: str, bound: Bound) -> tuple[float, float]:
    if len(bound) != 2:
        raise ConfigError(f"bound {name}: got {list(bound)}, wanted a pair [lowest, highest]")
    low = -math.inf if bound[0] is None else float(bound[0])
    high = math.inf if bound[1] is None else float(bound[1])
    if not low <= high or not (math.isfinite(low) or math.isfinite(high)):
        raise ConfigError(
            f"bound {name}: got {list(bound)}, wanted [lowest, highest] in order, at least one of them a number"
        )
    return low, high
