"""The ring of slow states: a closed curve, one state per heading, that the dynamics at rest maps onto itself.

Found in two steps. A string of states, cued around the circle, follows the dynamics for short times and is spread
evenly over headings in between, so that it relaxes onto the curve without sliding down to where the bump rests. Then,
at each heading, the state is solved for whose velocity is along the curve (exact to rounding, however slow the drift).
Knows a network and its readout; no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from connectome_sim import circular
from connectome_sim.analysis.steady import constrained_roots
from connectome_sim.axes import FloatArray, State
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout

FEWEST_HEADINGS = 16  # chosen: fewer states do not make a smooth curve
STRING = 64  # chosen: states of the string, 5.6 deg apart
STRING_STEP_S = 0.1  # chosen: the string follows the dynamics for so long between two times of spreading it
STRING_TIME_S = 1.5  # chosen: in all; what is left off the curve is solved for
WIDEST_GAP_DEG = 60.0  # chosen: between neighbouring states of a string that is still a ring
TANGENT_ROUNDS = 6  # chosen: how often the tangent is taken anew; each gains (drift slope) / (spectral gap)
CURVE_TOLERANCE = 1e-3  # chosen: change of a rate in the last round; the drift is then known to about a thousandth


@dataclass(frozen=True, eq=False)
class SlowRing:
    """A closed curve of K states, evenly spaced in decoded heading, along which the network moves at rest.

    Attributes:
        heading: rad, from -pi, evenly spaced [K].
        states: rates at those headings [K, N], 1.
        drift: d heading / dt without input, rad/s, from the full right-hand side [K].
        change: largest change of a rate in the last round: how well the curve is known, 1.
    """

    heading: FloatArray
    states: FloatArray
    drift: FloatArray
    change: float

    def spline(self) -> CubicSpline:
        """States as a smooth periodic function of the heading (rad)."""
        return _periodic(self.heading, self.states)

    def tangent(self) -> Float[np.ndarray, "heading neuron"]:
        """Unit vectors along the curve."""
        slope = self.spline()(self.heading, 1)
        return slope / np.linalg.norm(slope, axis=1, keepdims=True)

    def drift_spline(self) -> CubicSpline:
        """Drift (rad/s) as a smooth periodic function of the heading (rad)."""
        return _periodic(self.heading, self.drift)


def find_ring(run: Runner, cued: State, cues: FloatArray, *, n_headings: int) -> SlowRing | None:
    """The slow ring of a network, or None where its states do not join to a closed curve.

    Args:
        run: the network (float64) with its readout and solver.
        cued: states at the end of a cue, in the order of its heading [B, N].
        cues: those headings, rad, increasing [B].
        n_headings: K.

    Raises:
        ConfigError: fewer than 16 headings.
    """
    if n_headings < FEWEST_HEADINGS:
        raise ConfigError(f"analysis, headings: got {n_headings}, wanted at least {FEWEST_HEADINGS}")
    states: FloatArray | None = cued.numpy()
    even = circular.evenly_spaced(len(cues)) - math.pi
    for _ in range(round(STRING_TIME_S / STRING_STEP_S)):
        final = run.run("ring", torch.from_numpy(states), [run.still(STRING_STEP_S, len(cues))]).final
        states = spread(final.numpy(), run.readout.heading(final).numpy(), even)
        if states is None:
            return None
    heading = circular.evenly_spaced(n_headings) - math.pi
    assert states is not None
    return _solved(run.network, run.readout, heading, _periodic(even, states)(heading))


def spread(states: FloatArray, heading: FloatArray, even: FloatArray) -> FloatArray | None:
    """States of a string [B, N] moved along it to other headings, or None where the string is no ring.

    It is one where the headings go around once, in order but for states that lie on top of each other, with no gap
    above ``WIDEST_GAP_DEG``. Between states, rates are linear in the heading.

    Args:
        states: in their order along the string.
        heading: their decoded headings, rad [B].
        even: headings wanted, rad [K].
    """
    if not np.isfinite(states).all():
        return None
    unwrapped = circular.unwrap(np.append(heading, heading[0]))
    if round((unwrapped[-1] - unwrapped[0]) / (2 * math.pi)) != 1:
        return None
    furthest = np.maximum.accumulate(unwrapped[:-1])
    kept = np.flatnonzero(np.append(True, unwrapped[1:-1] > furthest[:-1] + 1e-9) & (unwrapped[:-1] < unwrapped[-1]))
    place = np.append(unwrapped[kept], unwrapped[kept[0]] + 2 * math.pi)
    if np.diff(place).max() > math.radians(WIDEST_GAP_DEG):
        return None
    at = place[0] + (even - place[0]) % (2 * math.pi)
    right = np.clip(np.searchsorted(place, at, side="right"), 1, len(kept))
    share = ((at - place[right - 1]) / (place[right] - place[right - 1]))[:, None]
    return (1 - share) * states[kept[right - 1]] + share * states[kept[right % len(kept)]]


def _solved(network: RateNetwork, readout: Readout, heading: FloatArray, start: FloatArray) -> SlowRing | None:
    """The curve through ``start`` [K, N] on which dr/dt is along the curve, at each heading."""
    normal = heading_normal(readout, heading)
    states, change = start, math.inf
    for _ in range(TANGENT_ROUNDS):
        tangent = torch.from_numpy(_periodic(heading, states)(heading, 1))
        roots = constrained_roots(network, torch.from_numpy(states), direction=tangent, normal=normal)
        found = roots.rates.numpy()
        if not roots.converged.all() or _elsewhere(readout, roots.rates, heading):
            return None
        last, change, states = change, float(np.abs(found - states).max()), found
        if change <= CURVE_TOLERANCE or change > last:  # beyond that, differences of neighbours amplify rounding
            break
    return SlowRing(heading, states, drift(network, readout, torch.from_numpy(states)), change)


def _elsewhere(readout: Readout, states: State, heading: FloatArray) -> bool:
    """Whether a state is opposite its heading, which satisfies the same condition."""
    return bool((circular.distance(readout.heading(states).numpy(), heading) > 1e-3).any())


def heading_normal(readout: Readout, heading: FloatArray) -> State:
    """Vectors a [K, N] with a . r = 0 where r has the heading (rad): the population vector across it."""
    angle = torch.where(readout.epg_mask, readout.ring_angle, torch.zeros_like(readout.ring_angle))
    return torch.sin(angle - torch.from_numpy(heading)[:, None]) * readout.epg_mask


def drift(network: RateNetwork, readout: Readout, states: State) -> FloatArray:
    """D heading / dt = a . dr/dt / |population vector|, rad/s, a across the heading; 0 where the vector vanishes."""
    vector = readout.population_vector(states).abs() * readout.epg_mask.sum()
    across = (heading_normal(readout, readout.heading(states).numpy()) * network.derivative(states)).sum(dim=1)
    vanishes = vector <= torch.finfo(vector.dtype).tiny
    return (across / vector.masked_fill(vanishes, 1.0)).masked_fill(vanishes, 0.0).numpy()


def _periodic(heading: FloatArray, values: FloatArray) -> CubicSpline:
    """Periodic cubic spline through values at evenly spaced headings (rad)."""
    closed = np.append(heading, heading[0] + 2 * math.pi)
    return CubicSpline(closed, np.concatenate([values, values[:1]]), bc_type="periodic", extrapolate="periodic")
