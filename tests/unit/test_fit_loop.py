"""The loop of a fit, with its optimiser and its losses replaced by stubs that say what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from connectome_sim.errors import ConfigError, FitError, RunFolderError, SolveError, StepError
from connectome_sim.fit import Adam, FitOptions, FitResult, FitState, GaussNewton, SpectralStart, Stage, fit
from connectome_sim.fit.linearise import Terms
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.optimizers import Method, Step
from connectome_sim.fit.options import OPTIMIZERS
from connectome_sim.fit.start import spectral_start
from connectome_sim.losses import LOSSES, Observation, WeightedLoss
from connectome_sim.losses.phase_integration import PhaseIntegration
from connectome_sim.model.activation import SIGMOID, Activation
from connectome_sim.model.bounds import Bounds
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.records.checkpoint import read_checkpoint, write_checkpoint
from connectome_sim.solve import SolveOptions
from connectome_sim.tasks import Trials, generator
from tests import typed_ring

WIRING = typed_ring.wiring()
SHORT = 0.05  # s, one sample


# --- stubs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Heard:
    """A stub of a loss: how far the first log-gain is above that of the start; keeps what it was shown."""

    observations: list[Observation] = field(default_factory=list)

    def __call__(self, observation: Observation) -> Tensor:
        self.observations.append(observation)
        assert observation.log_gains is not None and observation.log_gains_start is not None
        return (observation.log_gains - observation.log_gains_start)[:1]

    def where(self, observation: Observation) -> Tensor:
        return torch.ones(1, dtype=torch.bool)


@dataclass(frozen=True, eq=False)
class Scripted:
    """A stub of a method: puts the first log-gain so far above its start as the script says, and writes a diary."""

    script: list[float]
    totals: list[float] = field(default_factory=list)
    redraw_every: int = 1
    validate_every: int = 2
    diary: list[dict[str, Any]] = field(default_factory=list)
    starts: list[Tensor] = field(default_factory=list)

    def start(self, parameters: Parameters) -> Any:
        self.starts.append(parameters.raw["gain"].detach().clone())
        return _Playing(self, parameters)


class _Playing:
    def __init__(self, method: Scripted, parameters: Parameters) -> None:
        self._method, self._parameters, self._taken = method, parameters, 0
        self._start = parameters.values("gain").detach().clone()

    def step(self, objective: Objective, trials: Trials, terms: Terms, progress: float) -> Step:
        k = self._taken
        gains = self._start.clone()
        gains[0] *= math.exp(self._method.script[k])
        if math.isfinite(self._method.script[k]):
            self._parameters.set_("gain", gains)
        else:
            self._parameters.raw["gain"].data[0] = math.nan
        self._method.diary.append({"trials": trials, "terms": terms, "progress": progress})
        self._taken += 1
        total = self._method.totals[k] if self._method.totals else 10.0 + k
        return Step(total, {"heard": 0.5}, {"size": float(k)})

    def state(self) -> dict[str, Any]:
        return {"taken": self._taken}

    def load(self, state: Mapping[str, Any]) -> None:
        self._taken = int(state["taken"])


def by_name(method: Method) -> dict[str, Method]:
    """The optimizer of every stage."""
    return dict.fromkeys(OPTIMIZERS, method)


def play(
    script: list[float],
    options: FitOptions,
    *,
    totals: list[float] | None = None,
    redraw_every: int = 1,
    validate_every: int = 2,
    **settings: Any,
) -> tuple[FitResult, Scripted, Heard]:
    method, heard = Scripted(script, totals or [], redraw_every, validate_every), Heard()
    terms = {"heard": WeightedLoss(1.0, heard)} | settings.pop("more", {})
    result = fit(
        WIRING, terms=terms, optimizers=by_name(method), options=options, **{"spec": typed_ring.spec()} | settings
    )
    return result, method, heard


def stages(*iterations: int, **changes: Any) -> FitOptions:
    return typed_ring.options(*(Stage(horizon_s=SHORT, iterations=n, n_trials=10) for n in iterations), **changes)


def keep_in(states: list[FitState]) -> Callable[[Mapping[str, float], FitState], None]:
    return lambda _row, state: states.append(state)


# --- stages, batches, history -----------------------------------------------------------------------------------------


def test_stages_set_horizon_batch_and_tolerance_from_their_first_iteration() -> None:
    options = typed_ring.options(
        Stage(horizon_s=0.05, iterations=2, n_trials=10, tolerance=4.0),
        Stage(horizon_s=0.1, iterations=1, n_trials=11, tolerance=2.0),
        Stage(horizon_s=0.2, iterations=2, n_trials=12),
    )
    loss = PhaseIntegration(tolerance_deg=3.0, tolerance_share=0.5)
    more = {"integration": WeightedLoss(1.0, loss)}
    result, method, _ = play([0.1] * 5, options, more=more)
    seen = [(d["trials"].duration, d["trials"].n_trials, d["terms"]["integration"].loss) for d in method.diary]
    wanted = [(0.05, 10, 4.0)] * 2 + [(0.1, 11, 2.0)] + [(0.2, 12, 1.0)] * 2
    assert seen == [(pytest.approx(t), n, loss.relaxed(factor)) for t, n, factor in wanted]
    assert [d["progress"] for d in method.diary] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert [(row["stage"], row["horizon_s"]) for row in result.history] == [
        (0, 0.05),
        (0, 0.05),
        (1, 0.1),
        (2, 0.2),
        (2, 0.2),
    ]


def test_a_row_holds_totals_losses_the_optimisers_numbers_and_the_validation_where_one_was_made() -> None:
    result, _, _ = play([0.1, 0.2, 0.3], stages(3))
    plain = ["start", "iteration", "stage", "horizon_s", "total", "heard", "size"]
    assert [list(row) for row in result.history] == [plain, [*plain, "validation_total"], [*plain, "validation_total"]]
    assert [row["iteration"] for row in result.history] == [1, 2, 3]
    assert [row["total"] for row in result.history] == [10.0, 11.0, 12.0]


@pytest.mark.parametrize(("every", "wanted"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 3, 3]), (9, [0, 0, 0, 3, 3])])
def test_a_batch_stays_for_as_long_as_told_and_within_its_stage(every: int, wanted: list[int]) -> None:
    _, method, _ = play([0.1] * 5, stages(3, 2), redraw_every=every)
    velocities = [d["trials"].angular_velocity for d in method.diary]
    same = [[torch.equal(a, b) for b in velocities] for a in velocities]
    assert same == [[i == j for j in wanted] for i in wanted]


def test_every_stage_is_its_own_optimizers() -> None:
    adam = Scripted([0.1] * 5, validate_every=2)
    gauss_newton = Scripted([0.2] * 3, redraw_every=3, validate_every=3)
    options = typed_ring.options(
        Stage(horizon_s=SHORT, iterations=3, n_trials=10, optimizer="adam"),
        Stage(horizon_s=SHORT, iterations=3, n_trials=11),
        Stage(horizon_s=SHORT, iterations=2, n_trials=12, optimizer="adam"),
    )
    result = fit(
        WIRING,
        terms={"heard": WeightedLoss(1.0, Heard())},
        optimizers={"adam": adam, "gauss_newton": gauss_newton},
        options=options,
        spec=typed_ring.spec(),
    )
    assert [d["trials"].n_trials for d in adam.diary] == [10, 10, 10, 12, 12]
    assert [d["trials"].n_trials for d in gauss_newton.diary] == [11, 11, 11]
    assert [d["progress"] for d in adam.diary] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert [d["progress"] for d in gauss_newton.diary] == pytest.approx([0.0, 1 / 3, 2 / 3])
    batches = [d["trials"].angular_velocity for d in gauss_newton.diary]
    assert all(torch.equal(batch, batches[0]) for batch in batches)
    # every second iteration, every third one, and the end of each stage
    assert [row["iteration"] for row in result.history if "validation_total" in row] == [2, 3, 6, 8]


def test_an_optimizer_without_a_stage_is_not_started() -> None:
    idle, busy = Scripted([]), Scripted([0.1])
    fit(
        WIRING,
        terms={"heard": WeightedLoss(1.0, Heard())},
        optimizers={"adam": idle, "gauss_newton": busy},
        options=stages(1),
        spec=typed_ring.spec(),
    )
    assert (len(idle.starts), len(busy.starts)) == (0, 1)


def test_validation_is_one_batch_at_the_longest_horizon_that_no_step_sees() -> None:
    options = typed_ring.options(
        Stage(horizon_s=0.05, iterations=2, n_trials=10), Stage(horizon_s=0.2, iterations=2, n_trials=10)
    )
    _, method, heard = play([0.1] * 4, replace(options, validation_trials=12, sample_every=5), validate_every=1)
    validations = heard.observations[1:]  # the first one is that of the start
    shown = [(len(o.phase), len(o.valid), o.time_step) for o in validations]
    assert shown == [(5, 12, pytest.approx(0.05))] * 4
    first, *others = (o.velocity for o in validations)
    assert all(torch.equal(first, other) for other in others)
    drawn = [d["trials"].headings for d in method.diary]
    assert not any(set(headings.tolist()) & set(validations[0].cue_heading.tolist()) for headings in drawn)


def test_a_stage_ends_with_a_validation() -> None:
    result, _, _ = play([0.4, 0.3, 0.2, 0.1, 0.5], stages(3, 2), validate_every=50)
    assert [row.get("validation_total") for row in result.history] == pytest.approx([None, None, 0.2, None, 0.5])


# --- the start --------------------------------------------------------------------------------------------------------


def drawn_starts(n: int, seed: int) -> list[Tensor]:
    """Raw gains of the first spectral starts of a seed."""
    random, drawn = generator(seed, "start"), []
    for _ in range(n):
        parameters = Parameters(typed_ring.spec(), WIRING, dtype=torch.float64)
        spectral_start(parameters, WIRING, SIGMOID, SpectralStart(), random)
        drawn.append(parameters.raw["gain"].detach().clone())
    return drawn


DIVERGED = None


@pytest.mark.parametrize(
    ("totals", "taken"),
    [
        ([3.0, 1.0, 2.0], 1),
        ([1.0, 2.0, 3.0], 0),
        ([DIVERGED, 3.0, 2.0], 2),
        ([math.nan, math.inf, 9.0], 2),
        ([5.0, DIVERGED, -math.inf], 0),
        ([2.0, 2.0, 2.0], 0),
        ([DIVERGED, math.nan, DIVERGED], 0),  # the fit says what is wrong
    ],
)
def test_of_several_starts_the_best_on_the_first_batch_is_taken(
    totals: list[float | None], taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, shown = Objective.evaluate, []

    def scripted(self: Objective, parameters: Parameters, trials: Trials, terms: Terms) -> Any:
        if len(shown) >= len(totals):
            return evaluate(self, parameters, trials, terms)
        shown.append((parameters.raw["gain"].detach().clone(), trials, terms))
        total = totals[len(shown) - 1]
        if total is DIVERGED:
            raise FitError("12 of 12 trials diverged")
        return torch.tensor(total), {}

    monkeypatch.setattr(Objective, "evaluate", scripted)
    result, method, _ = play([0.5, 0.5], stages(1, 1, candidates=len(totals)), seed=3)
    starts = drawn_starts(len(totals), seed=3)
    assert all(torch.equal(raw, start) for (raw, _, _), start in zip(shown, starts, strict=True))
    assert torch.equal(method.starts[0], starts[taken])
    first = method.diary[0]
    assert all(torch.equal(trials.angular_velocity, first["trials"].angular_velocity) for _, trials, _ in shown)
    assert all(terms == first["terms"] for _, _, terms in shown)
    # and parsimony pulls towards the start that was taken: 0.5 above it is 0.5
    assert result.history[-1]["validation_total"] == pytest.approx(0.5)


def test_more_starts_begin_lower() -> None:
    """The first total of the fit is the lowest of those of all starts; seed and losses as they come."""

    def first_total(candidates: int) -> float:
        settings = {"terms": typed_ring.default_terms(), "spec": typed_ring.spec(), "seed": 2}
        options = typed_ring.options(Stage(horizon_s=0.1, iterations=1, n_trials=10), candidates=candidates)
        return fit(WIRING, optimizers=by_name(Adam()), options=options, **settings).history[0]["total"]

    totals = [first_total(candidates) for candidates in (1, 2, 4, 8)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0]


# --- several starts ---------------------------------------------------------------------------------------------------


def test_of_several_starts_the_one_that_validates_best_goes_on_alone() -> None:
    """Each plays the same script; a stub of a loss tells the starts apart by their second log-gain."""
    result, method, _ = play(
        [0.4, 0.3, 0.2, 0.1], stages(4, starts=3, start_iterations=2), more={"second": WeightedLoss(1.0, Farthest())}
    )
    assert len(method.starts) == 3
    assert [(row["start"], row["iteration"]) for row in result.history[:6]] == [
        (k, i) for k in range(3) for i in (1, 2)
    ]
    totals = [row["validation_total"] for row in result.history if row["iteration"] == 2]
    kept = totals.index(min(totals))
    assert [(row["start"], row["iteration"]) for row in result.history[6:]] == [(kept, 3), (kept, 4)]
    assert len(set(totals)) == 3
    taken = method.starts[kept].clone()
    assert result.best_iteration == 4
    torch.testing.assert_close(result.parameters.raw["gain"][1:], taken[1:])


@dataclass(frozen=True, eq=False)
class Farthest:
    """A stub of a loss that differs between starts: the second log-gain, squared."""

    def __call__(self, observation: Observation) -> Tensor:
        assert observation.log_gains is not None
        return observation.log_gains[1:2].square()

    def where(self, observation: Observation) -> Tensor:
        return torch.ones(1, dtype=torch.bool)


class Once(Scripted):
    """The totals are those of the first start alone."""

    def start(self, parameters: Parameters) -> Any:
        playing = super().start(parameters)
        if len(self.starts) > 1:
            playing._method = Scripted(self.script)
        return playing


def test_a_start_that_diverges_is_passed_over() -> None:
    once = [1.0, math.nan]  # the first start's second total
    method = Once([0.4, 0.3, 0.2], once)
    result = fit(
        WIRING,
        terms={"heard": WeightedLoss(1.0, Heard())},
        optimizers=by_name(method),
        options=stages(3, starts=2, start_iterations=2),
        spec=typed_ring.spec(),
    )
    assert [(row["start"], row["iteration"]) for row in result.history] == [(0, 1), (1, 1), (1, 2), (1, 3)]
    with pytest.raises(
        FitError, match=r"start 0: .* start 1: fit diverged at iteration 1 \(stage 0\): the loss is nan"
    ):
        play([0.4, 0.3, 0.2], stages(3, starts=2, start_iterations=2), totals=once)


# --- validation, the best, stopping -----------------------------------------------------------------------------------


def test_the_best_validated_parameters_are_the_result() -> None:
    script = [0.9, 0.2, 0.1, 0.5, 0.3]  # iteration 3 would be best, but only 2, 4 and the last are validated
    result, _, _ = play(script, stages(5))
    validated = [row["validation_total"] for row in result.history if "validation_total" in row]
    assert validated == pytest.approx([0.2, 0.5, 0.3])
    assert result.best_iteration == 2
    assert result.validation_total == pytest.approx(0.2)
    others, _, _ = play([0.2], stages(1))
    assert torch.equal(result.parameters.raw["gain"], others.parameters.raw["gain"])
    assert torch.equal(result.network.weights, others.network.weights)
    assert not result.network.weights.requires_grad


@pytest.mark.parametrize(
    ("patience", "iterations", "stopped"),
    [(0, 8, False), (2, 6, True), (3, 7, True), (5, 8, False)],
)
def test_patience_counts_in_the_last_stage_only(patience: int, iterations: int, stopped: bool) -> None:
    # best at iteration 1; from iteration 5 on (the last stage) every validation is one without improvement
    script = [0.1, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4]
    result, _, _ = play(script, stages(4, 4, patience=patience), validate_every=1)
    assert len(result.history) == iterations
    assert result.stopped_early is stopped
    assert result.best_iteration == 1


def test_an_improvement_starts_patience_anew() -> None:
    script = [0.9, 0.8, 0.95, 0.7, 0.75, 0.75, 0.1]
    result, _, _ = play(script, stages(7, patience=2), validate_every=1)
    assert len(result.history) == 6
    assert result.best_iteration == 4


def test_each_iteration_is_reported_with_its_row_and_state() -> None:
    calls: list[tuple[Mapping[str, float], FitState]] = []
    result, _, _ = play([0.1, 0.2, 0.3], stages(3), on_iteration=lambda row, state: calls.append((row, state)))
    assert [row["iteration"] for row, _ in calls] == [1, 2, 3] == [state.iteration for _, state in calls]
    assert [row for row, _ in calls] == list(result.history)
    assert calls[1][1].content["history"] == list(result.history[:2])


def test_progress_is_shown_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    play([0.1, 0.2], stages(2), progress=True)
    shown = capsys.readouterr().err
    assert "2/2" in shown and "heard" in shown and "horizon_s" in shown
    play([0.1, 0.2], stages(2))
    assert capsys.readouterr().err == ""


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "totals", "message"),
    [
        ([0.3, 0.2, 0.4, 0.1], [1.0, 1.0, math.nan, 1.0], r"iteration 2 \(stage 1\): the loss is nan"),
        ([0.3, 0.2, math.nan, 0.1], [1.0] * 4, r"iteration 2 \(stage 1\): gain is no longer finite"),
    ],
)
def test_divergence_names_the_iteration_and_leaves_the_last_state_to_go_on_from(
    script: list[float], totals: list[float], message: str
) -> None:
    states: list[FitState] = []
    options = stages(2, 2)
    with pytest.raises(FitError, match=f"fit diverged at {message}"):
        play(script, options, totals=totals, validate_every=1, on_iteration=keep_in(states))
    assert [state.iteration for state in states] == [1, 2]
    assert states[-1].content["starts"][0]["best"]["iteration"] == 2
    assert all(torch.isfinite(raw).all() for raw in states[-1].content["starts"][0]["best"]["raw"].values())
    healthy, _, _ = play([0.3, 0.2, 0.4, 0.15], options, validate_every=1, resume=states[-1])
    assert [row["iteration"] for row in healthy.history] == [1, 2, 3, 4]
    assert healthy.best_iteration == 4


@dataclass(frozen=True, eq=False)
class Turning:
    """A stub of a loss that is not finite from its ``good``-th call on."""

    good: int
    calls: list[int] = field(default_factory=list)

    def __call__(self, observation: Observation) -> Tensor:
        self.calls.append(1)
        return observation.amplitude.square() * (math.inf if len(self.calls) > self.good else 1.0)

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.amplitude, dtype=torch.bool)


@pytest.mark.parametrize("method", [Adam(validate_every=1), GaussNewton(validate_every=1)])
def test_a_loss_that_turns_infinite_ends_the_fit_with_its_iteration(method: Method) -> None:
    states: list[FitState] = []
    with pytest.raises(FitError, match=r"fit diverged at iteration [1-9]\d* \(stage 0\)"):
        fit(
            WIRING,
            terms={"turning": WeightedLoss(1.0, Turning(good=9))},
            spec=typed_ring.spec(),
            optimizers=by_name(method),
            options=stages(9),
            on_iteration=keep_in(states),
        )
    assert states
    assert math.isfinite(states[-1].content["starts"][0]["best"]["total"])


@pytest.mark.parametrize("method", [Adam(), GaussNewton()])
def test_a_batch_that_diverges_ends_the_fit_with_its_iteration(method: Method) -> None:
    # excitation alone, and rates without a ceiling: each Euler step of 10 ms multiplies them by 1 + 599 * 10 / 50
    excitation = replace(WIRING, connections=WIRING.connections.clamp(min=0.0))
    with pytest.raises(FitError, match=r"fit diverged at iteration 0 \(stage 0\): 10 of 10 trials diverged"):
        fit(
            excitation,
            terms=typed_ring.default_terms(),
            optimizers=by_name(method),
            activation=Activation.named("relu"),
            spec=typed_ring.spec(
                gains="global",
                bounds={"threshold": Bounds(-1.0, 1.0)},
                trainable=frozenset({"gain", "threshold", "velocity_gain"}),
            ),
            start=SpectralStart(lead=600.0, jitter=0.0),
            options=typed_ring.options(Stage(horizon_s=2.0, iterations=1, n_trials=10)),
        )


def test_a_validation_that_diverges_is_infinite_and_never_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, calls = Objective.evaluate, []

    def sometimes(self: Objective, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) in bad:
            raise FitError("12 of 12 trials diverged")
        return evaluate(self, *args, **options)

    monkeypatch.setattr(Objective, "evaluate", sometimes)
    bad = {2, 4}  # the first call is that of the start
    result, _, _ = play([0.1, 0.5, 0.1], stages(3), validate_every=1)
    assert [row["validation_total"] for row in result.history] == [math.inf, pytest.approx(0.5), math.inf]
    assert result.best_iteration == 2
    bad = {len(calls) + 2, len(calls) + 3}
    with pytest.raises(FitError, match="2 iterations: no validation was finite"):
        play([0.1, 0.5], stages(2), validate_every=1)


# --- repeating and resuming -------------------------------------------------------------------------------------------

TWO_STAGES = typed_ring.options(
    Stage(horizon_s=0.1, iterations=2, n_trials=10, tolerance=4.0, optimizer="adam"),
    Stage(horizon_s=0.2, iterations=2, n_trials=10),
    patience=3,
    candidates=2,
)
METHODS = {
    "adam": by_name(Adam()),
    "gauss_newton": by_name(GaussNewton()),
    "sketched": by_name(GaussNewton(sketches=2, memory=0.5)),
    "both": {"adam": Adam(), "gauss_newton": GaussNewton()},
}


def real(methods: Mapping[str, Method], *, seed: int = 0, **settings: Any) -> FitResult:
    terms = typed_ring.default_terms()
    settings = {"spec": typed_ring.spec(), "options": TWO_STAGES} | settings
    return fit(WIRING, terms=terms, optimizers=methods, seed=seed, **settings)


def identical(one: FitResult, other: FitResult) -> bool:
    same = all(torch.equal(one.parameters.raw[f], other.parameters.raw[f]) for f in one.parameters.raw)
    return same and one.history == other.history and one.best_iteration == other.best_iteration


@pytest.mark.parametrize("methods", METHODS.values(), ids=METHODS)
def test_a_fit_resumed_from_any_checkpoint_is_the_uninterrupted_one(
    methods: Mapping[str, Method], tmp_path: Path
) -> None:
    states: list[FitState] = []
    whole = real(methods, on_iteration=keep_in(states))
    assert len(states) == 4
    for state in states:
        path = tmp_path / f"{state.iteration}.safetensors"
        write_checkpoint(path, state.content)
        from_file = FitState(state.iteration, read_checkpoint(path))
        later: list[FitState] = []
        resumed = real(methods, resume=from_file, on_iteration=keep_in(later))
        assert [s.iteration for s in later] == list(range(state.iteration + 1, 5))
        assert identical(resumed, whole)
    assert identical(real(methods, resume=states[1]), whole)  # from memory, after others have gone on from it


@pytest.mark.parametrize("name", ["both", "sketched"])
def test_a_fit_of_several_starts_resumed_from_any_checkpoint_is_the_uninterrupted_one(
    name: str, tmp_path: Path
) -> None:
    options, states, methods = replace(TWO_STAGES, starts=3, start_iterations=2), list[FitState](), METHODS[name]
    whole = real(methods, options=options, on_iteration=keep_in(states))
    assert [state.iteration for state in states] == list(range(1, 9))
    for state in states:
        path = tmp_path / f"{state.iteration}.safetensors"
        write_checkpoint(path, state.content)
        resumed = real(methods, options=options, resume=FitState(state.iteration, read_checkpoint(path)))
        assert identical(resumed, whole)


def test_a_fit_does_not_depend_on_how_many_starts_run_at_a_time() -> None:
    options, threads = replace(TWO_STAGES, starts=3, start_iterations=2), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(real(METHODS["both"], options=options))
    finally:
        torch.set_num_threads(threads)
    assert all(identical(one, found[0]) for one in found[1:])


def test_an_interrupted_race_of_starts_goes_on_where_each_of_them_was(tmp_path: Path) -> None:
    options = replace(TWO_STAGES, starts=3, start_iterations=3, patience=0)
    whole, threads = real(METHODS["both"], options=options), torch.get_num_threads()
    for calls in (1, 2, 4, 7, 9):
        states: list[FitState] = []

        def interrupt(row: Mapping[str, float], state: FitState, calls: int = calls, states: Any = states) -> None:
            states.append(state)
            if len(states) >= calls:
                raise KeyboardInterrupt

        try:
            torch.set_num_threads(2)
            with pytest.raises(KeyboardInterrupt):
                real(METHODS["both"], options=options, on_iteration=interrupt)
        finally:
            torch.set_num_threads(threads)
        path = tmp_path / f"{calls}.safetensors"
        write_checkpoint(path, states[-1].content)
        resume = FitState(states[-1].iteration, read_checkpoint(path))
        assert len(resume.content["history"]) == resume.iteration == len(states)
        assert identical(real(METHODS["both"], options=options, resume=resume), whole)


def test_a_start_that_had_diverged_stays_out_of_the_race_after_a_resume() -> None:
    states: list[FitState] = []
    options = stages(3, starts=2, start_iterations=2)
    totals = [1.0, math.nan]
    method = Once([0.4, 0.3, 0.2], totals)
    settings: dict[str, Any] = {"terms": {"heard": WeightedLoss(1.0, Heard())}, "spec": typed_ring.spec()}
    whole = fit(WIRING, optimizers=by_name(method), options=options, on_iteration=keep_in(states), **settings)
    for state in states:
        for _ in range(2):  # a state may be gone on from more than once
            again = by_name(Once([0.4, 0.3, 0.2], totals))
            assert identical(fit(WIRING, optimizers=again, options=options, resume=state, **settings), whole)
    assert states[0].content["diverged"] == {}


def test_the_seed_decides_start_and_trials() -> None:
    one, same, other = real(METHODS["adam"]), real(METHODS["adam"]), real(METHODS["adam"], seed=1)
    assert identical(one, same)
    assert one.history[0]["total"] != other.history[0]["total"]


def test_starts_train_on_trials_of_their_own_and_validate_on_the_same() -> None:
    """With no jitter they begin alike; what they meet sets them apart."""
    settings = {"options": replace(TWO_STAGES, starts=3, start_iterations=2), "start": SpectralStart(jitter=0.0)}
    race = real(METHODS["adam"], **settings).history
    first = [row for row in race if row["iteration"] == 1]
    assert len({row["total"] for row in first}) == 3
    alone = real(METHODS["adam"], start=SpectralStart(jitter=0.0)).history
    assert [row["total"] for row in race[:2]] == [row["total"] for row in alone[:2]]  # as if there were no other start
    one, other = (replace(typed_ring.problem()[0], start=number) for number in (0, 1))
    torch.testing.assert_close(one.validation_trials().headings, other.validation_trials().headings, rtol=0, atol=0)
    stage = one.options.stages[0]
    assert not torch.equal(one.trials(5, stage).headings, other.trials(5, stage).headings)


def test_a_fit_that_had_stopped_early_stays_stopped() -> None:
    states: list[FitState] = []
    options = stages(8, patience=2)
    script = [0.1] + [0.5] * 7
    whole, _, _ = play(script, options, validate_every=1, on_iteration=keep_in(states))
    resumed, method, _ = play(script, options, validate_every=1, resume=states[-1])
    assert whole.stopped_early and resumed.stopped_early
    assert not method.diary
    assert identical(resumed, whole)


def test_a_fit_that_goes_on_ends_at_the_iteration_at_which_patience_would_have_ended_it(tmp_path: Path) -> None:
    """Best at iteration 3; then one without improvement at each of 4 to 7, the fourth of which ends the fit."""
    states: list[FitState] = []
    options = stages(12, patience=4)
    script = [0.9, 0.8, 0.1, *[0.5] * 9]
    whole, _, _ = play(script, options, validate_every=1, on_iteration=keep_in(states))
    assert whole.stopped_early and [state.iteration for state in states] == list(range(1, 8))
    for state in states:
        path = tmp_path / f"{state.iteration}.safetensors"
        write_checkpoint(path, state.content)
        later: list[FitState] = []
        from_file = FitState(state.iteration, read_checkpoint(path))
        resumed, _, _ = play(script, options, validate_every=1, resume=from_file, on_iteration=keep_in(later))
        assert [found.iteration for found in later] == list(range(state.iteration + 1, 8))
        assert resumed.stopped_early and identical(resumed, whole)


def test_a_state_of_other_parameters_is_refused() -> None:
    states: list[FitState] = []
    real(METHODS["adam"], on_iteration=keep_in(states))
    with pytest.raises(RunFolderError, match="fit to resume: got parameters"):
        real(METHODS["adam"], resume=states[0], spec=typed_ring.spec(gains="global"))


def test_a_state_of_another_number_of_starts_is_refused() -> None:
    states: list[FitState] = []
    real(METHODS["adam"], options=replace(TWO_STAGES, starts=2, start_iterations=1), on_iteration=keep_in(states))
    with pytest.raises(RunFolderError, match="fit to resume: got the state of another number of starts than 1"):
        real(METHODS["adam"], resume=states[0])


# --- a fit that must work ---------------------------------------------------------------------------------------------


def test_gauss_newton_turns_a_start_into_an_integrator() -> None:
    """The small ring can integrate: its validation falls from 6 (errors far beyond tolerance) to below 0.5."""
    options = typed_ring.options(
        Stage(horizon_s=0.2, iterations=4, n_trials=12, tolerance=4.0), Stage(horizon_s=0.4, iterations=12, n_trials=12)
    )
    settings = {"terms": typed_ring.default_terms(), "spec": typed_ring.spec(), "options": options}
    result = fit(WIRING, optimizers=by_name(GaussNewton(redraw_every=1)), seed=1, **settings)
    assert result.validation_total < 0.5
    assert result.history[-1]["total"] < 0.2 * result.history[0]["total"]


# --- what is refused at the door --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"terms": {"cue": WeightedLoss(0.0, LOSSES["cue"]())}}, ConfigError, "none with a weight above 0"),
        ({"spec": ParameterSpec(trainable=frozenset())}, ConfigError, "spec.trainable: got none"),
        (
            {"spec": ParameterSpec(bounds={"time_constant": Bounds(0.01, 0.5, "log")})},
            StepError,
            "got 0.01 s for time constants down to 0.01 s, wanted at most 0.005 s",
        ),
        (
            {"solve": SolveOptions(backend="reference", method="euler", step=typed_ring.TIME_STEP)},
            SolveError,
            "wanted 'fused'",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"terms": typed_ring.default_terms(), "spec": typed_ring.spec()} | settings
    with pytest.raises(error, match=message):
        fit(WIRING, optimizers=by_name(GaussNewton()), options=TWO_STAGES, **given)


def test_a_fixed_time_constant_needs_no_step_for_the_bound() -> None:
    spec = ParameterSpec(
        bounds={"time_constant": Bounds(0.01, 0.5, "log")}, trainable=frozenset({"gain", "threshold", "velocity_gain"})
    )
    play([0.1], stages(1), spec=spec)
