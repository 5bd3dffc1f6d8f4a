"""The verbs that Hydra runs, but fit: from arguments to what people read. Knows no mathematics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig

from connectome_sim.analysis.population import over_fits
from connectome_sim.analysis.studies import Fitted
from connectome_sim.build import (
    run_ablate,
    run_analyses,
    run_drawings,
    run_ensemble,
    run_evaluations,
    run_export,
    run_remeasure,
    run_solutions,
    run_study,
)
from connectome_sim.build.members import member_run
from connectome_sim.build.reporting import figures_not_drawn
from connectome_sim.build.scores import attractor_table
from connectome_sim.cli import hydra_app
from connectome_sim.cli.main import OK, report
from connectome_sim.cli.words import only_shows, print_paths, print_reasons, print_scores, to_go_on, value
from connectome_sim.config import (
    AblateConfig,
    AnalyzeConfig,
    EnsembleConfig,
    EvaluateConfig,
    ExportConfig,
    FiguresConfig,
    SolutionsConfig,
    StudyConfig,
    compose,
    register,
    saved_config,
    typed,
)
from connectome_sim.config.compose import (
    register_evaluation,
)
from connectome_sim.config.settings import Subject
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.records import MemberRecord, RunFolder

_SUBJECT = tuple(field.name for field in fields(Subject))
ConfigT = TypeVar("ConfigT")
FoundT = TypeVar("FoundT")


def evaluate(arguments: list[str]) -> int:
    """``connectome-sim evaluate``: exit code 0 also where a bound is missed, which it says.

    Several runs, ``run=[a,b,...]``, are measured side by side, each as its own configuration says. Without a run it is
    a member of an ensemble.
    """
    register("evaluate")
    given = value("run", arguments)
    if only_shows(arguments):
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
    left = [config.run for config in checked]
    with to_go_on("evaluate", lambda: [f"run=[{','.join(left)}]", *others]):
        return _evaluated(checked, on_end=lambda config: left.remove(config.run))


def _evaluated(configs: list[EvaluateConfig], *, on_end: Callable[[EvaluateConfig], None]) -> int:
    """Measure runs side by side and print what came out as they end."""

    def say(config: EvaluateConfig, metrics: Mapping[str, float], reasons: list[str]) -> None:
        on_end(config)
        folder = RunFolder.open(config.run)
        if len(configs) > 1:
            print(f"{folder.path}:")
        print_scores(folder, metrics, saved_config(folder.path))
        print_reasons("misses its bounds", reasons)

    run_evaluations(configs, on_end=say)
    return OK


def ablate(arguments: list[str]) -> int:
    """``connectome-sim ablate``: exit code 0 also where cases failed; their rows say so."""
    register("ablate")

    def job(config: Any) -> int:
        checked = typed(AblateConfig, config)
        others = [argument for argument in arguments if not argument.startswith("out=")]
        with to_go_on("ablate", lambda: [*others, f"out={checked.out}"] if Path(checked.out).exists() else []):
            outcome = run_ablate(checked)
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
        print_paths(paths)
        print(f"to draw it: connectome-sim figures run={place}")

    def run(configs: Sequence[AnalyzeConfig]) -> int:
        codes = [OK]
        run_analyses(configs, on_end=lambda ended: codes.append(_said(ended, lambda found: say(*found))))
        return max(codes)

    return _collected("analyze", _listed(arguments), AnalyzeConfig, run)


def figures(arguments: list[str]) -> int:
    """``connectome-sim figures``: says on the error stream which figures are left out, and how to get them."""
    register("figures")

    def say(paths: Sequence[Path]) -> None:
        print_paths(paths)
        for figures in figures_not_drawn(RunFolder.open(paths[-1].parent)):
            print(f"connectome-sim: {figures}", file=sys.stderr)

    def run(configs: Sequence[FiguresConfig]) -> int:
        codes = [OK]
        run_drawings(configs, on_end=lambda ended: codes.append(_said(ended, say)))
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
        print_paths(paths)
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
            print_paths(outcome.paths)
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
    with to_go_on(verb, lambda: arguments):
        return run(configs) if configs and code == OK else code


def _said(ended: FoundT | ConnectomeSimError, say: Callable[[FoundT], None]) -> int:
    """Prints an error, or what was found; the exit code."""
    if isinstance(ended, ConnectomeSimError):
        return report(ended)
    say(ended)
    return OK


def _listed(arguments: list[str]) -> list[str]:
    """The arguments with a single run or member as a list of one."""
    for name in ("run", "members"):
        one = value(name, arguments)
        if one is not None and not one.startswith("["):
            arguments = [f"{name}=[{one}]" if argument == f"{name}={one}" else argument for argument in arguments]
    return arguments
