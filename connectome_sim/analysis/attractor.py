"""What kind of attractor a network at rest has: slow ring, drift, fixed points, spectra, barriers, shape of the bump.

Knows a network and its readout; no file, no configuration. Fixed points are roots of the full right-hand side and do
not depend on how well the ring between them is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.interpolate import CubicSpline

from connectome_sim import circular
from connectome_sim.analysis.ring import STRING, SlowRing, drift, find_ring
from connectome_sim.analysis.solutions import principal_components
from connectome_sim.analysis.steady import fixed_roots, jacobian
from connectome_sim.axes import FloatArray, State
from connectome_sim.evaluate import FULL, Protocol
from connectome_sim.evaluate.noise import DIFFUSION
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.solve import SolveOptions

RING, SPLIT, SEVERAL, NO_BUMP, BROKEN = "ring", "split", "several_bumps", "no_bump", "broken"
VERDICTS = {
    RING: "one bump at every heading, on a closed ring of slow states",
    SPLIT: "a closed ring of slow states, but the bump is split or too weak at some headings",
    SEVERAL: "several bumps at once: no single heading",
    NO_BUMP: "no bump",
    BROKEN: "bumps, but their states do not form a closed ring",
}
"""Verdict -> what it means."""

CONTINUUM_DEG_PER_S = 1e-6  # chosen: slower drift everywhere is rounding, not structure (0.1 deg in a day)
SAME = 1e-6  # chosen: roots whose rates differ by less are one
ON_RING = 0.2  # chosen: a root whose rates are further from the ring at its heading belongs elsewhere
BETWEEN = 9  # chosen: starts between two fixed points where one was missed
SPECTRA = 16  # chosen: headings at which all eigenvalues are worked out
LEADING = 6  # eigenvalues kept of each spectrum
SPEEDS_DEG_PER_S = (30.0, 60.0, 120.0, 180.0, 300.0, 500.0)  # chosen: the range of a walking fly and beyond
MOVING_HEADINGS, MOVING_SAMPLES = 4, 5  # chosen: trials per velocity, and how often each is read
MOVING_SKIP_S, MOVING_S = 0.3, 0.75  # chosen: transient, and the time over which the bump is read


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """Roots of the right-hand side with a bump, by heading.

    Attributes:
        heading: rad [F].
        states: rates [F, N], 1.
        eigenvalues: of the Jacobian, those with the largest real part first [F, L], 1/s.
        error: largest residual |-r + phi(x)| [F], 1.
    """

    heading: FloatArray
    states: FloatArray
    eigenvalues: ndarray
    error: FloatArray

    @property
    def stable(self) -> Bool[ndarray, " point"]:
        """Whether all eigenvalues have a negative real part."""
        return self.eigenvalues[:, 0].real < 0

    def __len__(self) -> int:
        return len(self.heading)


@dataclass(frozen=True, eq=False)
class Spectra:
    """Jacobian spectra along the ring.

    Attributes:
        heading: rad [S].
        eigenvalues: largest real part first [S, L], 1/s.
        alignment: |cosine| between the eigenvector of the first and the tangent of the ring [S].
    """

    heading: FloatArray
    eigenvalues: ndarray
    alignment: FloatArray

    @property
    def gap(self) -> Float[ndarray, " heading"]:
        """Real part of the slowest eigenvalue less that of the next, 1/s."""
        return self.eigenvalues[:, 0].real - self.eigenvalues[:, 1].real


@dataclass(frozen=True, eq=False)
class BumpShape:
    """Shape of the bump, at rest by heading and on the move by velocity.

    Attributes:
        heading: rad [K].
        width: full width at half maximum, rad, NaN where the profile is flat [K].
        amplitude: highest less lowest wedge, 1 [K].
        peaks: bumps in the profile [K].
        velocity: rad/s, increasing [V].
        moving_width: mean over headings and time, rad [V].
        moving_amplitude: mean over headings and time, 1 [V].
    """

    heading: FloatArray
    width: FloatArray
    amplitude: FloatArray
    peaks: ndarray
    velocity: FloatArray
    moving_width: FloatArray
    moving_amplitude: FloatArray


@dataclass(frozen=True, eq=False)
class Attractor:
    """Everything found of one network at rest; what needs a ring is None where there is none.

    Attributes:
        verdict: one of ``VERDICTS``.
        one_bump_share: of the cued headings, those with one bump after settling.
        settled_heading: decoded after cue and settling, rad [B].
        settled_drift: d heading / dt there, rad/s [B].
        points: fixed points, on the ring where there is one.
        ring: slow ring.
        spectra: along the ring.
        shape: of the bump.
        unresolved: sign changes of the drift for which no fixed point was found.
        scores: coordinates of the ring's states along its first three principal components [K, 3].
        dimension: participation ratio of the ring's states; 2 for a circle.
        diffusion: D of the heading under the held-out noise, see `evaluate.noise.diffusion`, deg^2/s; NaN if unknown.
    """

    verdict: str
    one_bump_share: float
    settled_heading: FloatArray
    settled_drift: FloatArray
    points: FixedPoints
    ring: SlowRing | None = None
    spectra: Spectra | None = None
    shape: BumpShape | None = None
    unresolved: int = 0
    scores: FloatArray | None = None
    dimension: float = math.nan
    diffusion: float = math.nan

    @property
    def is_continuum(self) -> bool:
        """Whether the drift is rounding everywhere: no heading is preferred."""
        return self.ring is not None and bool(np.abs(np.rad2deg(self.ring.drift)).max() < CONTINUUM_DEG_PER_S)

    def barriers(self) -> FloatArray:
        """Barrier of each stable fixed point towards either neighbour, deg^2/s, in the order of its heading [S, 2].

        The drift s(theta) has the potential U = -integral of s. Between a stable point and the unstable one next to
        it U rises by the barrier: under d theta = s dt + sqrt(2 D) dW a bump leaves within ~ exp(barrier / D). NaN
        without a ring or where the unstable neighbour was not found.
        """
        stable = np.flatnonzero(self.points.stable)
        if self.ring is None or not len(stable):
            return np.full((len(stable), 2), np.nan)
        climb = self.ring.drift_spline().antiderivative()
        around = climb(math.pi) - climb(-math.pi)
        heading, found = self.points.heading, np.full((len(stable), 2), np.nan)
        for row, point in enumerate(stable):
            for column, step in enumerate((-1, 1)):
                other = (point + step) % len(heading)
                if not self.points.stable[other]:
                    turns = (step if (other - point) * step < 0 else 0) * around
                    found[row, column] = -(climb(heading[other]) + turns - climb(heading[point])) * (180 / math.pi) ** 2
        return found

    def metrics(self) -> dict[str, float]:
        """Flat numbers with their units in their names; NaN where there is no such number."""
        barrier = self.barriers()
        lowest = barrier.min(axis=1)
        lowest = lowest[np.isfinite(lowest)] if np.isfinite(lowest).any() else np.full(1, np.nan)
        typical, stable = float(np.median(lowest)), self.points.stable
        found: dict[str, float] = {
            "has_ring": float(self.ring is not None),
            "is_continuum": float(self.is_continuum),
            "one_bump_share": self.one_bump_share,
            "stable_fixed_points": float(stable.sum()),
            "unstable_fixed_points": float((~stable).sum()),
            "unresolved_sign_changes": float(self.unresolved),
            "neighbours_of_equal_stability": float((stable == np.roll(stable, 1)).sum()) if self.ring else math.nan,
            "fixed_point_residual_max": float(self.points.error.max(initial=0.0)),
            "barrier_median_deg2_per_s": typical,
            "barrier_max_deg2_per_s": float(lowest.max()),
            DIFFUSION: self.diffusion,
            "barrier_median_over_diffusion": typical / self.diffusion if self.diffusion > 0 else math.nan,
            "effective_dimension": self.dimension,
        }
        found |= dict.fromkeys(_RING_METRICS, math.nan)
        if self.ring is None or self.spectra is None or self.shape is None:
            return found
        speed, width, amplitude = np.abs(np.rad2deg(self.ring.drift)), self.shape.width, self.shape.amplitude
        values = (
            np.median(speed),
            speed.max(),
            np.rad2deg(self.ring.drift).mean(),
            np.abs(self.spectra.eigenvalues[:, 0].real).max(),
            self.spectra.gap.min(),
            np.median(self.spectra.gap),
            self.spectra.alignment.min(),
            np.median(np.rad2deg(width)),
            np.rad2deg(width).std(),
            np.median(amplitude),
            amplitude.std(),
            self.ring.change,
        )
        return found | {name: float(value) for name, value in zip(_RING_METRICS, values, strict=True)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, for figures and for other tools; angles in rad, eigenvalues as real and imaginary part."""
        points = self.points
        found = {
            "settled/heading_rad": self.settled_heading,
            "settled/drift_rad_per_s": self.settled_drift,
            "points/heading_rad": points.heading,
            "points/stable": points.stable,
            "points/rates": points.states,
            "points/eigenvalues_per_s": _parts(points.eigenvalues),
            "points/barrier_deg2_per_s": self.barriers(),
        }
        if self.ring is None or self.spectra is None or self.shape is None or self.scores is None:
            return found
        return found | {
            "ring/heading_rad": self.ring.heading,
            "ring/rates": self.ring.states,
            "ring/drift_rad_per_s": self.ring.drift,
            "ring/components": self.scores,
            "spectra/heading_rad": self.spectra.heading,
            "spectra/eigenvalues_per_s": _parts(self.spectra.eigenvalues),
            "spectra/alignment": self.spectra.alignment,
            "shape/width_rad": self.shape.width,
            "shape/amplitude": self.shape.amplitude,
            "shape/peaks": self.shape.peaks,
            "shape/velocity_rad_per_s": self.shape.velocity,
            "shape/moving_width_rad": self.shape.moving_width,
            "shape/moving_amplitude": self.shape.moving_amplitude,
        }


_RING_METRICS = (
    "drift_median_deg_per_s",
    "drift_max_deg_per_s",
    "drift_mean_signed_deg_per_s",
    "slowest_eigenvalue_max_per_s",
    "spectral_gap_min_per_s",
    "spectral_gap_median_per_s",
    "tangent_alignment_min",
    "bump_width_median_deg",
    "bump_width_sd_deg",
    "bump_amplitude_median",
    "bump_amplitude_sd",
    "ring_last_change",
)


def analyze(
    network: RateNetwork,
    readout: Readout,
    *,
    protocol: Protocol = FULL,
    step: float = 1e-3,
    n_headings: int = 128,
    diffusion: float = math.nan,
) -> Attractor:
    """Find what attractor a network has at rest.

    Args:
        network: converted to float64.
        readout: its decoder.
        protocol: cue, settling time, and what counts as a bump.
        step: integration step, s (Heun).
        n_headings: headings at which the ring is solved; fixed points closer than their spacing may be missed.
        diffusion: D of the heading under noise where it was measured, deg^2/s.

    Raises:
        ConfigError: too few headings.
        StepError: a step that does not resolve the fastest time constant.
        SolveError: the network diverges wherever it is cued.
    """
    network, readout = network.detach().to(dtype=torch.float64), readout.to(dtype=torch.float64)
    run = Runner(network, readout, protocol, SolveOptions(method="heun", step=step))
    cues = circular.evenly_spaced(STRING) - math.pi
    silent = torch.zeros(STRING, network.n_neurons, dtype=torch.float64)
    cued = run.run("cue", silent, [run.still(protocol.cue_duration_s, STRING, run.cue(cues))]).final
    settled = run.run("settle", cued, [run.still(protocol.settle_duration_s, STRING)]).final
    verdict, share = judged(readout, settled, protocol)
    ok = torch.isfinite(settled).all(dim=1)
    seeds = settled[ok]
    at_rest = readout.heading(seeds).numpy(), drift(network, readout, seeds)
    ring = find_ring(run, cued, cues, n_headings=n_headings) if verdict not in (NO_BUMP, SEVERAL) else None
    if ring is None:
        points = fixed_points(network, readout, seeds)
        return Attractor(
            BROKEN if verdict in (RING, SPLIT) else verdict, share, *at_rest, points=points, diffusion=diffusion
        )
    points, unresolved = ring_points(network, readout, ring)
    parts = principal_components(ring.states)
    shape = bump_shape(run, ring)
    if (shape.peaks != 1).any() or shape.amplitude.min() < protocol.bump_min_amplitude:
        verdict = SPLIT
    return Attractor(
        verdict,
        share,
        *at_rest,
        points=points,
        ring=ring,
        spectra=spectra(network, ring),
        shape=shape,
        unresolved=unresolved,
        scores=parts.score[:, :3],
        dimension=parts.dimension,
        diffusion=diffusion,
    )


def judged(readout: Readout, settled: State, protocol: Protocol) -> tuple[str, float]:
    """Verdict on settled states [B, N] as far as they tell it, and the share of them with one bump."""
    ok = torch.isfinite(settled).all(dim=1)
    states = settled.masked_fill(~ok[:, None], 0.0)
    bump = ok & (readout.amplitude(states) >= protocol.bump_min_amplitude)
    peaks = readout.peaks(states)
    one = bump & (peaks == 1) & (readout.vector_length(states) >= protocol.bump_min_vector_length)
    share = float(one.double().mean())
    if not bump.any():
        return NO_BUMP, share
    if not one.any():
        return SEVERAL if (bump & (peaks > 1)).any() else NO_BUMP, share
    return RING if one.all() else SPLIT, share


def ring_points(network: RateNetwork, readout: Readout, ring: SlowRing) -> tuple[FixedPoints, int]:
    """Fixed points on a ring, and how many sign changes of the drift have none.

    Newton starts where the drift, as a smooth function of the heading, vanishes or comes nearest to it without a
    change of sign. A ring whose drift is rounding everywhere has no isolated fixed points.
    """
    curve, smooth = ring.spline(), ring.drift_spline()
    if np.abs(np.rad2deg(ring.drift)).max() < CONTINUUM_DEG_PER_S:
        return fixed_points(network, readout, torch.zeros(0, network.n_neurons, dtype=torch.float64)), 0
    zeros = _within(smooth.roots(extrapolate=False))
    turns = _within(smooth.derivative().roots(extrapolate=False))
    turns = turns[smooth(turns) * smooth(turns, 2) > 0]  # the smallest speeds, not the largest
    starts = curve(np.concatenate([zeros, turns]))
    points = _near(fixed_points(network, readout, torch.from_numpy(starts)), curve)
    missed = _between(points)
    if len(missed):  # two neighbours alike: where the curve is sharp, a point between them was missed
        starts = np.concatenate([points.states, missed])
        points = _near(fixed_points(network, readout, torch.from_numpy(starts)), curve)
    spacing = 2 * math.pi / len(ring.heading)
    away = circular.distance(zeros[:, None], points.heading[None]).min(axis=1, initial=math.inf)
    return points, int((away > spacing).sum())


def _near(points: FixedPoints, curve: CubicSpline) -> FixedPoints:
    """The points that lie on the curve."""
    here = np.abs(points.states - curve(points.heading)).max(axis=1, initial=0.0) <= ON_RING
    return FixedPoints(points.heading[here], points.states[here], points.eigenvalues[here], points.error[here])


def _between(points: FixedPoints) -> FloatArray:
    """States on the way between neighbours of equal stability, which on a closed ring must alternate [B, N]."""
    after = np.roll(points.states, -1, axis=0)
    alike = points.stable == np.roll(points.stable, -1)
    share = np.linspace(0, 1, BETWEEN + 2)[1:-1, None, None]
    return ((1 - share) * points.states[alike] + share * after[alike]).reshape(-1, points.states.shape[1])


def fixed_points(network: RateNetwork, readout: Readout, start: State) -> FixedPoints:
    """The different roots of the right-hand side that Newton reaches from states [B, N], with their spectra."""
    roots = fixed_roots(network, start) if len(start) else None
    kept: list[int] = []
    if roots is not None:
        for k in roots.converged.nonzero()[:, 0].tolist():
            if all((roots.rates[k] - roots.rates[other]).abs().max() > SAME for other in kept):
                kept.append(k)
    states = roots.rates[kept] if roots is not None else start
    error = roots.error[kept].numpy() if roots is not None else np.zeros(0)
    heading = readout.heading(states).numpy()
    order = np.argsort(heading)
    values = [leading(np.linalg.eigvals(jacobian(network, state[None])[0].numpy())) for state in states[order]]
    size = min(LEADING, network.n_neurons)
    eigenvalues = np.array(values, dtype=complex).reshape(-1, size)
    return FixedPoints(heading[order], states[order].numpy(), eigenvalues, error[order])


def spectra(network: RateNetwork, ring: SlowRing) -> Spectra:
    """Jacobian spectra at evenly spaced headings of the ring, with the slowest mode against the tangent."""
    which = np.linspace(0, len(ring.heading), SPECTRA, endpoint=False).astype(int)
    tangent = ring.tangent()[which]
    values, alignment = [], []
    for state, along in zip(ring.states[which], tangent, strict=True):
        value, vector = np.linalg.eig(jacobian(network, torch.from_numpy(state)[None])[0].numpy())
        slowest = vector[:, int(np.argmax(value.real))]
        values.append(leading(value))
        alignment.append(abs(np.vdot(along, slowest)))  # both of length 1
    return Spectra(ring.heading[which], np.array(values), np.array(alignment))


def leading(eigenvalues: ndarray) -> ndarray:
    """The eigenvalues with the largest real parts, in descending order, as complex numbers."""
    return eigenvalues[np.argsort(-eigenvalues.real, kind="stable")][:LEADING].astype(complex)


def bump_shape(run: Runner, ring: SlowRing) -> BumpShape:
    """Width and amplitude along the ring at rest, and their means at constant velocities."""
    readout, states = run.readout, torch.from_numpy(ring.states)
    velocity = np.deg2rad([-speed for speed in SPEEDS_DEG_PER_S[::-1]] + [0.0, *SPEEDS_DEG_PER_S])
    start = states[:: max(1, len(states) // MOVING_HEADINGS)][:MOVING_HEADINGS]
    each = torch.from_numpy(np.repeat(velocity, len(start)))
    state, seen = start.repeat(len(velocity), 1), []
    for duration in (MOVING_SKIP_S, *[MOVING_S / MOVING_SAMPLES] * MOVING_SAMPLES):
        drive = run.moving(each.expand(round(duration / run.protocol.input_step_s), -1))
        state = run.run("velocity", state, drive).final
        seen.append(torch.stack([readout.width(state), readout.amplitude(state)]))
    moving = torch.stack(seen[1:]).mean(dim=0).reshape(2, len(velocity), len(start)).mean(dim=2)
    return BumpShape(
        heading=ring.heading,
        width=readout.width(states).numpy(),
        amplitude=readout.amplitude(states).numpy(),
        peaks=readout.peaks(states).numpy(),
        velocity=velocity,
        moving_width=moving[0].numpy(),
        moving_amplitude=moving[1].numpy(),
    )


def summary(attractor: Attractor) -> Mapping[str, float | str | None]:
    """The content of ``analysis.json``: the verdict in words, and numbers, null where there is none."""
    numbers = {name: value if math.isfinite(value) else None for name, value in sorted(attractor.metrics().items())}
    return {"verdict": attractor.verdict, "verdict_means": VERDICTS[attractor.verdict], **numbers}


def _within(heading: FloatArray) -> FloatArray:
    """Headings wrapped to [-pi, pi), each once."""
    finite = heading[np.isfinite(heading)]
    return np.unique(np.round(circular.wrap(finite), 12))


def _parts(values: ndarray) -> FloatArray:
    return np.stack([values.real, values.imag], axis=-1)
