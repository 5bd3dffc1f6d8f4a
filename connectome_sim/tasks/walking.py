"""The angular velocity of a walking fly: a stationary process with its measured distribution and correlation time.

Knows nothing of how trials are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter
from scipy.special import ndtri

from connectome_sim.errors import ConfigError
from connectome_sim.tasks.trials import Trials, from_arrays, headings, n_steps


@dataclass(frozen=True)
class WalkingStatistics:
    """Angular velocity of a fly walking in the dark (Turner-Evans et al. 2017 and its raw data).

    The process is v = Q(z): z an Ornstein-Uhlenbeck process of unit variance, Q the odd monotone map that carries the
    normal distribution to the measured one; |v| is linear in |z| between the stated percentiles and constant above the
    last. Both are our reconstruction from the published percentiles and correlation time, not a fitted model.

    Attributes:
        correlation_time: time after which the autocorrelation of v has fallen to 1/e, s.
        probability: share of the time that |v| is below the value of the same place in ``speed_deg``.
        speed_deg: |v|, deg/s.
    """

    correlation_time: float = 0.128  # s, Turner-Evans 2017
    # the maximum is reached in 5e-4 of the time: chosen, so that the SD is 55.5 deg/s (measured: 54-57)
    probability: tuple[float, ...] = (0.0, 0.5, 0.9, 0.99, 0.9995)
    speed_deg: tuple[float, ...] = (0.0, 12.0, 80.0, 197.0, 464.0)  # deg/s, Turner-Evans 2017 raw data

    def __post_init__(self) -> None:
        p, v = np.array(self.probability), np.array(self.speed_deg)
        if not self.correlation_time > 0:
            raise ConfigError(f"correlation_time: got {self.correlation_time} s, wanted more than 0")
        increasing = p.shape == v.shape and len(p) > 1 and (np.diff(p) > 0).all() and (np.diff(v) > 0).all()
        if not increasing or (p[0], v[0]) != (0, 0) or p[-1] >= 1:
            raise ConfigError(
                f"walking statistics: got probability {self.probability} and speed_deg {self.speed_deg}, "
                "wanted two rows of equal length that increase from 0, probabilities below 1"
            )

    def velocity(self, latent: np.ndarray) -> np.ndarray:
        """Q(z), rad/s, of latent values of unit variance."""
        z = ndtri((1 + np.array(self.probability)) / 2)
        return np.sign(latent) * np.interp(np.abs(latent), z, np.deg2rad(self.speed_deg))


@cache
def latent_correlation_time(statistics: WalkingStatistics) -> float:
    """Correlation time of z, s, that gives v = Q(z) its correlation time.

    With normalised Hermite coefficients a_k of Q, corr(v) = sum a_k^2 rho^k / sum a_k^2 where rho = exp(-t / tau) is
    that of z (Mehler's formula); the rho with corr = 1/e at t = correlation_time gives tau. It is longer than that of
    v, since a curved map decorrelates.
    """
    z = np.linspace(-8, 8, 20_001)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    v = statistics.velocity(z)
    before, hermite = np.zeros_like(z), np.ones_like(z)  # He_k / sqrt(k!), by its three-term recurrence
    power = np.empty(40)
    for k in range(len(power)):
        power[k] = (weight * v * hermite).sum() ** 2
        before, hermite = hermite, (z * hermite - math.sqrt(k) * before) / math.sqrt(k + 1)
    rho = np.linspace(0, 1, 100_001)
    correlation = np.polynomial.polynomial.polyval(rho, power / power.sum())
    return -statistics.correlation_time / math.log(np.interp(math.exp(-1), correlation, rho))


def ornstein_uhlenbeck(
    random: Generator, shape: tuple[int, int], *, correlation_time: float, time_step: float
) -> np.ndarray:
    """Stationary process of unit variance [T, B], sampled every ``time_step``; exact for any step.

    z(t + h) = a z(t) + sqrt(1 - a^2) xi, a = exp(-h / correlation_time), xi and z(0) standard normal.
    """
    a = math.exp(-time_step / correlation_time)
    noise = random.standard_normal(shape)
    noise[1:] *= math.sqrt(-math.expm1(-2 * time_step / correlation_time))
    return lfilter([1.0], [1.0, -a], noise, axis=0)


def walking(
    random: Generator,
    *,
    n_trials: int,
    duration: float,
    time_step: float,
    statistics: WalkingStatistics | None = None,
) -> Trials:
    """Random angular velocity with the statistics of a fly walking in the dark; headings evenly spaced."""
    statistics = statistics or WalkingStatistics()
    shape, tau = (n_steps(duration, time_step), n_trials), latent_correlation_time(statistics)
    latent = ornstein_uhlenbeck(random, shape, correlation_time=tau, time_step=time_step)
    return from_arrays(statistics.velocity(latent), headings(n_trials), time_step, "walking")
