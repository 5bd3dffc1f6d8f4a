"""What each verb is told, as frozen dataclasses made of the domain's own. Knows no yaml; reads no data."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from connectome_sim.analysis import analyze
from connectome_sim.analysis.ring import FEWEST_HEADINGS
from connectome_sim.analysis.visited import visit
from connectome_sim.config.conversion import typed
from connectome_sim.connectome import download
from connectome_sim.connectome.anatomy import (
    CIRCUITS,
    CLASSES,
    EXR,
    RING_ORDERS,
    head_direction_circuit,
    labelled_circuit,
)
from connectome_sim.connectome.deviations import DEVIATIONS, Deviation
from connectome_sim.errors import ConfigError, StepError
from connectome_sim.evaluate import (
    FULL,
    PROBES,
    Protocol,
    check_step,
    evaluate,
    metric_names,
    parameter_metrics,
    rate_metric_names,
    success,
)
from connectome_sim.fit import POLISH, Adam, FitOptions, GaussNewton, SpectralStart
from connectome_sim.losses import LOSSES, WeightedLoss
from connectome_sim.losses.linear_consistency import LinearConsistency
from connectome_sim.model import Activation, Drive, ParameterSpec, Wiring
from connectome_sim.solve import SolveOptions
from connectome_sim.solve.options import steps_per_sample

STATISTICS = "statistics"
"""Value of ``connectome.source`` for a connectome that is drawn from wiring statistics."""

SHIPPED = "hemibrain_ring"
"""The ensemble that is looked at where nothing is named."""

FIT_METRICS = ("validation_total", "best_iteration")
"""Metrics that come from the fit and not from an evaluation."""

HOW = ("id", "run", "resume", "threads", "progress", "figures", "checkpoint_every_s")
"""Fields of `FitConfig` that say how to run and where to put it, and do not change what is found."""


def _default(function: Callable[..., Any], name: str) -> Any:
    """The default that a function states for one of its arguments."""
    return inspect.signature(function).parameters[name].default


@dataclass(frozen=True, kw_only=True)
class ConnectomeConfig:
    """Which connectome, and which circuit of it.

    Attributes:
        source: name of a dataset (``data list``), path of a ``.h5`` connectome file or of a hemibrain export (folder or
            ``.tar.gz``), or "statistics": drawn from wiring statistics.
        statistics: wiring statistics to draw from, by name or path.
        draw_seed: seed of that draw, and of deviations.
        circuit: a named circuit.
        classes: circuit classes, in the place of a named circuit.
        min_count: connections of fewer synapses are left out.
        min_counts: circuit class -> the same for the connections from and to it.
        ring_order: "anatomy": ring angles from the neuron table or the instance names; "matrix": from the counts alone.
        signs: class -> +1 or -1, on top of the known ones.
        sign_overrides: postsynaptic class -> presynaptic class -> +1 or -1.
        deviations: deviation -> level, made to the circuit in this order: ``mirror_symmetry: 1`` makes left and right
            alike. What is random about them is drawn with ``draw_seed``.
        strict: a connection to an unknown neuron is an error.

    Raises:
        ConfigError: unknown circuit, class, source, ring order or deviation; a sign that is not +1 or -1; a seed, count
            or level out of range.
    """

    source: str = "hemibrain"
    statistics: str = "hemibrain_core"
    draw_seed: int = 0
    circuit: str = "core"
    classes: tuple[str, ...] = ()
    min_count: int = _default(head_direction_circuit, "min_count")
    min_counts: Mapping[str, int] = field(default_factory=dict)
    ring_order: str = _default(labelled_circuit, "ring_order")
    signs: Mapping[str, int] = field(default_factory=dict)
    sign_overrides: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    strict: bool = _default(download.load, "strict")

    def __post_init__(self) -> None:
        if not self.is_file and self.source not in (*download.DATASETS, STATISTICS):
            known = ", ".join((*download.DATASETS, STATISTICS))
            raise ConfigError(f"source: got {self.source!r}, wanted one of {known}, or a path that contains '/' or '.'")
        if self.circuit not in CIRCUITS:
            raise ConfigError(f"circuit: got {self.circuit!r}, wanted one of {', '.join(CIRCUITS)}")
        if self.ring_order not in RING_ORDERS:
            raise ConfigError(f"ring_order: got {self.ring_order!r}, wanted one of {', '.join(RING_ORDERS)}")
        overrides = (*self.sign_overrides, *(pre for signs in self.sign_overrides.values() for pre in signs))
        for place, names in {
            "classes": self.classes,
            "min_counts": self.min_counts,
            "signs": self.signs,
            "sign_overrides": overrides,
        }.items():
            for name in names:
                if name not in (*CLASSES, "ExR"):
                    known = f"wanted one of {', '.join(CLASSES)}, or ExR for all ExR"
                    raise ConfigError(f"{place}: cell class: got {name!r}, {known}")
        for sign in (*self.signs.values(), *self.sign_pairs.values()):
            if sign not in (1, -1):
                raise ConfigError(f"sign: got {sign}, wanted 1 or -1")
        self.build_deviations()
        fewest = min((self.min_count, *self.min_counts.values()))
        if self.draw_seed < 0 or fewest < 1:
            raise ConfigError(f"got draw_seed={self.draw_seed}, min_count={fewest}, wanted at least 0, and 1")

    def build_deviations(self) -> tuple[Deviation, ...]:
        """The deviations to make, in their order."""
        for name in self.deviations:
            if name not in DEVIATIONS:
                raise ConfigError(f"deviations: got {name!r}, wanted some of {', '.join(DEVIATIONS)}")
        return tuple(DEVIATIONS[name](level) for name, level in self.deviations.items())

    @property
    def is_file(self) -> bool:
        """Whether the source is a path."""
        return "/" in self.source or "." in self.source

    @property
    def is_drawn(self) -> bool:
        """Whether the connectome is drawn from wiring statistics."""
        return self.source == STATISTICS

    @property
    def wanted_classes(self) -> tuple[str, ...]:
        """The circuit classes wanted."""
        return self.classes or CIRCUITS[self.circuit]

    @property
    def sign_pairs(self) -> dict[tuple[str, str], int]:
        """(postsynaptic, presynaptic class) -> sign."""
        return {(post, pre): sign for post, of_post in self.sign_overrides.items() for pre, sign in of_post.items()}


@dataclass(frozen=True, kw_only=True)
class VelocityConfig:
    """Where the angular velocity enters.

    Attributes:
        types: the types that receive it.
        signs: type -> +1 where positive velocity excites its right-hand neurons; those left out follow the anatomy.
    """

    types: tuple[str, ...] = _default(Wiring.from_connectome, "velocity_types")
    signs: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.types:
            raise ConfigError("types: got none, wanted at least one type that receives the velocity")
        if unknown := sorted(self.signs.keys() - set(self.types)):
            raise ConfigError(f"signs: got type {unknown[0]!r}, wanted some of velocity.types {list(self.types)}")


@dataclass(frozen=True, kw_only=True)
class TermConfig:
    """One term of the total loss.

    Attributes:
        loss: which loss.
        weight: its weight; 0: reported but without influence.
        options: its options by name.

    Raises:
        ConfigError: unknown loss or option, or a value out of range.
    """

    loss: str
    weight: float
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.build()

    def build(self) -> WeightedLoss:
        """The weighted loss."""
        if self.loss not in LOSSES:
            raise ConfigError(f"loss: got {self.loss!r}, wanted one of {', '.join(LOSSES)}")
        return WeightedLoss(self.weight, typed(LOSSES[self.loss], dict(self.options), where=f"options of {self.loss}"))


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a network is measured on held-out trials.

    Attributes:
        seed: of the held-out traces; that of the fit where None (its streams are disjoint from the fit's).
        step: integration step, s.
        method: fixed-step method.
        which: the probes.
        protocol: durations, headings, thresholds.

    Raises:
        ConfigError: an unknown probe or a negative seed.
        StepError: a step that is not the input step divided by a whole number.
        SolveError: an unknown method.
    """

    seed: int | None = None
    step: float = _default(evaluate, "step")
    method: str = "heun"  # chosen: order 2 is enough at a step of 1 ms, at half the price of rk4
    which: tuple[str, ...] = PROBES
    protocol: Protocol = FULL

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed: got {self.seed}, wanted zero or more")
        if not self.which or set(self.which) - set(PROBES):
            raise ConfigError(f"which: got {self.which}, wanted some of {PROBES}")
        check_step(self.step, fit_step=None)
        SolveOptions(method=self.method, step=self.step)
        _check_divides(self.protocol.input_step_s, self.step)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Everything a fit is told.

    Attributes:
        name: of the experiment: the folder that its runs lie in.
        id: tells runs of the same second apart.
        seed: of the start, the trials and, unless stated otherwise, the held-out traces.
        run: the run folder.
        resume: go on with the run in that folder, with the configuration that it holds.
        threads: CPU threads; what PyTorch chooses (all cores) where None.
        progress: show progress bars.
        figures: draw the figures at the end.
        checkpoint_every_s: seconds of work between checkpoints; 0: after every iteration.
        connectome: which connectome.
        velocity: where the angular velocity enters.
        parameters: granularity and bounds of the parameters, and which of them are fitted.
        activation: name of phi.
        solve: how to integrate.
        start: the spectral start.
        fit: curriculum, batch, cue, stopping.
        loss: terms of the loss by name.
        adam: how parameters are moved in stages with this optimizer.
        gauss_newton: likewise.
        polish: likewise, for the last stage.
        evaluation: how the result is measured.
        success: metric -> (lowest, highest) that still succeeds, None where open.

    Raises:
        ConfigError: values that are out of range or contradict each other.
        StepError: a step that does not fit the time step or cannot resolve the time constants.
    """

    name: str
    id: str
    seed: int = 0
    run: str
    resume: bool = False
    threads: int | None = None
    progress: bool = True
    figures: bool = True
    checkpoint_every_s: float = 10.0
    connectome: ConnectomeConfig = field(default_factory=ConnectomeConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    parameters: ParameterSpec = field(default_factory=ParameterSpec)
    activation: str = "sigmoid"
    solve: SolveOptions
    start: SpectralStart = field(default_factory=SpectralStart)
    fit: FitOptions = field(default_factory=FitOptions)
    loss: Mapping[str, TermConfig]
    adam: Adam = field(default_factory=Adam)
    gauss_newton: GaussNewton = field(default_factory=GaussNewton)
    polish: GaussNewton = POLISH
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    success: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (("seed", 0), ("threads", 1), ("checkpoint_every_s", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name}: got {value}, wanted at least {low}")
        Activation.named(self.activation)
        self._check_success()
        self._check_steps()
        self._check_loss()
        if not self.parameters.trainable:
            raise ConfigError("parameters.trainable: got none, wanted at least one family for the fit to move")
        used = {stage.optimizer for stage in self.fit.stages}
        if used != {"adam"} and self.solve.backend != "fused":
            raise ConfigError(
                f"solve.backend: got {self.solve.backend!r}, wanted 'fused': the Gauss-Newton optimizer carries "
                "sensitivities along with its own steps; for the reference backend use stages with optimizer adam "
                "(curriculum=adam, and no experiment, whose own stages would replace them)"
            )
        if used != {"adam"} and self.parameters.gains == "synapse":
            raise ConfigError(
                "parameters.gains: got 'synapse', one per connection, with a stage of Gauss-Newton steps, wanted "
                "'pair' or coarser, or stages with optimizer adam (curriculum=adam, and no experiment)"
            )

    def _check_success(self) -> None:
        success({}, self.success)
        names = self.measured
        for name in self.success:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=3) or sorted(names)
                raise ConfigError(
                    f"success.{name}: no metric that this evaluation measures; there are {', '.join(close)}"
                )

    def _check_steps(self) -> None:
        if self.solve.step is None:
            check_step(self.evaluation.step, fit_step=None)
            return
        _check_divides(self.fit.time_step, self.solve.step)
        check_step(self.evaluation.step, fit_step=self.solve.step)
        fitted = "time_constant" in self.parameters.trainable
        stated = self.parameters.start.get("time_constant")
        if fitted:
            fastest, what = self.parameters.bounds["time_constant"].low, "parameters.bounds.time_constant.low"
        elif stated is not None:
            fastest, what = stated, "parameters.start.time_constant"
        else:
            fastest, what = self.start.time_constant, "start.time_constant"
        for place, step in (("solve.step", self.solve.step), ("evaluation.step", self.evaluation.step)):
            most = fastest / self.solve.steps_per_time_constant
            if step > most * (1 + 1e-9):
                raise StepError(
                    f"{place}: got {step:g} s, wanted at most {most:g} s: {self.solve.steps_per_time_constant:g} steps "
                    f"per time constant of {fastest:g} s ({what}); use a smaller step or raise that bound"
                )

    def _check_loss(self) -> None:
        terms = self.terms
        if reserved := sorted({"total", "stage", "iteration", "horizon_s", "validation_total"} & terms.keys()):
            raise ConfigError(f"loss.{reserved[0]}: is a column of history.csv already; choose another name")
        if not any(term.weight > 0 for term in terms.values()):
            raise ConfigError("loss: got no term with a weight above 0, wanted at least one")
        # the default stages name losses that a configuration may leave out
        known = sorted({*terms, *(name for stage in FitOptions().stages for name in stage.weights)})
        for k, stage in enumerate(self.fit.stages):
            if unknown := sorted(stage.weights.keys() - set(known)):
                raise ConfigError(f"fit.stages[{k}].weights: got loss {unknown[0]!r}, wanted some of {known}")
        pairs = [name for name, term in terms.items() if isinstance(term.loss, LinearConsistency)]
        if pairs and not self.fit.mix.consistency > 0:
            raise ConfigError(
                f"loss.{pairs[0]}: linear_consistency compares trials in triples, got fit.mix.consistency=0; "
                "choose task=consistency, or give it a share of the trials"
            )
        fewest = min(self.fit.validation_trials, *(stage.n_trials for stage in self.fit.stages))
        if pairs and not self.fit.mix.counts(fewest)["consistency"]:
            raise ConfigError(
                f"loss.{pairs[0]}: linear_consistency compares trials in triples, got none among {fewest} trials with "
                f"fit.mix.consistency={self.fit.mix.consistency:g}; use larger batches or a larger share"
            )

    @property
    def measured(self) -> frozenset[str]:
        """Names of the metrics that this fit will give, known before anything is simulated."""
        types = [member for name in self.connectome.wanted_classes for member in (EXR if name == "ExR" else (name,))]
        held_out = metric_names(self.evaluation.protocol, self.evaluation.which)
        return frozenset({*held_out, *parameter_metrics(()), *rate_metric_names(types), *FIT_METRICS})

    @property
    def terms(self) -> dict[str, WeightedLoss]:
        """The losses by name."""
        return {name: term.build() for name, term in self.loss.items()}

    @property
    def held_out_seed(self) -> int:
        """Seed of the held-out traces."""
        return self.seed if self.evaluation.seed is None else self.evaluation.seed


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A member of an ensemble in the place of a run; where neither is named, one of the shipped ensemble.

    Attributes:
        ensemble: name of a shipped ensemble, or its folder; `SHIPPED` where neither it nor a run is named.
        member: number of the member.
        out: run folder that is made of the member, or that was; ``results/ENSEMBLE/member_NUMBER`` where empty.

    Raises:
        ConfigError: a run and an ensemble; ``out`` with a run; a negative number.
    """

    ensemble: str = ""
    member: int = 0
    out: str = ""

    def _check_subject(self, runs: Sequence[str]) -> None:
        if runs and (self.ensemble or self.out or self.member):
            raise ConfigError(
                f"run: got {list(runs)} with ensemble={self.ensemble!r}, member={self.member}, out={self.out!r}; "
                "wanted runs, whose results go into their own folders, or a member of an ensemble"
            )
        if self.member < 0:
            raise ConfigError(f"member: got {self.member}, wanted 0 or more")

    @property
    def chosen_ensemble(self) -> str:
        """The ensemble that is meant where no run is."""
        return self.ensemble or SHIPPED

    @property
    def folder(self) -> str:
        """The run folder of the member."""
        return self.out or str(Path("results", Path(self.chosen_ensemble).name, f"member_{self.member:03d}"))


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Subject):
    """What ``evaluate`` is told, beside the member of an ensemble (`Subject`).

    Attributes:
        run: the run folder, where it is not a member of an ensemble.
        threads: CPU threads; all cores where None.
        progress: show a progress bar.
        evaluation: how to measure; by default as the run's own configuration says.
    """

    run: str = ""
    threads: int | None = None
    progress: bool = True
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        self._check_subject([self.run] if self.run else [])


@dataclass(frozen=True, kw_only=True)
class AnalyzeConfig(Subject):
    """What ``analyze`` is told, beside the member of an ensemble (`Subject`).

    Attributes:
        run: one or more run folders, where it is not a member of an ensemble; results go into each.
        headings: at which the ring of slow states is solved.
        walk_s: length of the walks whose states are looked at, s.
        physiology: score the network against the animal, and compare it with other models.
        threads: CPU threads; what PyTorch chooses where None.

    Raises:
        ConfigError: as `Subject`; a number of headings or a length of walks out of range.
    """

    run: tuple[str, ...] = ()
    headings: int = _default(analyze, "n_headings")
    walk_s: float = _default(visit, "duration")
    physiology: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        self._check_subject(self.run)
        if self.headings < FEWEST_HEADINGS or not self.walk_s > 0:
            raise ConfigError(
                f"got headings={self.headings}, walk_s={self.walk_s:g}, wanted at least {FEWEST_HEADINGS}, and more "
                "than 0"
            )


@dataclass(frozen=True, kw_only=True)
class FiguresConfig(Subject):
    """What ``figures`` is told, beside the member of an ensemble (`Subject`).

    Attributes:
        run: the run folder, where it is not a member of an ensemble.
        formats: of the files: png, pdf, svg.
    """

    run: str = ""
    formats: tuple[str, ...] = ("png", "pdf")

    def __post_init__(self) -> None:
        self._check_subject([self.run] if self.run else [])


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What ``export`` is told.

    Attributes:
        run: one or more run folders; more become the members of one file.
        ensemble: name of a shipped ensemble, or its folder, in the place of runs: all its members.
        out: the file to write.
        overwrite: replace a file of that name.

    Raises:
        ConfigError: neither runs nor an ensemble, or both.
    """

    run: tuple[str, ...] = ()
    ensemble: str = ""
    out: str
    overwrite: bool = False

    def __post_init__(self) -> None:
        if bool(self.run) == bool(self.ensemble):
            raise ConfigError(
                f"run: got {list(self.run)} with ensemble={self.ensemble!r}, wanted one or more run folders, or an "
                "ensemble"
            )


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """What ``ensemble`` is told.

    Attributes:
        run: the run folders of the members; an entry with ``*`` stands for all folders of that pattern.
        out: folder of the ensemble; its last part is the ensemble's name.
        failed: also take fits that failed.
        command: what fitted the members; worked out from the runs where empty.
    """

    run: tuple[str, ...]
    out: str
    failed: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if not self.run:
            raise ConfigError("run: got none, wanted one or more run folders")


@dataclass(frozen=True, kw_only=True)
class SolutionsConfig:
    """What ``solutions`` is told.

    Attributes:
        ensemble: name of a shipped ensemble, or its folder.
        out: folder for the results.
        member: number of the member at which stiff and sloppy directions are worked out.
        batches: batches of trials that standard errors come from.
        threads: CPU threads; what PyTorch chooses where None.
        formats: of the figure: png, pdf, svg.
        overwrite: replace earlier results in that folder.

    Raises:
        ConfigError: no ensemble, a negative member, or fewer than two batches.
    """

    ensemble: str
    out: str
    member: int = 0
    batches: int = 8
    threads: int | None = None
    formats: tuple[str, ...] = ("png", "pdf")
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.ensemble:
            raise ConfigError("ensemble: got none, wanted the name or folder of an ensemble")
        if self.member < 0 or self.batches < 2:
            raise ConfigError(f"got member={self.member}, batches={self.batches}, wanted at least 0, and 2")


def _check_divides(time_step: float, step: float) -> None:
    """Raise a StepError unless ``step`` is ``time_step`` divided by a whole number."""
    steps_per_sample(Drive(time_step, torch.zeros(1, 1)), step)
