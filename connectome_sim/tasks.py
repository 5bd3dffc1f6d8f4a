"""Seeded trials: headings and angular velocity traces, for training and probes. Knows no network and no solver.

All generators take the caller's ``numpy.random.Generator``; :func:`generator` makes one for a purpose, so that fitting
and held-out traces cannot coincide. Tensors are float64 on the CPU; ``Trials.to`` moves them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy.signal import lfilter
from scipy.special import ndtri
from torch import Tensor

from connectome_sim import circular
from connectome_sim.axes import Current, PhaseTrace, VelocityTrace
from connectome_sim.errors import ConfigError

# chosen; first number of every spawn key, so never renumber
PURPOSES: Mapping[str, int] = {"fit": 0, "held_out": 1, "start": 2, "noise": 3}


def generator(seed: int, purpose: str, *stream: int) -> Generator:
    """A random generator whose stream is disjoint from that of any other seed, purpose or ``stream`` number.

    The purpose is part of the spawn key of a ``numpy.random.SeedSequence``, so a fit with seed 7 and an evaluation with
    seed 7 share no random number. ``stream`` subdivides further, e.g. by iteration, so that a resumed fit draws what
    the uninterrupted one would have drawn.

    Raises:
        ConfigError: unknown purpose, or a negative seed or stream.
    """
    if purpose not in PURPOSES:
        raise ConfigError(f"purpose: got {purpose!r}, wanted one of {sorted(PURPOSES)}")
    if seed < 0 or min(stream, default=0) < 0:
        raise ConfigError(f"seed: got {(seed, *stream)}, wanted integers of zero or more")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], *stream)))


def integrate(angular_velocity: VelocityTrace, time_step: float) -> PhaseTrace:
    """Displacement [steps + 1, batch], rad, starting at 0; exact because each velocity is held for its step.

    Summed in float64, whatever the input: over 60,000 steps a float32 sum would be off by more than a small error to be
    measured. Returned in the dtype of the input.
    """
    steps = torch.cumsum(angular_velocity.double() * time_step, dim=0)
    return torch.cat([torch.zeros_like(steps[:1]), steps]).to(angular_velocity.dtype)


@dataclass(frozen=True, eq=False)
class Cue:
    """A cue that is switched on during a trial.

    Attributes:
        heading: where [B], rad.
        onset: s from the start of the trial.
        duration: s.
    """

    heading: Float[Tensor, " batch"]
    onset: float
    duration: float


@dataclass(frozen=True, eq=False)
class Pairs:
    """Trials of one batch that a decoder-free loss compares: for pair p, trials ``first[p]`` and ``second[p]``.

    Attributes:
        first: trial indices [P].
        second: trial indices [P].
        scale: [P]. The velocity of ``first`` is ``scale`` times that of ``second`` at every time (1 where unused).
    """

    first: Int[Tensor, " pair"]
    second: Int[Tensor, " pair"]
    scale: Float[Tensor, " pair"]

    def shifted(self, offset: int) -> Pairs:
        """The same pairs in a batch where these trials come ``offset`` later."""
        return replace(self, first=self.first + offset, second=self.second + offset)


def _no_pairs() -> Pairs:
    return Pairs(
        torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
    )


@dataclass(frozen=True, eq=False)
class Trials:
    """A batch of trials of equal length.

    Attributes:
        headings: heading of the cue that sets the initial state [B], rad.
        angular_velocity: [T, B], rad/s, the value of row k held over [k time_step, (k + 1) time_step).
        time_step: s.
        kind: name of the generator of each trial, B entries.
        cue: a cue during the trials, or None.
        scaled_pairs: pairs of trials with the same initial heading whose velocities are proportional.
        equal_pairs: pairs of trials with the same initial heading whose velocities differ but have the same integral
            at the end of the trial.

    Raises:
        ConfigError: no trial, no step, a step that is not positive, or fields of different lengths.
    """

    headings: Float[Tensor, " batch"]
    angular_velocity: VelocityTrace
    time_step: float
    kind: tuple[str, ...]
    cue: Cue | None = None
    scaled_pairs: Pairs = field(default_factory=_no_pairs)
    equal_pairs: Pairs = field(default_factory=_no_pairs)

    def __post_init__(self) -> None:
        steps, batch = self.angular_velocity.shape
        if steps == 0 or batch == 0:
            raise ConfigError(f"trials: got {batch} trials of {steps} steps, wanted at least one of each")
        if len(self.headings) != batch or len(self.kind) != batch:
            got = f"{len(self.headings)} headings and {len(self.kind)} kinds"
            raise ConfigError(f"trials: got {got} for {batch} velocity traces, wanted as many")
        if not self.time_step > 0:
            raise ConfigError(f"time_step: got {self.time_step} s, wanted more than 0")

    @property
    def n_trials(self) -> int:
        """Number of trials B."""
        return self.angular_velocity.shape[1]

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return self.angular_velocity.shape[0]

    @property
    def duration(self) -> float:
        """Length of a trial, s."""
        return self.n_steps * self.time_step

    def displacement(self) -> PhaseTrace:
        """True displacement [T + 1, B], rad, from 0."""
        return integrate(self.angular_velocity, self.time_step)

    def heading(self) -> PhaseTrace:
        """True heading [T + 1, B], rad, not wrapped."""
        return self.headings + self.displacement()

    def refined(self, factor: int) -> Trials:
        """The same trials with ``factor`` steps for each one: the very same input, for a solve with a finer step."""
        if factor < 1:
            raise ConfigError(f"factor: got {factor}, wanted 1 or more")
        velocity = self.angular_velocity.repeat_interleave(factor, dim=0)
        return replace(self, angular_velocity=velocity, time_step=self.time_step / factor)

    def truncated(self, duration: float) -> Trials:
        """The first ``duration`` seconds.

        Equal-integral pairs are dropped unless nothing is cut: their integrals agree at the end only.
        """
        steps = n_steps(duration, self.time_step)
        if steps > self.n_steps:
            raise ConfigError(f"duration: got {duration} s, wanted at most the {self.duration} s of the trials")
        if steps == self.n_steps:
            return self
        return replace(self, angular_velocity=self.angular_velocity[:steps], equal_pairs=_no_pairs())

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Trials:
        """The same trials with another dtype or on another device (indices keep their dtype)."""

        def move(pairs: Pairs) -> Pairs:
            return Pairs(pairs.first.to(device), pairs.second.to(device), pairs.scale.to(device=device, dtype=dtype))

        return replace(
            self,
            headings=self.headings.to(device=device, dtype=dtype),
            angular_velocity=self.angular_velocity.to(device=device, dtype=dtype),
            cue=None
            if self.cue is None
            else replace(self.cue, heading=self.cue.heading.to(device=device, dtype=dtype)),
            scaled_pairs=move(self.scaled_pairs),
            equal_pairs=move(self.equal_pairs),
        )


def concatenate(parts: Sequence[Trials]) -> Trials:
    """One batch of all trials, in order; pairs keep pointing at their trials.

    Raises:
        ConfigError: no part, different steps or lengths, or a part with a cue.
    """
    if not parts or len({(p.n_steps, p.time_step) for p in parts}) > 1 or any(p.cue is not None for p in parts):
        got = [(p.n_steps, p.time_step, "cue" if p.cue else "no cue") for p in parts]
        raise ConfigError(f"trials to concatenate: got {got}, wanted equal numbers of steps, equal steps, and no cue")
    offsets = np.cumsum([0] + [p.n_trials for p in parts[:-1]]).tolist()

    def joined(name: str) -> Pairs:
        pairs = [getattr(p, name).shifted(offset) for p, offset in zip(parts, offsets, strict=True)]
        columns = ([p.first for p in pairs], [p.second for p in pairs], [p.scale for p in pairs])
        return Pairs(*(torch.cat(column) for column in columns))

    return Trials(
        headings=torch.cat([p.headings for p in parts]),
        angular_velocity=torch.cat([p.angular_velocity for p in parts], dim=1),
        time_step=parts[0].time_step,
        kind=tuple(kind for p in parts for kind in p.kind),
        scaled_pairs=joined("scaled_pairs"),
        equal_pairs=joined("equal_pairs"),
    )


def n_steps(duration: float, time_step: float) -> int:
    """Number of steps in ``duration``.

    Raises:
        ConfigError: not a whole number of steps, or fewer than one.
    """
    steps = round(duration / time_step) if time_step > 0 and math.isfinite(duration) else 0
    if steps < 1 or abs(steps * time_step - duration) > 1e-6 * time_step * steps:
        raise ConfigError(f"duration: got {duration} s in steps of {time_step} s, wanted a whole number, at least one")
    return steps


def headings(n: int, random: Generator | None = None) -> np.ndarray:
    """``n`` cue headings [n], rad: evenly spaced, or with a generator one at random within each of n equal sectors."""
    if n < 1:
        raise ConfigError(f"n_trials: got {n}, wanted 1 or more")
    even = circular.evenly_spaced(n)
    return even if random is None else even + 2 * math.pi / n * random.random(n)


def _trials(velocity: np.ndarray, heading: np.ndarray, time_step: float, kind: str) -> Trials:
    return Trials(
        torch.from_numpy(heading), torch.from_numpy(np.ascontiguousarray(velocity)), time_step, (kind,) * len(heading)
    )


# --- walking ---------------------------------------------------------------------------------------------------------


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
    jitter: bool = False,
) -> Trials:
    """Random angular velocity with the statistics of a fly walking in the dark; headings even, or jittered."""
    statistics = statistics or WalkingStatistics()
    heading = headings(n_trials, random if jitter else None)
    shape, tau = (n_steps(duration, time_step), n_trials), latent_correlation_time(statistics)
    latent = ornstein_uhlenbeck(random, shape, correlation_time=tau, time_step=time_step)
    return _trials(statistics.velocity(latent), heading, time_step, "walking")


# --- probes ----------------------------------------------------------------------------------------------------------


def constant(
    velocities_deg: Sequence[float] | np.ndarray, *, headings_per_velocity: int = 1, duration: float, time_step: float
) -> Trials:
    """Constant angular velocities (deg/s), each from the same evenly spaced headings; velocity-major order [V * H]."""
    heading = np.tile(headings(headings_per_velocity), len(velocities_deg))
    velocity = np.repeat(np.deg2rad(np.asarray(velocities_deg, dtype=float)), headings_per_velocity)
    return _trials(np.tile(velocity, (n_steps(duration, time_step), 1)), heading, time_step, "constant")


def rest(*, n_trials: int, duration: float, time_step: float, random: Generator | None = None) -> Trials:
    """No input after the cue; headings evenly spaced, or jittered with a generator."""
    return _trials(np.zeros((n_steps(duration, time_step), n_trials)), headings(n_trials, random), time_step, "rest")


JUMPS_DEG = (45.0, 90.0, 135.0, 180.0)  # deg, cue offsets of the protocol; chosen


def jump(
    *,
    offsets_deg: Sequence[float] = JUMPS_DEG,
    headings_per_offset: int = 16,
    cue_onset: float = 0.5,
    cue_duration: float = 2.0,
    duration: float = 4.0,
    time_step: float,
) -> Trials:
    """A cue appears at an offset from the bump, no velocity; offset-major order [offset * heading].

    Raises:
        ConfigError: the cue does not end within the trial.
    """
    if cue_onset < 0 or cue_duration <= 0 or cue_onset + cue_duration > duration:
        raise ConfigError(
            f"cue: got onset {cue_onset} s, duration {cue_duration} s; wanted it within {duration} s of trial"
        )
    heading = np.tile(headings(headings_per_offset), len(offsets_deg))
    target = circular.wrap(heading + np.repeat(np.deg2rad(np.asarray(offsets_deg, dtype=float)), headings_per_offset))
    trials = _trials(np.zeros((n_steps(duration, time_step), len(heading))), heading, time_step, "jump")
    return replace(trials, cue=Cue(torch.from_numpy(target), cue_onset, cue_duration))


def noise(*, n_trials: int, duration: float, time_step: float) -> Trials:
    """Rest trials for the diffusion probe; the noise itself is drawn by :func:`noise_current`, in chunks."""
    return replace(rest(n_trials=n_trials, duration=duration, time_step=time_step), kind=("noise",) * n_trials)


def noise_current(
    random: Generator, *, n_steps: int, n_trials: int, n_neurons: int, time_step: float, intensity: float
) -> Current:
    """White input noise, independent over steps, trials and neurons: [T, B, N], mean 0, SD intensity / sqrt(time_step).

    ``intensity`` (current * s^(1/2)) is the square root of the noise's spectral density, so that its effect does not
    depend on the time step. Chunks in time are independent: draw as few steps at once as memory asks for.
    """
    if intensity < 0:
        raise ConfigError(f"noise intensity: got {intensity}, wanted 0 or more")
    return torch.from_numpy(random.standard_normal((n_steps, n_trials, n_neurons)) * (intensity / math.sqrt(time_step)))


# --- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingMix:
    """What a training batch consists of.

    Attributes:
        walking: share of walking trials.
        constant: share of constant velocity, log-spaced magnitude, both directions.
        rest: share without velocity.
        consistency: share of trials in triples for the decoder-free loss (see :func:`consistency`).
        slowest_deg: smallest constant speed, deg/s.
        fastest_deg: largest constant speed, deg/s.

    Raises:
        ConfigError: negative shares, shares that do not sum to 1, or speeds out of order.
    """

    walking: float = 0.5  # shares: chosen
    constant: float = 0.3
    rest: float = 0.2
    consistency: float = 0.0
    slowest_deg: float = 5.0  # deg/s, the range of the constant-velocity probe
    fastest_deg: float = 500.0  # deg/s, likewise

    def __post_init__(self) -> None:
        shares = self.shares()
        if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(f"training mix: got shares {shares}, wanted none negative and a sum of 1")
        if not 0 < self.slowest_deg < self.fastest_deg:
            raise ConfigError(
                f"training mix: got speeds {self.slowest_deg} to {self.fastest_deg} deg/s, wanted 0 < slowest < fastest"
            )

    def shares(self) -> dict[str, float]:
        """Share of each kind of trial."""
        return {"walking": self.walking, "constant": self.constant, "rest": self.rest, "consistency": self.consistency}

    def counts(self, n_trials: int) -> dict[str, int]:
        """Trials of each kind: largest remainder; consistency trials come in threes, the rest of them go to walking."""
        exact = {kind: share * n_trials for kind, share in self.shares().items()}
        counts = {kind: int(value) for kind, value in exact.items()}
        by_remainder = sorted(exact, key=lambda kind: counts[kind] - exact[kind])
        for kind in by_remainder[: n_trials - sum(counts.values())]:
            counts[kind] += 1
        spare = counts["consistency"] % 3
        return counts | {"consistency": counts["consistency"] - spare, "walking": counts["walking"] + spare}


def training(
    random: Generator, *, n_trials: int, duration: float, time_step: float, mix: TrainingMix | None = None
) -> Trials:
    """A seeded mixture of trials, one jittered heading per trial, headings dealt at random over the kinds.

    Order: walking, constant, rest, consistency triples (whose three trials share the heading of the first).
    """
    mix = mix or TrainingMix()
    counts = mix.counts(n_trials)
    parts = []
    if counts["walking"]:
        parts.append(walking(random, n_trials=counts["walking"], duration=duration, time_step=time_step))
    if counts["constant"]:
        speeds = _log_spaced(random, counts["constant"], mix.slowest_deg, mix.fastest_deg)
        parts.append(constant(speeds, duration=duration, time_step=time_step))
    if counts["rest"]:
        parts.append(rest(n_trials=counts["rest"], duration=duration, time_step=time_step))
    if counts["consistency"]:
        parts.append(consistency(random, n_groups=counts["consistency"] // 3, duration=duration, time_step=time_step))
    trials = concatenate(parts)
    heading = random.permutation(headings(n_trials, random))
    if counts["consistency"]:
        heading[-counts["consistency"] :] = np.repeat(heading[-counts["consistency"] :: 3], 3)
    return replace(trials, headings=torch.from_numpy(heading))


def _log_spaced(random: Generator, n: int, low: float, high: float) -> np.ndarray:
    """``n`` signed speeds: one at random in each of n equal parts of the log range, signs balanced, order random."""
    speed = low * (high / low) ** ((np.arange(n) + random.random(n)) / n)
    sign = np.where((np.arange(n) + random.integers(2)) % 2 == 0, 1.0, -1.0)
    return random.permutation(speed * sign)


def consistency(
    random: Generator,
    *,
    n_groups: int,
    duration: float,
    time_step: float,
    slowest_deg: float = 20.0,
    fastest_deg: float = 240.0,
) -> Trials:
    """Triples for the decoder-free loss, three trials per group from one heading, in this order [3 * n_groups]:

    1. ``base``: velocity w during the first half of the moving time, then none;
    2. ``scaled``: a times the base at every time, a drawn from 0.25 to 1 (scaled pair: first = scaled, second = base);
    3. ``slower``: w / 2 for twice as long (equal pair with the base: same integral at the end, another programme).

    The last fifth of the trial is without velocity for all, so that compared states have settled alike. |w| is drawn
    log-uniformly from ``slowest_deg`` to ``fastest_deg`` (deg/s), the sign at random.
    """
    steps = n_steps(duration, time_step)
    half = (steps - steps // 5) // 2
    if half < 1:
        raise ConfigError(f"duration: got {steps} steps, wanted at least 2 for a consistency trial")
    w = np.deg2rad(_log_spaced(random, n_groups, slowest_deg, fastest_deg))
    a = random.uniform(0.25, 1.0, n_groups)
    velocity = np.zeros((steps, n_groups, 3))
    velocity[:half, :, 0] = w
    velocity[:half, :, 1] = a * w
    velocity[: 2 * half, :, 2] = w / 2
    trials = _trials(velocity.reshape(steps, -1), np.repeat(headings(n_groups), 3), time_step, "consistency")
    base = 3 * torch.arange(n_groups)
    ones = torch.ones(n_groups, dtype=torch.float64)
    return replace(
        trials, scaled_pairs=Pairs(base + 1, base, torch.from_numpy(a)), equal_pairs=Pairs(base + 2, base, ones)
    )
