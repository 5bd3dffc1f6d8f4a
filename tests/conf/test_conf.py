"""The configuration: every file composes, every default is that of its dataclass, nothing wrong gets through."""

import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from connectome_sim.build import circuit, fitting
from connectome_sim.cli import main
from connectome_sim.config import (
    ConnectomeConfig,
    EvaluationConfig,
    FitConfig,
    TermConfig,
    VelocityConfig,
    compose,
    plain,
    schema,
    to_yaml,
    typed,
)
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.rings import mirrored_mean
from connectome_sim.errors import ConfigError, ParameterError, SolveError, StepError
from connectome_sim.evaluate import FULL, QUICK
from connectome_sim.fit import Adam, FitOptions, GaussNewton, SpectralStart, Stage
from connectome_sim.losses import LOSSES
from connectome_sim.model import ParameterSpec
from connectome_sim.records import EnsembleRecord
from connectome_sim.resources import conf_dir, data_dir
from connectome_sim.solve import SolveOptions


def rounds() -> list[list[str]]:
    """Overrides that choose every file of every group at least once, in as few rounds as the largest group has files.

    (Composing takes half a second.) Choices that need one another sit in the last round: the decoder-free loss its
    trials, the reference backend and a gain per connection gradient steps.
    """
    groups: dict[str, list[str]] = {}
    for path in sorted(conf_dir().glob("*/*.yaml")):
        if path.parent.name in ("ablation", "study"):  # of other verbs, with tests of their own
            continue
        groups.setdefault(path.parent.name, []).append(path.stem)
    groups["experiment"].remove("hemibrain_no_angles")  # chooses loss and task itself
    last = {"loss": "no_angles", "task": "consistency", "curriculum": "adam", "gains": "synapse"}
    reference = [name for name in groups["solve"] if name.startswith("reference")]
    groups["solve"] = [name for name in groups["solve"] if name not in reference]
    for group, name in last.items():
        groups[group].remove(name)
    groups = {group: names for group, names in groups.items() if names}
    n = max(map(len, groups.values()))
    sign = {"experiment": "+"}
    chosen = [[f"{sign.get(g, '')}{g}={names[i % len(names)]}" for g, names in groups.items()] for i in range(n)]
    chosen.append(["+experiment=hemibrain_no_angles"])
    return [*chosen, *([f"solve={name}", *(f"{g}={c}" for g, c in last.items())] for name in reference)]


@pytest.fixture(scope="module")
def default() -> FitConfig:
    return compose("fit")


@pytest.mark.parametrize("choices", rounds())
def test_every_file_of_every_group_composes_and_survives_being_written_down(choices: list[str]) -> None:
    config = compose("fit", choices)
    assert typed(FitConfig, OmegaConf.create(to_yaml(config))) == config


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("connectome", ConnectomeConfig()),
        ("velocity", VelocityConfig()),
        ("parameters", ParameterSpec()),
        ("start", SpectralStart()),
        ("fit", FitOptions()),
        ("adam", Adam()),
        ("gauss_newton", GaussNewton()),
        ("evaluation", EvaluationConfig(protocol=FULL)),
        ("solve", SolveOptions(step=FitOptions().time_step)),
        ("activation", "sigmoid"),
        ("seed", 0),
    ],
)
def test_no_file_changes_a_default_in_silence(default: FitConfig, field: str, wanted: object) -> None:
    # nor do two dataclasses state one default differently: the protocol's cue is that of the fit
    assert getattr(default, field) == wanted


def test_choices_have_the_defaults_of_their_dataclasses() -> None:
    config = compose("fit", ["evaluation=quick"])
    assert config.evaluation == EvaluationConfig(protocol=QUICK)


def test_the_curriculum_of_adam_takes_gradient_steps_only() -> None:
    stages = compose("fit", ["curriculum=adam"]).fit.stages
    assert {stage.optimizer for stage in stages} == {"adam"}
    assert stages[-1].tolerance == 1.0 and not stages[-1].weights  # it ends with the losses as they are


def test_every_loss_can_be_added_with_its_own_defaults() -> None:
    added = [f"+loss.my_{name}={{loss: {name}, weight: 0.5}}" for name in LOSSES]
    terms = compose("fit", ["task=consistency", *added]).terms
    assert {name: terms[f"my_{name}"].loss for name in LOSSES} == {name: loss() for name, loss in LOSSES.items()}
    assert all(terms[f"my_{name}"].weight == 0.5 for name in LOSSES)


@pytest.mark.parametrize("value", [Adam(warm_up=3), Stage(horizon_s=1.0, iterations=2), QUICK, ParameterSpec()])
def test_plain_values_and_dataclasses_are_two_forms_of_one_thing(value: object) -> None:
    assert typed(type(value), plain(value)) == value


def test_a_schema_survives_the_way_to_another_process() -> None:
    # launchers of sweeps pickle the schemas; a copy by value would lose what "no default" is
    assert pickle.loads(pickle.dumps(schema(Adam))) is schema(Adam)


def test_what_a_dataclass_requires_is_required() -> None:
    with pytest.raises(ConfigError, match="horizon_s"):
        typed(Stage, {"iterations": 3})
    assert "horizon_s" in schema(Stage).__dataclass_fields__


def test_overrides_reach_into_lists_groups_and_families() -> None:
    config = compose(
        "fit",
        [
            "fit.stages.0.iterations=3",
            "gains=ei",
            "parameters.time_constants=global",
            "parameters.trainable=[gain,threshold]",
            "parameters.bounds.time_constant.low=0.03",
            "~loss.parsimony",
        ],
    )
    assert config.fit.stages[0].iterations == 3
    assert config.fit.stages[1:] == FitOptions().stages[1:]
    assert (config.parameters.gains, config.parameters.time_constants) == ("ei", "global")
    assert config.parameters.trainable == {"gain", "threshold"}
    assert config.parameters.bounds["time_constant"].low == 0.03
    assert "parsimony" not in config.loss


def test_a_sign_override_reaches_the_circuit() -> None:
    config = compose("fit", ["connectome=statistics", "+connectome.sign_overrides={PEN_a: {Delta7: 1}}"])
    signs = circuit(config.connectome).signs.table(("EPG", "PEN_a", "Delta7"))
    assert signs[:, 2].tolist() == [-1, 1, -1]  # from Delta7 onto each: an inhibitory type but for that pair


def test_deviations_change_the_circuit_that_is_fitted() -> None:
    """On a circuit whose left and right are alike, mirroring once more changes whole counts by little: rounding."""
    raw, alike = (
        circuit(compose("fit", ["connectome=statistics", *more]).connectome)
        for more in ([], ["+connectome.deviations.mirror_symmetry=1"])
    )

    def unevenness(connectome: Connectome) -> float:
        return float(np.abs(connectome.dense() - mirrored_mean(connectome)).sum() / connectome.dense().sum())

    assert unevenness(alike) < 0.5 * unevenness(raw)
    assert (alike.totals() == raw.totals()).all()
    assert alike.signs == raw.signs and "left-right symmetry 1" in str(alike.provenance)


def test_two_runs_of_one_second_lie_in_different_folders() -> None:
    first, second = compose("fit"), compose("fit")
    assert first.run != second.run
    assert first.run.endswith(first.id)


BAD_OVERRIDES = [  # refused by Hydra: override, what the message must name
    ("fit.tme_step=1", "fit.tme_step"),
    ("bogus=1", "bogus"),
    ("fit.time_step=abc", "fit.time_step"),
    ("gauss_newton.learning_rate=0.1", "gauss_newton.learning_rate"),  # that is Adam's
    ("curriculum=nope", "curriculum/nope"),
    ("loss=nope", "loss/nope"),
    ("gains=foo", "gains/foo"),
    ("fit.time_step=", "fit.time_step"),
]


@pytest.mark.parametrize(("override", "named"), BAD_OVERRIDES)
def test_an_override_that_fits_nowhere_is_refused(override: str, named: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compose("fit", [override])
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


BAD_VALUES = [  # override, error, what the message must name
    ("fit.tme_step=1", ConfigError, "fit.tme_step"),
    ("fit.time_step=abc", ConfigError, "fit.time_step"),
    ("fit.stages=3", ConfigError, "fit.stages"),
    ("fit.stages=[]", ConfigError, "stages"),
    ("fit.stages=[{horizon_s: 1.0}]", ConfigError, "iterations"),
    ("fit.stages.0.n_trials=0", ConfigError, "n_trials"),
    ("fit.mix.walking=0.9", ConfigError, "fit.mix"),
    ("fit.time_step=-0.1", ConfigError, "time_step"),
    ("parameters.bounds.time_constant.low=-0.1", ParameterError, "parameters.bounds.time_constant"),
    ("parameters.trainable=[foo]", ParameterError, "trainable"),
    ("parameters.trainable=[]", ConfigError, "trainable"),
    ("parameters.gains=synapse", ConfigError, "parameters.gains"),  # with Gauss-Newton steps
    ("connectome.deviations.foo=1", ConfigError, "'foo'"),
    ("connectome.deviations.mirror_symmetry=2", ConfigError, "wanted 0 to 1"),
    ("parameters.thresholds=pair", ParameterError, "thresholds"),
    ("parameters.bounds.time_constant.low=0.008", StepError, "solve.step"),  # less than two steps of 5 ms
    ("solve.step=0.003", StepError, "step"),
    ("solve.step=null", StepError, "step"),
    ("solve.method=magic", SolveError, "method"),
    ("solve.backend=reference", ConfigError, "solve.backend"),
    ("evaluation.step=0.005", ConfigError, "evaluation step"),
    ("evaluation.which=[walk]", ConfigError, "which"),
    ("evaluation.protocol.n_headings=0", ConfigError, "n_headings"),
    ("loss.bump.loss=foo", ConfigError, "loss.bump"),
    ("loss.bump.options.foo=1", ConfigError, "foo"),
    ("loss.bump.options.length_floor=-1", ConfigError, "length_floor"),
    ("loss.bump.weight=-1", ConfigError, "loss.bump"),
    ("loss.bump.weight=much", ConfigError, "loss.bump"),
    ("loss.bump.wight=1", ConfigError, "wight"),
    ("loss.bump={loss: bump}", ConfigError, "weight"),
    ("loss.bump=3", ConfigError, "loss.bump"),
    ("fit.stages.0.weights={rset: 0}", ConfigError, "rset"),
    ("loss.bump={loss: linear_consistency, weight: 1}", ConfigError, "task=consistency"),
    ("parameters.gains=foo", ParameterError, "gains"),
    ("activation=step", ParameterError, "activation"),
    ("seed=-1", ConfigError, "seed"),
    ("seed=1.5", ConfigError, "seed"),
    ("threads=0", ConfigError, "threads"),
    ("gauss_newton.damping=-1", ConfigError, "damping"),
    ("adam.redraw_every=0", ConfigError, "redraw_every"),
    ("fit.stages.0.optimizer=sgd", ConfigError, "optimizer"),
    ("fit.candidates=0", ConfigError, "candidates"),
    ("checkpoint_every_s=-1", ConfigError, "checkpoint_every_s"),
    ("start.jitter=-1", ConfigError, "jitter"),
    ("connectome.source=nope", ConfigError, "source"),
    ("connectome.circuit=nope", ConfigError, "circuit"),
    ("connectome.classes=[EPG,Foo]", ConfigError, "Foo"),
    ("connectome.signs={EPG: 2}", ConfigError, "sign"),
    ("connectome.min_count=0", ConfigError, "min_count"),
    ("connectome.ring_order=names", ConfigError, "ring_order"),
    ("velocity.types=[]", ConfigError, "velocity"),
    ("velocity.signs={PEN_c: 1}", ConfigError, "PEN_c"),
    ("loss.total={loss: bump, weight: 1}", ConfigError, "loss.total"),
    ("success.walking_eror_10s_median_deg=[null, 5]", ConfigError, "walking_error_10s_median_deg"),
    ("success.walking_error_30s_median_deg=[null, 5]", ConfigError, "walking_error_30s"),
    ("evaluation.which=[constant]", ConfigError, "success.bump_present_share"),
    ("success.bump_present_share=[1]", ConfigError, "bump_present_share"),
    ("success.bump_present_share=3", ConfigError, "bump_present_share"),
    ("success.bump_present_share=[high,null]", ConfigError, "bump_present_share"),
]


@pytest.mark.parametrize(("override", "error", "named"), BAD_VALUES)
def test_a_bad_value_is_refused_by_a_typed_error_that_names_it(
    default: FitConfig, override: str, error: type[Exception], named: str
) -> None:
    content, (key, _, text) = OmegaConf.create(plain(default)), override.partition("=")
    OmegaConf.update(content, key, OmegaConf.from_dotlist([f"value={text}"]).value, merge=False)
    with pytest.raises(error) as raised:
        typed(FitConfig, content)
    assert type(raised.value) is error
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("fit.tme_step=1", "fit.tme_step"),
        ("fit.time_step=0.02", "solve.step"),
        ("gains=foo", "gains/foo"),
    ],
)
def test_the_command_line_refuses_it_in_one_line_before_any_data_is_read(
    override: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "circuit", lambda _: pytest.fail("data were read"))
    assert main(["fit", override]) == 1
    out, err = capfd.readouterr()
    assert named in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_term_is_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigError, match="length_flor"):
        TermConfig(loss="bump", weight=1.0, options={"length_flor": 0.5})


def test_batches_too_small_for_a_triple_of_trials_are_refused() -> None:
    with pytest.raises(ConfigError, match="triples"):  # 60 % of 3 trials are 2
        compose("fit", ["loss=no_angles", "task=consistency", "fit.validation_trials=3"])


def test_misspelt_keys_in_a_file_are_refused_too() -> None:
    content = plain(compose("fit"))
    content["fit"]["time_stp"] = 1.0
    with pytest.raises(ConfigError, match="time_stp"):
        typed(FitConfig, content)


@pytest.mark.parametrize("verb", ["evaluate", "analyze", "figures", "export"])
def test_the_smaller_verbs_compose_too(verb: str) -> None:
    several = verb in ("analyze", "export")
    config = compose(verb, ["run=[a,b]" if several else "run=a"])
    assert config.run == (("a", "b") if several else "a")


def test_export_wants_to_be_told_what() -> None:
    with pytest.raises(ConfigError, match="run"):
        compose("export")


@pytest.mark.parametrize("verb", ["evaluate", "analyze", "figures"])
def test_where_nothing_is_named_it_is_a_member_of_the_shipped_ensemble(verb: str) -> None:
    config = compose(verb)
    assert (config.run or None, config.chosen_ensemble, config.member) == (None, "hemibrain_ring", 0)
    assert config.folder == "results/hemibrain_ring/member_000"
    mine = compose(verb, ["ensemble=ensembles/mine", "member=12"])
    assert (mine.chosen_ensemble, mine.folder) == ("ensembles/mine", "results/mine/member_012")
    assert compose(verb, ["member=12", "out=here"]).folder == "here"
    with pytest.raises(ConfigError, match="or a member of an ensemble"):
        compose(verb, ["run=[a]" if verb == "analyze" else "run=a", "member=1"])


def test_the_verbs_on_ensembles_compose_too() -> None:
    assert compose("ensemble", ["run=[a,b]", "out=c"]).run == ("a", "b")
    assert compose("export", ["ensemble=mine"]).run == ()
    assert compose("solutions", ["ensemble=mine", "out=c"]).batches == 8
    with pytest.raises(ConfigError, match="run: got none"):
        compose("ensemble", ["run=[]", "out=c"])
    with pytest.raises(ConfigError, match="ensemble: got none"):
        compose("solutions", ["ensemble=''", "out=c"])


def test_data_explains_itself(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "--help"]) == 0
    assert main(["data", "inspect", "--help"]) == 0
    assert "connectome-sim data inspect hemibrain circuit=core" in capfd.readouterr().out


@pytest.mark.slow  # Hydra takes its time to list groups
def test_fit_explains_itself_with_examples_and_lists_the_groups(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    out = capfd.readouterr().out
    assert "connectome-sim fit +experiment=quickstart" in out
    assert "gains: ei, global, pair, synapse, type" in out
    assert "experiment: hemibrain_core, hemibrain_no_angles, hemibrain_ring, quickstart" in out


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_verb_all_verbs_are_listed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capfd.readouterr().out
    assert all(
        f"\n  {verb} " in out
        for verb in ("fit", "evaluate", "analyze", "figures", "export", "ensemble", "solutions", "data")
    )


@pytest.mark.parametrize("arguments", [["bogus"], ["fit", "--bogus"], ["data", "bogus"], ["data", "download"]])
def test_what_does_not_exist_is_an_error(arguments: list[str]) -> None:
    assert main(arguments) == 1


def test_options_and_overrides_may_come_in_any_order(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "seed=7", "--cfg", "job", "gains=ei"]) == 0
    shown = OmegaConf.create(capfd.readouterr().out)
    assert (shown.seed, shown.parameters.gains) == (7, "ei")


@pytest.mark.parametrize("folder", sorted((data_dir() / "ensembles").iterdir()), ids=lambda folder: folder.name)
def test_the_command_of_a_shipped_ensemble_makes_its_configuration(folder: Path) -> None:
    record = EnsembleRecord.read(folder)
    overrides = [word for word in shlex.split(record.command)[3:] if not word.startswith("seed=")]
    made = plain(compose("fit", [*overrides, "seed=0"]))
    kept = plain(typed(FitConfig, {"name": "", "id": "", "run": "", **record.config, "seed": 0}))
    assert {name: made[name] for name in record.config} == {name: kept[name] for name in record.config}
