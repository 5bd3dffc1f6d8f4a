"""Sweeps whose cases are fitted anew: with the member's own settings, killed and gone on with, refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connectome_sim.ablation.lesion import lesioned
from connectome_sim.ablation.perturbations import Clamp, Input, Output, Perturbation, Scale, Window
from connectome_sim.ablation.targets import Target
from connectome_sim.build import load_members, run_ablate
from connectome_sim.build.ablating import make_plan
from connectome_sim.build.refitting import refits
from connectome_sim.cli import main
from connectome_sim.config import compose, saved_config
from connectome_sim.connectome.deviations import Merge
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.figures import draw_sweep
from connectome_sim.records import RunFolder, SweepFolder
from tests import typed_ring
from tests.end_to_end.test_ablate import TINY as SHORT
from tests.end_to_end.test_runs import TINY

CASES = "ablation.cases=[{perturb: [{kind: output, target: {type: [PEN_a]}}]}, {rewire: {kind: missed, level: 0.5}}]"
SWEEP = ["~ablation.sets.silenced", "~ablation.sets.nulls", "ablation.modes=[transplant,refit]", CASES, *SHORT]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert main(["fit", *TINY, f"run={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def finished(run: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    out = tmp_path_factory.mktemp("sweeps") / "finished"
    assert main(["ablate", f"run={run}", f"out={out}", *SWEEP]) == 0
    return SweepFolder.open(out)


def test_a_new_fit_of_the_intact_connectome_is_the_member_itself(run: Path, finished: SweepFolder) -> None:
    kept, again, *_ = rows = finished.table("cases")
    assert [row["case"] for row in rows] == [
        "intact", "intact, refit", "output of PEN_a", "missed synapses 0.5 (draw 0)",
        "output of PEN_a, refit", "missed synapses 0.5 (draw 0), refit",
    ]  # fmt: skip
    assert [row["mode"] for row in rows] == ["transplant", "refit", "transplant", "transplant", "refit", "refit"]
    assert {row["status"] for row in rows} == {"ok"}
    assert float(again["parameter_distance"]) == 0.0
    measures = list(kept)[list(kept).index("status") + 2 : -3]  # but those of a fit
    assert [kept[name] for name in measures] == [again[name] for name in measures]
    assert float(again["fit_iterations"]) == saved_config(run).fit.n_iterations
    assert float(again["fit_loss"]) == RunFolder.open(run).metrics()["validation_total"]


def test_it_is_made_on_what_is_left_and_compared_with_the_new_fit_of_the_intact_one(finished: SweepFolder) -> None:
    silenced, thinned = finished.table("cases")[4:]
    assert silenced["neurons"] == "20" and float(silenced["synapses"]) > 1000 and float(thinned["synapses"]) > 1000
    assert float(silenced["parameter_distance"]) > 0.01 and float(thinned["parameter_distance"]) > 0.01
    (folder,) = finished.refits.glob("output_of_PEN_a_refit_*/*/")
    connectome = hdf5.read(RunFolder.open(folder).connectome)
    assert connectome.dense()[:, connectome.neurons.type == "PEN_a"].sum() == 0 < connectome.dense().sum()
    found = {(row["group"], row["measure"]): row for row in finished.table("summary")}
    assert found["output of PEN_a, refit", "parameter_distance"]["mode"] == "refit"
    assert float(found["output of PEN_a, refit", "parameter_distance"]["control_mean"]) == 0.0
    assert ("output of PEN_a", "parameter_distance") not in found


def test_a_sweep_that_is_killed_within_a_fit_goes_on_to_the_same_bytes(
    run: Path, finished: SweepFolder, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    arguments = ["ablate", f"run={run}", f"out={out}", *SWEEP]
    code = f"import sys; from connectome_sim.cli import main; sys.exit(main({arguments!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not any(out.glob("refits/*/*/history.csv")) and process.poll() is None:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(SweepFolder.open(out).table("cases")) < 6
    assert main(arguments) == 0
    assert (out / "cases.csv").read_bytes() == (finished.path / "cases.csv").read_bytes()
    assert (out / "summary.csv").read_bytes() == (finished.path / "summary.csv").read_bytes()


def test_a_smaller_budget_is_stated_in_every_row(run: Path, tmp_path: Path) -> None:
    config = compose("ablate", [f"run=[{run}]", f"out={tmp_path}/short", *SWEEP, "ablation.refit_budget=0.5"])
    rows = run_ablate(config).rows
    stages = saved_config(run).fit.stages
    wanted = sum(-(-stage.iterations // 2) for stage in stages)
    assert [row["fit_iterations"] for row in rows if row["mode"] == "refit"] == [repr(float(wanted))] * 3
    assert {row["fit_iterations"] for row in rows if row["mode"] == "transplant"} == {""}


def test_measures_that_only_new_fits_have_are_drawn_beside_transplants(finished: SweepFolder, tmp_path: Path) -> None:
    copy = SweepFolder.open(Path(shutil.copytree(finished.path, tmp_path / "drawn")))
    measures = {row["measure"] for row in copy.table("summary") if row["group"] == "output of PEN_a"}
    assert "parameter_distance" not in measures
    names = {path.name for path in draw_sweep(copy)}
    assert {"effects.png", "effects.pdf"} <= names


def test_a_folder_with_another_fit_is_not_taken_for_a_new_one(finished: SweepFolder, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    shutil.copytree(finished.refits, tmp_path / "refits")
    config = compose("ablate", [f"run=[{run}]", f"out={out}", *SWEEP, "ablation.refit_budget=0.5"])
    members = load_members([str(run)])
    new = replace(refits(config, tmp_path / "refits", members), budget=0.5)
    row = next(row for row in make_plan(config.ablation, members).rows if row.case.name == "intact, refit")
    with pytest.raises(RunFolderError, match="other settings or of another connectome"):
        new(row, members[0].connectome)
    found, _ = replace(new, budget=1.0)(row, members[0].connectome)  # moved, but the same: taken as it is
    assert found.neurons.id.tolist() == members[0].connectome.neurons.id.tolist()


def test_networks_of_unknown_fits_are_refused(run: Path, tmp_path: Path) -> None:
    config = compose("ablate", [f"run=[{run}]", f"out={tmp_path}/none", *SWEEP])
    others = [replace(member, seed=7) for member in load_members([str(run)])]
    with pytest.raises(ConfigError, match="whose fits are known"):
        run_ablate(config, members=others)
    assert not (tmp_path / "none").exists()


PEN = Target(type=("PEN_a",))


@pytest.mark.parametrize(
    ("perturbation", "words"),
    [
        (Scale(target=PEN, factor=0.5), "wanted outputs or inputs that are silent"),
        (Clamp(target=PEN), "wanted outputs or inputs that are silent"),
        (Output(target=PEN, window=Window(0.0, 1.0)), "silent throughout"),
        (Input(target=PEN), "16 neurons with velocity input"),
    ],
    ids=["scale", "clamp", "window", "velocity"],
)
def test_what_is_not_a_missing_connection_is_refused(perturbation: Perturbation, words: str) -> None:
    connectome = typed_ring.connectome()
    with pytest.raises(ConfigError, match=words):
        lesioned(connectome, [perturbation], ["PEN_a"])


def test_a_lesion_leaves_all_other_connections() -> None:
    connectome = typed_ring.connectome()
    cases = [Output(target=PEN), Input(target=Target(type=("Delta7",)), source=Target(type=("EPG",)))]
    left, kinds = lesioned(connectome, cases, []), connectome.neurons.type
    gone = (kinds == "PEN_a")[None, :] | np.logical_and.outer(kinds == "Delta7", kinds == "EPG")
    np.testing.assert_array_equal(left.dense(), np.where(gone, 0, connectome.dense()))
    assert left.provenance.history[-1] == "silenced: output of PEN_a; input of Delta7 from EPG"


def test_a_circuit_with_merged_neurons_is_lesioned_like_any_other() -> None:
    merged = Merge(level=0.5)(typed_ring.connectome(), np.random.default_rng(0))
    left, kinds = lesioned(merged, [Input(target=Target(type=("Delta7",)))], ["PEN_a"]), merged.neurons.type
    assert merged.n_neurons < 40
    np.testing.assert_array_equal(left.dense(), np.where((kinds == "Delta7")[:, None], 0, merged.dense()))
