"""The verbs that Hydra runs, fit and those on results: from arguments to what people read. Knows no mathematics."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from connectome_sim.analysis.population import over_fits
from connectome_sim.analysis.studies import Fitted
from connectome_sim.build import (
    Ended,
    FitOutcome,
    Member,
    resume_fit,
    run_ablate,
    run_analyses,
    run_drawings,
    run_ensemble,
    run_evaluations,
    run_export,
    run_fit,
    run_fits,
    run_remeasure,
    run_solutions,
    run_study,
    score_table,
)
from connectome_sim.build.members import member_run
from connectome_sim.build.scores import attractor_table
from connectome_sim.cli import hydra_app
from connectome_sim.cli.main import FAILED_FIT, OK, report
from connectome_sim.config import (
    AblateConfig,
    AnalyzeConfig,
    EnsembleConfig,
    EvaluateConfig,
    ExportConfig,
    FiguresConfig,
    FitConfig,
    SolutionsConfig,
    StudyConfig,
    compose,
    register,
    saved_config,
    typed,
)
from connectome_sim.config.compose import register_evaluation, resume_config
from connectome_sim.config.settings import Subject
from connectome_sim.errors import ConfigError, ConnectomeSimError, FitError
from connectome_sim.records import MemberRecord, RunFolder

_SUBJECT = tuple(field.name for field in fields(Subject))
ConfigT = TypeVar("ConfigT")
FoundT = TypeVar("FoundT")
_TRUE = ("true", "yes", "on", "y", "1")  # as YAML 1.1 has it


def fit(arguments: list[str]) -> int:
    """``connectome-sim fit``: exit code 0, or 2 where the fit diverged or misses a bound."""
    arguments = [re.sub(r"^\+\+?(resume|run)=", r"\1=", argument) for argument in arguments]
    if (_value("resume", arguments) or "").lower() in _TRUE and not _only_shows(arguments):
        run = _value("run", arguments)
        if run is not None:
            RunFolder.open(run)  # a folder of a newer format is named as such, before its configuration is read
        return _ended(resume_fit, resume_config(arguments))
    register("fit")
    members: list[Member] = []

    def job(config: Any) -> int:
        register("fit")  # again: some launchers run the job in another process
        settings = HydraConfig.get()
        notes = {
            "overrides.yaml": OmegaConf.to_yaml(settings.overrides.task),
            "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": settings})),
        }
        member = Member(typed(FitConfig, config), notes)
        if hydra_app.is_local_sweep(settings):
            members.append(member)  # to be run with the others, when all configurations are known to be good
            return OK
        return _ended(lambda checked: run_fit(checked, notes=notes), member.config)

    code = hydra_app.run("fit", arguments, job)
    return _together(members) if members and code == OK else code


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


def evaluate(arguments: list[str]) -> int:
    """``connectome-sim evaluate``: exit code 0 also where a bound is missed, which it says.

    Several runs, ``run=[a,b,...]``, are measured side by side, each as its own configuration says. Without a run it is
    a member of an ensemble.
    """
    register("evaluate")
    given = _value("run", arguments)
    if _only_shows(arguments):
        return hydra_app.run("evaluate", arguments, lambda _: OK)
    if given is None:  # its configuration is wanted before the arguments are understood as a whole
        asked = [argument for argument in arguments if argument.partition("=")[0] in _SUBJECT]
        given = str(member_run(compose("evaluate", asked)).path)
        arguments = [argument for argument in arguments if argument not in asked]
    checked: list[EvaluateConfig] = []

    def job(config: Any) -> int:
        checked.append(typed(EvaluateConfig, config))
        return OK

    others = [argument for argument in arguments if not argument.startswith("run=")]
    for run in given.strip("[]").split(",") if given.startswith("[") else [given]:
        RunFolder.open(run.strip())  # a folder of a newer format is named as such, before its configuration is read
        register_evaluation("as_fitted", saved_config(Path(run.strip())).evaluation)
        hydra_app.run("evaluate", [*others, f"run={run.strip()}"], job)
    return _evaluated(checked)


def _evaluated(configs: list[EvaluateConfig]) -> int:
    """Measure runs side by side and print what came out as they end."""

    def say(config: EvaluateConfig, metrics: Mapping[str, float], reasons: list[str]) -> None:
        folder = RunFolder.open(config.run)
        if len(configs) > 1:
            print(f"{folder.path}:")
        _print_scores(folder, metrics, saved_config(folder.path))
        _print_reasons("misses its bounds", reasons)

    run_evaluations(configs, on_end=say)
    return OK


def ablate(arguments: list[str]) -> int:
    """``connectome-sim ablate``: exit code 0 also where cases failed; their rows say so."""
    register("ablate")

    def job(config: Any) -> int:
        checked = typed(AblateConfig, config)
        try:
            outcome = run_ablate(checked)
        except KeyboardInterrupt:
            if Path(checked.out).exists():
                print(f"go on with the same command and: out={checked.out}", file=sys.stderr)
            raise
        print(outcome.text)
        print(f"sweep folder: {outcome.folder.path}")
        return OK

    return hydra_app.run("ablate", _listed(arguments), job)


def analyze(arguments: list[str]) -> int:
    """``connectome-sim analyze``: exit code 0 also where there is no attractor, which it says."""
    register("analyze")

    def say(place: Path, found: Mapping[str, Any], paths: Sequence[Path]) -> None:
        print(f"{place}: {found['verdict_means']}")
        print(attractor_table(found))
        _print_paths(paths)
        print(f"to draw it: connectome-sim figures run={place}")

    def run(configs: Sequence[AnalyzeConfig]) -> int:
        codes = [OK]
        run_analyses(configs, on_end=lambda ended: codes.append(_said(ended, lambda found: say(*found))))
        return max(codes)

    return _collected("analyze", _listed(arguments), AnalyzeConfig, run)


def figures(arguments: list[str]) -> int:
    """``connectome-sim figures``."""
    register("figures")

    def run(configs: Sequence[FiguresConfig]) -> int:
        codes = [OK]
        run_drawings(configs, on_end=lambda ended: codes.append(_said(ended, _print_paths)))
        return max(codes)

    return _collected("figures", arguments, FiguresConfig, run)


def export(arguments: list[str]) -> int:
    """``connectome-sim export``."""
    register("export")

    def job(config: Any) -> int:
        print(run_export(typed(ExportConfig, config)))
        return OK

    return hydra_app.run("export", _listed(arguments), job)


def ensemble(arguments: list[str]) -> int:
    """``connectome-sim ensemble``."""
    register("ensemble")

    def say(member: MemberRecord) -> None:
        print(f"seed {member.seed} measured", flush=True)

    def job(config: Any) -> int:
        checked = typed(EnsembleConfig, config)
        if checked.measure:
            print(run_remeasure(checked, on_end=say)[0])
            return OK
        folder, record = run_ensemble(checked)
        number, left_out = len(record.members), record.failed_seeds
        print(f"{number} of {number + len(left_out)} fits taken")
        if left_out:
            print(f"left out, as they failed: seeds {', '.join(map(str, left_out))} (failed=true takes them too)")
        print(folder)
        return OK

    return hydra_app.run("ensemble", _listed(arguments), job)


def solutions(arguments: list[str]) -> int:
    """``connectome-sim solutions``."""
    register("solutions")

    def job(config: Any) -> int:
        paths, found = run_solutions(typed(SolutionsConfig, config))
        groups = found["clusters"]
        print(f"{len(found['seeds'])} members, RMS distance {found['distance_median']:.2g} (median, log units)")
        print(f"effective dimensions: {found['dimension']:.1f}")
        p = f"p = {groups['p_value']:.2g} {over_fits()}"
        print(f"clusters: {groups['number']} (silhouette {groups['silhouette']:.2f}, {p})")
        print(f"parameters that are open: {found['n_open']} of {len(found['parameters'])}")
        print(f"time constants among them: {', '.join(found['open_time_constants']) or 'none'}")
        _print_paths(paths)
        return OK

    return hydra_app.run("solutions", arguments, job)


def study(arguments: list[str]) -> int:
    """``connectome-sim study``: exit code 0 whatever the fits came to; failures are rows."""
    register("study")

    def say(fit: Fitted) -> None:
        print(f"{fit.case}, seed {fit.seed}: {fit.status} ({fit.wall_s:.0f} s) {fit.reason}".rstrip(), flush=True)

    def run(configs: Sequence[StudyConfig]) -> int:
        for config in configs:
            outcome = run_study(config, on_end=say)
            print(outcome.table, end="")
            _print_paths(outcome.paths)
        return OK

    return _collected("study", arguments, StudyConfig, run, elsewhere=False)


def _collected(
    verb: str,
    arguments: list[str],
    kind: type[ConfigT],
    run: Callable[[Sequence[ConfigT]], int],
    *,
    elsewhere: bool = True,
) -> int:
    """Run a verb on all the configurations of its arguments at once, outside Hydra, when all are known to be good.

    A launcher plugin takes them elsewhere one by one, where the verb allows it.
    """
    configs: list[ConfigT] = []

    def job(config: Any) -> int:
        checked = typed(kind, config)
        if hydra_app.is_elsewhere(HydraConfig.get()):
            if not elsewhere:
                raise ConfigError(f"{verb}: got a launcher, wanted none: it runs its own fits side by side")
            return run([checked])
        configs.append(checked)
        return OK

    code = hydra_app.run(verb, arguments, job)
    return run(configs) if configs and code == OK else code


def _said(ended: FoundT | ConnectomeSimError, say: Callable[[FoundT], None]) -> int:
    """Prints an error, or what was found; the exit code."""
    if isinstance(ended, ConnectomeSimError):
        return report(ended)
    say(ended)
    return OK


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path)


def _listed(arguments: list[str]) -> list[str]:
    """The arguments with a single run or member as a list of one."""
    for name in ("run", "members"):
        one = _value(name, arguments)
        if one is not None and not one.startswith("["):
            arguments = [f"{name}=[{one}]" if argument == f"{name}={one}" else argument for argument in arguments]
    return arguments


def _ended(fitting: Callable[[FitConfig], FitOutcome], config: FitConfig) -> int:
    """Run a fit and say how it ended."""
    try:
        outcome = fitting(config)
    except FitError as error:
        print(f"run folder: {config.run}")
        return report(error)
    except KeyboardInterrupt:
        if Path(config.run).exists():
            print(f"go on with: connectome-sim fit run={config.run} resume=true", file=sys.stderr)
        raise
    _print_scores(outcome.folder, outcome.metrics, config)
    _print_reasons("the fit failed", outcome.reasons)
    print(f"run folder: {outcome.folder.path}")
    return OK if outcome.succeeded else FAILED_FIT


def _print_scores(folder: RunFolder, metrics: Mapping[str, float], config: FitConfig) -> None:
    manifest = folder.manifest()
    drawn = ", drawn: none of its neurons is real" if config.connectome.is_drawn else ""
    seeds = ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items())
    version = "" if manifest.dataset_version in manifest.dataset else f" {manifest.dataset_version}"
    print(f"held-out scores on {manifest.dataset}{version}{drawn}; seeds: {seeds}")
    print(score_table(metrics, config.success))


def _print_reasons(what: str, reasons: Any) -> None:
    if reasons:
        print(f"connectome-sim: {what}: {'; '.join(reasons)}", file=sys.stderr)


def _value(name: str, arguments: list[str]) -> str | None:
    """Value of the last ``name=value``."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == name]
    return values[-1] if values else None


def _only_shows(arguments: list[str]) -> bool:
    """Whether Hydra is asked to show something and not to run."""
    return any(argument in ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info") for argument in arguments)
