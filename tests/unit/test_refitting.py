"""New fits of a sweep, without fitting: their curriculum, and how far two sets of parameters are apart."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from connectome_sim.ablation.perturbations import Output
from connectome_sim.ablation.plan import perturbation_case, plan, refit_case, rewiring_case
from connectome_sim.ablation.probes import HeldOut
from connectome_sim.ablation.targets import Target
from connectome_sim.build.ablating import _digest
from connectome_sim.build.refitting import Origin, Refits, _distance, mean_input_count, reduced
from connectome_sim.config import FitConfig, compose
from connectome_sim.connectome.io import hdf5
from connectome_sim.connectome.nulls import ShuffleWeights
from connectome_sim.errors import ConfigError
from connectome_sim.fit import FitOptions, Stage
from connectome_sim.records import Manifest, RunFolder, write_network, write_parameters
from tests import typed_ring
from tests.fitted import member

RING = compose("fit", ["+experiment=hemibrain_ring", "run=/nowhere"])


def stages(*iterations: int) -> FitOptions:
    return FitOptions(stages=tuple(Stage(horizon_s=0.5, iterations=n, n_trials=4) for n in iterations))


@pytest.mark.parametrize(
    ("iterations", "start", "budget", "wanted"),
    [
        ((150, 100, 40), 250, 0.1, 15 + 10),  # at the border of two stages
        ((150, 100, 40), 270, 0.1, 15 + 10 + 2),  # half way through the last
        ((150, 100, 40), 270, 1.0, 270),
        ((4, 4), 1, 0.1, 1),
        ((40, 10), 45, 0.01, 1),  # one iteration each: one is left for the start that is taken
    ],
)
def test_starts_are_chosen_at_the_same_place_of_the_curriculum(
    iterations: tuple[int, ...], start: int, budget: float, wanted: int
) -> None:
    fit = replace(stages(*iterations), starts=2, start_iterations=start)
    found = reduced(fit, budget)
    assert (found.starts, found.start_iterations) == (2, wanted)


def test_one_start_is_never_chosen_among_several() -> None:
    assert reduced(stages(40, 10), 0.1).start_iterations == 0


@pytest.mark.parametrize("budget", [0.1, 0.25, 0.5, 1.0])
def test_the_shipped_recipe_with_several_starts_can_be_reduced(budget: float) -> None:
    found = reduced(RING.fit, budget)
    assert found.starts == RING.fit.starts > 1
    assert found.stage_at(found.start_iterations) == RING.fit.stage_at(RING.fit.start_iterations)
    assert found == RING.fit or budget < 1


def test_a_budget_that_leaves_nothing_to_choose_is_refused_before_any_fit(tmp_path: Path) -> None:
    config = replace(RING, fit=replace(stages(4), starts=2, start_iterations=2))
    new = Refits(tmp_path / "refits", {"seed 0": Origin(config, {})}, 0.1, RING.evaluation.protocol)
    asked = plan([refit_case(perturbation_case(Output(target=Target(type=("PEN_a",)))))], [member(0)], HeldOut())
    with pytest.raises(ConfigError, match=r"refit_budget=0.1, member seed 0: .*start_iterations"):
        new.check(asked.rows)
    assert not (tmp_path / "refits").exists()


def test_a_new_fit_with_other_settings_has_another_identity(tmp_path: Path) -> None:
    def identity(config: FitConfig, budget: float = 0.5) -> str:
        return Refits(tmp_path, {"seed 0": Origin(config, {})}, budget, RING.evaluation.protocol).identity("seed 0")

    assert identity(RING) == identity(replace(RING, run="/elsewhere", threads=2))
    others = [
        replace(RING, seed=9),
        replace(RING, activation="softplus"),
        replace(RING, adam=replace(RING.adam, learning_rate=0.01)),
    ]
    assert len({identity(RING), identity(RING, 0.25), *map(identity, others)}) == 5


def test_a_member_that_is_read_or_wired_otherwise_is_another_one() -> None:
    own = member(0)
    fitted, counts = own.fitted, own.connectome.dense()
    counts[0, 1] += 1
    others = [
        replace(own, fitted=replace(fitted, activation="relu")),
        replace(own, fitted=replace(fitted, ring_angle=fitted.ring_angle + 0.1)),
        replace(own, fitted=replace(fitted, type=("other", *fitted.type[1:]))),
        replace(own, connectome=own.connectome.replaced(step="by hand", counts=sp.csr_array(counts))),
    ]
    assert len({_digest(one) for one in [own, *others]}) == 5
    assert _digest(own) == _digest(member(0))


def test_the_distance_of_a_new_fit_on_another_mean_input_count_is_that_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the synapses: c0 is half, so gains half as large make synapses as strong as the member's.

    The new fit is a stub that finds, beside such gains, a time constant e times the member's. Two parameters, of which
    one is off by 1: root mean square sqrt(1 / 2).
    """
    halved = typed_ring.connectome()
    whole = halved.replaced(step="by hand", counts=sp.csr_array(halved.dense() * 2))
    own = replace(member(0), connectome=whole)
    assert mean_input_count(whole) == pytest.approx(2 * mean_input_count(halved))
    fitted = {"gain/EPG<-PEN_a": 2.0, "time_constant/EPG": 0.02}
    config = replace(RING, velocity=replace(RING.velocity, types=("PEN_a",)))
    new = Refits(tmp_path / "refits", {own.name: Origin(config, fitted)}, 1.0, RING.evaluation.protocol)

    def stub(_: Refits, config: FitConfig) -> RunFolder:
        folder = RunFolder.create(config.run, Manifest.start())
        hdf5.write(halved, folder.connectome)
        write_network(folder.network, [own.fitted])
        found = {"gain/EPG<-PEN_a": 1.0, "time_constant/EPG": 0.02 * math.e}
        write_parameters(folder.parameters, {name: torch.tensor(value) for name, value in found.items()})
        folder.write_metrics({"validation_total": 3.0})
        return folder

    monkeypatch.setattr(Refits, "_fitted", stub)
    row = plan([refit_case(rewiring_case(ShuffleWeights(), 0))], [own], HeldOut()).rows[-1]
    _, measures = new(row, halved)
    assert measures["parameter_distance"] == pytest.approx(math.sqrt(1 / 2), rel=1e-6)
    assert measures["fit_loss"] == 3.0


def test_synapses_of_the_same_strength_are_no_distance_whatever_their_mean_number() -> None:
    whole = typed_ring.connectome()
    counts = whole.dense()
    counts[:, whole.neurons.type == "Delta7"] = 0
    left = whole.replaced(step="by hand", counts=sp.csr_array(counts))
    ratio = mean_input_count(whole) / mean_input_count(left)
    assert ratio > 1.1
    own = {"gain/EPG<-PEN_a": 2.0, "time_constant/EPG": 0.1}
    same = {**own, "gain/EPG<-PEN_a": 2.0 / ratio}  # gain / c0 is the strength of a synapse
    assert _distance(Origin(RING, own), same, ratio) == pytest.approx(0.0, abs=1e-12)
    assert _distance(Origin(RING, own), own, 1.0) == 0.0
    assert _distance(Origin(RING, own), own, ratio) == pytest.approx(math.log(ratio) / np.sqrt(2))
