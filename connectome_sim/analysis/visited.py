"""The states that a network visits on walks: one walk in full, and landmarks of all with their loops. Knows no file."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from connectome_sim import circular, tasks
from connectome_sim.analysis.solutions import principal_components
from connectome_sim.analysis.topology import LANDMARKS, Loops, farthest_points, loops
from connectome_sim.axes import FloatArray
from connectome_sim.evaluate import FULL, Protocol
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.solve import SolveOptions, simulate

WALKS, WALK_S = 8, 20.0  # chosen: from evenly spaced headings; together they go around the ring
KEPT_STEP_S = 0.05  # chosen: 10 deg at 200 deg/s, the 99th percentile of walking


@dataclass(frozen=True, eq=False)
class Visited:
    """What a network does on walks in darkness.

    Attributes:
        time: of the first walk, s [t].
        velocity: its angular velocity, mean since the sample before, rad/s [t].
        true: its true heading, rad, from the decoded one at its start [t].
        decoded: its decoded heading, rad, unwrapped [t].
        rates: its rates, 1 [t, N].
        landmarks: states of all walks, spread by farthest-point sampling [L, N].
        heading: their decoded headings, rad [L].
        components: their coordinates along their first three principal components [L, 3].
        share: of the variance of the landmarks along each of them [3].
        cover: largest distance of a visited state from its landmark, 1.
        loops: of the landmarks; None where ripser is not installed.
        failed: walks that were not solved to their end.
    """

    time: FloatArray
    velocity: FloatArray
    true: FloatArray
    decoded: FloatArray
    rates: Float[ndarray, "time neuron"]
    landmarks: Float[ndarray, "landmark neuron"]
    heading: FloatArray
    components: FloatArray
    share: FloatArray
    cover: float
    loops: Loops | None
    failed: int

    def metrics(self) -> dict[str, float]:
        """Flat numbers; NaN where there is none."""
        unknown = dict.fromkeys(("visited_loops", "visited_loop_persistence", "visited_next_persistence"), math.nan)
        return {
            "visited_landmarks": float(len(self.landmarks)),
            "visited_cover": self.cover,
            "visited_failed_walks": float(self.failed),
            **(self.loops.metrics() if self.loops is not None else unknown),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, for figures and for other tools."""
        found = {
            "walk/time_s": self.time,
            "walk/velocity_rad_per_s": self.velocity,
            "walk/true_heading_rad": self.true,
            "walk/decoded_heading_rad": self.decoded,
            "walk/rates": self.rates.astype(np.float32),
            "visited/rates": self.landmarks.astype(np.float32),
            "visited/heading_rad": self.heading,
            "visited/components": self.components,
            "visited/component_share": self.share,
        }
        if self.loops is not None:
            found |= {
                "visited/loop_birth": self.loops.birth,
                "visited/loop_death": self.loops.death,
                "visited/radius": np.array(self.loops.radius),
            }
        return found


def visit(
    network: RateNetwork,
    readout: Readout,
    *,
    seed: int,
    protocol: Protocol = FULL,
    step: float = 1e-3,
    duration: float = WALK_S,
) -> Visited:
    """Let a network walk, on traces of its own that no fit and no evaluation has seen.

    Args:
        network: converted to float64.
        readout: its decoder.
        seed: of the walks.
        protocol: cue, settling time and input step.
        step: integration step, s (Heun).
        duration: of each walk, s.

    Raises:
        StepError: a step that does not resolve the fastest time constant.
        SolveError: the network diverges wherever it is cued.
    """
    network, readout = network.detach().to(dtype=torch.float64), readout.to(dtype=torch.float64)
    options = SolveOptions(method="heun", step=step)
    run = Runner(network, readout, protocol, options)
    trials = tasks.walking(
        tasks.generator(seed, "held_out", 1), n_trials=WALKS, duration=duration, time_step=protocol.input_step_s
    )
    every = max(1, round(KEPT_STEP_S / protocol.input_step_s))
    state = run.settle(circular.evenly_spaced(WALKS))
    ok = torch.isfinite(state).all(dim=1)
    state, pieces = state.masked_fill(~ok[:, None], 0.0), [state[None]]
    for drive in run.moving(trials.angular_velocity):
        result = simulate(network, state, drive, options)
        ok &= result.ok
        pieces.append(result.observed[1:])
        state = result.final.masked_fill(~ok[:, None], 0.0)
    rates = torch.cat(pieces)[::every]
    states = rates[:, ok].reshape(-1, network.n_neurons)
    which = farthest_points(states.numpy(), LANDMARKS)
    landmarks = states[which]
    parts = principal_components(landmarks.numpy()) if len(which) > 3 else None
    decoded = circular.unwrap(readout.heading(rates[:, 0]).numpy())
    displacement = trials.displacement().numpy()[::every, 0]
    time = every * protocol.input_step_s * np.arange(len(rates))
    return Visited(
        time=time,
        velocity=np.append(0.0, np.diff(displacement)) / (every * protocol.input_step_s),
        true=decoded[0] + displacement,
        decoded=np.where(bool(ok[0]), decoded, np.nan),
        rates=rates[:, 0].numpy(),
        landmarks=landmarks.numpy(),
        heading=readout.heading(landmarks).numpy(),
        components=parts.score[:, :3] if parts is not None else np.zeros((len(which), 3)),
        share=parts.share[:3] if parts is not None else np.zeros(3),
        cover=_cover(states.numpy(), landmarks.numpy()),
        loops=loops(landmarks.numpy()),
        failed=int((~ok).sum()),
    )


def _cover(states: FloatArray, landmarks: FloatArray) -> float:
    """Largest distance of a state from the nearest landmark."""
    return float(cdist(states, landmarks).min(axis=1).max()) if len(landmarks) else math.nan
