"""The plan and the loop, with a stub in the place of the simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from connectome_sim.ablation.members import Member, Subject
from connectome_sim.ablation.perturbations import Clamp, Input, Output, Perturbation, Scale, Stimulate, Window
from connectome_sim.ablation.plan import Case, Plan, Planned, perturbation_case, plan, rewiring_case
from connectome_sim.ablation.probes import HeldOut, Scored
from connectome_sim.ablation.run import Row, columns, run
from connectome_sim.ablation.sets import CASE_SETS, CellTypes, Deviations, Graded, Nulls, Pairs, Timed, Unilateral
from connectome_sim.ablation.targets import Target
from connectome_sim.ablation.timed import TimedTrial
from connectome_sim.build.ablating import _Scorer
from connectome_sim.connectome.deviations import Merge, Missed
from connectome_sim.connectome.nulls import NULLS, ShuffleWeights
from connectome_sim.errors import (
    CircuitError,
    ConfigError,
    ConnectomeSimError,
    DataError,
    RunFolderError,
    SelectionError,
    SolveError,
)
from connectome_sim.tasks import generator
from tests.fitted import member

PEN, DELTA7, EPG = Target(type=("PEN_a",)), Target(type=("Delta7",)), Target(type=("EPG",))
CASES = (
    perturbation_case(Output(target=PEN)),
    perturbation_case(Output(target=DELTA7)),
    rewiring_case(ShuffleWeights(), 3),
)


@pytest.fixture(scope="module")
def members() -> tuple[Member, ...]:
    first = member(0)
    return first, replace(first, name="seed 1", seed=1)


@pytest.fixture(scope="module")
def planned(members: tuple[Member, ...]) -> Plan:
    return plan(CASES, members, HeldOut())


def test_the_control_comes_first_and_ids_are_stable(planned: Plan, members: tuple[Member, ...]) -> None:
    ids = [row.id for row in planned.rows]
    assert ids[:4] == ["seed 0/intact", "seed 1/intact", "seed 0/output of PEN_a", "seed 1/output of PEN_a"]
    assert ids[-1] == "seed 1/weight shuffle (draw 3)"
    assert ids == [row.id for row in plan(CASES, members, HeldOut()).rows]
    assert len(set(ids)) == len(ids) == 8


@pytest.mark.parametrize(
    ("cases", "error", "words"),
    [
        ((), ConfigError, "got 0 cases"),
        ((CASES[0], CASES[0]), ConfigError, "2 cases named 'output of PEN_a'"),
        ((Case(name="intact", perturbations=(Output(target=PEN),)),), ConfigError, "2 cases named 'intact'"),
        ((perturbation_case(Output(target=Target(type=("PEG",)))),), SelectionError, "there are EPG, PEN_a, Delta7"),
        (
            (perturbation_case(Scale(target=PEN, factor=0.5), Output(target=PEN)),),
            ConfigError,
            "wanted one factor for each",
        ),
        ((perturbation_case(Output(target=PEN, window=Window(0, 1))),), ConfigError, "got a window, wanted none"),
        ((perturbation_case(Clamp(target=PEN, rate=3.0)),), ConfigError, "wanted at most 1 for a sigmoid"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(cases, error, words, members: tuple[Member, ...]) -> None:
    with pytest.raises(error, match=words):
        plan(cases, members, HeldOut())


def test_a_window_that_the_trial_does_not_hold_is_refused(members: tuple[Member, ...]) -> None:
    late = perturbation_case(Stimulate(target=PEN, current=1.0, window=Window(7.0, 9.0)))
    with pytest.raises(ConfigError, match="within the trial of 8 s"):
        plan([late], members, TimedTrial())


def test_a_window_other_than_the_measured_one_is_refused(members: tuple[Member, ...]) -> None:
    elsewhere = perturbation_case(Output(target=PEN, window=Window(5.0, 7.0)))
    with pytest.raises(ConfigError, match="got a window from 5 to 7 s, wanted 2 to 4 s, where the trial is measured"):
        plan([elsewhere], members, TimedTrial())
    both = (Output(target=PEN, window=Window(2.0, 3.0)), Stimulate(target=EPG, current=1.0, window=Window(3.0, 4.0)))
    assert len(plan([perturbation_case(*both)], members[:1], TimedTrial()).rows) == 2


def test_scaled_connections_of_one_type_onto_two_are_two_targets() -> None:
    onto = [Case(name=str(k), perturbations=(Scale(target=PEN, factor=0.5, onto=t),)) for k, t in enumerate((EPG, PEN))]
    assert [case.target for case in onto] == ["PEN_a onto EPG", "PEN_a onto PEN_a"]


# --- sets ---


def test_sets_make_the_cases_of_the_circuit(members: tuple[Member, ...]) -> None:
    circuit = members[0].connectome
    made = {name: CASE_SETS[name]().cases(circuit) for name in CASE_SETS}
    names = {kind: [case.name for case in cases] for kind, cases in made.items()}
    assert names["cell_types"] == ["output of EPG", "output of PEN_a", "output of Delta7"]
    assert names["unilateral"] == ["output of PEN_a, left", "output of PEN_a, right"]  # the others have no sides here
    assert len(names["pairs"]) == int((circuit.totals() > 0).sum())
    assert "output of Delta7 onto EPG" in names["pairs"]
    assert len(names["nulls"]) == len(NULLS) and {case.kind for case in made["nulls"]} == {"null"}
    assert {case.kind for case in made["deviations"]} == {"deviation"}
    assert [c.level for c in Graded(factors=(0.5, 1.0, 2.0), types=("EPG",)).cases(circuit)] == [0.5, 2.0]
    assert len(made["timed"]) == 3 + 4  # each type; left, right times step, pulses for the PEN_a there are
    for cases in made.values():  # all of them can be planned
        probes = TimedTrial() if cases is made["timed"] else HeldOut()
        assert len(plan(cases, members[:1], probes).rows) == 1 + len(cases)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CellTypes(how="lesion"),
        lambda: Unilateral(how="scale"),
        lambda: Nulls(nulls=("random",)),
        lambda: Nulls(draws=0),
        lambda: Deviations(levels={"blur": (0.1,)}),
        lambda: Timed(start=2.0, end=1.0),
    ],
)
def test_options_of_a_set_that_it_does_not_know_are_refused(make) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        make()


def test_a_circuit_of_one_sign_has_no_sign_shuffle(members: tuple[Member, ...]) -> None:
    circuit = members[0].connectome
    excitatory = circuit.select(circuit.neurons.type != "Delta7", step="by hand")
    assert "sign shuffle" not in [case.group for case in Nulls().cases(excitatory)]
    assert len(Pairs(types=("EPG",)).cases(excitatory)) == 1


# --- the loop ---


def stub(planned: Planned) -> Scored:
    """Numbers that depend on the case and member only; one case cannot be solved, one diverges in part."""
    if "Delta7" in planned.id and planned.member.seed == 1:
        raise SolveError("diverged, with a comma and a\nnew line")
    value = 0.1 * len(planned.id) + planned.member.seed / 3
    measures = dict.fromkeys(HeldOut().measures, value) | {"bump_width_deg": math.nan}
    lost = 0.25 if "shuffle" in planned.id else 0.0
    return Scored({**measures, "failed_trials_share": lost}, {})


def carried_out(planned: Plan, *, done: dict[str, Row] | None = None, threads: int = 2) -> dict[str, Row]:
    rows = dict(done or {})

    def keep(row: Planned, found: Row, scored: Scored | None) -> None:
        rows[row.id] = found

    run(planned, stub, done=rows.keys(), keep=keep, threads=threads, progress=False)
    return rows


def test_every_case_is_a_row_with_its_status(planned: Plan) -> None:
    rows = carried_out(planned)
    assert rows.keys() == {row.id for row in planned.rows}
    assert all(tuple(row) == columns(planned) for row in rows.values())
    failed, diverged = rows["seed 1/output of Delta7"], rows["seed 0/weight shuffle (draw 3)"]
    assert (failed["status"], failed["bump_amplitude"]) == ("failed", "")
    assert "new line" in failed["reason"]
    assert (diverged["status"], diverged["reason"]) == ("diverged", "0.25 of the trials diverged")
    fine = rows["seed 1/output of PEN_a"]
    assert (fine["status"], fine["bump_width_deg"]) == ("ok", "")
    assert float(fine["bump_amplitude"]) == 0.1 * len("seed 1/output of PEN_a") + 1 / 3  # to the last bit
    assert (fine["neurons"], fine["connections"], fine["seed"]) == ("16", str(256 - 16), "1")


def test_what_is_done_is_not_done_again_and_the_rest_is_the_same(planned: Plan) -> None:
    whole = carried_out(planned, threads=1)
    for kept in ([], ["seed 0/intact"], list(whole)[:5], list(whole)):
        assert carried_out(planned, done={name: whole[name] for name in kept}) == whole
    marked = {name: {**row, "reason": "kept"} for name, row in list(whole.items())[:3]}
    assert [row["reason"] for row in carried_out(planned, done=marked).values()].count("kept") == 3


def test_a_bug_is_not_a_row(planned: Plan) -> None:
    def buggy(_: Planned) -> Scored:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(planned, buggy, done=(), keep=lambda *_: None, threads=1, progress=False)


@pytest.mark.parametrize("error", [RunFolderError, DataError, ConfigError])
def test_what_is_wrong_with_the_sweep_ends_it(error: type[ConnectomeSimError], planned: Plan) -> None:
    kept: list[str] = []

    def broken(row: Planned) -> Scored:
        if row.id == "seed 0/output of PEN_a":
            raise error("the disk is full")
        return stub(row)

    with pytest.raises(error, match="the disk is full"):
        run(planned, broken, done=(), keep=lambda row, *_: kept.append(row.id), threads=1, progress=False)
    assert kept == ["seed 0/intact", "seed 1/intact"]  # which a later sweep goes on from


def test_a_case_that_leaves_no_circuit_is_a_row_without_numbers(planned: Plan) -> None:
    def none_left(row: Planned) -> Scored:
        raise CircuitError("no EPG in a wedge") if row.case.perturbations else SolveError("diverged")

    rows: dict[str, Row] = {}
    run(planned, none_left, done=(), keep=lambda p, r, _: rows.update({p.id: r}), threads=1, progress=False)
    impossible, diverged = rows["seed 0/output of PEN_a"], rows["seed 0/intact"]
    assert (impossible["status"], impossible["reason"]) == ("failed", "no EPG in a wedge")
    assert {impossible[name] for name in planned.measures} == {""}
    assert (diverged["status"], diverged["viable"]) == ("failed", "0.0")


def test_merged_neurons_that_empty_a_wedge_are_such_a_case() -> None:
    one = member(0)  # one EPG in each wedge: a merge takes one away
    case = rewiring_case(Merge(0.5), 0)
    row = plan([case], [one], HeldOut()).rows[1]
    with pytest.raises(CircuitError, match="lies in the wedge"):
        _Scorer(HeldOut(), None)(row)


def test_what_a_rewiring_and_a_lesion_take_together_is_counted_once(members: tuple[Member, ...]) -> None:
    class Unmeasured(HeldOut):
        def score(self, subject: Subject, perturbations: Sequence[Perturbation]) -> Scored:
            return Scored({}, {})

    case = Case(name="both", perturbations=(Output(target=PEN),), rewiring=Missed(0.5), seed=1)
    row = plan([case], members[:1], HeldOut()).rows[1]
    found = _Scorer(Unmeasured(), None)(row).removed
    own = row.member.connectome
    left = Missed(0.5)(own, generator(1, "null")).dense()
    left[:, own.neurons.type == "PEN_a"] = 0
    assert found is not None
    assert found.synapses == own.dense().sum() - left.sum()
    assert found.connections == np.count_nonzero(own.dense()) - np.count_nonzero(left)


def test_a_network_with_a_gain_for_each_synapse_cannot_be_rewired(members: tuple[Member, ...]) -> None:
    one = members[0]
    uneven = one.fitted.weights * np.random.default_rng(0).uniform(0.5, 1.5, one.fitted.weights.shape)
    single = replace(one, fitted=replace(one.fitted, weights=uneven))
    assert len(plan(CASES[:2], [single], HeldOut()).rows) == 3
    with pytest.raises(ConfigError, match="leave null models and deviations out"):
        plan(CASES, [single], HeldOut())


def test_a_graded_case_knows_its_level_and_a_compound_one_has_none() -> None:
    assert perturbation_case(Scale(target=PEN, factor=0.5)).level == 0.5
    assert perturbation_case(Scale(target=PEN, factor=0.5), Input(target=DELTA7)).level is None
    assert rewiring_case(Missed(0.25), 0).level == 0.25
    with pytest.raises(ConnectomeSimError):
        Case(name="")
