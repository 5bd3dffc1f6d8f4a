"""The loop of a fit: stages, validation, checkpoints, stopping. The only place that changes parameters by fitting."""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from tqdm.auto import tqdm

from connectome_sim.errors import ConfigError, FitError, RunFolderError, StepError
from connectome_sim.fit.linearise import Terms
from connectome_sim.fit.objective import Objective
from connectome_sim.fit.optimizers import POLISH, Adam, GaussNewton, Method, Running, Step
from connectome_sim.fit.options import FitOptions, Stage
from connectome_sim.fit.start import SpectralStart, jitter, place
from connectome_sim.model.activation import SIGMOID, Activation
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import RateNetwork
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve import SolveOptions
from connectome_sim.solve.subnormals import subnormals_flushed
from connectome_sim.solve.threads import side_by_side
from connectome_sim.tasks import generator

Row = dict[str, float]
_LOG = logging.getLogger("connectome_sim")


@dataclass(frozen=True, eq=False)
class FitState:
    """A fit between two iterations: enough to go on exactly.

    Attributes:
        iteration: iterations done, those of all starts together.
        content: nested tensors and numbers, ready for a checkpoint.
    """

    iteration: int
    content: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit found.

    Attributes:
        parameters: the best ones by validation, trainable families and fixed ones alike.
        network: their network.
        history: one row per iteration: start, iteration (of that start), stage, horizon_s, total, one column per loss,
            the optimiser's numbers, validation_total where one was made. Starts follow one another; the last rows are
            those of the start that was kept.
        validation_total: the best one.
        best_iteration: where it was found (iterations of the kept start done by then).
        stopped_early: whether patience ended the fit.
    """

    parameters: Parameters
    network: RateNetwork
    history: tuple[Row, ...]
    validation_total: float
    best_iteration: int
    stopped_early: bool


def fit(
    wiring: Wiring,
    *,
    terms: Terms,
    optimizers: Mapping[str, Method] | None = None,
    spec: ParameterSpec | None = None,
    activation: Activation = SIGMOID,
    solve: SolveOptions | None = None,
    start: SpectralStart | None = None,
    options: FitOptions | None = None,
    seed: int = 0,
    resume: FitState | None = None,
    on_iteration: Callable[[Row, FitState], None] | None = None,
    progress: bool = False,
) -> FitResult:
    """Fit the cell-type parameters of a wired network to its losses.

    Args:
        wiring: the connectome as tensors.
        terms: losses by name, with weights.
        optimizers: name in a stage -> how its steps are taken; by default ``Adam``, ``GaussNewton`` and ``POLISH``.
        spec: which parameters, how finely, which of them are trainable.
        activation: phi.
        solve: how to integrate; by default forward Euler with the options' time step.
        start: the spectral start.
        options: curriculum, batch, cue, stopping.
        seed: of the start and of all trials.
        resume: a state that ``on_iteration`` received; the fit goes on from there as if it had never stopped.
        on_iteration: called after each iteration with the row of the history and the state, e.g. to write a checkpoint;
            one call at a time, but from several threads where several starts run side by side.
        progress: show a progress bar with the loss terms.

    Raises:
        FitError: no start; a loss, gradient or parameter that is not finite, or too many diverged trials, with the
            iteration; or no validation that was finite.
        RunFolderError: a state to resume that belongs to other parameters or another number of starts.
        ConfigError: no loss with a weight, or no trainable family.
        StepError: a step that cannot resolve the lower bound of the time constants.
    """
    spec, options = spec or ParameterSpec(), options or FitOptions()
    optimizers = optimizers or {"adam": Adam(), "gauss_newton": GaussNewton(), "polish": POLISH}
    solve = solve or SolveOptions(method="euler", step=options.time_step)
    _check(terms, spec, solve)
    if missing := sorted({stage.optimizer for stage in options.stages} - optimizers.keys()):
        raise ConfigError(f"fit, optimizers: got {sorted(optimizers)}, wanted also {missing}, which stages name")
    random = generator(seed, "start")

    placed, start = Parameters(spec, wiring, dtype=torch.float64), start or SpectralStart()
    place(placed, wiring, activation, start)  # once: its eigenvectors take longer than a candidate's first batch

    def candidate(number: int) -> tuple[Parameters, Objective]:
        parameters = copy.deepcopy(placed)
        jitter(parameters, start, random)
        gains = torch.log(parameters.values("gain")).detach().clone()
        return parameters, Objective(
            wiring=wiring,
            activation=activation,
            solve=solve,
            terms=terms,
            options=options,
            seed=seed,
            log_gains_start=gains,
            start=number,
        )

    starts = [
        min((candidate(number) for _ in range(options.candidates)), key=_first_total)
        for number in range(options.starts)
    ]
    race = _Race([_Loop(objective, parameters, optimizers) for parameters, objective in starts], options)
    if resume is not None:
        race.load(resume)
    bar = tqdm(
        total=options.n_iterations + (options.starts - 1) * options.start_iterations,
        initial=race.iteration,
        disable=not progress,
        unit="it",
        desc=f"fit, seed {seed}",
        mininterval=0.5,
    )

    def tell(row: Row) -> None:
        bar.update()
        bar.set_postfix({k: f"{v:.3g}" for k, v in row.items() if k in ("horizon_s", "total", *terms)}, refresh=False)
        if on_iteration is not None:
            on_iteration(row, race.state())

    with bar:
        return race.run(tell)


def _check(terms: Terms, spec: ParameterSpec, solve: SolveOptions) -> None:
    if not any(term.weight > 0 for term in terms.values()):
        raise ConfigError(f"fit, terms: got losses {list(terms)}, none with a weight above 0, wanted at least one")
    if not spec.trainable:
        raise ConfigError("fit, spec.trainable: got none, wanted at least one family for the fit to move")
    low, fastest = spec.bounds["time_constant"].low, solve.steps_per_time_constant * (solve.step or 0.0)
    if "time_constant" in spec.trainable and low < fastest * (1 - 1e-6):
        raise StepError(
            f"solve, field 'step': got {solve.step:g} s for time constants down to {low:g} s, wanted at most "
            f"{low / solve.steps_per_time_constant:g} s ({solve.steps_per_time_constant:g} steps per time constant); "
            "use a smaller step or raise the lower bound of the time constants"
        )


@subnormals_flushed()
def _first_total(candidate: tuple[Parameters, Objective]) -> float:
    """Total on the first batch; infinite where its trials diverge."""
    parameters, objective = candidate
    stage = objective.options.stages[0]
    try:
        with torch.no_grad():
            value, _ = objective.evaluate(parameters, objective.trials(0, stage), objective.stage_terms(stage))
    except FitError:
        return math.inf
    return float(value) if math.isfinite(value) else math.inf


class _Race:
    """Starts side by side for as long as told, then the one that validates best, to the end.

    Each has parameters, optimisers and trials of its own: results do not depend on how many run at a time.
    """

    def __init__(self, loops: Sequence[_Loop], options: FitOptions) -> None:
        self._loops, self._options = loops, options
        self._contents = [loop.content() for loop in loops]  # after the last iteration that was told
        self._rows: list[list[Row]] = [[] for _ in loops]
        self._diverged: dict[int, str] = {}
        self._kept = 0 if len(loops) == 1 else None
        self._telling, self._stop = threading.Lock(), threading.Event()

    @property
    def iteration(self) -> int:
        """Iterations told, those of all starts together."""
        return sum(map(len, self._rows))

    def run(self, tell: Callable[[Row], None]) -> FitResult:
        """To the end; ``tell`` hears of one iteration at a time, from whichever thread it ran in."""
        if self._kept is None:
            racing = [number for number in range(len(self._loops)) if number not in self._diverged]
            side_by_side(
                [partial(self._go_on, number, self._options.start_iterations, tell) for number in racing],
                on_abort=self._stop.set,
            )
            self._kept = self._choice()
            self._contents = [content if k == self._kept else {} for k, content in enumerate(self._contents)]
        self._go_on(self._kept, self._options.n_iterations, tell)
        return self._loops[self._kept].result(tuple(self._history()))

    def _go_on(self, number: int, until: int, tell: Callable[[Row], None]) -> None:
        """One start up to an iteration. One that diverges drops out of the race, and ends the fit after it."""
        loop = self._loops[number]
        while loop.iteration < until and not loop.finished:
            try:
                row: Row = {"start": number, **loop.advance()}
            except FitError as error:
                if self._kept is not None:
                    raise
                with self._telling:
                    self._diverged[number] = str(error)
                _LOG.warning("start %d is left out: %s", number, error)
                return
            content = loop.content()
            with self._telling:
                if self._stop.is_set():
                    return
                self._rows[number].append(row)
                self._contents[number] = content
                tell(row)

    def _choice(self) -> int:
        """The lowest validation so far: a single one goes up and down with the last step."""
        left = [number for number in range(len(self._loops)) if number not in self._diverged]
        if not left:
            raise FitError("; ".join(f"start {number}: {why}" for number, why in sorted(self._diverged.items())))
        return min(left, key=lambda number: float(self._contents[number]["best"]["total"]))

    def _history(self) -> list[Row]:
        """Start after start as far as the race, then the rest of the one that was kept."""
        of_race = self._options.start_iterations
        race = [row for of_start in self._rows for row in of_start[:of_race]]
        return race + [row for of_start in self._rows for row in of_start[of_race:]]

    def state(self) -> FitState:
        content = {
            "starts": list(self._contents),
            "diverged": dict(self._diverged),
            "kept": self._kept,
            "history": self._history(),
        }
        return FitState(self.iteration, content)

    def load(self, state: FitState) -> None:
        content: Mapping[str, Any] = state.content
        if len(content.get("starts", ())) != len(self._loops):
            raise RunFolderError(
                f"fit to resume: got the state of another number of starts than {len(self._loops)}; resume with the "
                "same options, or start the fit anew"
            )
        self._contents, self._kept = list(content["starts"]), content["kept"]
        self._diverged = dict(content["diverged"])
        for loop, saved in zip(self._loops, self._contents, strict=True):
            if saved:  # not of a start that was left behind
                loop.load(saved)
        for row in content["history"]:
            self._rows[int(row["start"])].append(dict(row))


class _Loop:
    def __init__(self, objective: Objective, parameters: Parameters, optimizers: Mapping[str, Method]) -> None:
        self._objective, self._parameters, self._optimizers = objective, parameters, optimizers
        self._options = objective.options
        used = {stage.optimizer for stage in self._options.stages}
        self._running: dict[str, Running] = {name: optimizers[name].start(parameters) for name in sorted(used)}
        self.iteration = 0
        self._best: dict[str, Any] = {"total": math.inf, "iteration": 0, "raw": self._raw()}
        self._without_improvement = 0
        self._stopped_early = False
        self._validation = objective.validation_trials()

    @property
    def finished(self) -> bool:
        return self._stopped_early or self.iteration >= self._options.n_iterations

    @subnormals_flushed()
    def advance(self) -> Row:
        """One iteration: a step, and a validation where it is due."""
        index = self._options.stage_at(self.iteration)
        stage = self._options.stages[index]
        step = self._step(index, stage)
        self.iteration += 1
        row: Row = {
            "iteration": self.iteration,
            "stage": index,
            "horizon_s": stage.horizon_s,
            "total": step.total,
            **step.report,
            **step.numbers,
        }
        last = self.iteration == self._options.first_iteration(index) + stage.iterations
        last = last or self.iteration == self._options.start_iterations
        if last or self.iteration % self._optimizers[stage.optimizer].validate_every == 0:
            row["validation_total"] = self._validate(last_stage=index == len(self._options.stages) - 1)
        return row

    def _step(self, index: int, stage: Stage) -> Step:
        name = stage.optimizer
        within = self.iteration - self._options.first_iteration(index)
        batch = self.iteration - within % self._optimizers[name].redraw_every  # named after its first iteration
        trials = self._objective.trials(batch, stage)
        try:
            step = self._running[name].step(
                self._objective,
                trials,
                self._objective.stage_terms(stage),
                self._options.share_done(self.iteration, name),
            )
            if not math.isfinite(step.total):
                raise FitError(f"the loss is {step.total}; tighten the parameter bounds")
            for family, raw in self._parameters.raw.items():
                if not torch.isfinite(raw).all():
                    raise FitError(f"{family} is no longer finite; use smaller steps of the optimizer")
        except FitError as error:
            raise FitError(f"fit diverged at iteration {self.iteration} (stage {index}): {error}") from error
        return step

    def _validate(self, *, last_stage: bool) -> float:
        """Total of the validation batch; infinite where its trials, longer than those of the stage, diverge."""
        try:
            with torch.no_grad():
                value, _ = self._objective.evaluate(self._parameters, self._validation, self._objective.terms)
            validation = float(value)
        except FitError:
            validation = math.inf
        if validation < self._best["total"]:
            self._best = {"total": validation, "iteration": self.iteration, "raw": self._raw()}
            self._without_improvement = 0
        elif last_stage:
            self._without_improvement += 1
            self._stopped_early = 0 < self._options.patience <= self._without_improvement
        return validation

    def _raw(self) -> dict[str, torch.Tensor]:
        return {family: raw.detach().clone() for family, raw in self._parameters.raw.items()}

    def content(self) -> dict[str, Any]:
        """What `load` takes."""
        return {
            "iteration": self.iteration,
            "raw": self._raw(),
            "optimizers": {name: running.state() for name, running in self._running.items()},
            "best": dict(self._best),
            "without_improvement": self._without_improvement,
            "stopped_early": self._stopped_early,
        }

    def load(self, content: Mapping[str, Any]) -> None:
        got, wanted = ({f: tuple(v.shape) for f, v in raw.items()} for raw in (content["raw"], self._raw()))
        if got != wanted:
            raise RunFolderError(
                f"fit to resume: got parameters {got}, wanted {wanted}; resume with the same spec and wiring"
            )
        self._set(content["raw"])
        for name, running in self._running.items():
            running.load(content["optimizers"][name])
        self._best = dict(content["best"])
        self._without_improvement = int(content["without_improvement"])
        self._stopped_early = bool(content["stopped_early"])
        self.iteration = int(content["iteration"])

    @torch.no_grad()
    def _set(self, raw: Mapping[str, torch.Tensor]) -> None:
        for family, values in raw.items():
            self._parameters.raw[family].copy_(values)

    def result(self, history: tuple[Row, ...]) -> FitResult:
        if not math.isfinite(self._best["total"]):
            raise FitError(
                f"fit, {self.iteration} iterations: no validation was finite; use smaller steps of the optimizer, "
                "tighter parameter bounds, or shorter stages"
            )
        self._set(self._best["raw"])
        return FitResult(
            parameters=self._parameters,
            network=self._objective.network(self._parameters).detach(),
            history=history,
            validation_total=float(self._best["total"]),
            best_iteration=int(self._best["iteration"]),
            stopped_early=self._stopped_early,
        )
