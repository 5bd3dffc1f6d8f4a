"""Numbers that others measured, to be drawn beside ours, with their sources. Knows no run."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Fly walking in darkness, computed from the raw data of Turner-Evans et al. 2017: gain, median fly and range over flies
FLY_GAIN = 0.80
FLY_GAIN_RANGE = (0.67, 0.90)
# The same flies: circular SD of bump minus gain x heading, deg, after s; median fly, imaging noise included
FLY_SPREAD_TIMES_S = (1.0, 5.0, 10.0, 20.0)
FLY_SPREAD_DEG = (43.0, 67.0, 77.0, 86.0)
FLY_SOURCE = "Turner-Evans 2017, raw data"
# Model of Vafidis et al. 2022: the gain curve is flat (the bump stays) below this speed, deg/s
VAFIDIS_FLAT_BELOW_DEG_PER_S = 30.0

_VAFIDIS, _TURNER_EVANS = "Vafidis 2022", "Turner-Evans 2017"
_DIFFUSION = "noise_diffusion_first_second_deg2_per_s"
_NOT_OURS = "its own noise; whether D or 2 D was not checked"
_SEELIG = "Seelig & Jayaraman 2015 (not checked against the paper)"


@dataclass(frozen=True)
class Published:
    """A published number beside one of our metrics.

    Attributes:
        metric: pattern of the metric's name.
        text: the number, and what it was measured on.
        source: where it comes from.
    """

    metric: str
    text: str
    source: str


_FLY_SPREAD = tuple(
    Published(f"walking_error_{time:g}s_median_deg", f"fly: circular SD {spread:g} deg", FLY_SOURCE)
    for time, spread in zip(FLY_SPREAD_TIMES_S, FLY_SPREAD_DEG, strict=True)
)
PUBLISHED = (
    *_FLY_SPREAD,
    Published(r"walking_error_60s_\w+_deg", "model: most errors within 60 deg", _VAFIDIS),
    Published(
        "linear_range_low_deg_per_s",
        f"fly: gain {FLY_GAIN:.2f} ({FLY_GAIN_RANGE[0]:.2f}-{FLY_GAIN_RANGE[1]:.2f}) in darkness",
        FLY_SOURCE,
    ),
    Published("linear_range_low_deg_per_s", f"model: flat below {VAFIDIS_FLAT_BELOW_DEG_PER_S:g} deg/s", _VAFIDIS),
    Published("linear_range_low_deg_per_s", "model: sticks below 15 deg/s", _TURNER_EVANS),
    Published("linear_range_high_deg_per_s", "model: gain near 1 up to 500 deg/s", _VAFIDIS),
    Published("linear_range_high_deg_per_s", "model: saturates near 190 deg/s", _TURNER_EVANS),
    Published(r"rest_drift_\d+s_median_deg", "fly: 1.0 +- 44 deg in 6.7 s", _SEELIG),  # 0.017 +- 0.76 rad
    Published("bump_width_median_deg", "fly: 102 +- 12 deg", FLY_SOURCE),
    Published("bump_width_median_deg", "fly: 90.9 +- 11.2 deg", _SEELIG),
    Published(_DIFFUSION, f"model: 24.5 deg^2/s ({_NOT_OURS})", _VAFIDIS),
    Published(_DIFFUSION, f"model: about 6 deg^2/s ({_NOT_OURS})", _TURNER_EVANS),
)
"""What stands beside our metrics in a report."""


def beside(metric: str) -> list[Published]:
    """What others found for a metric."""
    return [number for number in PUBLISHED if re.fullmatch(number.metric, metric)]
