"""Ensembles through the command line: from runs to a folder, back to networks, to one file, to what they share."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import connectome_sim
from connectome_sim.build import ensembles, load_ensemble
from connectome_sim.cli import main
from connectome_sim.connectome import download
from connectome_sim.errors import ConfigError, DataError, RunFolderError
from connectome_sim.evaluate import parameter_metrics, rate_metric_names
from connectome_sim.records import EnsembleRecord, RunFolder, atomic, read_arrays, read_network
from connectome_sim.resources import data_dir
from tests.end_to_end.test_ablate import TINY as SHORT
from tests.end_to_end.test_runs import TINY

SEEDS = 4
TRAINABLE = "parameters.trainable=[threshold,time_constant,velocity_gain]"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of four seeds, that no test changes."""
    folder = tmp_path_factory.mktemp("runs")
    sweep = ["fit", "--multirun", *TINY, TRAINABLE, f"seed=range({SEEDS})", f"run={folder}/seed${{seed}}"]
    assert main(sweep) == 0
    return folder


@pytest.fixture(scope="module")
def made(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their ensemble, that no test changes."""
    folder = tmp_path_factory.mktemp("ensembles") / "tiny"
    assert main(["ensemble", f"run={runs}/seed*", f"out={folder}"]) == 0
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "tiny"))


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    atomic.write_text(path, json.dumps(content | changes))


def test_an_ensemble_holds_parameters_and_their_origin_and_no_neuron(runs: Path, made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {"SHA256SUMS", "manifest.json", "parameters.safetensors"}
    manifest = json.loads((made / "manifest.json").read_text())
    run = RunFolder.open(runs / "seed2")
    assert (manifest["format"], manifest["format_version"]) == ("connectome-sim ensemble", 3)
    assert [member["seed"] for member in manifest["members"]] == list(range(SEEDS))
    assert manifest["dataset_sha256"] == run.manifest().dataset_sha256
    command = shlex.split(manifest["command"])
    assert command[:4] == ["connectome-sim", "fit", "--multirun", "connectome=statistics"]
    assert TRAINABLE in command and command[-1] == f"seed=range({SEEDS})"
    assert not {"threads=1", "figures=false"} & set(command)  # how it was run does not matter
    assert str(runs) not in (made / "manifest.json").read_text()
    (network,) = read_network(run.network)
    assert not any(f'"{name}"' in (made / "manifest.json").read_text() for name in network.id)
    metrics = run.metrics()
    assert manifest["members"][2]["metrics"]["evaluation_seed"] == metrics["evaluation_seed"] == 2


def test_its_networks_are_those_of_the_runs(runs: Path, made: Path) -> None:
    members = connectome_sim.load_ensemble(made)
    assert len(members) == SEEDS and [member.seed for member in members] == list(range(SEEDS))
    for member in members:
        (network,) = read_network(RunFolder.open(runs / f"seed{member.seed}").network)
        np.testing.assert_allclose(member.network.weights.numpy(), network.weights, rtol=1e-6)
        np.testing.assert_allclose(member.network.time_constant.numpy(), network.time_constant, rtol=1e-6)
        assert member.succeeded
        assert member.parameters.names("threshold") == members.connectome.types
    assert members.config_of(3).seed == 3


def test_export_writes_all_members_as_the_runs_have_them(runs: Path, made: Path, tmp_path: Path) -> None:
    assert main(["export", f"ensemble={made}", f"out={tmp_path / 'network.h5'}"]) == 0
    found = read_network(tmp_path / "network.h5")
    assert [network.seed for network in found] == list(range(SEEDS))
    (wanted,) = read_network(RunFolder.open(runs / "seed1").network)
    for name in ("weights", "bias", "velocity_input", "initial_states", "initial_headings"):
        np.testing.assert_allclose(getattr(found[1], name), getattr(wanted, name), rtol=1e-5, atol=1e-7)
    assert (found[1].id, found[1].dataset) == (wanted.id, wanted.dataset)


def test_a_shipped_ensemble_goes_by_its_name(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "data_dir", lambda: tmp_path)
    with pytest.raises(ConfigError, match="'tiny', wanted a folder .* or a shipped one: none ships"):
        load_ensemble("tiny")
    shutil.copytree(made, tmp_path / "ensembles" / "tiny")
    assert load_ensemble("tiny").name == "tiny"
    with pytest.raises(ConfigError, match="or a shipped one: tiny"):
        load_ensemble("tinny")


def test_a_member_is_looked_at_as_a_run(
    made: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ensembles, "data_dir", lambda: tmp_path)
    shutil.copytree(made, tmp_path / "ensembles" / "hemibrain_ring")
    assert (
        main(["analyze", "member=2", "threads=1", "headings=16", "walk_s=0.5", "physiology=false"]) == 0
    )  # of the shipped ensemble, as nothing is named
    folder = RunFolder.open(Path("results", "hemibrain_ring", "member_002"))
    (wanted,), (found,) = read_network(RunFolder.open(runs / "seed2").network), read_network(folder.network)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-6)
    manifest, fitted = folder.manifest(), RunFolder.open(runs / "seed2").manifest()
    assert (manifest.seeds["fit"], manifest.dataset_sha256) == (2, fitted.dataset_sha256)
    own = RunFolder.open(runs / "seed2").metrics()
    described = {*parameter_metrics(()), *rate_metric_names(found.type)}
    assert described <= own.keys()  # what the manifest has to six digits, a folder has as the fit had it
    assert {name: folder.metrics()[name] for name in described} == pytest.approx(
        {name: own[name] for name in described}, rel=1e-4, nan_ok=True
    )
    before = folder.network.stat().st_mtime_ns
    assert main(["figures", "member=2", "formats=[png]"]) == 0  # of the folder that is there
    assert folder.network.stat().st_mtime_ns == before
    page = folder.report.read_text()
    tables = folder.tables()
    for post in {row["postsynaptic"] for row in tables["input_shares"]}:
        rows = [row for row in tables["input_shares"] if row["postsynaptic"] == post]
        assert sum(float(row["share_of_weight"]) for row in rows) == pytest.approx(1, abs=1e-4)
    met = [row["at_bound"] for row in tables["parameters"]].count("yes")
    assert met == own["parameters_at_bound"] and (f"Warning: {met} of" in page) == (met > 0)
    assert "<h2>Ensemble parameters</h2>" in page and "<h2>Ensemble scores</h2>" in page and "seed=2" in page
    check_pictures(folder, capsys.readouterr().err, left_out={"bump_kymograph", "rest_drift", "loss_curves"})
    assert main(["evaluate", "member=2", "progress=false", "threads=1", "evaluation.which=[constant]"]) == 0
    assert read_arrays(folder.evaluation)["constant/gain"].size == 2
    assert main(["evaluate", "member=2", "progress=false", "threads=1"]) == 0  # what the report said
    assert main(["figures", "member=2", "formats=[png]"]) == 0
    check_pictures(folder, capsys.readouterr().err, left_out={"loss_curves"})
    capsys.readouterr()
    assert main(["figures", "member=1", f"out={folder.path}"]) == 1
    assert "seeds {'fit': 2, 'held_out': 2}, wanted member 1 of hemibrain_ring" in capsys.readouterr().err
    other = Path(shutil.copytree(made, tmp_path / "ensembles" / "of_another_circuit"))
    edit(other / "manifest.json", circuit_sha256="ab")
    assert main(["figures", "ensemble=of_another_circuit", "member=2", f"out={folder.path}"]) == 1
    assert "wanted member 2 of of_another_circuit; choose another out=" in capsys.readouterr().err
    assert main(["figures", "member=7", f"out={tmp_path / 'none'}"]) == 1
    assert "member: got 7, wanted 0 to 3" in capsys.readouterr().err and not (tmp_path / "none").exists()


def check_pictures(folder: RunFolder, said: str, *, left_out: set[str]) -> None:
    """No picture is blank; in the place of those that are missing there is a word and a command."""
    drawn = {path.stem: np.asarray(Image.open(path).convert("L")) for path in folder.figures.glob("*.png")}
    assert not left_out & drawn.keys()
    for name, picture in drawn.items():
        height = picture.shape[0]
        assert (picture[height // 6 : -height // 4] < 250).mean() > 0.01, name  # a word in the middle has 0.001
    page = folder.report.read_text()
    for name in left_out:
        assert name in said and name.replace("_", " ").capitalize() in page
    measured = bool(left_out & {"bump_kymograph", "rest_drift"})
    for text in (said, page.replace("&amp;", "&")):
        assert (f"connectome-sim evaluate run={folder.path} && connectome-sim figures" in text) == measured


def test_a_sweep_perturbs_the_networks_of_an_ensemble_as_those_of_its_runs(
    runs: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        "~ablation.sets.silenced",
        "~ablation.sets.nulls",
        "ablation.cases=[{perturb: [{kind: output, target: {type: [PEN_a]}}]}]",
        *SHORT,
    ]
    assert main(["ablate", f"ensemble={made}", "members=[3,1]", f"out={tmp_path / 'a'}", *settings]) == 0
    assert main(["ablate", f"run=[{runs}/seed3,{runs}/seed1]", f"out={tmp_path / 'b'}", *settings]) == 0
    assert (tmp_path / "a" / "cases.csv").read_bytes() == (tmp_path / "b" / "cases.csv").read_bytes()
    assert main(["ablate", f"ensemble={made}", "members=4", f"out={tmp_path / 'c'}", *settings]) == 1
    assert "member: got 4, wanted 0 to 3" in capsys.readouterr().err and not (tmp_path / "c").exists()


@pytest.mark.real_data
def test_every_ensemble_that_ships_loads_on_its_dataset(hemibrain_dir: Path) -> None:
    for folder in (data_dir() / ensembles.FOLDER).glob("*/"):
        members = load_ensemble(folder.name)
        assert members.record.command and len(members) >= 1


@pytest.mark.real_data
def test_the_shipped_circuit_is_found_in_an_export_that_holds_more(
    hemibrain_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_ensemble("hemibrain_ring")
    neurons = shipped.connectome.neurons
    epg, er = (neurons.id[neurons.type == name][0] for name in ("EPG", "ER"))
    column = shipped.connectome.counts[:, [int(np.flatnonzero(neurons.id == er)[0])]].toarray()[:, 0]
    unconnected = neurons.id[(column == 0) & (neurons.type != "ER")][0]
    whole = tmp_path / "hemibrain_v1.2"
    shutil.copytree(hemibrain_dir, whole)
    table = whole / "traced-neurons.csv"
    table.write_text(table.read_text().rstrip("\n") + "\n1,none,none_R\n2,none,none_L\n")
    table = whole / "traced-total-connections.csv"
    more = f"1,2,7\n1,{epg},9\n{er},{unconnected},2\n"  # strangers, and a weak connection of a ring neuron
    table.write_text(table.read_text().rstrip("\n") + "\n" + more)
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path))
    found = load_ensemble("hemibrain_ring")
    assert found.connectome.provenance.sha256 != shipped.connectome.provenance.sha256
    assert found.connectome.sha256 == shipped.connectome.sha256
    table.write_text(table.read_text().replace(f"{er},{unconnected},2", f"{er},{unconnected},3"))
    with pytest.raises(DataError, match="not hemibrain v1.2 as published .*ER: got 257 neurons, 21,721 pairs"):
        load_ensemble("hemibrain_ring")


def test_failed_fits_are_left_out_and_counted(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(runs, tmp_path / "runs"))
    RunFolder.open(copy / "seed1").finish(status="failed", reason="too far", wall_time_s=1.0)
    assert main(["ensemble", f"run={copy}/*", f"out={tmp_path / 'good'}"]) == 0
    assert "3 of 4 fits taken\nleft out, as they failed: seeds 1 " in capsys.readouterr().out
    record = EnsembleRecord.read(tmp_path / "good")
    assert ([m.seed for m in record.members], record.failed_seeds) == ([0, 2, 3], (1,))
    assert record.command.endswith("'seed=range(4)'")
    assert main(["ensemble", f"run={copy}/*", f"out={tmp_path / 'all'}", "failed=true"]) == 0
    assert [m.succeeded for m in EnsembleRecord.read(tmp_path / "all").members] == [True, False, True, True]
    only = ["ensemble", f"run={copy}/seed1", f"out={tmp_path / 'none'}"]
    assert main(only) == 1
    assert "got 1 runs, none of which succeeded; failed=true takes" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def _another_configuration(run: Path) -> None:
    config = run / ".hydra" / "config.yaml"
    atomic.write_text(config, config.read_text().replace("candidates: 2", "candidates: 3"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_configuration, "got configuration fit.candidates=3, wanted 2"),
        (lambda run: edit(run / "manifest.json", dataset_sha256="ab"), "got dataset_sha256 'ab', wanted"),
        (lambda run: edit(run / "manifest.json", status="running"), "got a fit that has no result"),
        (lambda run: atomic.remove(run / "parameters.safetensors"), "got a fit that has no result"),
        (lambda run: shutil.copytree(run, run.with_name("twice")), "got two runs of seed 1, wanted each seed once"),
        (lambda run: atomic.remove(run / "manifest.json"), "not a complete run folder"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str
) -> None:
    for seed in (0, 1):
        shutil.copytree(runs / f"seed{seed}", tmp_path / "runs" / f"seed{seed}")
    change(tmp_path / "runs" / "seed1")
    assert main(["ensemble", f"run={tmp_path}/runs/*", f"out={tmp_path / 'out'}"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_a_pattern_needs_a_folder(
    runs: Path, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ensemble", f"run={runs}/seed0", f"out={copied}"]) == 1
    assert "holds an ensemble already" in capsys.readouterr().err
    assert main(["ensemble", f"run={runs}/nothing*", f"out={tmp_path / 'out'}"]) == 1
    assert "which is the name of no folder" in capsys.readouterr().err


OLD = "noise_diffusion_deg2_per_s"
"""A figure of the former noise probe: another noise, another definition."""


def former(content: dict) -> dict:
    """The manifest of an ensemble as it was when noise was white and its figure the variance among repeats."""
    protocol = content["config"]["evaluation"]["protocol"]
    for name in [name for name in protocol if name.startswith("noise_")]:
        del protocol[name]
    protocol |= {"noise_headings": 1, "noise_repeats": 2, "noise_duration_s": 0.2, "noise_intensity": 0.05}
    for member in content["members"]:
        known = {name: value for name, value in member["metrics"].items() if not name.startswith("noise_")}
        member["metrics"] = known | {OLD: 3.0, "gain_at_60_deg_per_s": 0.5}
    return content


def test_the_members_of_an_ensemble_are_measured_again(
    made: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All probes: the scores are those of the runs, whose networks they are, under the protocol as it is now."""
    parameters = (copied / "parameters.safetensors").read_bytes()
    content = json.loads((copied / "manifest.json").read_text())
    edit(copied / "manifest.json", members=former(content)["members"])
    assert main(["ensemble", f"measure={copied}", f"out={copied}"]) == 0
    assert "seed 0 measured" in capsys.readouterr().out
    found, wanted = EnsembleRecord.read(copied), EnsembleRecord.read(made)
    assert (copied / "parameters.safetensors").read_bytes() == parameters
    for one, other in zip(found.members, wanted.members, strict=True):
        assert OLD not in one.metrics and one.metrics.keys() == other.metrics.keys()
        for name in ("gain_at_60_deg_per_s", "noise_rms_displacement_1s_deg", "best_iteration"):
            assert one.metrics[name] == pytest.approx(other.metrics[name], rel=1e-3, nan_ok=True)
    assert (found.command, found.commit, found.config) == (wanted.command, wanted.commit, wanted.config)


def test_some_probes_are_measured_again_and_figures_of_former_ones_go(copied: Path, tmp_path: Path) -> None:
    content = former(json.loads((copied / "manifest.json").read_text()))
    edit(copied / "manifest.json", **content)
    before = load_ensemble(copied)  # also what names the former noise is read
    assert before[0].metrics[OLD] == 3.0 and "noise_rms_displacement_10s_deg" not in before[0].metrics
    out = tmp_path / "again"
    assert main(["ensemble", f"measure={copied}", f"out={out}", "which=[jump]"]) == 0
    after = EnsembleRecord.read(out)
    assert all(OLD not in member.metrics for member in after.members)
    assert all(member.metrics["gain_at_60_deg_per_s"] == 0.5 for member in after.members)  # not measured: it stays
    assert "noise_intensity" not in after.config["evaluation"]["protocol"]
    assert after.config["evaluation"]["protocol"]["noise_current_sd"] == 0.16
    np.testing.assert_array_equal(after.values["gain"], before.record.values["gain"])


def _other_seed(folder: Path) -> None:
    members = json.loads((folder / "manifest.json").read_text())["members"]
    members[1]["metrics"]["evaluation_seed"] = 77
    edit(folder / "manifest.json", members=members)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (_other_seed, ["out=NEW", "which=[jump]"], "measured with evaluation_seed 77, got 1"),
        (
            lambda _: None,
            ["out=OTHER"],
            "holds an ensemble already; wanted that of measure=... itself, or a new folder",
        ),
        (lambda _: None, ["out=NEW", "which=[swim]"], "which: got ['swim'], wanted some of"),
        (lambda _: None, ["out=NEW", "run=[x]"], "beside run, failed or command, wanted it alone"),
        (lambda _: None, ["out=NEW", "threads=0"], "threads: got 0, wanted 1 or more"),
    ],
)
def test_what_cannot_be_measured_again_leaves_everything_as_it_was(
    made: Path,
    copied: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change,
    arguments: list[str],
    message: str,
) -> None:
    other = Path(shutil.copytree(made, tmp_path / "other"))
    change(copied)
    before = {path: path.read_bytes() for folder in (copied, other) for path in folder.iterdir()}
    given = [text.replace("NEW", str(tmp_path / "new")).replace("OTHER", str(other)) for text in arguments]
    assert main(["ensemble", f"measure={copied}", *given]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists() and all(path.read_bytes() == content for path, content in before.items())


def test_another_circuit_is_refused(copied: Path) -> None:
    edit(copied / "manifest.json", circuit_sha256="ab")
    with pytest.raises(DataError, match="on this machine, wanted ab, the circuit of .*: other synapse counts, or"):
        load_ensemble(copied)


def test_a_dataset_that_is_not_there_is_named(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("CONNECTOME_SIM_DATA", raising=False)
    config = json.loads((copied / "manifest.json").read_text())["config"]
    config["connectome"]["source"] = "hemibrain"
    edit(copied / "manifest.json", config=config, dataset="hemibrain", dataset_version="v1.2")
    with pytest.raises(DataError, match="tiny: needs the wiring of hemibrain v1.2: .* data download hemibrain"):
        load_ensemble(copied)


def _renamed(folder: Path) -> None:
    names = json.loads((folder / "manifest.json").read_text())["names"]
    edit(folder / "manifest.json", names=names | {"threshold": ["EPGt", "EPG", *names["threshold"][2:]]})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: edit(folder / "manifest.json", format_version=4), RunFolderError, "update connectome-sim"),
        (lambda folder: edit(folder / "manifest.json", format="tarball"), RunFolderError, "field 'format'"),
        (lambda folder: edit(folder / "manifest.json", colour="red"), RunFolderError, "unknown: \\['colour'\\]"),
        (lambda folder: edit(folder / "manifest.json", members=[]), RunFolderError, "got no member"),
        (lambda folder: edit(folder / "manifest.json", members=[{"seed": 1}]), RunFolderError, "damaged"),
        (lambda folder: edit(folder / "manifest.json", types={"EPG": 1}), DataError, "field 'types'"),
        (lambda folder: edit(folder / "manifest.json", config={"nonsense": 1}), ConfigError, "nonsense: unknown"),
        (_renamed, DataError, "parameters 'threshold': got those of"),
        (lambda folder: atomic.write_text(folder / "manifest.json", "{"), RunFolderError, "not JSON"),
        (lambda folder: atomic.remove(folder / "manifest.json"), RunFolderError, "not the folder of an ensemble"),
        (
            lambda folder: atomic.write_bytes(folder / "parameters.safetensors", b"x"),
            RunFolderError,
            "may be truncated",
        ),
    ],
)
def test_a_damaged_ensemble_is_refused(copied: Path, change, error: type[Exception], message: str) -> None:
    change(copied)
    with pytest.raises(error, match=message):
        load_ensemble(copied)


def test_a_member_that_is_not_there_is_refused(made: Path) -> None:
    with pytest.raises(ConfigError, match="member: got 4, wanted 0 to 3"):
        load_ensemble(made)[4]


def test_export_wants_runs_or_an_ensemble(
    runs: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", f"ensemble={made}", f"run={runs}/seed0", f"out={tmp_path / 'network.h5'}"]) == 1
    assert "wanted one or more run folders, or an ensemble" in capsys.readouterr().err


def test_solutions_writes_what_it_finds(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["solutions", f"ensemble={made}", f"out={tmp_path / 'out'}", "batches=2", "member=1", "threads=1"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "4 members" in out and "time constants among them" in out
    drawn = {f"{figure}.{ending}" for figure in ("solutions", "member_scores") for ending in ("png", "pdf")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"solutions.json", *drawn}
    content = json.loads((tmp_path / "out" / "solutions.json").read_text())
    record = EnsembleRecord.read(made)
    # by hand: thresholds count as they are, the others by their logarithm
    parts = [record.values["threshold"], np.log(record.values["time_constant"]), np.log(record.values["velocity_gain"])]
    x = np.concatenate(parts, axis=1)
    assert content["distances"][0][2] == pytest.approx(np.sqrt(((x[0] - x[2]) ** 2).mean()))
    assert len(content["eigenvalues"]) == len(content["parameters"]) == x.shape[1] == 14
    assert content["eigenvalues"][0] > 0 and content["member"] == 1
    row = content["parameters"]["time_constant/PEG"]
    assert row["spread"] == pytest.approx(np.log(record.values["time_constant"][:, 4]).std(ddof=1))
    assert 0 < row["standard_error"] <= 1
    assert main(asked) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["member=9"], "member: got 9, wanted 0 to 3"),
        (["batches=1"], "batches=1"),
        (["formats=[gif]"], "formats: got ('gif',)"),
    ],
)
def test_solutions_refuses_what_it_cannot_do(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(["solutions", f"ensemble={made}", f"out={tmp_path / 'out'}", "threads=1", *more]) == 1
    assert message in capsys.readouterr().err
