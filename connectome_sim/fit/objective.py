"""What a fit minimises: trials -> simulated rates -> losses, and the derivatives of these. Knows no optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from numpy.random import Generator
from torch import Tensor

from connectome_sim.errors import FitError, SolveError
from connectome_sim.fit.directions import log_gain_directions, parameter_directions
from connectome_sim.fit.linearise import Linearised, Terms, linearised
from connectome_sim.fit.options import FitOptions, Stage
from connectome_sim.fit.sketch import Sketched, residuals
from connectome_sim.losses import Observation, observe, total
from connectome_sim.losses.phase_integration import PhaseIntegration
from connectome_sim.model.activation import Activation
from connectome_sim.model.drive import Drive, cue_current
from connectome_sim.model.parameters import Parameters
from connectome_sim.model.rate import RateNetwork, build_network
from connectome_sim.model.wiring import Wiring
from connectome_sim.readout import Readout
from connectome_sim.solve import SolveOptions, solve
from connectome_sim.solve.pullback import Recording, record
from connectome_sim.solve.sensitivity import Directions, Sensitivity, sensitivities
from connectome_sim.tasks import Trials, generator, training


@dataclass(frozen=True, eq=False)
class Objective:
    """The losses of a network on seeded trials, as a function of its parameters.

    Attributes:
        wiring: the connectome as tensors.
        activation: phi.
        solve: how to integrate.
        terms: losses by name, with weights.
        options: trials, cue, stages.
        seed: of the trials.
        log_gains_start: logarithm of the gains that parsimony pulls towards.
        start: number of the start within its fit; each trains on trials of its own, and all validate on the same.
    """

    wiring: Wiring
    activation: Activation
    solve: SolveOptions
    terms: Terms
    options: FitOptions
    seed: int
    log_gains_start: Tensor
    start: int = 0

    @property
    def readout(self) -> Readout:
        """The decoder."""
        return Readout(self.wiring.ring_angle, self.wiring.epg_mask)

    @property
    def _heading_readout(self) -> Readout:
        """The decoder of rates of the heading neurons alone."""
        mask = self.wiring.epg_mask
        return Readout(self.wiring.ring_angle[mask], mask[mask])

    def trials(self, batch: int, stage: Stage) -> Trials:
        """A batch by its number: drawn from a stream of its own, so that a resumed fit sees the same."""
        random = generator(self.seed, "fit", batch, *([self.start] if self.start else []))
        return self._drawn(random, stage.n_trials, stage.horizon_s)

    def validation_trials(self) -> Trials:
        """A batch that no iteration sees, at the longest horizon."""
        random = generator(self.seed, "validation")
        return self._drawn(random, self.options.validation_trials, self.options.stages[-1].horizon_s)

    def _drawn(self, random: Generator, n_trials: int, horizon: float) -> Trials:
        drawn = training(
            random, n_trials=n_trials, duration=horizon, time_step=self.options.time_step, mix=self.options.mix
        )
        return drawn.to(dtype=self.wiring.connections.dtype, device=self.wiring.connections.device)

    def network(self, parameters: Parameters) -> RateNetwork:
        """The network of these parameters."""
        return build_network(self.wiring, parameters, self.activation)

    def stage_terms(self, stage: Stage) -> Terms:
        """The losses with the tolerances and weights of a stage."""
        terms = {}
        for name, term in self.terms.items():
            loss = term.loss.relaxed(stage.tolerance) if isinstance(term.loss, PhaseIntegration) else term.loss
            terms[name] = replace(term, loss=loss, weight=term.weight * stage.weights.get(name, 1.0))
        return terms

    def evaluate(self, parameters: Parameters, trials: Trials, terms: Terms) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and report of a batch; differentiable unless called without gradients.

        The losses see what :meth:`linearise` shows them: EPG neurons, every ``sample_every`` steps, in float64.

        Args:
            parameters: where.
            trials: the batch.
            terms: losses by name, with weights.

        Raises:
            FitError: too many diverged trials.
        """
        rates, valid = self._simulated(self.network(parameters), trials)
        return total(terms, self._observation(rates.double(), _log_gains(parameters), trials, valid))

    def linearise(self, parameters: Parameters, trials: Trials, terms: Terms, *, chunk: int = 8) -> Linearised:
        """Residuals and their derivatives by the trainable raw parameters.

        Rates and sensitivities come from one forward pass (EPG neurons, every ``sample_every`` steps); the losses are
        differentiated forwards, ``chunk`` directions at a time, in float64.

        Raises:
            FitError: too many diverged trials, or a loss or derivative that is not finite.
            SolveError: a solver other than the fused one, or a device other than the CPU.
        """
        found = self._sensitivities(parameters, trials)
        finite = (torch.isfinite(found.rates).all(dim=0), torch.isfinite(found.final))
        tangents_finite = (torch.isfinite(found.tangents).all(dim=0), torch.isfinite(found.final_tangents))
        valid = torch.stack([part.flatten(1).all(dim=1) for part in (*finite, *tangents_finite)]).all(dim=0)
        self._check_diverged(valid)
        rates = torch.where(valid[:, None], found.rates, 0.0).double()
        tangents = torch.where(valid[:, None, None], found.tangents, 0.0).movedim(-1, 0)
        return linearised(
            lambda rates, log_gains: self._observation(rates, log_gains, trials, valid),
            (rates, _log_gains(parameters).detach().double()),
            (tangents, log_gain_directions(parameters)),
            terms,
            chunk=chunk,
        )

    def sketch(
        self, parameters: Parameters, trials: Trials, terms: Terms, *, count: int, random: Generator
    ) -> Sketched:
        """Total, gradient, and the Gauss-Newton matrix from ``count`` random sums of residuals per trial.

        The losses see what :meth:`linearise` shows them.

        Raises:
            FitError: too many diverged trials, a loss or derivative that is not finite, or one that compares all
                trials.
            SolveError: a solver other than the fused one, or a device other than the CPU.
        """
        step = self._own_step("random sums are")
        with torch.no_grad():
            network = self.network(parameters)
        directions = parameter_directions(parameters, self.wiring)
        self.solve.check_step(network)
        state, observed = self._silent(trials), self.wiring.epg_mask.nonzero().flatten()
        valid = torch.ones(trials.n_trials, dtype=torch.bool)
        recordings = []
        *before, last = self._phases(trials)
        for drive in (*before, last):
            every = self.options.sample_every if drive is last else drive.n_steps
            recording = record(
                network, state, drive, method=self.solve.method, step=step, observed=observed, sample_every=every
            )
            recordings.append(recording)
            valid = valid & recording.ok
            state = torch.where(valid[:, None], recording.final, 0.0)
        self._check_diverged(valid)
        rates = torch.where(valid[:, None], recordings[-1].rates, 0.0).double().requires_grad_()
        log_gains = _log_gains(parameters).detach().double().requires_grad_()
        observation = self._observation(rates, log_gains, trials, valid)
        value, report = total(terms, observation)
        by_raw = log_gain_directions(parameters)

        def by_trial(scalar: Tensor) -> Tensor:
            """Gradient through the rates, [B, P]."""
            return _pulled(recordings, torch.autograd.grad(scalar, rates, retain_graph=True)[0], directions)

        def by_gains(scalar: Tensor) -> Tensor:
            """Gradient through the log-gains, [P]."""
            found = torch.autograd.grad(scalar, log_gains, retain_graph=True, allow_unused=True)[0]
            return by_raw.new_zeros(len(by_raw)) if found is None else by_raw @ found

        found = residuals(terms, observation, rates)
        rows = [found.by_group(by_trial(one)) / math.sqrt(count) for one in found.random_sums(count, random)]
        rows += [by_trial(one).sum(dim=0, keepdim=True) for one in found.of_batch]
        rows += [by_gains(one)[None] for residual in found.of_gains for one in residual]
        jacobian = torch.cat(rows)
        gradient = by_trial(value).sum(dim=0) + by_gains(value)
        if not (torch.isfinite(jacobian).all() and torch.isfinite(gradient).all()):
            raise FitError("a loss or its derivative is not finite; tighten the parameter bounds")
        means = {name: float(mean) for name, mean in report.items()}
        return Sketched(float(value.detach()), means, gradient, jacobian.T @ jacobian)

    def _own_step(self, what: str) -> float:
        """The step of the fused solver, without which there are no derivatives but by autograd."""
        if self.solve.backend != "fused" or self.solve.step is None:
            raise SolveError(
                f"solve, field 'backend': got {self.solve.backend!r}, wanted 'fused': {what} carried along "
                "with its steps; use stages with optimizer adam for another backend"
            )
        return self.solve.step

    def _phases(self, trials: Trials) -> tuple[Drive, Drive, Drive]:
        """Cue, settling, trial."""
        o, omega = self.options, trials.angular_velocity
        cue = cue_current(
            self.wiring.ring_angle,
            self.wiring.epg_mask,
            trials.headings,
            amplitude=o.cue_amplitude,
            concentration=o.cue_concentration,
        )
        cued, settling = (
            omega.new_zeros(round(seconds / o.time_step), trials.n_trials)
            for seconds in (o.cue_duration_s, o.settle_duration_s)
        )
        return Drive(o.time_step, cued, cue[None]), Drive(o.time_step, settling), Drive(o.time_step, omega)

    def _silent(self, trials: Trials) -> Tensor:
        """The state that every trial starts from."""
        return self.wiring.connections.new_zeros(trials.n_trials, self.wiring.n_neurons)

    def _simulated(self, network: RateNetwork, trials: Trials) -> tuple[Tensor, Tensor]:
        """EPG rates of the trial itself [samples, B, M], and which trials did not fail [B]."""
        state, observed = self._silent(trials), self.wiring.epg_mask.nonzero().flatten()
        valid = torch.ones(trials.n_trials, dtype=torch.bool, device=state.device)
        *before, last = self._phases(trials)
        for drive in (*before, last):
            every = self.options.sample_every if drive is last else drive.n_steps
            solution = solve(network, state, drive, self.solve, observed=observed, sample_every=every)
            valid = valid & solution.ok
            state = torch.where(valid[:, None], solution.final, 0.0)
        self._check_diverged(valid)
        return solution.rates, valid

    def _sensitivities(self, parameters: Parameters, trials: Trials) -> Sensitivity:
        """Rates of the trial itself and their derivatives, observed as :meth:`linearise` says."""
        step = self._own_step("sensitivities are")
        network, directions = self.network(parameters), parameter_directions(parameters, self.wiring)
        self.solve.check_step(network)
        state, tangents = self._silent(trials), None
        *before, last = self._phases(trials)
        for drive in (*before, last):
            found = sensitivities(
                network,
                state,
                drive,
                directions,
                method=self.solve.method,
                step=step,
                observed=self.wiring.epg_mask.nonzero().flatten(),
                sample_every=self.options.sample_every if drive is last else drive.n_steps,
                initial_tangents=tangents,
            )
            state, tangents = found.final, found.final_tangents
        return found

    def _observation(self, rates: Tensor, log_gains: Tensor, trials: Trials, valid: Tensor) -> Observation:
        """What the losses see of EPG rates [samples, B, M], at evenly spaced times from 0."""
        readout = self._heading_readout
        every, dtype = trials.n_steps // (len(rates) - 1), rates.dtype
        velocity = trials.angular_velocity.reshape(-1, every, trials.n_trials).mean(dim=1)
        return observe(
            rates,
            read=readout.to(dtype=dtype).read,
            epg_mask=readout.epg_mask,
            velocity=velocity.to(dtype),
            displacement_target=trials.displacement()[::every].to(dtype),
            cue_heading=trials.headings.to(dtype),
            time_step=trials.time_step * every,
            valid=valid,
            scaled_pairs=trials.scaled_pairs if len(trials.scaled_pairs.first) else None,
            equal_pairs=trials.equal_pairs if len(trials.equal_pairs.first) else None,
            log_gains=log_gains.to(dtype),
            log_gains_start=self.log_gains_start.to(dtype),
        )

    def _check_diverged(self, valid: Tensor) -> None:
        """Raise a FitError where more trials failed than a fit can do without."""
        failed = int((~valid).sum())
        if failed == len(valid) or failed > self.options.largest_failed_share * len(valid):
            raise FitError(
                f"{failed} of {len(valid)} trials diverged (allowed share {self.options.largest_failed_share:g}); "
                "use smaller steps of the optimizer or tighter parameter bounds"
            )


def _pulled(recordings: Sequence[Recording], grad_rates: Tensor, directions: Directions) -> Tensor:
    """Gradient of a function of the last recording's rates by each direction, trial by trial [B, P], float64."""
    moved = {
        name: getattr(directions, name).double().flatten(end_dim=-2)
        for name in ("gain", "bias", "time_constant", "velocity_input")
    }
    rows, onward = grad_rates.new_zeros(grad_rates.shape[1], directions.count), None
    for recording in reversed(recordings):
        if onward is None:
            found = recording.pull(grad_rates, torch.zeros_like(recording.final))
        else:
            found = recording.pull(torch.zeros_like(recording.rates), onward)
        rows += sum(getattr(found, name).flatten(start_dim=1) @ along for name, along in moved.items())
        onward = found.initial
    return rows


def _log_gains(parameters: Parameters) -> Tensor:
    """Logarithm of the gains [G], differentiable."""
    return torch.log(parameters.values("gain"))
