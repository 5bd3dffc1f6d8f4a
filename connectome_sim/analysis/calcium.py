"""What a calcium indicator makes of firing rates: a slow, linear filter. Knows no region and no network.

The indicator is linear in the rate and has the impulse response

    k(t) = (exp(-t / tau_decay) - exp(-t / tau_rise)) / (tau_decay - tau_rise),  t >= 0,

of unit area, as two low-pass filters in series have. Saturation, photon noise and bleaching are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.signal import cont2discrete, lfilter, lfilter_zi

from connectome_sim.axes import FloatArray
from connectome_sim.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """A calcium indicator, by what is published of its response to one action potential.

    Attributes:
        name: of the protein.
        time_to_peak: from the spike to the highest fluorescence, s.
        half_decay: from there to half of it, s.
        source: of both numbers.

    Raises:
        ConfigError: times that no difference of two exponentials has.
    """

    name: str
    time_to_peak: float
    half_decay: float
    source: str

    def __post_init__(self) -> None:
        # for its time to the peak a response decays fastest for equal time constants: to half in 1.678 times that time
        if not 0 < self.time_to_peak < self.half_decay / _FASTEST:
            raise ConfigError(
                f"indicator {self.name!r}: got time_to_peak {self.time_to_peak} s and half_decay {self.half_decay} s, "
                f"wanted a positive time to peak below half_decay / {_FASTEST:g}"
            )

    @property
    def time_constants(self) -> tuple[float, float]:
        """Tau of rise and of decay, s, that give the published times."""
        return _time_constants(self.time_to_peak, self.half_decay)

    def fluorescence(self, rates: FloatArray, step: float) -> FloatArray:
        """The indicator's signal for rates [time, ...] every ``step`` (s), in units of rate.

        Rates are held from sample to sample, for which the recursion is exact; before the first one they have been what
        it is for ever.
        """
        rise, decay = self.time_constants
        a = np.array([[-1 / rise, 0.0], [1 / decay, -1 / decay]])
        system = (a, np.array([[1 / rise], [0.0]]), np.array([[0.0, 1.0]]), np.zeros((1, 1)))
        discrete, drive, *_ = cont2discrete(system, step, method="zoh")
        # two poles p, q, and a numerator whose one free coefficient follows from unit gain at rest
        denominator = np.array([1.0, -np.trace(discrete), np.linalg.det(discrete)])
        first = float(drive[1, 0])
        numerator = np.array([0.0, first, denominator.sum() - first])
        settled = lfilter_zi(numerator, denominator).reshape(-1, *[1] * (rates.ndim - 1)) * rates[:1]
        return lfilter(numerator, denominator, rates, axis=0, zi=settled)[0]


_FASTEST = 1.678346990017  # least half decay over time to peak, that of t exp(-t): (1 + x) exp(-x) = 1/2


@cache
def _time_constants(time_to_peak: float, half_decay: float) -> tuple[float, float]:
    """Tau of rise and decay, s: the ratio from the shape of k, the scale from its peak."""

    def peak(ratio: float) -> float:
        """Time of the peak in units of tau_decay, for tau_rise = ratio tau_decay."""
        return math.log(1 / ratio) * ratio / (1 - ratio)

    def left(ratio: float) -> float:
        """What is left at half_decay after the peak, less a half of the peak."""
        scale = peak(ratio) / time_to_peak
        height, later = (math.exp(-t) - math.exp(-t / ratio) for t in (peak(ratio), peak(ratio) + half_decay * scale))
        return later / height - 0.5

    ratio = brentq(left, 1e-9, 1 - 1e-6, xtol=1e-14)
    decay = time_to_peak / peak(ratio)
    return ratio * decay, decay


GCAMP6F = Indicator(
    name="GCaMP6f",
    time_to_peak=0.045,
    half_decay=0.142,
    source="Chen et al. 2013, Nature 499, single action potentials in mouse visual cortex; not checked at the source",
)
"""Of the flies' indicators the one whose times are best known; in a fly, at room temperature, it may be slower."""

GCAMP6F_TEN_SPIKES = Indicator(
    name="GCaMP6f, 10 action potentials",
    time_to_peak=0.2585,
    half_decay=0.5785,
    source="time constants of 0.13 and 0.63 s, with which Turner-Evans et al. 2017 convolve velocity",
)
"""How sensitive a measure is to the kernel shows with this one."""

JRGECO1A = Indicator(
    name="jRGECO1a",
    time_to_peak=GCAMP6F.time_to_peak,
    half_decay=GCAMP6F.half_decay * 0.42 / 0.43,
    source="Dana et al. 2016, eLife 5:e12727: half decay 0.42 s for 0.43 s of GCaMP6f after 160 Hz in boutons of the "
    "larval fly; rise 'similar to GCaMP6f' in mouse visual cortex; both read in the text",
)
"""The red one of two-colour imaging. What is published of the two in the fly does not tell them apart."""
