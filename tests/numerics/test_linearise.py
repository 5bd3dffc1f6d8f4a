"""Residuals and their Jacobian against the gradient through the solver and against finite differences."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from connectome_sim.errors import ConfigError, FitError, SolveError
from connectome_sim.fit import Stage
from connectome_sim.fit.directions import parameter_directions, trainable
from connectome_sim.fit.objective import Objective
from connectome_sim.losses import LOSSES, Observation, WeightedLoss
from connectome_sim.model.parameters import Parameters
from connectome_sim.solve import Solution, SolveOptions, Status, solve
from connectome_sim.solve.sensitivity import Sensitivity, sensitivities
from connectome_sim.tasks import Trials
from tests import typed_ring

STAGE = Stage(horizon_s=0.3, iterations=1, n_trials=10)  # of each kind at least one, and one triple
OPTIONS = typed_ring.options(STAGE)
# each loss with options that leave none of its values at 0
TERMS = {
    "phase_integration": LOSSES["phase_integration"](tolerance_deg=2.0, tolerance_share=0.1, saturation=4.0),
    "linear_consistency": LOSSES["linear_consistency"](),
    "stability": LOSSES["stability"](),
    "drift": LOSSES["drift"](),
    "minimum_speed": LOSSES["minimum_speed"](floor=3.0),
    "bump": LOSSES["bump"](length_floor=0.9, amplitude_floor=0.95, lowest_mean=0.0, highest_mean=0.1),
    "entropy": LOSSES["entropy"](),
    "cue": LOSSES["cue"](),
    "coverage": LOSSES["coverage"](),
    "parsimony": LOSSES["parsimony"](),
}


def trials_of(objective: Objective) -> Trials:
    return objective.trials(0, STAGE)


def gradient(objective: Objective, parameters: Parameters) -> tuple[float, Tensor]:
    """Total and its gradient by the trainable raw parameters, through the solver."""
    value, _ = objective.evaluate(parameters, trials_of(objective), objective.terms)
    leaves = [parameters.raw[family] for family in trainable(parameters)]
    parts = torch.autograd.grad(value, leaves, materialize_grads=True)  # 0 where a loss does not see a family
    return float(value.detach()), torch.cat(parts)


def check(objective: Objective, parameters: Parameters, tolerance: float) -> None:
    """Half the sum of squares is the total, J^T r its gradient."""
    linear = objective.linearise(parameters, trials_of(objective), objective.terms)
    value, wanted = gradient(objective, parameters)
    assert linear.jacobian.shape == (len(linear.residuals), parameters.n_parameters)
    assert float(linear.residuals.square().sum() / 2) == pytest.approx(value, rel=tolerance)
    assert linear.total == pytest.approx(value, rel=tolerance)
    found = linear.jacobian.T @ linear.residuals
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()))


def test_the_default_losses_together() -> None:
    check(*typed_ring.problem(fit_options=OPTIONS), tolerance=1e-8)


@pytest.mark.parametrize("method", ["heun", "rk4", "exponential_euler"])
def test_the_default_losses_with_other_schemes(method: str) -> None:
    check(*typed_ring.problem(fit_options=OPTIONS, method=method), tolerance=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_alone(name: str) -> None:
    check(*typed_ring.problem({name: WeightedLoss(3.0, TERMS[name])}, fit_options=OPTIONS), tolerance=1e-8)


@dataclass(frozen=True)
class Signed:
    """A stub of a loss whose mean is positive and whose values are not, as entropy's may be."""

    def __call__(self, observation: Observation) -> Tensor:
        return 0.5 + observation.phase.cos()

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.phase, dtype=torch.bool)


def test_a_loss_with_negative_values_enters_by_its_mean() -> None:
    objective, parameters = typed_ring.problem({"signed": WeightedLoss(3.0, Signed())}, fit_options=OPTIONS)
    check(objective, parameters, tolerance=1e-8)
    assert len(objective.linearise(parameters, trials_of(objective), objective.terms).residuals) == 1


def test_single_precision_rates_are_enough_for_a_step() -> None:
    """Rates are stepped in float32 and judged in float64: 1e-7 of rounding, more of it in 1 - cos of a small angle."""
    check(*typed_ring.problem(fit_options=OPTIONS, dtype=torch.float32), tolerance=1e-3)


@dataclass(frozen=True, eq=False)
class Seen:
    """A stub of a loss that keeps what it is shown."""

    observations: list[Observation] = field(default_factory=list)

    def __call__(self, observation: Observation) -> Tensor:
        self.observations.append(observation)
        return 2.0 + observation.phase.cos()

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.phase, dtype=torch.bool)


@pytest.mark.parametrize("sample_every", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_see_the_same_wherever_they_are_asked(dtype: torch.dtype, sample_every: int) -> None:
    """EPG neurons every so many steps in double precision: stability, for one, would differ between samplings."""
    seen = Seen()
    fit_options = replace(OPTIONS, sample_every=sample_every)
    terms = {"seen": WeightedLoss(1.0, seen)}
    objective, parameters = typed_ring.problem(terms, fit_options=fit_options, dtype=dtype)
    for look in (objective.evaluate, objective.linearise):
        seen.observations.clear()
        look(parameters, trials_of(objective), terms)
        observation = seen.observations[0]
        assert observation.rates.shape == (30 // sample_every + 1, 10, 16)  # 0.3 s, 16 EPG
        assert observation.epg_mask.all()
        assert observation.time_step == pytest.approx(0.01 * sample_every)
        assert observation.rates.dtype == observation.velocity.dtype == torch.float64
    check(*typed_ring.problem({"stability": WeightedLoss(1.0, LOSSES["stability"]())}, fit_options=fit_options), 1e-8)


@pytest.mark.parametrize("gains", ["pair", "type", "ei", "global"])
@pytest.mark.parametrize("by_type", ["type", "global"])
def test_every_granularity(gains: str, by_type: str) -> None:
    spec = typed_ring.spec(gains=gains, thresholds=by_type, time_constants=by_type, velocity_gains=by_type)
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    # by hand: 7 type pairs, 3 presynaptic types, 2 signs; 3 types twice; 1 velocity type
    width = {"pair": 7, "type": 3, "ei": 2, "global": 1}[gains] + {"type": 6, "global": 2}[by_type] + 1
    assert parameter_directions(parameters, objective.wiring).count == parameters.n_parameters == width
    check(objective, parameters, tolerance=1e-8)


@pytest.mark.parametrize("families", [{"gain"}, {"threshold", "velocity_gain"}, {"time_constant"}])
def test_columns_are_those_of_the_trainable_families(families: set[str]) -> None:
    spec = typed_ring.spec(trainable=frozenset(families))
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    whole, all_parameters = typed_ring.problem(fit_options=OPTIONS)
    check(objective, parameters, tolerance=1e-8)
    linear, complete = (
        o.linearise(p, trials_of(o), o.terms) for o, p in ((objective, parameters), (whole, all_parameters))
    )
    sizes = {family: raw.numel() for family, raw in all_parameters.raw.items()}
    columns = torch.cat([torch.full((n,), family in families) for family, n in sizes.items()])
    torch.testing.assert_close(linear.jacobian, complete.jacobian[:, columns], rtol=1e-12, atol=1e-12)


def test_the_jacobian_agrees_with_finite_differences_of_the_residuals() -> None:
    spec = typed_ring.spec(gains="ei", thresholds="global", time_constants="global")
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    linear, h = objective.linearise(parameters, trials_of(objective), objective.terms), 1e-5
    far = linear.residuals > 1e-2 * linear.residuals.max()  # a root has no derivative at 0
    column = 0
    for raw in parameters.raw.values():
        for k in range(len(raw)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    raw[k] += sign * h
                    ends.append(objective.linearise(parameters, trials_of(objective), objective.terms).residuals)
                    raw[k] -= sign * h
            slope = (ends[0] - ends[1]) / (2 * h)
            atol = 1e-5 * float(linear.jacobian[far].abs().max())
            torch.testing.assert_close(linear.jacobian[far, column], slope[far], rtol=0, atol=atol)
            column += 1


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_number_of_directions_at_a_time_changes_nothing(chunk: int) -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    whole = objective.linearise(parameters, trials_of(objective), objective.terms)
    pieces = objective.linearise(parameters, trials_of(objective), objective.terms, chunk=chunk)
    torch.testing.assert_close(pieces.jacobian, whole.jacobian, rtol=1e-12, atol=1e-12)


def test_a_loss_without_weight_is_reported_and_has_no_residual() -> None:
    terms = typed_ring.default_terms()
    objective, parameters = typed_ring.problem(terms, fit_options=OPTIONS)
    with_drift = terms | {"drift": WeightedLoss(0.0, LOSSES["drift"]())}
    plain, more = (objective.linearise(parameters, trials_of(objective), t) for t in (terms, with_drift))
    assert more.report["drift"] > 0
    assert torch.equal(plain.residuals, more.residuals)


def test_a_loss_that_applies_to_nothing_leaves_the_others_alone() -> None:
    rest_free = replace(OPTIONS, mix=replace(OPTIONS.mix, rest=0.0, walking=0.5))
    terms = typed_ring.default_terms() | {"drift": WeightedLoss(1.0, LOSSES["drift"]())}
    check(*typed_ring.problem(terms, fit_options=rest_free), tolerance=1e-8)
    with pytest.raises(FitError, match=r"none of the losses \('drift',\) applies"):
        objective, parameters = typed_ring.problem({"drift": terms["drift"]}, fit_options=rest_free)
        objective.linearise(parameters, trials_of(objective), objective.terms)


def test_trials_that_fail_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if they had not been in the batch: neither values nor derivatives of theirs count, finite or not."""
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    whole = objective.linearise(parameters, trials_of(objective), objective.terms)

    def failing_solve(*args: Any, **options: Any) -> Solution:
        solution = solve(*args, **options)
        spoil = torch.arange(STAGE.n_trials) < 2
        return replace(
            solution,
            rates=torch.where(spoil[:, None], torch.nan, solution.rates),
            final=torch.where(spoil[:, None], torch.nan, solution.final),
            status=torch.where(spoil, Status.DIVERGED, solution.status).int(),
        )

    def failing_sensitivities(*args: Any, **options: Any) -> Sensitivity:
        found = sensitivities(*args, **options)
        for part in (found.rates, found.tangents):
            part[-1:, :2] = torch.nan
        return found

    monkeypatch.setattr("connectome_sim.fit.objective.solve", failing_solve)
    monkeypatch.setattr("connectome_sim.fit.objective.sensitivities", failing_sensitivities)
    check(objective, parameters, tolerance=1e-8)
    fewer = objective.linearise(parameters, trials_of(objective), objective.terms)
    # bump and cue and both integration losses lose two trials of ten; parsimony has no trials
    n_gains = len(parameters.names("gain"))
    assert len(fewer.residuals) - n_gains == (len(whole.residuals) - n_gains) * 8 / 10
    strict = replace(objective, options=replace(OPTIONS, largest_failed_share=0.1))
    with pytest.raises(FitError, match=r"2 of 10 trials diverged \(allowed share 0.1\)"):
        strict.linearise(parameters, trials_of(objective), objective.terms)
    with pytest.raises(FitError, match=r"2 of 10 trials diverged \(allowed share 0.1\)"):
        strict.evaluate(parameters, trials_of(objective), objective.terms)


# --- what cannot be linearised ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    """A stub of a loss: the same value everywhere, from the rates so that it has a derivative."""

    value: float

    def __call__(self, observation: Observation) -> Tensor:
        return self.value + 0.0 * observation.amplitude

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.amplitude, dtype=torch.bool)


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "loss stub: a value"), (-0.5, "loss stub: got a mean of -0.5")]
)
def test_a_loss_without_a_root_is_refused(value: float, message: str) -> None:
    objective, parameters = typed_ring.problem({"stub": WeightedLoss(1.0, Constant(value))}, fit_options=OPTIONS)
    with pytest.raises(FitError, match=message):
        objective.linearise(parameters, trials_of(objective), objective.terms)


def test_values_below_zero_by_rounding_count_as_zero() -> None:
    objective, parameters = typed_ring.problem({"stub": WeightedLoss(1.0, Constant(-1e-17))}, fit_options=OPTIONS)
    linear = objective.linearise(parameters, trials_of(objective), objective.terms)
    assert not linear.residuals.any()
    assert not linear.jacobian.any()


def test_another_backend_is_refused() -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    other = replace(objective, solve=SolveOptions(backend="reference", method="rk4", step=OPTIONS.time_step))
    with pytest.raises(SolveError, match="'backend': got 'reference', wanted 'fused'"):
        other.linearise(parameters, trials_of(objective), objective.terms)


def test_trials_to_compare_are_needed_where_a_loss_compares() -> None:
    plain = replace(OPTIONS, mix=replace(OPTIONS.mix, consistency=0.0, walking=0.6))
    terms = {"consistency": WeightedLoss(1.0, TERMS["linear_consistency"])}
    objective, parameters = typed_ring.problem(terms, fit_options=plain)
    with pytest.raises(ConfigError, match="without trial pairs"):
        objective.linearise(parameters, trials_of(objective), objective.terms)
