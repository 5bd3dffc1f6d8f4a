"""The loop of a fit: stages, validation, checkpoints, stopping. The only place that changes parameters by fitting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tqdm.auto import tqdm

from connectome_sim.errors import FitError
from connectome_sim.fit.objective import Objective, Terms
from connectome_sim.fit.optimizers import Optimizer, Running, Step
from connectome_sim.fit.options import FitOptions
from connectome_sim.fit.start import SpectralStart, spectral_start
from connectome_sim.model.activation import SIGMOID, Activation
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import RateNetwork
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve import SolveOptions
from connectome_sim.tasks import generator

Row = dict[str, float]


@dataclass(frozen=True, eq=False)
class FitState:
    """A fit between two iterations: enough to go on exactly.

    Attributes:
        iteration: iterations done.
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
        history: one row per iteration: iteration, stage, horizon_s, total, one column per loss, the optimiser's
            numbers, validation_total where one was made.
        validation_total: the best one.
        best_iteration: where it was found (iterations done by then).
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
    optimizer: Optimizer,
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
        optimizer: ``Adam`` or ``GaussNewton``.
        spec: which parameters, how finely, which of them are trainable.
        activation: phi.
        solve: how to integrate; by default forward Euler with the options' time step.
        start: the spectral start.
        options: curriculum, batch, cue, stopping.
        seed: of the start and of all trials.
        resume: a state that ``on_iteration`` received; the fit goes on from there as if it had never stopped.
        on_iteration: called after each iteration with the row of the history and the state, e.g. to write a checkpoint.
        progress: show a progress bar with the loss terms.

    Raises:
        FitError: no start, a loss or gradient that is not finite, or too many diverged trials.
        StepError: a step that cannot resolve the lower bound of the time constants.
    """
    spec, options = spec or ParameterSpec(), options or FitOptions()
    solve = solve or SolveOptions(method="euler", step=options.time_step)
    parameters = Parameters(spec, wiring, dtype=torch.float64)
    spectral_start(parameters, wiring, activation, start or SpectralStart(), generator(seed, "start"))
    objective = Objective(
        wiring=wiring,
        activation=activation,
        solve=solve,
        terms=terms,
        options=options,
        seed=seed,
        log_gains_start=torch.log(parameters.values("gain")).detach().clone(),
    )
    loop = _Loop(objective, parameters, optimizer.start(parameters))
    if resume is not None:
        loop.load(resume)
    bar = tqdm(total=options.n_iterations, initial=loop.iteration, disable=not progress, unit="it", desc="fit")
    with bar:
        while not loop.finished:
            row = loop.advance()
            bar.update()
            bar.set_postfix({k: f"{v:.3g}" for k, v in row.items() if k in ("horizon_s", "total", *terms)})
            if on_iteration is not None:
                on_iteration(row, loop.state())
    return loop.result()


class _Loop:
    def __init__(self, objective: Objective, parameters: Parameters, running: Running) -> None:
        self._objective, self._parameters, self._running = objective, parameters, running
        self._options = objective.options
        self.iteration = 0
        self._history: list[Row] = []
        self._best: dict[str, Any] = {"total": math.inf, "iteration": 0, "raw": self._raw()}
        self._without_improvement = 0
        self._stopped_early = False
        self._validation = objective.validation_trials()

    @property
    def finished(self) -> bool:
        return self._stopped_early or self.iteration >= self._options.n_iterations

    def advance(self) -> Row:
        """One iteration: a step, and a validation where it is due."""
        index = self._options.stage_at(self.iteration)
        stage = self._options.stages[index]
        trials = self._objective.trials(self.iteration, stage)
        try:
            step: Step = self._running.step(
                self._objective, trials, self._objective.stage_terms(stage), self.iteration / self._options.n_iterations
            )
        except FitError as error:
            raise FitError(f"fit diverged at iteration {self.iteration} (stage {index}): {error}") from error
        self.iteration += 1
        row: Row = {
            "iteration": self.iteration,
            "stage": index,
            "horizon_s": stage.horizon_s,
            "total": step.total,
            **step.report,
            **step.numbers,
        }
        if self.iteration % self._options.validate_every == 0 or self.iteration == self._options.n_iterations:
            row["validation_total"] = self._validate(last_stage=index == len(self._options.stages) - 1)
        self._history.append(row)
        return row

    def _validate(self, *, last_stage: bool) -> float:
        with torch.no_grad():
            value, _ = self._objective.evaluate(
                self._parameters,
                self._validation,
                self._objective.terms,
                sample_every=self._options.sample_every,
            )
        validation = float(value)
        if validation < self._best["total"]:
            self._best = {"total": validation, "iteration": self.iteration, "raw": self._raw()}
            self._without_improvement = 0
        elif last_stage:
            self._without_improvement += 1
            self._stopped_early = 0 < self._options.patience <= self._without_improvement
        return validation

    def _raw(self) -> dict[str, torch.Tensor]:
        return {family: raw.detach().clone() for family, raw in self._parameters.raw.items()}

    def state(self) -> FitState:
        return FitState(
            self.iteration,
            {
                "iteration": self.iteration,
                "raw": self._raw(),
                "optimizer": self._running.state(),
                "best": dict(self._best),
                "without_improvement": self._without_improvement,
                "stopped_early": self._stopped_early,
                "history": [dict(row) for row in self._history],
            },
        )

    def load(self, state: FitState) -> None:
        content: Mapping[str, Any] = state.content
        self._set(content["raw"])
        self._running.load(content["optimizer"])
        self._best = dict(content["best"])
        self._without_improvement = int(content["without_improvement"])
        self._stopped_early = bool(content["stopped_early"])
        self._history = [dict(row) for row in content["history"]]
        self.iteration = int(content["iteration"])

    @torch.no_grad()
    def _set(self, raw: Mapping[str, torch.Tensor]) -> None:
        for family, values in raw.items():
            self._parameters.raw[family].copy_(values)

    def result(self) -> FitResult:
        self._set(self._best["raw"])
        return FitResult(
            parameters=self._parameters,
            network=self._objective.network(self._parameters).detach(),
            history=tuple(self._history),
            validation_total=float(self._best["total"]),
            best_iteration=int(self._best["iteration"]),
            stopped_early=self._stopped_early,
        )
