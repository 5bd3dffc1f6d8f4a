"""A study: cases that differ in one respect, fitted with the same seeds, and what came of them. Prints nothing.

Every fit has a run folder of its own in ``runs/`` of the study's folder; tables and figure follow from these, so that a
study that was stopped, or is given more seeds or cases, only fits what it lacks.
"""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from connectome_sim.analysis.population import over_fits
from connectome_sim.analysis.studies import CaseSummary, Fitted, Spread, summarise
from connectome_sim.build.fitting import check_same
from connectome_sim.build.objects import circuit, wiring
from connectome_sim.build.sweep import Ended, Member, run_fits
from connectome_sim.config import FitConfig, StudyConfig, compose, plain
from connectome_sim.config.settings import FIT_METRICS
from connectome_sim.errors import ConfigError, ConnectomeSimError
from connectome_sim.evaluate import metric_names
from connectome_sim.figures.all import check_formats, rendered
from connectome_sim.figures.studies import SavedStudy, study_figure
from connectome_sim.model import Parameters, Wiring
from connectome_sim.records import RunFolder, atomic

RUNS = "runs"
SMALL = 0.005  # deg or 1: shown as 0 in the table
INTERRUPTED = "interrupted"  # the reason in the manifest of a fit that may go on


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """What a study came to.

    Attributes:
        fits: one for each case and seed, failures included.
        cases: their summary.
        table: of the summary, Markdown.
        paths: files written.
    """

    fits: tuple[Fitted, ...]
    cases: tuple[CaseSummary, ...]
    table: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class _Case:
    name: str
    config: FitConfig
    folder: Path
    n_parameters: int

    def member(self, seed: int, threads: int | None) -> Member:
        """The fit of a seed, not yet begun."""
        run = self.folder / f"seed_{seed:03d}"
        return Member(replace(self.config, seed=seed, run=str(run), threads=threads, progress=False, figures=False))


def run_study(config: StudyConfig, *, on_end: Callable[[Fitted], None] | None = None) -> StudyOutcome:
    """Fit what a study lacks, side by side, and write its tables and figure.

    Args:
        config: from ``compose("study", [...])``.
        on_end: called with each fit as it ends.

    Raises:
        ConfigError: a case that makes no configuration of a fit, or two whose names differ in punctuation alone.
        DataError, SelectionError: a circuit that cannot be built; nothing has been fitted then.
        RunFolderError: a folder that holds a fit of another configuration, or cannot be written.
    """
    check_formats(config.formats)
    out = Path(config.out)
    cases = _cases(config, out)
    wanted = [case for case in cases if case.name in (config.only or config.study.cases)]
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    by_folder = {case.folder: case for case in cases}
    members = [found for seed in seeds for case in wanted if (found := _open(case.member(seed, config.threads)))]

    def keep(member: Member, ended: Ended) -> None:
        folder = Path(member.config.run)
        if isinstance(ended, ConnectomeSimError) and not (folder / "manifest.json").exists():
            raise ended  # not how the fit went, but why there was none
        _write_runs(out, _fits(cases), config.study.measures)
        if on_end is not None:
            on_end(_fitted(by_folder[folder.parent], folder))

    run_fits(members, on_end=keep)
    return _concluded(config, out, cases)


def _cases(config: StudyConfig, out: Path) -> list[_Case]:
    """All cases, composed, each circuit built once."""
    wired: dict[str, Wiring] = {}
    cases: list[_Case] = []
    for name, overrides in config.study.cases.items():
        shared = config.study.recipes[config.circuit]
        fit = compose("fit", [*shared, *overrides, *config.overrides])
        folder = out / RUNS / re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        if unknown := sorted(set(config.study.measures) - measured(fit)):
            raise ConfigError(f"study.measures: got {unknown[0]!r}, which the fits of {name!r} do not measure")
        if any(folder == other.folder for other in cases):
            raise ConfigError(f"study.cases: got {name!r} beside one that is spelt alike, wanted names that differ")
        key = str((plain(fit.connectome), plain(fit.velocity)))
        if key not in wired:
            wired[key] = wiring(fit, circuit(fit.connectome))
        cases.append(_Case(name, fit, folder, Parameters(fit.parameters, wired[key]).n_parameters))
    return cases


def measured(config: FitConfig) -> frozenset[str]:
    """Names of the metrics that a fit gives."""
    return metric_names(config.evaluation.protocol, config.evaluation.which) | {*FIT_METRICS}


def _open(member: Member) -> Member | None:
    """A fit that is not done yet, to be begun or gone on with; None where it is done.

    Raises:
        RunFolderError: its folder holds another fit.
    """
    path = Path(member.config.run)
    if not path.exists():
        return member
    if not (path / "manifest.json").exists():  # stopped while its folder was made
        shutil.rmtree(path)
        return member
    check_same(RunFolder.open(path), member.config)
    return None if _is_done(path) else replace(member, resume=True)


def _is_done(path: Path) -> bool:
    manifest = RunFolder.open(path).manifest()
    return manifest.status != "running" and manifest.reason != INTERRUPTED


def _fits(cases: Sequence[_Case]) -> tuple[Fitted, ...]:
    """Every fit that is done, by case, then seed."""
    found = []
    for case in cases:
        for path in sorted(case.folder.glob("seed_*")):
            if (path / "manifest.json").exists() and _is_done(path):
                found.append(_fitted(case, path))
    return tuple(found)


def _fitted(case: _Case, path: Path) -> Fitted:
    folder = RunFolder.open(path)
    manifest, metrics = folder.manifest(), folder.metrics()
    return Fitted(
        case=case.name,
        seed=manifest.seeds["fit"],
        status="succeeded" if manifest.status == "succeeded" else "missed" if metrics else "failed",
        reason=manifest.reason,
        n_parameters=case.n_parameters,
        wall_s=manifest.wall_time_s or 0.0,
        metrics=metrics,
    )


def _concluded(config: StudyConfig, out: Path, cases: Sequence[_Case]) -> StudyOutcome:
    fits, measures = _fits(cases), config.study.measures
    summary = summarise(fits, measures)
    table = markdown(summary, measures)
    bounds = ", ".join(_bound(name, low, high) for name, (low, high) in cases[0].config.success.items())
    origin = f"{_origin(cases)}, {config.circuit} circuit"
    saved = SavedStudy(config.study.title, origin, bounds, fits, summary, measures)
    _write_runs(out, fits, measures)
    atomic.write_text(out / "summary.csv", _csv([_flat(case) for case in summary]))
    atomic.write_text(out / "table.md", table)
    paths = [out / name for name in ("runs.csv", "summary.csv", "table.md")]
    figure = study_figure(saved)
    for ending in dict.fromkeys(config.formats):
        paths.append(out / f"{config.study.name}_{config.circuit}.{ending}")
        atomic.write_bytes(paths[-1], rendered(figure, ending))
    return StudyOutcome(fits, summary, table, tuple(paths))


def _origin(cases: Sequence[_Case]) -> str:
    """The data of the first fit that there is."""
    for path in (path for case in cases for path in sorted(case.folder.glob("seed_*/manifest.json"))):
        manifest = RunFolder.open(path.parent).manifest()
        return f"{manifest.dataset} {manifest.dataset_version}".strip()
    return "no data"


def _bound(measure: str, low: float | None, high: float | None) -> str:
    words, _, unit = _words(measure).partition(", ")
    ends = " and ".join(f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None)
    return f"{words} {ends} {unit}".rstrip()


def _write_runs(out: Path, fits: Sequence[Fitted], measures: Sequence[str]) -> None:
    rows = []
    for fit in fits:
        row: dict[str, object] = {name: value for name, value in asdict(fit).items() if name != "metrics"}
        rows.append(row | {name: fit.metrics.get(name, math.nan) for name in measures})
    atomic.write_text(out / "runs.csv", _csv(rows))


def _flat(case: CaseSummary) -> dict[str, object]:
    """A row of ``summary.csv``."""
    row = {name: value for name, value in asdict(case).items() if name != "measures"}
    for name, spread in case.measures.items():
        row |= {f"{name}_{what}": value for what, value in asdict(spread).items()}
    return row | {"over": over_fits()}


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _text(value: object) -> str:
    """Numbers so that they read back exactly; nothing for NaN."""
    return "" if value != value else str(value)


def markdown(cases: Sequence[CaseSummary], measures: Sequence[str]) -> str:
    """The summary as a table: medians with quartiles in brackets."""
    head = ["case", "parameters", "succeed", *(_words(name) for name in measures)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for case in cases:
        row = [case.case, f"{case.n_parameters:,}", f"{case.succeeded} of {case.fits}"]
        row += [_quartiles(case.measures[name]) for name in measures]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _words(measure: str) -> str:
    """``walking_error_10s_median_deg`` -> "walking error 10 s median, deg"."""
    unit = ""
    for ending, its_unit in (("_deg_per_s", " deg/s"), ("_deg", ", deg")):
        if measure.endswith(ending):
            measure, unit = measure.removesuffix(ending), its_unit
            break
    words = measure.replace("_minus_", "_-").replace("_", " ")
    return re.sub(r"(?<=\d)s\b", " s", words) + unit


def _quartiles(spread: Spread) -> str:
    if not spread.measured:
        return "-"
    median, q1, q3 = ("0" if abs(value) < SMALL else f"{value:.3g}" for value in (spread.median, spread.q1, spread.q3))
    return f"{median} ({q1}-{q3})" if spread.measured > 1 else median
