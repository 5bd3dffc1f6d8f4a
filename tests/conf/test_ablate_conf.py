"""The configuration of a sweep: every bundle composes and survives, nothing wrong gets through."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from connectome_sim.ablation.perturbations import Output, Scale
from connectome_sim.ablation.probes import HeldOut
from connectome_sim.ablation.targets import Target
from connectome_sim.ablation.timed import TimedTrial
from connectome_sim.cli import main
from connectome_sim.config import AblateConfig, compose, to_yaml, typed
from connectome_sim.config.ablate import SHIPPED
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.resources import conf_dir, data_dir

BUNDLES = sorted(path.stem for path in (conf_dir() / "ablation").glob("*.yaml"))


def test_the_bundles_are_those_of_the_page() -> None:
    names = "cell_types deviations graded literature nulls own pairs timed unilateral"
    assert names.split() == BUNDLES


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_bundle_composes_and_survives_being_written_down(bundle: str) -> None:
    own = ["ablation.cases=[{perturb: [{kind: output, target: {type: [EPG]}}]}]"] if bundle == "own" else []
    config = compose("ablate", ["run=[runs/one]", f"ablation={bundle}", *own])
    assert config.ablation.name == bundle
    assert isinstance(config.ablation.chosen, TimedTrial if bundle == "timed" else HeldOut)
    assert config.ablation.held_out == HeldOut()
    assert typed(AblateConfig, OmegaConf.create(to_yaml(config))) == config


def test_a_case_can_be_written_on_the_command_line() -> None:
    one = (
        "{perturb: [{kind: output, target: {type: [PEN_a], side: L}}, {kind: scale, target: {type: [EPG]}, factor: 2}]}"
    )
    config = compose("ablate", ["run=[runs/one]", f"ablation.cases=[{one}, {{rewire: {{kind: missed, level: 0.5}}}}]"])
    first, second = (case.build() for case in config.ablation.cases)
    assert first.perturbations == (
        Output(target=Target(type=("PEN_a",), side="L")),
        Scale(target=Target(type=("EPG",)), factor=2.0),
    )
    assert (second.kind, second.level) == ("deviation", 0.5)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ablation.sets.silenced.set=lesions", "'lesions'"),
        ("+ablation.sets.silenced.options.how=lesion", "'lesion'"),
        ("+ablation.sets.silenced.options.hwo=output", "did you mean 'how'"),
        ("ablation.cases=[{perturb: [{kind: scale, target: {type: [EPG]}, factor: -1}]}]", "wanted 0 to 2"),
        ("ablation.cases=[{perturb: [{kind: burn, target: {type: [EPG]}}]}]", "'burn'"),
        ("ablation.cases=[{}]", "wanted something to do"),
        ("ablation.cases=[{rewire: {kind: missed, level: 2}}]", "wanted 0 to 1"),
        ("ablation.held_out.step=0.003", "divided by a whole number"),
        ("ablation.held_out.seed=-1", "wanted zero or more"),
        ("run=[a,a]", "each once"),
        ("ensemble=hemibrain_ring", "or an ensemble, or neither"),
        ("members=[0]", "wanted members of an ensemble"),
        ("threads=0", "at least 1"),
        ("ablation.timed={start: 3.0, end: 2.0}", "0 < start < end"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(override: str, words: str) -> None:
    with pytest.raises(ConnectomeSimError, match=words) as error:
        compose("ablate", ["run=[runs/one]", override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("numbers", ["[1,1]", "[-1]"])
def test_members_that_cannot_be_meant_are_refused(numbers: str) -> None:
    with pytest.raises(ConfigError, match="from 0, each once"):
        compose("ablate", [f"members={numbers}"])


def test_the_networks_that_ship_are_perturbed_where_none_are_named() -> None:
    assert compose("ablate", []).chosen_ensemble == SHIPPED
    assert compose("ablate", ["ensemble=mine", "members=[0,2]"]).chosen_ensemble == "mine"
    assert compose("ablate", ["run=[runs/one]"]).chosen_ensemble == ""
    assert (data_dir() / "ensembles" / SHIPPED).is_dir()


def test_a_run_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["ablate", f"run={tmp_path}/none", f"out={tmp_path}/sweep"]) == 1
    assert "none" in capsys.readouterr().err and not (tmp_path / "sweep").exists()
