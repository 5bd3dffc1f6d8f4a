"""What ``ablate`` is told, as frozen dataclasses made of the domain's own. Knows no yaml; reads no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectome_sim.ablation.perturbations import PERTURBATIONS
from connectome_sim.ablation.plan import MODES, REFIT, TRANSPLANT, Case
from connectome_sim.ablation.probes import HeldOut, Probes
from connectome_sim.ablation.sets import CASE_SETS, CaseSet
from connectome_sim.ablation.timed import TimedTrial
from connectome_sim.config.conversion import typed
from connectome_sim.connectome.deviations import DEVIATIONS
from connectome_sim.connectome.nulls import NULLS
from connectome_sim.errors import ConfigError

PROBES = ("held_out", "timed")
SHIPPED = "hemibrain_ring"
"""The ensemble that is perturbed where nothing else is named."""


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """A set of cases.

    Attributes:
        set: which one.
        options: its options by name.

    Raises:
        ConfigError: unknown set or option, or a value out of range.
    """

    set: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.build()

    def build(self) -> CaseSet:
        """The set."""
        chosen = _named("set", self.set, CASE_SETS)
        built: CaseSet = typed(chosen, dict(self.options), where=f"options of {self.set}")
        return built


@dataclass(frozen=True, kw_only=True)
class CaseConfig:
    """A case of one's own.

    Attributes:
        name: what it is called; after what it does where empty.
        perturb: perturbations, each with its ``kind`` (output, input, scale, clamp, stimulate) and its fields.
        rewire: a null model or deviation, with its ``kind`` and, for a deviation, its ``level``; none where empty.
        seed: of the rewiring.

    Raises:
        ConfigError: unknown kind or field, a value out of range, or nothing to do.
    """

    name: str = ""
    perturb: tuple[Mapping[str, Any], ...] = ()
    rewire: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.perturb and not self.rewire:
            raise ConfigError("case: got neither perturb nor rewire, wanted something to do")
        if self.seed < 0:
            raise ConfigError(f"seed: got {self.seed}, wanted zero or more")
        self.build()

    def build(self) -> Case:
        """The case."""
        perturbations = tuple(_of_kind(item, PERTURBATIONS) for item in self.perturb)
        rewiring = _of_kind(self.rewire, {**NULLS, **DEVIATIONS}) if self.rewire else None
        parts = [p.name for p in perturbations] + ([f"{rewiring.name} (draw {self.seed})"] if rewiring else [])
        return Case(name=self.name or "; ".join(parts), perturbations=perturbations, rewiring=rewiring, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """What a sweep does, and how it measures.

    Attributes:
        name: of the sweep; part of the folder it goes to.
        sets: sets of cases by name.
        cases: further cases.
        modes: what a case is: transplant (fitted parameters are kept), refit (fitted anew to what is left), or both.
        refit_budget: share of the iterations of each stage of its own fit that a network gets in a new one.
        literature: also the cases of the published experiments, and a verdict on each.
        probes: how cases are measured: held_out, or timed where windows are wanted.
        held_out: the held-out probes.
        timed: the trial with a window in it.

    Raises:
        ConfigError: nothing to do, or the literature in a timed trial, whose measures it does not name.
    """

    name: str = "own"
    sets: Mapping[str, SetConfig] = field(default_factory=dict)
    cases: tuple[CaseConfig, ...] = ()
    modes: tuple[str, ...] = (TRANSPLANT,)
    refit_budget: float = 1.0
    literature: bool = False
    probes: str = "held_out"
    held_out: HeldOut = field(default_factory=HeldOut)
    timed: TimedTrial = field(default_factory=TimedTrial)

    def __post_init__(self) -> None:
        if not self.sets and not self.cases and not self.literature:
            raise ConfigError("got no sets, no cases and literature=false, wanted something to do")
        if not self.modes or not set(self.modes) <= set(MODES) or len(set(self.modes)) < len(self.modes):
            raise ConfigError(f"modes: got {list(self.modes)}, wanted one or both of {', '.join(MODES)}")
        if not 0 < self.refit_budget <= 1:
            raise ConfigError(f"refit_budget: got {self.refit_budget}, wanted more than 0 and up to 1")
        if self.literature and TRANSPLANT not in self.modes:
            raise ConfigError("literature: got true with modes=[refit], wanted transplant among them, which it judges")
        if REFIT in self.modes and self.probes == "timed":
            raise ConfigError("modes: got refit with probes=timed, wanted transplant: nothing is fitted to a window")
        if self.probes not in PROBES:
            raise ConfigError(f"probes: got {self.probes!r}, wanted one of {', '.join(PROBES)}")
        if self.literature and self.probes != "held_out":
            raise ConfigError(f"literature: got true with probes={self.probes}, wanted probes=held_out")

    @property
    def chosen(self) -> Probes:
        """How cases are measured."""
        return self.held_out if self.probes == "held_out" else self.timed


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """What ``ablate`` is told.

    Attributes:
        run: run folders: the members of the ensemble.
        ensemble: name of a shipped ensemble, or its folder, in the place of runs; ``SHIPPED`` where there are none.
        members: numbers of the members of that ensemble, from 0; all of them where empty.
        id: tells sweeps of the same second apart.
        out: the sweep folder; where it exists and holds the same sweep, that goes on.
        threads: cases at a time; all cores where None.
        progress: show a progress bar.
        figures: draw figures and report at the end.
        ablation: what to do.

    Raises:
        ConfigError: runs and an ensemble, the same run or member twice, members of runs, or no thread.
    """

    run: tuple[str, ...] = ()
    ensemble: str = ""
    members: tuple[int, ...] = ()
    id: str
    out: str
    threads: int | None = None
    progress: bool = True
    figures: bool = True
    ablation: AblationConfig

    def __post_init__(self) -> None:
        if self.run and self.ensemble:
            raise ConfigError(
                f"run: got {list(self.run)} with ensemble={self.ensemble!r}, wanted run folders, or an ensemble, or "
                f"neither for ensemble={SHIPPED}"
            )
        if len(set(self.run)) < len(self.run):
            raise ConfigError(f"run: got {list(self.run)}, wanted run folders, each once")
        if self.run and self.members:
            raise ConfigError(
                f"members: got {list(self.members)} with run={list(self.run)}, wanted members of an ensemble; name "
                "the runs that are meant"
            )
        if len(set(self.members)) < len(self.members) or any(number < 0 for number in self.members):
            raise ConfigError(f"members: got {list(self.members)}, wanted numbers of members from 0, each once")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads: got {self.threads}, wanted at least 1")

    @property
    def chosen_ensemble(self) -> str:
        """The ensemble that is meant; empty where runs are."""
        return "" if self.run else self.ensemble or SHIPPED


def _of_kind(item: Mapping[str, Any], known: Mapping[str, type]) -> Any:
    """An object from its ``kind`` and its fields."""
    fields = dict(item)
    kind = str(fields.pop("kind", ""))
    return typed(_named("kind", kind, known), fields, where=kind)


def _named(field_name: str, name: str, known: Mapping[str, type]) -> type:
    if name not in known:
        raise ConfigError(f"{field_name}: got {name!r}, wanted one of {', '.join(known)}")
    return known[name]
