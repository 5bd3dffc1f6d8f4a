"""What a fit is trained on: a seeded mixture of walking, constant velocity, rest, and trials made for comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator

from connectome_sim.errors import ConfigError
from connectome_sim.tasks.probes import constant, rest
from connectome_sim.tasks.trials import Pairs, Trials, concatenate, from_arrays, headings, n_steps
from connectome_sim.tasks.walking import walking

FASTEST_AROUND = 300.0  # deg/s, chosen: beyond it few walks go; trials of 1.5 s or more are long enough


@dataclass(frozen=True)
class TrainingMix:
    """What a training batch consists of.

    Attributes:
        walking: share of walking trials.
        constant: share of constant velocity, log-spaced magnitude, both directions.
        rest: share without velocity.
        consistency: share of trials in triples for the decoder-free loss (see :func:`consistency`).
        whole_turns: share of those triples that compare the two ways round the ring, where trials are long enough.
        slowest_deg: smallest constant speed, deg/s.
        fastest_deg: largest constant speed, deg/s.

    Raises:
        ConfigError: negative shares, shares that do not sum to 1, or speeds out of order.
    """

    walking: float = 0.5  # shares: chosen
    constant: float = 0.3
    rest: float = 0.2
    consistency: float = 0.0
    whole_turns: float = 0.0
    slowest_deg: float = 5.0  # deg/s, the range of the constant-velocity probe
    fastest_deg: float = 500.0  # deg/s, likewise

    def __post_init__(self) -> None:
        shares = self.shares()
        if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(f"training mix: got shares {shares}, wanted none negative and a sum of 1")
        if not 0 <= self.whole_turns <= 1:
            raise ConfigError(f"training mix, whole_turns: got {self.whole_turns}, wanted 0 to 1")
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
    """A seeded mixture of trials. The headings of every kind are jittered around evenly spaced ones.

    Order: walking, constant, rest, consistency triples (whose three trials share one heading).
    """
    mix = mix or TrainingMix()
    counts = mix.counts(n_trials)
    parts = []
    if counts["walking"]:
        parts.append(walking(random, n_trials=counts["walking"], duration=duration, time_step=time_step))
    if counts["constant"]:
        speeds = log_spaced(random, counts["constant"], mix.slowest_deg, mix.fastest_deg)
        parts.append(constant(speeds, duration=duration, time_step=time_step))
    if counts["rest"]:
        parts.append(rest(n_trials=counts["rest"], duration=duration, time_step=time_step))
    if counts["consistency"]:
        parts.append(
            consistency(
                random,
                n_groups=counts["consistency"] // 3,
                duration=duration,
                time_step=time_step,
                whole_turns=mix.whole_turns,
            )
        )
    trials = concatenate(parts)
    groups = {**counts, "consistency": counts["consistency"] // 3}
    drawn = {kind: random.permutation(headings(n, random)) for kind, n in groups.items() if n}
    if "consistency" in drawn:
        drawn["consistency"] = np.repeat(drawn["consistency"], 3)
    return replace(trials, headings=torch.from_numpy(np.concatenate(list(drawn.values()))))


def log_spaced(random: Generator, n: int, low: float, high: float) -> np.ndarray:
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
    whole_turns: float = 0.0,
    slowest_deg: float = 20.0,
    fastest_deg: float = 240.0,
) -> Trials:
    """Triples for the decoder-free loss, three trials per group from one heading, in this order [3 * n_groups]:

    1. ``base``: velocity w during the first half of the moving time, then none;
    2. ``scaled``: a times the base at every time, a drawn from 0.25 to 1 (scaled pair: first = scaled, second = base);
    3. ``slower``: w / 2 for twice as long (equal pair with the base: same integral at the end, another programme).

    Both relations hold at any gain, and backwards. What fixes the gain is that the ring closes: a whole turn leads back
    to where it began. In a share ``whole_turns`` of the groups the third trial therefore goes the other way round, to
    the base's integral less a whole turn, and has to end in the same state; the base then turns for as long as it. Only
    where that takes no more than ``FASTEST_AROUND`` at w = 0: in trials long enough, the first of the groups.

    The last fifth of the trial is without velocity for all, so that compared states have settled alike. |w| is drawn
    log-uniformly from ``slowest_deg`` to ``fastest_deg`` (deg/s), the sign at random.
    """
    steps = n_steps(duration, time_step)
    half = (steps - steps // 5) // 2
    if half < 1:
        raise ConfigError(f"duration: got {steps} steps, wanted at least 2 for a consistency trial")
    w = np.deg2rad(log_spaced(random, n_groups, slowest_deg, fastest_deg))
    a = random.uniform(0.25, 1.0, n_groups)
    velocity = np.zeros((steps, n_groups, 3))
    velocity[:half, :, 0] = w
    velocity[:half, :, 1] = a * w
    velocity[: 2 * half, :, 2] = w / 2
    turn = 2 * np.pi / (2 * half * time_step)  # a whole one in the moving time, rad/s
    if whole_turns and turn <= np.deg2rad(FASTEST_AROUND):
        around = slice(round(whole_turns * n_groups))
        w = np.sign(w) * turn * random.uniform(0.0, 1.0, n_groups)
        velocity[: 2 * half, around, 0] = w[around]
        velocity[: 2 * half, around, 1] = (a * w)[around]
        velocity[: 2 * half, around, 2] = (w - np.sign(w) * turn)[around]
    trials = from_arrays(velocity.reshape(steps, -1), np.repeat(headings(n_groups), 3), time_step, "consistency")
    base = 3 * torch.arange(n_groups)
    ones = torch.ones(n_groups, dtype=torch.float64)
    return replace(
        trials, scaled_pairs=Pairs(base + 1, base, torch.from_numpy(a)), equal_pairs=Pairs(base + 2, base, ones)
    )
