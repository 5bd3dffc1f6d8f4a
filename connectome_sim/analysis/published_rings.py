"""Ring models of others, written anew from their equations, to be measured as our networks are. Fits nothing.

Both are threshold-linear, [x]+ = max(x, 0). Each is a `ReferenceRing`: it says how its state moves and what of it is
read; `simulate_ring` steps it, `measure` puts it through the held-out protocol. Where we depart from a source it says
so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import vonmises
from torch import Tensor

from connectome_sim import circular
from connectome_sim.axes import FloatArray, State, Trajectory
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import EvaluationResult, Protocol, run_probes
from connectome_sim.evaluate.trace import Measured, Runner
from connectome_sim.model import Drive
from connectome_sim.readout import Readout
from connectome_sim.solve import Simulation, SolveOptions, Status
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.solution import MAX_RATE

STEP = 5e-3  # s, chosen: a thirteenth of the fastest time constant of these models
METHOD = "heun"
BatchUnits = Float[np.ndarray, "batch _"]  # rates, inputs, or both


@runtime_checkable
class ReferenceRing(Measured, Interface):
    """What simulator and protocol ask of a ring model. A state starts with the rates that are read."""

    @property
    def readout(self) -> Readout:
        """Decoder of the rates that carry the heading."""

    def moving(self, state: BatchUnits) -> BatchUnits:
        """The part of a state that the equation moves."""

    def state(self, moving: BatchUnits) -> BatchUnits:
        """The state that belongs to it."""

    def derivative(self, moving: BatchUnits, angular_velocity: FloatArray, current: BatchUnits) -> BatchUnits:
        """Its rate of change, 1/s, under a velocity [batch] (rad/s) and a current into the state's entries."""


class _OnCpu:
    """Double precision on the CPU."""

    dtype = torch.float64
    device = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class CosineRing(_OnCpu):
    """A small ring with cosine coupling, tuned so that few neurons hold any heading (Noorman et al. 2024).

        tau dh_j/dt = -h_j + 1/n sum_k ( J_I + J_E cos(th_j - th_k) + v sin(th_j - th_k) ) [h_k]+ + c + I_j

    with th_j = 2 pi j / n. With m neurons active, any heading is a steady state if (and only if) J_E is

        J_E* = 2 n / ( m - sin(m d) / sin(d) ),  d = 2 pi / n,  m = 2 .. n - 2,

    which we derived anew: the sine part of the bump closes on itself for that J_E, and as one neuron falls silent at
    the back the next one wakes at the front. Any other J_E leaves n stable headings and n unstable ones. A small v
    turns the bump at v / (tau J_E), so that v = tau J_E* omega. The form of the equation was not checked against the
    paper; constants marked "chosen" are ours.

    Attributes:
        n: neurons.
        active: m, of them active at once.
        time_constant: tau, s (chosen).
        inhibition: J_I (chosen: the bump is stable for it, and its headings do not depend on it).
        feedforward: c (chosen: the unit of rates).
        mistuning: relative error of J_E.

    Raises:
        ConfigError: a number of active neurons that no bump can have.
    """

    n: int = 8
    active: int = 4
    time_constant: float = 0.1
    inhibition: float = -4.0
    feedforward: float = 1.0
    mistuning: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.active <= self.n - 2:
            raise ConfigError(f"cosine ring, active: got {self.active} of {self.n}, wanted 2 to {self.n - 2}")

    @property
    def tuned_excitation(self) -> float:
        """J_E*."""
        d = 2 * math.pi / self.n
        return 2 * self.n / (self.active - math.sin(self.active * d) / math.sin(d))

    @property
    def n_neurons(self) -> int:
        """A state holds the rates [h]+, which are read, and the inputs h, which move."""
        return 2 * self.n

    @property
    def readout(self) -> Readout:
        """The n rates, one wedge each."""
        angle = np.tile(circular.evenly_spaced(self.n), 2)
        mask = np.arange(2 * self.n) < self.n
        return Readout(torch.from_numpy(angle), torch.from_numpy(mask), wedges=self.n)

    def moving(self, state: BatchUnits) -> BatchUnits:
        """H."""
        return state[:, self.n :]

    def state(self, moving: BatchUnits) -> BatchUnits:
        """[h]+ and h."""
        return np.concatenate([np.maximum(moving, 0.0), moving], axis=1)

    def derivative(self, moving: BatchUnits, angular_velocity: FloatArray, current: BatchUnits) -> BatchUnits:
        """As in the class; current counts where it reaches the rates that are read."""
        rates = np.maximum(moving, 0.0)
        still, turning = self._weights
        recurrent = rates @ still + angular_velocity[:, None] * (rates @ turning)
        return (recurrent - moving + self.feedforward + current[:, : self.n]) / self.time_constant

    @cached_property
    def _weights(self) -> tuple[FloatArray, FloatArray]:
        """Coupling without velocity, and per rad/s of it [pre, post]."""
        angle = circular.evenly_spaced(self.n)
        apart = angle - angle[:, None]  # of the postsynaptic from the presynaptic one
        still = self.inhibition + self.tuned_excitation * (1 + self.mistuning) * np.cos(apart)
        return still / self.n, self.time_constant * self.tuned_excitation * np.sin(apart) / self.n


@dataclass(frozen=True, kw_only=True)
class EpgPenRing(_OnCpu):
    """The rate model of EPG and PEN of Turner-Evans et al. 2017, from its author's code.

        tau_E dr/dt = -r + [ W_EP p + I ]+
        tau_P dp/dt = -p + [ W_PE r + 1 + k max(+-omega, 0) + I ]+

    54 EPG r, 9 PEN p on each side. A PEN is excited by 3 of the 6 EPG of its tile of the ring (right ones by the first
    half, left ones by the second) with 2 alpha / 54 each and inhibited by all EPG with beta / 54; it excites EPG by
    alpha / 9 times a von Mises density around a place 35 deg ahead (right) or behind (left), and half of one around
    its tile. Only the side that turns the bump is told the velocity.

    Constants are those of the script RateModel3Pops.m (github.com/dteinferno/CompassModel); whether they are those of
    the publication was not checked. Two departures: the script centres the densities on the first EPG of a tile, which
    makes left and right unequal and the bump turn by itself; here they are centred on the tile. And the script has no
    unit of velocity: k is chosen, so that the bump turns at 90 deg/s when told to (its only velocity, 0.01, is that).

    Attributes:
        alpha: strength of excitation.
        beta: strength of inhibition.
        concentration: of the densities.
        shift: rad.
        time_constants: of EPG and PEN, s.
        velocity_input: k, s/rad.
    """

    alpha: float = 10.0
    beta: float = 25.0
    concentration: float = 12.0
    shift: float = math.radians(35)
    time_constants: tuple[float, float] = (0.08, 0.065)
    velocity_input: float = 0.01 / math.radians(90)

    N_EPG = 54
    N_PEN = 9  # on each side

    @property
    def n_neurons(self) -> int:
        """EPG, right PEN, left PEN."""
        return self.N_EPG + 2 * self.N_PEN

    @property
    def readout(self) -> Readout:
        """The EPG in 18 wedges: 3 to each, the tiles' halves."""
        angle = np.full(self.n_neurons, np.nan)
        angle[: self.N_EPG] = circular.evenly_spaced(self.N_EPG)
        return Readout(torch.from_numpy(angle), torch.from_numpy(np.isfinite(angle)), wedges=2 * self.N_PEN)

    def weights(self) -> Float[np.ndarray, "post pre"]:
        """W [post, pre]."""
        half = self.N_EPG // self.N_PEN // 2  # EPG that excite one PEN
        angle = circular.evenly_spaced(self.N_EPG)
        found = np.zeros((self.n_neurons, self.n_neurons))
        for side, sign in enumerate((1, -1)):
            for tile in range(self.N_PEN):
                pen, first = self.N_EPG + side * self.N_PEN + tile, 2 * half * tile
                found[pen, : self.N_EPG] = -self.beta / self.N_EPG
                found[pen, first + side * half : first + (side + 1) * half] += 2 * self.alpha / self.N_EPG
                away = angle - angle[first : first + 2 * half].mean()
                ahead = vonmises.pdf(away - sign * self.shift, self.concentration)
                here = vonmises.pdf(away, self.concentration)
                found[: self.N_EPG, pen] = self.alpha / self.N_PEN * (ahead + here / 2)
        return found

    def moving(self, state: BatchUnits) -> BatchUnits:
        """All of it."""
        return state

    def state(self, moving: BatchUnits) -> BatchUnits:
        """The same."""
        return moving

    def derivative(self, moving: BatchUnits, angular_velocity: FloatArray, current: BatchUnits) -> BatchUnits:
        """As in the class."""
        weights, tau = self._stepped
        x = moving @ weights + current
        faster = 1 + self.velocity_input * np.maximum([angular_velocity, -angular_velocity], 0.0)
        x[:, self.N_EPG :] += np.repeat(faster, self.N_PEN, axis=0).T
        return (np.maximum(x, 0.0) - moving) / tau

    @cached_property
    def _stepped(self) -> tuple[FloatArray, FloatArray]:
        """Weights [pre, post] and time constants, s."""
        tau = np.repeat(self.time_constants, (self.N_EPG, 2 * self.N_PEN))
        return np.ascontiguousarray(self.weights().T), tau


def simulate_ring(
    ring: ReferenceRing,
    initial: State,
    drive: Drive,
    options: SolveOptions,
    *,
    observe: Callable[[Trajectory], Tensor],
    observed: Int[Tensor, " observed"] | None = None,
) -> Simulation:
    """A reference ring in the place of `connectome_sim.solve.simulate`, with the same explicit schemes."""
    scheme, substeps = SCHEMES[options.method], steps_per_sample(drive, options.step or drive.time_step)
    step, velocity = drive.time_step / substeps, drive.angular_velocity.numpy()
    nothing = np.zeros(initial.shape)
    x, rows = ring.moving(initial.numpy()), [initial.numpy()]
    for k in range(drive.n_steps):
        current = nothing if drive.current is None else drive.current[k].numpy()
        for _ in range(substeps):
            stage, total = x, np.zeros_like(x)
            for coupling, weight in zip((*scheme.couplings, 0.0), scheme.weights, strict=True):
                slope = step * ring.derivative(stage, velocity[k], current)
                total += weight * slope
                stage = x + coupling * slope
            x = x + total
        rows.append(ring.state(x))
    states = torch.from_numpy(np.stack(rows))
    lost = ~(states.abs().amax(dim=(0, 2)) <= MAX_RATE)
    status = torch.where(lost, int(Status.DIVERGED), int(Status.OK)).to(torch.int32)
    seen = states if observed is None else states[..., observed]
    return Simulation(drive.times, observe(seen), states[-1].clone(), status)


def measure(ring: ReferenceRing, *, protocol: Protocol, seed: int, step: float = STEP) -> EvaluationResult:
    """The held-out protocol on a reference ring: the same probes on the same traces as a fitted network's.

    Walking, rest and constant velocities. Noise and cue are currents, whose unit is not the same in two models.
    """
    options = SolveOptions(method=METHOD, step=step)
    run = Runner(ring, ring.readout, protocol, options, simulator=simulate_ring)
    return run_probes(run, seed=seed, which=("walking", "constant"))
