"""What became of the bump of one network, told from its walks: lost, frozen, erratic, inaccurate or following.

Each rule stands in one function; exactly one of them holds. They say what is seen, and nothing of why. The thresholds
are chosen, with silenced networks of a shipped ensemble in view; ``docs/ablation.md`` says what lies close to them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connectome_sim import circular
from connectome_sim.ablation.floors import Floors
from connectome_sim.evaluate.metrics import Metrics

WINDOW_S = 1.0  # s: eight correlation times of the velocity, within which no fly-like walk turns by 180 deg (chosen)
MOST_LOST = 0.5  # share of trials with one bump below which most have lost it (chosen)
STAYS = 0.2  # of the true movement: what stays below it does not move (chosen; a wedge, on walks of 10 s)
TRACKS = 0.5  # share of the variance of its movement that the velocity explains, at least (chosen: the larger part)
LOWEST_GAIN, HIGHEST_GAIN = 0.5, 2.0  # chosen: within a factor of two; the fly has 0.67 to 0.90

BUMP_SHARE, WALKING_BUMP_SHARE, PATH_ERROR = "bump_present_share", "walking_bump_share", "walking_error_deg"
GAIN, CORRELATION, RANGE = "walking_gain", "walking_correlation", "walking_range"

Heading = Float[np.ndarray, "time batch"]


def walk_measures(
    time: Float[np.ndarray, " time"], decoded: Heading, true: Heading, present: Bool[np.ndarray, " batch"]
) -> Metrics:
    """How the decoded heading moves with the true one, over the walks at whose end there is one bump.

    With d and t the changes of the decoded and of the true heading within successive windows of ``WINDOW_S`` (the
    whole walk where that is shorter), and D and T the distances from the start around the circle::

        walking_gain        = sum d t / sum t^2
        walking_correlation = sum d t / sqrt(sum d^2 sum t^2),  0 where nothing moves
        walking_range       = sqrt(sum D^2 / sum T^2)

    A still bump has 0, 0, 0, a perfect one 1, 1, 1. Headings drawn at random have 0, 0 and about 2. NaN without a bump.

    Args:
        time: s, evenly spaced.
        decoded: rad.
        true: rad, unwrapped.
        present: whether there is one bump at the end of the walk.
    """
    found = {WALKING_BUMP_SHARE: float(present.mean()), GAIN: math.nan, CORRELATION: math.nan, RANGE: math.nan}
    if not present.any():
        return found
    decoded, true = decoded[:, present], true[:, present]
    window = min(round(WINDOW_S / float(time[1] - time[0])), len(time) - 1)
    d, t = circular.wrap(np.diff(decoded[::window], axis=0)), np.diff(true[::window], axis=0)
    both, moved, asked = (d * t).sum(), (d * d).sum(), (t * t).sum()
    far, wide = circular.wrap(decoded - decoded[0]), circular.wrap(true - true[0])
    return found | {
        GAIN: float(both / asked),
        CORRELATION: float(both / math.sqrt(moved * asked)) if moved > 0 else 0.0,
        RANGE: math.sqrt((far * far).sum() / (wide * wide).sum()),
    }


@dataclass(frozen=True, kw_only=True)
class Bump:
    """What the rules ask of a network.

    Attributes:
        share: of trials with one bump: after the rest or after the walks, the smaller one.
        gain, correlation, range: see `walk_measures`.
        error_deg: path error.
        floors: of that error.
    """

    share: float
    gain: float
    correlation: float
    range: float
    error_deg: float
    floors: Floors

    @property
    def moves(self) -> bool:
        """Whether it leaves its place, or answers to the velocity by more than a fifth of what it asks."""
        return self.range >= STAYS or abs(self.gain) >= STAYS

    @property
    def tracks(self) -> bool:
        """Whether its movement is mostly what the velocity says, in the right direction."""
        return self.correlation >= math.sqrt(TRACKS)


def lost(bump: Bump) -> bool:
    """No single bump in most trials; its heading means nothing, and none of the other rules applies."""
    return bump.share < MOST_LOST


def frozen(bump: Bump) -> bool:
    """A bump that does not move with the velocity: gain near 0, always near its first heading.

    Its path error is that of a still bump then, whatever it is: the error alone cannot tell it from an erratic one.
    """
    return not lost(bump) and not bump.moves


def erratic(bump: Bump) -> bool:
    """A bump that moves, but not as the velocity says: that explains less than half of the variance of its movement."""
    return not lost(bump) and bump.moves and not bump.tracks


def following(bump: Bump) -> bool:
    """A bump that moves as the velocity says, by about as much, to a heading better than the floor."""
    return not lost(bump) and bump.moves and bump.tracks and _arrives(bump)


def inaccurate(bump: Bump) -> bool:
    """A bump that moves as the velocity says and still does not follow: its gain is off, or drift carries it away."""
    return not lost(bump) and bump.moves and bump.tracks and not _arrives(bump)


def _arrives(bump: Bump) -> bool:
    return LOWEST_GAIN <= bump.gain <= HIGHEST_GAIN and bump.error_deg <= bump.floors.limit_deg


STATES: Mapping[str, Callable[[Bump], bool]] = {
    "following": following,
    "inaccurate": inaccurate,
    "erratic": erratic,
    "frozen": frozen,
    "lost": lost,
}
"""Name -> its rule, from best to worst."""
LOST = "lost"
STATE = "state"
"""Column of a row that holds it."""


def state_of(row: Mapping[str, str]) -> str:
    """The state of the bump in a row of a sweep; nothing where the sweep did not measure it or a trial diverged."""
    floors = Floors.beside(row, PATH_ERROR)
    shares = [row.get(name, "") for name in (BUMP_SHARE, WALKING_BUMP_SHARE)]
    if floors is None or not all(shares) or not row[PATH_ERROR]:
        return ""
    gain, correlation, reach = (float(row[name] or "nan") for name in (GAIN, CORRELATION, RANGE))
    bump = Bump(
        share=min(map(float, shares)),
        gain=gain,
        correlation=correlation,
        range=reach,
        error_deg=float(row[PATH_ERROR]),
        floors=floors,
    )
    return next(name for name, holds in STATES.items() if holds(bump))


def counted(states: Iterable[str]) -> str:
    """How many are in which state, from best to worst: ``16 frozen, 4 lost``; those without a state are not counted."""
    found = Counter(states)
    return ", ".join(f"{found[name]} {name}" for name in STATES if found[name])
