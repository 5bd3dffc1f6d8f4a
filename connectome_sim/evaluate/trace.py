"""Running trials from settled states and keeping what the metrics need of them. Knows no probe and no metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar, runtime_checkable
from typing import Protocol as Interface

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from connectome_sim import circular
from connectome_sim.axes import State, VelocityTrace
from connectome_sim.errors import SolveError
from connectome_sim.evaluate.protocol import Protocol
from connectome_sim.model import Drive
from connectome_sim.model.drive import cue_current
from connectome_sim.readout import Readout
from connectome_sim.solve import Simulation, SolveOptions, simulate

SEGMENT_S = 1.0  # s of input held in memory at once (chosen: noise for 64 trials of 400 neurons is then 20 MB)

Progress = Callable[[str, float, float], None]  # probe, seconds simulated, seconds in all


@dataclass(frozen=True, eq=False)
class Trace:
    """What is kept of a batch of trials; NaN throughout for a trial whose solve failed.

    Attributes:
        time: s, [t], from 0.
        heading: decoded heading, rad, unwrapped along the time axis [t, B].
        vector_length: of the population vector, 0 to 1 [t, B].
        profile: mean rate in each wedge of the ring [t, watched trials, wedge].
        rates: of the neurons that are read [t, watched trials, read].
        final: rates at the end [B, N].
    """

    time: np.ndarray
    heading: np.ndarray
    vector_length: np.ndarray
    profile: np.ndarray
    rates: np.ndarray
    final: Tensor

    @property
    def displacement(self) -> np.ndarray:
        """Decoded heading minus the decoded initial one, rad, unwrapped [t, B]."""
        return self.heading - self.heading[0]

    def trials(self, which: slice) -> Trace:
        """Some of the trials (profile and rates keep the watched ones)."""
        return replace(
            self,
            heading=self.heading[:, which],
            vector_length=self.vector_length[:, which],
            final=self.final[which],
        )


@runtime_checkable
class Measured(Interface):
    """What the probes ask of what they measure; the rest is between it and its simulator."""

    @property
    def n_neurons(self) -> int:
        """Length of a state."""

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of a state."""

    @property
    def device(self) -> torch.device:
        """Where states live."""


NetworkT = TypeVar("NetworkT", bound=Measured)


@dataclass(frozen=True)
class Runner(Generic[NetworkT]):
    """A network with everything that does not change from probe to probe.

    Attributes:
        network: the network that is measured.
        readout: its decoder.
        protocol: durations, cue and thresholds.
        options: solver, method and step.
        progress: called after every simulated second, or None.
        cued: neurons that the cue reaches; those that are read if None.
        simulator: what runs the network, called as `connectome_sim.solve.simulate`.
    """

    network: NetworkT
    readout: Readout
    protocol: Protocol
    options: SolveOptions
    progress: Progress | None = None
    cued: Bool[Tensor, " neuron"] | None = None
    simulator: Callable[..., Simulation] = simulate

    def cue(self, headings: np.ndarray) -> State:
        """Cue current at ``headings`` (rad), [B, N]."""
        return cue_current(
            self.readout.ring_angle,
            self.readout.epg_mask if self.cued is None else self.cued,
            torch.as_tensor(headings, dtype=self.network.dtype, device=self.network.device),
            amplitude=self.protocol.cue_amplitude,
            concentration=self.protocol.cue_concentration,
        )

    def settle(self, headings: np.ndarray) -> State:
        """Settled states [B, N] at rest: silent network, cue at ``headings`` (rad), then no input.

        Raises:
            SolveError: the network diverges in every trial, so that there is nothing to measure.
        """
        p, batch = self.protocol, len(headings)
        silent = torch.zeros(batch, self.network.n_neurons, dtype=self.network.dtype, device=self.network.device)
        cued = self.run("cue", silent, [self.still(p.cue_duration_s, batch, self.cue(headings))]).final
        state = self.run("settle", cued, [self.still(p.settle_duration_s, batch)]).final
        if not torch.isfinite(state).all(dim=-1).any():
            raise SolveError(
                "evaluation: no trial survived the cue and the settling time; the network diverges at rest"
            )
        return state

    def still(self, duration: float, batch: int, current: State | None = None) -> Drive:
        """No velocity, and a current [B, N] that stays on for the whole ``duration`` (s)."""
        steps = round(duration / self.protocol.input_step_s)
        velocity = torch.zeros(steps, batch, dtype=self.network.dtype, device=self.network.device)
        return Drive(self.protocol.input_step_s, velocity, None if current is None else current.expand(steps, -1, -1))

    def moving(self, angular_velocity: VelocityTrace) -> Iterator[Drive]:
        """The drive of a velocity trace [T, B], rad/s, in segments."""
        velocity = angular_velocity.to(dtype=self.network.dtype, device=self.network.device)
        for segment in velocity.split(round(SEGMENT_S / self.protocol.input_step_s) or 1):
            yield Drive(self.protocol.input_step_s, segment)

    def run(
        self, name: str, initial: State, segments: Iterable[Drive], *, total_s: float = 0.0, watch: slice = slice(1)
    ) -> Trace:
        """Runs consecutive drives from ``initial`` [B, N], reading the network every ``input_step_s``.

        Args:
            name: of the probe, for progress.
            initial: rates at t = 0.
            segments: drives that follow one another.
            total_s: length of all segments, s, for progress.
            watch: trials whose profile and rates are kept.
        """
        batch = initial.shape[0]
        state, steps = initial, 0
        pieces: list[Tensor] = []
        failed = ~torch.isfinite(initial).all(dim=-1)
        state = state.masked_fill(failed[:, None], 0.0)  # a failed trial is carried along silent, and marked at the end
        for drive in segments:
            result = self.simulator(
                self.network, state, drive, self.options, observe=self._observer(watch), observed=self._read
            )
            failed = failed | ~result.ok
            state = result.final.masked_fill(failed[:, None], 0.0)
            pieces.append(result.observed[1:] if pieces else result.observed)
            steps += drive.n_steps
            if self.progress is not None and total_s:
                self.progress(name, steps * self.protocol.input_step_s, total_s)
        observed = torch.cat(pieces).cpu()
        lost = failed.cpu().numpy()
        heading, length = (observed[:, part].numpy() for part in (slice(batch), slice(batch, 2 * batch)))
        rates = observed[:, 2 * batch :].unflatten(1, (-1, len(self._read)))
        return Trace(
            time=np.arange(steps + 1) * self.protocol.input_step_s,
            heading=np.where(lost, np.nan, circular.unwrap(heading)),
            vector_length=np.where(lost, np.nan, length),
            profile=self._reader.to(device="cpu").profile(rates).numpy(),
            rates=rates.numpy(),
            final=state.masked_fill(failed[:, None], torch.nan),
        )

    @cached_property
    def _read(self) -> Tensor:
        """Indices of the neurons that are read: the rates of all others need not be kept."""
        return self.readout.epg_mask.nonzero()[:, 0]

    @cached_property
    def _reader(self) -> Readout:
        """The decoder for the rates of the read neurons alone."""
        whole, read = self.readout, self._read
        return Readout(whole.ring_angle[read], whole.epg_mask[read], whole.wedges)

    def _observer(self, watch: slice) -> Callable[[Tensor], Tensor]:
        """Rates of those [t, B, read] -> one row per time: headings, vector lengths, rates of the watched trials."""
        reader = self._reader

        def observe(rates: Tensor) -> Tensor:
            watched = rates[:, watch].flatten(1)
            return torch.cat([reader.heading(rates), reader.vector_length(rates), watched], dim=1)

        return observe
