"""Composing configurations: the schemas that Hydra sees, composing from Python, what a run folder holds of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from connectome_sim.config.ablate import AblateConfig
from connectome_sim.config.conversion import plain, typed
from connectome_sim.config.foreign import check_overrides, read_overrides, read_plain
from connectome_sim.config.retired import without_retired
from connectome_sim.config.schema import as_node, readable, schema
from connectome_sim.config.settings import (
    AnalyzeConfig,
    EnsembleConfig,
    EvaluateConfig,
    EvaluationConfig,
    ExportConfig,
    FiguresConfig,
    FitConfig,
    SolutionsConfig,
)
from connectome_sim.config.study import StudyConfig
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.evaluate import FULL, QUICK
from connectome_sim.resources import conf_dir

C = TypeVar("C")

AGAIN = "fit_again"  # name of a saved configuration, for Hydra

VERBS: dict[str, type] = {
    "fit": FitConfig,
    "evaluate": EvaluateConfig,
    "analyze": AnalyzeConfig,
    "figures": FiguresConfig,
    "export": ExportConfig,
    "ensemble": EnsembleConfig,
    "solutions": SolutionsConfig,
    "ablate": AblateConfig,
    "study": StudyConfig,
}
"""Verb -> its configuration."""

VERSION_BASE = "1.3"
"""Hydra's defaults that the configuration is written for."""

CONFIG = Path(".hydra", "config.yaml")
"""Where a run folder holds its configuration."""

OVERRIDES = CONFIG.with_name("overrides.yaml")
"""Where it holds what the run was started with, if anything."""


@cache
def register(verb: str) -> None:
    """Give Hydra the schemas that the files in ``conf/`` build on for a verb.

    Only those: Hydra copies all it knows again and again, which takes seconds with the schemas of all verbs.
    """
    store = ConfigStore.instance()
    store.store(name=f"{verb}_schema", node=schema(VERBS[verb]))
    if verb in ("fit", "evaluate"):
        for name, protocol in (("full", FULL), ("quick", QUICK), ("study", FULL), ("as_fitted", FULL)):
            register_evaluation(name, EvaluationConfig(protocol=protocol))
    # not cached: every run of a sweep has its own
    OmegaConf.register_new_resolver("short_id", lambda: secrets.token_hex(3), use_cache=False, replace=True)


def register_evaluation(name: str, evaluation: EvaluationConfig) -> None:
    """Give Hydra a choice of the group ``evaluation``; ``as_fitted`` is that of the run to be evaluated."""
    ConfigStore.instance().store(name=f"evaluation_{name}_schema", node=as_node(evaluation))


def compose(verb: str, overrides: Sequence[str] = ()) -> Any:
    """The typed configuration of a verb, as on the command line: ``compose("fit", ["+experiment=quickstart"])``.

    Raises:
        ConfigError: an override that does not fit; see `typed`.
    """
    register(verb)
    check_overrides(overrides)
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base=VERSION_BASE, job_name=verb):
            config = hydra.compose(verb, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"configuration: {readable(error)}") from error
    return typed(VERBS[verb], config)


def saved_config(run: Path) -> FitConfig:
    """The configuration that a run folder holds, with the folder where it is now.

    Raises:
        RunFolderError: the folder holds none that can be read.
        ConfigError: one that this version does not understand, or that is more than values (see `read_plain`).
    """
    path = run / CONFIG
    try:
        content = read_plain(path)
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: no such file; {run} is not the folder of a fit") from error
    return replace(typed(FitConfig, without_retired(content)), run=str(run))


def register_again(run: Path) -> str:
    """Give Hydra the configuration that a run folder holds, for a new run; the name that it has there.

    Raises:
        RunFolderError, ConfigError: as `saved_config`.
    """
    content = {**plain(saved_config(run)), "id": "${short_id:}", "run": "???", "resume": False}
    ConfigStore.instance().store(name=AGAIN, node=content)
    return AGAIN


def saved_overrides(run: Path) -> tuple[str, ...] | None:
    """The overrides that a run was started with; None where its folder has none.

    Raises:
        RunFolderError: they cannot be read, or are no list.
        ConfigError: one that would change what Hydra does, which no command of a report may.
    """
    try:
        return read_overrides(run / OVERRIDES)
    except FileNotFoundError:
        return None


def to_yaml(config: Any) -> str:
    """A configuration as YAML, as a run folder keeps it."""
    return OmegaConf.to_yaml(OmegaConf.create(plain(config)))


def resume_config(arguments: Sequence[str]) -> FitConfig:
    """The configuration of the run named by ``run=...``, with what may change when it is resumed.

    Raises:
        ConfigError: no run, or an argument that would change the result: a resumed run keeps its configuration.
        RunFolderError: the folder holds no configuration.
    """
    allowed = ("run", "resume", "threads", "progress", "figures", "checkpoint_every_s")
    given: dict[str, Any] = dict(OmegaConf.from_dotlist(list(arguments)))
    if unknown := [key for key in given if key not in allowed]:
        raise ConfigError(
            f"resume=true with {', '.join(unknown)}: a resumed run keeps its own configuration; allowed beside it are "
            f"{', '.join(allowed)}"
        )
    if not given.get("run"):
        raise ConfigError("resume=true: wanted the folder of the run to go on with: run=PATH")
    run = Path(str(given["run"]))
    return typed(FitConfig, {**plain(saved_config(run)), **given, "run": str(run)})
