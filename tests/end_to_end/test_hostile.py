"""Folders that somebody else wrote, with something in them to be run: every verb refuses them, and nothing is run.

The thing to be run makes a folder. It is reached by a pickle that pandas reads, as Hydra's own list of what may not be
named leaves that open.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from connectome_sim.cli import main
from connectome_sim.config import compose, to_yaml
from connectome_sim.resources import data_dir
from tests import fitted


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, an ensemble and groups of configuration, all of them hostile; no test changes it."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    payload = tmp_path / "payload.pkl"
    payload.write_bytes(pickle.dumps(_Payload(tmp_path / "MARKER")))
    call = f"{{x: {{_target_: pandas.read_pickle, filepath_or_buffer: {payload}}}}}"
    own = fitted.run_folder(tmp_path / "run", 0)
    (own / ".hydra").mkdir()
    config = to_yaml(compose("fit", [f"run={own}", "connectome=statistics"]))
    (own / ".hydra" / "config.yaml").write_text(f"{config}hydra: {{callbacks: {call}}}\n")
    fitted.listed_anew(own)
    ensemble = Path(shutil.copytree(data_dir() / "ensembles" / "hemibrain_core", tmp_path / "ensemble"))
    (ensemble / "manifest.json").chmod(0o644)
    manifest = json.loads((ensemble / "manifest.json").read_text())
    manifest["config"]["loss"]["bump"]["options"] = {"x": [{"_target_": "pandas.read_pickle"}]}
    (ensemble / "manifest.json").write_text(json.dumps(manifest))
    (ensemble / "SHA256SUMS").chmod(0o644)
    fitted.listed_anew(ensemble)
    for name in ("study/evil", "ablation/evil", "connectome/evil"):
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# @package _global_\nhydra: {{callbacks: {call}}}\n")
    return tmp_path


CASES = [
    "fit --config-dir {here}/run/.hydra --config-name config run={here}/new",
    "fit --config-dir={here}/run/.hydra --config-name=config run={here}/new",
    "fit -cd {here}/run/.hydra -cn config run={here}/new",
    "fit --config-di {here}/run/.hydra --config-na config run={here}/new",
    "fit --multirun --config-dir {here}/run/.hydra --config-name config seed=0,1 run={here}/new${{seed}}",
    "fit --config-path {here}/run/.hydra --config-name config run={here}/new",
    "fit --config-name ../../../../../../../../../../{here}/run/.hydra/config run={here}/new",
    "fit --experimental-rerun {here}/payload.pkl",
    "fit from={here}/run run={here}/new",
    "fit run={here}/run resume=true",
    "fit --config-dir {here}/conf connectome=evil run={here}/new",
    "fit hydra.searchpath=[file://{here}/conf] connectome=evil run={here}/new",
    "fit +connectome=../../../../../../../../../../{here}/conf/study/evil run={here}/new",
    "fit +hydra.callbacks.x={{_target_:pandas.read_pickle,filepath_or_buffer:{here}/payload.pkl}} run={here}/new",
    "fit connectome=statistics +study@hydra.callbacks=granularity run={here}/new",
    "evaluate run={here}/run progress=false",
    "evaluate ensemble={here}/ensemble out={here}/new",
    "evaluate --config-dir {here}/conf run={here}/run",
    "analyze run={here}/run",
    "analyze ensemble={here}/ensemble out={here}/new",
    "analyze --config-dir {here}/conf run={here}/run",
    "ablate run={here}/run ablation.modes=[transplant,refit] out={here}/new",
    "ablate ensemble={here}/ensemble out={here}/new",
    "ablate --config-dir {here}/conf ablation=evil out={here}/new",
    "figures run={here}/run",
    "figures ensemble={here}/ensemble out={here}/new",
    "figures --config-dir {here}/conf run={here}/run",
    "export ensemble={here}/ensemble out={here}/new",
    "export --config-dir {here}/conf run={here}/run out={here}/new",
    "ensemble run={here}/run out={here}/new",
    "ensemble --config-dir {here}/conf run={here}/run out={here}/new",
    "solutions ensemble={here}/ensemble out={here}/new",
    "solutions --config-dir {here}/conf ensemble=hemibrain_core out={here}/new",
    "study --config-dir {here}/conf study=evil out={here}/new",
]


@pytest.mark.parametrize("command", CASES)
def test_what_a_folder_wants_run_is_refused_and_not_run(
    command: str, hostile: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(hostile)
    before = {path for path in hostile.rglob("*")}
    assert main([word.format(here=hostile) for word in command.split()]) == 1
    said = capfd.readouterr().err
    assert said.startswith("connectome-sim: ") and "Traceback" not in said
    assert any(word in said for word in ("Hydra", "_target_", "wanted no such option", "without folders", "leaves"))
    assert {path for path in hostile.rglob("*")} == before, "something was made"


def test_export_reads_no_configuration_of_a_run(hostile: Path, tmp_path: Path) -> None:
    assert main(["export", f"run={hostile}/run", f"out={tmp_path}/network.h5"]) == 0
    assert not (hostile / "MARKER").exists()


def test_the_payload_works_where_it_is_read(hostile: Path) -> None:
    with open(hostile / "payload.pkl", "rb") as file:
        pickle.load(file)
    assert (hostile / "MARKER").is_dir()
    (hostile / "MARKER").rmdir()
