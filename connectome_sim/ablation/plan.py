"""The plan of a sweep: which cases, on which members, in which order, all checked before anything is simulated.

Pure; knows no solver and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from connectome_sim.ablation.lesion import lesioned
from connectome_sim.ablation.members import Member, synapse_strength
from connectome_sim.ablation.perturbations import (
    Clamp,
    Perturbation,
    Removed,
    Scale,
    inverse_activation,
    onto_words,
    refuse_contradictions,
    removed,
)
from connectome_sim.ablation.probes import Probes
from connectome_sim.connectome.deviations import Deviation
from connectome_sim.connectome.nulls import Null
from connectome_sim.errors import ConfigError, ConnectomeSimError, DataError

CONTROL = "intact"
TRANSPLANT, REFIT = "transplant", "refit"
MODES = (TRANSPLANT, REFIT)
"""Fitted parameters are kept, or fitted anew to what is left."""
OF_A_REFIT = ("parameter_distance", "fit_loss", "fit_iterations")
"""Measures of a new fit, see `connectome_sim.build.refitting`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to do to every member.

    Attributes:
        name: unique within a sweep, stable; part of the ids of its rows.
        perturbations: of the network, all at once.
        rewiring: of the connectome, before them; None leaves it.
        seed: of the rewiring.
        group: replicates of one thing share it (draws of a null model); they are averaged within a member.
        mode: transplant or refit.
    """

    name: str
    perturbations: tuple[Perturbation, ...] = ()
    rewiring: Null | Deviation | None = None
    seed: int = 0
    group: str = ""
    mode: str = TRANSPLANT

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("case, field 'name': got nothing, wanted a name")
        object.__setattr__(self, "group", self.group or self.name)

    @property
    def kind(self) -> str:
        """control, perturbation, null or deviation."""
        if self.rewiring is None:
            return "perturbation" if self.perturbations else "control"
        return "deviation" if isinstance(self.rewiring, Deviation) else "null"

    @property
    def target(self) -> str:
        """Whom its perturbations are aimed at, or the kind of its rewiring."""
        if isinstance(self.rewiring, Deviation):
            return self.rewiring.kind
        aims = [p.target.name + onto_words(getattr(p, "onto", None)) for p in self.perturbations]
        return " and ".join(dict.fromkeys(aims))

    @property
    def level(self) -> float | None:
        """The factor of a graded silencing or the level of a deviation; None where there is no single one."""
        if isinstance(self.rewiring, Deviation):
            return self.rewiring.level
        factors = [p.factor for p in self.perturbations if isinstance(p, Scale)]
        return factors[0] if len(factors) == len(self.perturbations) == 1 else None


def perturbation_case(*perturbations: Perturbation) -> Case:
    """A case named after what it does."""
    return Case(name="; ".join(p.name for p in perturbations), perturbations=perturbations)


def rewiring_case(rewiring: Null | Deviation, seed: int) -> Case:
    """A case named after its rewiring and draw; the draws form a group."""
    return Case(name=f"{rewiring.name} (draw {seed})", rewiring=rewiring, seed=seed, group=rewiring.name)


def refit_case(case: Case) -> Case:
    """The same with a new fit; a group of its own, whose control is the new fit of the intact connectome."""
    return replace(case, name=_refitted(case.name), group=_refitted(case.group), mode=REFIT)


def _refitted(name: str) -> str:
    return f"{name}, {REFIT}"


def control_of(mode: str) -> str:
    """What a case of a mode is compared with."""
    return CONTROL if mode == TRANSPLANT else _refitted(CONTROL)


@dataclass(frozen=True, eq=False)
class Planned:
    """One row of a sweep.

    Attributes:
        id: stable: member and case by name.
        case: what is done.
        member: to what.
        removed: what the case's perturbations take away from the member's own connectome.
    """

    id: str
    case: Case
    member: Member
    removed: Removed


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of a sweep in their order: the intact control of every member, then case by case.

    Attributes:
        rows: what to do, the controls of each mode first.
        measures: names of what is measured.
    """

    rows: tuple[Planned, ...]
    measures: tuple[str, ...]


def plan(cases: Sequence[Case], members: Sequence[Member], probes: Probes) -> Plan:
    """Cases times members, the intact control first, and where cases are fitted anew its new fit.

    Args:
        cases: what to do; the control need not be among them.
        members: what to do it to.
        probes: how it is measured.

    Raises:
        ConfigError: no case or member, names that are not unique, perturbations that contradict each other or that
            these probes cannot show, a rewiring under the parameters of a network that has no value per type pair.
        SelectionError: a target that is empty or not there; it lists what there is.
    """
    asked = [case for case in cases if case.kind != "control"]
    if not asked or not members:
        raise ConfigError(f"sweep: got {len(asked)} cases and {len(members)} members, wanted at least one of each")
    modes = [mode for mode in MODES if mode == TRANSPLANT or any(case.mode == mode for case in asked)]
    controls = [Case(name=control_of(mode), mode=mode) for mode in modes]
    for what, names in (("cases", [c.name for c in (*controls, *asked)]), ("members", [m.name for m in members])):
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise ConfigError(f"sweep: got {times} {what} named {name!r}, wanted a name for each")
    if any(case.rewiring is not None and case.mode == TRANSPLANT for case in asked):
        _refuse_single_synapses(members)
    rows = []
    for case in (*controls, *asked):
        for member in members:
            try:
                rows.append(_planned(case, member, probes))
            except ConnectomeSimError as error:
                raise type(error)(f"case {case.name!r}, member {member.name}: {error}") from error
    return Plan(tuple(rows), (*probes.measures, *(OF_A_REFIT if REFIT in modes else ())))


def _refuse_single_synapses(members: Sequence[Member]) -> None:
    for member in members:
        try:
            synapse_strength(member)
        except DataError as error:
            raise ConfigError(f"{error}; leave null models and deviations out, or choose another network") from error


def _planned(case: Case, member: Member, probes: Probes) -> Planned:
    for perturbation in case.perturbations:
        perturbation.block(member.connectome.neurons)  # a target that is not there shows here
        if isinstance(perturbation, Clamp) and perturbation.rate is not None:
            inverse_activation(member.fitted.activation, np.array([perturbation.rate]))
    probes.check(case.perturbations)
    if case.mode == REFIT:
        lesioned(member.connectome, case.perturbations, member.velocity_types)  # what cannot be shows here
    refuse_contradictions(case.perturbations, member.connectome)
    taken = removed(case.perturbations, member.connectome)
    return Planned(f"{member.name}/{case.name}", case, member, taken)
