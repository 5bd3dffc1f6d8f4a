"""Configuration from elsewhere: what is data is read, everything else is refused, at once and by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectome_sim.config import compose, plain, saved_config, to_yaml
from connectome_sim.config.compose import saved_overrides
from connectome_sim.config.foreign import (
    DEEPEST,
    LONGEST_FILE,
    LONGEST_VALUE,
    check_folder,
    check_overrides,
    read_plain,
    refuse_code,
)
from connectome_sim.errors import ConfigError, ConnectomeSimError, RunFolderError
from connectome_sim.resources import conf_dir

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
REFUSED = {
    "hydra": ("hydra: {callbacks: {x: {_target_: os.system, command: id}}}", "'hydra'"),
    "empty hydra": ("hydra: {}", "'hydra'"),
    "dotted hydra": ("hydra.callbacks: {}", "'hydra'"),
    "target": ("seed: 0\n_target_: os.system", "_target_"),
    "nested": ("a: {b: {c: {_target_: os.system}}}", "_target_"),
    "in a list": ("a: [1, {b: [{_target_: os.system}]}]", "_target_"),
    "in a text": ("a: '{_target_: os.system}'", "_target_"),
    "environment": ("a: ${oc.env:HOME}", "refers to"),
    "decode": ("a: \"${oc.decode:'{_target_: os.system}'}\"", "_target_"),
    "hidden": ("a: ${oc.decode:${b}}\nb: '{_tar''get_: x}'", "refers to"),
    "reference": ("a: 1\nb: ${a}", "refers to"),
    "in a name": ("'${a}': 1", "refers to"),
    "python": ("a: !!python/object/apply:os.system [id]", "anchor, alias or tag"),
    "alias bomb": (BOMB, "line 1: got an anchor"),
    "alias": ("a: *b", "anchor, alias or tag"),  # before anything is looked up
    "merge": ("a: &b {c: 1}\nd: {<<: *b}", "anchor"),
    "deep, flow": ("a: " + "[" * 5_000, "deeper than"),
    "deep, closed": ("a: " + "[" * 5_000 + "]" * 5_000, "deeper than"),
    "deep, block": ("\n".join(" " * k + "a:" for k in range(200)), "deeper than"),
    "long": ("#" * (LONGEST_FILE + 1), "wanted at most"),
    "long value": ("a: " + "1" * (LONGEST_VALUE + 1), "longer than"),
    "not YAML": ("a: [", "cannot be read"),
    "not text": ("a: \x00", "cannot be read"),
    "twice": ("a: 1\na: 2", "cannot be read"),
    "several": ("a: 1\n---\nb: 2", "cannot be read"),
    "no name": ("? [a]\n: 1", "cannot be read"),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED)
def test_a_saved_configuration_that_is_more_than_data_is_refused(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / ".hydra" / "config.yaml"
    path.parent.mkdir()
    path.write_text(text)
    for read in (lambda: read_plain(path), lambda: saved_config(tmp_path)):
        with pytest.raises((ConfigError, RunFolderError)) as raised:
            read()
        assert named in str(raised.value) and str(path) in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_plain(tmp_path / "a.yaml")


def test_what_a_fit_writes_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = compose("fit", ["+experiment=hemibrain_ring", f"run={tmp_path}", "adam.learning_rate=1e-5"])
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(text := to_yaml(config))
    assert plain(saved_config(tmp_path)) == plain(config)
    assert len(text) < LONGEST_FILE / 8


def test_nested_values_without_an_end_are_refused() -> None:
    value: list[object] = []
    for _ in range(DEEPEST + 1):
        value = [value]
    with pytest.raises(ConfigError, match="deeper than"):
        refuse_code({"a": value}, where="ensemble x")


FILES = {
    "hydra": ("x.yaml", "hydra: {callbacks: {x: {_target_: os.system}}}", "settings of Hydra"),
    "package": ("study/x.yaml", "# @package hydra.callbacks\nx: {a: 1}", "settings of Hydra"),
    "late package": ("study/x.yaml", "a: 1\n#@package hydra.callbacks", "settings of Hydra"),
    "defaults": ("x.yaml", "defaults: [fit, {override hydra/launcher: evil}]", "settings of Hydra"),
    "package of defaults": ("x.yaml", "defaults: [{study@hydra.callbacks: evil}]", "settings of Hydra"),
    "built defaults": ("x.yaml", "defaults: ['${a}/launcher: evil']\na: hy", "defaults from elsewhere"),
    "other folder": ("x.yaml", "defaults: [../../evil/x]", "defaults from elsewhere"),
    "group": ("hydra/launcher/evil.yaml", "a: 1", "a group of Hydra"),
    "target": ("study/x.yaml", "cases: {a: [{_target_: os.system}]}", "_target_"),
    "resolver": ("x.yaml", "a: ${oc.decode:${b}}", "references to others"),
    "environment": ("x.yaml", "a: ${oc.env:HOME}", "references to others"),
    "nested resolver": ("x.yaml", "a: ${${b}:x}", "references to others"),
    "Hydra's own values": ("x.yaml", "a: ${hydra:job.name}", "references to others"),
    "alias": ("x.yaml", "a: &b [1]\nc: *b", "anchor"),
    "yml": ("x.yml", "_target_: os.system", "_target_"),
}


@pytest.mark.parametrize(("name", "text", "named"), FILES.values(), ids=FILES)
def test_a_folder_of_configuration_that_is_more_than_data_is_refused(
    name: str, text: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "conf" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ConnectomeSimError, match=named):
        check_folder(tmp_path / "conf")


def test_a_link_in_a_folder_of_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "x.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(ConfigError, match="got a link"):
        check_folder(tmp_path / "conf")
    with pytest.raises(ConfigError, match="wanted a folder"):
        check_folder(tmp_path / "nothing")


@pytest.mark.parametrize("group", ["study", "loss", "ablation", "experiment", "evaluation"])
def test_groups_like_those_that_ship_are_accepted(group: str) -> None:
    check_folder(conf_dir() / group)


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks.x._target_=os.system",
        "hydra.callbacks={x: {a: 1}}",
        "+hydra/callbacks=x",
        "hydra.searchpath=[file:///tmp/evil]",
        "++hydra.job_logging.handlers.x.class=os.system",
        "hydra.job.env_set={LD_PRELOAD: x}",
        "hydra={callbacks: 1}",
        "~hydra",
        "+study@hydra.callbacks=x",
        "+study@_global_.hydra.callbacks=x",
        "hydra.launcher._target_=os.system",
        "+a={b: [{_target_: x}]}",
        "+experiment=../../../tmp/evil/x",
        "gains=../evil",
        "+experiment/mine=a/../../b",
    ],
)
def test_an_override_that_makes_hydra_run_something_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        check_overrides([override])
    with pytest.raises(ConfigError, match="names something|changes Hydra|leaves the folder"):
        compose("fit", [override])


def test_overrides_that_people_need_are_accepted_but_not_from_a_folder() -> None:
    own = ["run=../runs/mine", "connectome.source=/data/x", "seed=range(5)", "name=hydrant", "loss.bump.weight=2"]
    of_hydra = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=notes"]
    check_overrides([*own, *of_hydra])
    check_overrides(own, settings=False)
    for override in [*of_hydra, "--config-dir=/tmp/evil"]:
        with pytest.raises(ConfigError, match="changes Hydra"):
            check_overrides([override], settings=False)


def test_what_a_run_was_started_with_is_a_list_of_overrides(tmp_path: Path) -> None:
    path = tmp_path / ".hydra" / "overrides.yaml"
    path.parent.mkdir()
    assert saved_overrides(tmp_path) is None
    path.write_text("- +experiment=quickstart\n- run=runs/seed${seed}\n")
    assert saved_overrides(tmp_path) == ("+experiment=quickstart", "run=runs/seed${seed}")
    for text in ("a: b", "- [a]", "- +hydra.callbacks.x=y", "- a: {_target_: x}", "- *a"):
        path.write_text(text)
        with pytest.raises(ConnectomeSimError, match=r"overrides\.yaml"):
            saved_overrides(tmp_path)
