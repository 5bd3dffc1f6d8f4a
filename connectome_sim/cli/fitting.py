"""The verb fit: a new one, one that goes on, one from a folder, or many. Knows no mathematics."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from connectome_sim.build import Ended, FitOutcome, Member, resume_fit, run_fit, run_fits
from connectome_sim.build.begun import taken_up
from connectome_sim.cli import hydra_app, signals
from connectome_sim.cli.main import FAILED_FIT, OK, report, say
from connectome_sim.cli.words import command, only_shows, print_reasons, print_scores, to_go_on, value
from connectome_sim.config import FitConfig, register, typed
from connectome_sim.config.compose import CONFIG, register_again, resume_config, saved_overrides
from connectome_sim.errors import ConfigError, ConnectomeSimError, FitError
from connectome_sim.records import RunFolder

_NOTES_OF_A_SWEEP = ("hydra.sweep.dir=runs/multirun", "hydra.sweep.subdir=.", "hydra.job.name=fit")  # as conf/fit.yaml
_TRUE = ("true", "yes", "on", "y", "1")  # as YAML 1.1 has it


def fit(arguments: list[str]) -> int:
    """``connectome-sim fit``: exit code 0, or 2 where the fit diverged or misses a bound."""
    arguments = [re.sub(r"^\+\+?(resume|run|from)=", r"\1=", argument) for argument in _from_report(arguments)]
    run = value("run", arguments)
    several = any(argument in ("-m", "--multirun") for argument in arguments)
    if (value("resume", arguments) or "").lower() in _TRUE and not (several or only_shows(arguments)):
        if run is not None:
            RunFolder.open(run)  # a folder of a newer format is named as such, before its configuration is read
        return _ended(resume_fit, resume_config(arguments))
    register("fit")
    source = value("from", arguments)
    again = [*(argument for argument in arguments if not argument.startswith("resume=")), "resume=true"]
    with to_go_on("fit", lambda: again if several else []):
        if source is None:
            return _fitted(arguments, name="fit", before=())
        return _fitted_from(source, arguments)


def _fitted_from(source: str, arguments: list[str]) -> int:
    """New fits of the configuration that a run folder holds."""
    if value("run", arguments) is None:
        raise ConfigError(f"from={source}: wanted also the folder of the new run: run=PATH")
    folder = RunFolder.open(source)
    name, before = register_again(folder.path), saved_overrides(folder.path) or ()
    others = [argument for argument in arguments if not argument.startswith("from=")]
    return _fitted([*_NOTES_OF_A_SWEEP, *others], name=name, before=before)


def _fitted(arguments: list[str], *, name: str, before: Sequence[str]) -> int:
    """Fits of a configuration that Hydra knows by ``name``, itself made with the overrides ``before``."""
    members: list[Member] = []
    codes: list[int] = []

    def job(config: Any) -> int:
        register("fit")  # again: some launchers run the job in another process
        settings = HydraConfig.get()
        notes = {
            "overrides.yaml": OmegaConf.to_yaml([*before, *settings.overrides.task]),
            "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": settings})),
        }
        member, elsewhere = Member(typed(FitConfig, config), notes), hydra_app.is_elsewhere(settings)
        if member.config.resume:
            found = taken_up(member)
            if isinstance(found, RunFolder):
                codes.append(_was_done(found))
                return codes[-1] if elsewhere else OK
            member = found
        if hydra_app.is_local_sweep(settings):
            members.append(member)  # to be run with the others, when all configurations are known to be good
            return OK
        with signals.as_exceptions() if elsewhere else nullcontext():
            return _ended(resume_fit if member.resume else partial(run_fit, notes=notes), member.config)

    codes.append(hydra_app.run("fit", arguments, job, name=name))
    if members and codes[-1] == OK:
        codes.append(_together(members))
    return next((code for code in codes if code != OK), OK)


def _was_done(folder: RunFolder) -> int:
    """Says how a fit of a sweep that goes on had ended before; its exit code."""
    manifest = folder.manifest()
    print(f"{folder.path}: done before, {manifest.status} {manifest.reason}".rstrip())
    return OK if manifest.status == "succeeded" else FAILED_FIT


def _from_report(arguments: list[str]) -> list[str]:
    """The command that reports of earlier versions print, as ``from=FOLDER``: Hydra reads no file of a run folder."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", type=Path)
    parser.add_argument("--config-name")
    given, others = parser.parse_known_args(arguments)
    if given.config_dir is None or given.config_dir / f"{given.config_name}.yaml" != given.config_dir / CONFIG.name:
        return arguments
    return [*others, f"from={given.config_dir.parent}"] if given.config_dir.name == CONFIG.parent.name else arguments


def _together(members: list[Member]) -> int:
    """Run the fits of a sweep side by side; the exit code is that of the first that failed."""
    codes = {id(member): OK for member in members}

    def say(member: Member, ended: Ended) -> None:
        def outcome(_: FitConfig) -> FitOutcome:
            if isinstance(ended, ConnectomeSimError):
                raise ended
            return ended

        try:
            codes[id(member)] = _ended(outcome, member.config)
        except ConnectomeSimError as error:
            codes[id(member)] = report(error)

    run_fits(members, on_end=say)
    return next((code for code in codes.values() if code != OK), OK)


def _ended(fitting: Callable[[FitConfig], FitOutcome], config: FitConfig) -> int:
    """Run a fit and say how it ended."""
    try:
        outcome = fitting(config)
    except FitError as error:
        print(f"run folder: {config.run}")
        return report(error)
    except KeyboardInterrupt:
        if (Path(config.run) / "manifest.json").exists():
            done = RunFolder.open(config.run).manifest().is_done  # interrupted while it was drawn
            verb, *more = ("figures",) if done else ("fit", "resume=true")
            say(command(verb, [f"run={config.run}", *more]))
        raise
    print_scores(outcome.folder, outcome.metrics, config)
    print_reasons("the fit failed", outcome.reasons)
    print(f"run folder: {outcome.folder.path}")
    return OK if outcome.succeeded else FAILED_FIT
