"""What a fit minimises: trials -> simulated rates -> losses, and the derivatives of these. Knows no optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.fit.options import FitOptions, Stage
from connectome_sim.losses import Observation, WeightedLoss, observe, total
from connectome_sim.losses.phase_integration import PhaseIntegration
from connectome_sim.model.activation import Activation
from connectome_sim.model.drive import Drive, cue_current
from connectome_sim.model.parameters import Parameters
from connectome_sim.model.rate import RateNetwork, build_network
from connectome_sim.model.wiring import Wiring
from connectome_sim.readout import Readout
from connectome_sim.solve import SolveOptions, Status, solve
from connectome_sim.solve.sensitivity import Directions, Sensitivity, sensitivities
from connectome_sim.tasks import Trials, generator, training

Terms = Mapping[str, WeightedLoss]


@dataclass(frozen=True, eq=False)
class Linearised:
    """Every counted loss value of a batch as a residual, with its derivatives.

    The total is half the sum of squares of ``residuals``: a value v of weight w among n is (w / n) v = 1/2 (2 w v / n).

    Attributes:
        total: weighted sum of the losses.
        report: mean of each loss.
        residuals: [M].
        jacobian: [M, P], by the raw parameters in the order of ``trainable``.
    """

    total: float
    report: dict[str, float]
    residuals: Tensor
    jacobian: Tensor


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
    """

    wiring: Wiring
    activation: Activation
    solve: SolveOptions
    terms: Terms
    options: FitOptions
    seed: int
    log_gains_start: Tensor

    @property
    def readout(self) -> Readout:
        """The decoder."""
        return Readout(self.wiring.ring_angle, self.wiring.epg_mask)

    def trials(self, iteration: int, stage: Stage) -> Trials:
        """The batch of an iteration: drawn from a stream of its own, so that a resumed fit sees the same."""
        random = generator(self.seed, "fit", iteration)
        return self._drawn(random, stage.n_trials, stage.horizon_s)

    def validation_trials(self) -> Trials:
        """A batch that no iteration sees, at the longest horizon."""
        random = generator(self.seed, "validation")
        return self._drawn(random, self.options.validation_trials, self.options.stages[-1].horizon_s)

    def _drawn(self, random, n_trials: int, horizon: float) -> Trials:  # type: ignore[no-untyped-def]
        drawn = training(
            random, n_trials=n_trials, duration=horizon, time_step=self.options.time_step, mix=self.options.mix
        )
        return drawn.to(dtype=self.wiring.connections.dtype, device=self.wiring.connections.device)

    def network(self, parameters: Parameters) -> RateNetwork:
        """The network of these parameters."""
        return build_network(self.wiring, parameters, self.activation)

    def stage_terms(self, stage: Stage) -> Terms:
        """The losses with the tolerances of a stage."""
        return {
            name: replace(term, loss=term.loss.relaxed(stage.tolerance))
            if isinstance(term.loss, PhaseIntegration)
            else term
            for name, term in self.terms.items()
        }

    def evaluate(
        self, parameters: Parameters, trials: Trials, terms: Terms, *, sample_every: int = 1
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and report of a batch; differentiable unless called without gradients."""
        rates, ok = self._simulated(self.network(parameters), trials)
        observation = self._observation(rates, trials, ok, parameters, sample_every, epg_only=sample_every > 1)
        return total(terms, observation)

    def _simulated(self, network: RateNetwork, trials: Trials) -> tuple[Tensor, Tensor]:
        state = torch.zeros(trials.n_trials, network.n_neurons, dtype=network.dtype, device=network.device)
        ok = torch.ones(trials.n_trials, dtype=torch.bool, device=network.device)
        solution = None
        for drive in self._phases(trials):
            solution = solve(network, state, drive, self.solve)
            state, ok = solution.rates[-1], ok & (solution.status == Status.OK)
            if not ok.all():
                state = torch.where(ok[:, None], state, torch.zeros_like(state))
        assert solution is not None
        if (~ok).double().mean() > self.options.largest_failed_share:
            raise FitError(
                f"{int((~ok).sum())} of {len(ok)} trials diverged (allowed share "
                f"{self.options.largest_failed_share:g}); use a smaller learning rate or tighter parameter bounds"
            )
        return solution.rates, ok

    def _phases(self, trials: Trials) -> list[Drive]:
        """Cue, settling, trial."""
        o, omega = self.options, trials.angular_velocity
        cue = cue_current(
            self.wiring.ring_angle,
            self.wiring.epg_mask,
            trials.headings,
            amplitude=o.cue_amplitude,
            concentration=o.cue_concentration,
        )
        nothing = [
            omega.new_zeros(round(s / o.time_step), trials.n_trials) for s in (o.cue_duration_s, o.settle_duration_s)
        ]
        return [
            Drive(o.time_step, nothing[0], cue[None]),
            Drive(o.time_step, nothing[1]),
            Drive(o.time_step, omega),
        ]

    def _observation(
        self,
        rates: Tensor,
        trials: Trials,
        ok: Tensor,
        parameters: Parameters | None,
        sample_every: int,
        *,
        epg_only: bool,
        log_gains: Tensor | None = None,
    ) -> Observation:
        mask = self.wiring.epg_mask
        readout = self.readout
        if epg_only:
            rates = rates[::sample_every][..., mask] if rates.shape[-1] == len(mask) else rates
            readout, mask = Readout(readout.ring_angle[mask], mask[mask]), mask[mask]
        readout = readout.to(dtype=rates.dtype)
        velocity = trials.angular_velocity.to(rates.dtype)
        velocity = velocity.reshape(-1, sample_every, trials.n_trials).mean(dim=1)
        if log_gains is None:
            assert parameters is not None
            log_gains = torch.log(parameters.values("gain"))
        return observe(
            rates,
            read=readout.read,
            epg_mask=mask,
            velocity=velocity,
            displacement_target=trials.displacement()[::sample_every].to(rates.dtype),
            cue_heading=trials.headings.to(rates.dtype),
            time_step=trials.time_step * sample_every,
            valid=ok,
            scaled_pairs=trials.scaled_pairs if len(trials.scaled_pairs.first) else None,
            equal_pairs=trials.equal_pairs if len(trials.equal_pairs.first) else None,
            log_gains=log_gains.to(rates.dtype),
            log_gains_start=self.log_gains_start.to(rates.dtype),
        )

    def linearise(self, parameters: Parameters, trials: Trials, terms: Terms, *, chunk: int = 8) -> Linearised:
        """Residuals and their derivatives by the trainable raw parameters.

        Rates and sensitivities come from one forward pass (EPG neurons, every ``sample_every`` steps); the losses are
        differentiated forwards, ``chunk`` directions at a time, in float64.
        """
        every = self.options.sample_every
        network = self.network(parameters)
        directions = parameter_directions(parameters, self.wiring)
        sensitivity = self._sensitivities(network, trials, directions, every)
        rates, tangents = sensitivity.rates.double(), sensitivity.tangents
        ok = torch.isfinite(rates).all(dim=2).all(dim=0) & torch.isfinite(tangents).flatten(2).all(dim=2).all(dim=0)
        if (~ok).double().mean() > self.options.largest_failed_share:
            raise FitError(f"{int((~ok).sum())} of {len(ok)} trials diverged; tighten the parameter bounds")
        rates = torch.where(ok[:, None], rates, 0.0)
        tangents = torch.where(ok[:, None, None], tangents, 0.0)
        log_gains = torch.log(parameters.values("gain")).detach().double()
        d_log_gains = _log_gain_directions(parameters)

        def values(rates: Tensor, log_gains: Tensor) -> tuple[Tensor, ...]:
            seen = self._observation(rates, trials, ok, None, every, epg_only=True, log_gains=log_gains)
            return tuple(term.loss(seen) for term in weighted.values())

        weighted = {name: term for name, term in terms.items() if term.weight > 0}
        observation = self._observation(rates, trials, ok, None, every, epg_only=True, log_gains=log_gains)
        value, report = total(terms, observation)
        where = [term.loss.where(observation) for term in weighted.values()]
        plain = values(rates, log_gains)
        columns: list[list[Tensor]] = []
        for low in range(0, directions.count, chunk):
            piece = tangents[..., low : low + chunk].double().movedim(-1, 0)
            columns.append(
                [
                    derivative[:, mask]
                    for derivative, mask in zip(
                        torch.func.vmap(lambda dr, dg: torch.func.jvp(values, (rates, log_gains), (dr, dg))[1])(
                            piece, d_log_gains[low : low + chunk]
                        ),
                        where,
                        strict=True,
                    )
                ]
            )
        residuals, jacobian = [], []
        for k, (term, mask) in enumerate(zip(weighted.values(), where, strict=True)):
            if not mask.any():
                continue
            scale = term.weight / int(mask.sum())
            residual = torch.sqrt(2 * scale * plain[k][mask].clamp(min=0))
            derivative = torch.cat([column[k] for column in columns]).T
            safe = residual.clamp(min=1e-12)[:, None]
            residuals.append(residual)
            jacobian.append(torch.where(residual[:, None] > 1e-12, scale * derivative / safe, 0.0))
        return Linearised(
            float(value), {k: float(v) for k, v in report.items()}, torch.cat(residuals), torch.cat(jacobian)
        )

    def _sensitivities(self, network: RateNetwork, trials: Trials, directions: Directions, every: int) -> Sensitivity:
        assert self.solve.step is not None
        self.solve.check_step(network)
        observed = self.wiring.epg_mask.nonzero().flatten()
        state = torch.zeros(trials.n_trials, network.n_neurons, dtype=network.dtype)
        tangents, result = None, None
        *before, last = self._phases(trials)
        for drive in (*before, last):
            result = sensitivities(
                network,
                state,
                drive,
                directions,
                method=self.solve.method,
                step=self.solve.step,
                observed=observed,
                sample_every=every if drive is last else drive.n_steps,
                initial_tangents=tangents,
            )
            state, tangents = result.final, result.final_tangents
        assert result is not None
        return result


def trainable(parameters: Parameters) -> list[str]:
    """Names of the families that a fit may move, in the order of the Jacobian's columns."""
    return [family for family, raw in parameters.raw.items() if raw.requires_grad]


def parameter_directions(parameters: Parameters, wiring: Wiring) -> Directions:
    """One direction per trainable raw parameter, in the order of :func:`trainable`."""
    member = wiring.membership.to(torch.float64)
    groups = {
        "gain": torch.nn.functional.one_hot(parameters.gain_group + 1, len(parameters.names("gain")) + 1)[..., 1:],
        "threshold": -_spread(parameters, "threshold", member),
        "time_constant": _spread(parameters, "time_constant", member),
        "velocity_gain": _velocity_spread(parameters, wiring),
    }
    places = {"gain": "gain", "threshold": "bias", "time_constant": "time_constant", "velocity_gain": "velocity_input"}
    parts: dict[str, list[Tensor]] = {place: [] for place in places.values()}
    n, k = wiring.n_neurons, wiring.n_types
    for family in trainable(parameters):
        derivative = groups[family].double() * _slope(parameters, family)
        for name, place in places.items():
            shape = (k, k, derivative.shape[-1]) if place == "gain" else (n, derivative.shape[-1])
            parts[place].append(derivative if name == family else derivative.new_zeros(shape))
    dtype = wiring.connections.dtype
    return Directions(**{place: torch.cat(columns, dim=-1).to(dtype) for place, columns in parts.items()})


def _slope(parameters: Parameters, family: str) -> Tensor:
    """Derivative of each value of a family by its raw number [G], float64."""
    raw = parameters.raw[family].detach().double()
    return torch.func.jvp(parameters.spec.bounds[family].forward, (raw,), (torch.ones_like(raw),))[1]


def _spread(parameters: Parameters, family: str, member: Tensor) -> Tensor:
    """Which neuron uses which value of a family [N, G]."""
    return member if len(parameters.names(family)) == member.shape[1] else member.sum(dim=1, keepdim=True)


def _velocity_spread(parameters: Parameters, wiring: Wiring) -> Tensor:
    one_hot = torch.nn.functional.one_hot(wiring.velocity_type_index + 1, len(wiring.velocity_types) + 1)[:, 1:]
    spread = one_hot * wiring.velocity_side.double()[:, None]
    return spread if len(parameters.names("velocity_gain")) == spread.shape[1] else spread.sum(dim=1, keepdim=True)


def _log_gain_directions(parameters: Parameters) -> Tensor:
    """Derivative of the log-gains by each trainable raw parameter [P, G], float64."""
    families = trainable(parameters)
    sizes = [parameters.raw[family].numel() for family in families]
    table = torch.zeros(sum(sizes), len(parameters.names("gain")), dtype=torch.float64)
    if "gain" in families:
        first = sum(sizes[: families.index("gain")])
        slope = _slope(parameters, "gain") / parameters.values("gain").detach().double()
        table[first : first + len(slope)] = torch.diag(slope)
    return table
