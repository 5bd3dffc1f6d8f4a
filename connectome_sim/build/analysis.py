"""The verb analyze: from runs or a member of an ensemble to analysis.json, analysis.h5 and figures. Prints nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from connectome_sim.analysis import Attractor, analyze
from connectome_sim.analysis.attractor import summary
from connectome_sim.build.ensembles import load_ensemble
from connectome_sim.build.objects import use_threads
from connectome_sim.build.physiology import References, score_network
from connectome_sim.config import AnalyzeConfig, FitConfig, saved_config
from connectome_sim.evaluate import restore
from connectome_sim.evaluate.probes import DIFFUSION
from connectome_sim.figures.all import check_formats
from connectome_sim.figures.attractor import SavedAnalysis, draw_attractor
from connectome_sim.records import FittedNetwork, RunFolder, atomic, read_network, write_arrays

Found = Mapping[str, Any]

_SHOWN = (
    ("stable_fixed_points", "stable fixed points", ""),
    ("unstable_fixed_points", "unstable fixed points", ""),
    ("drift_median_deg_per_s", "drift along the ring, median", "deg/s"),
    ("drift_max_deg_per_s", "drift along the ring, maximum", "deg/s"),
    ("barrier_median_deg2_per_s", "barrier around a stable point, median", "deg^2/s"),
    ("slowest_eigenvalue_max_per_s", "slowest eigenvalue, largest size", "1/s"),
    ("spectral_gap_min_per_s", "spectral gap, smallest", "1/s"),
    ("tangent_alignment_min", "slowest mode along the ring, |cos|", ""),
    ("bump_width_median_deg", "bump width at half height, median", "deg"),
    ("one_bump_share", "cued headings with one bump", ""),
)


def run_analyze(config: AnalyzeConfig) -> Iterator[tuple[Path, Found, list[Path]]]:
    """Analyze networks one after the other, each into its folder.

    Yields:
        The folder, the content of ``analysis.json``, and the files written.

    Raises:
        RunFolderError: no such run, no network in it, or files that cannot be written.
        ConfigError: an unknown format, no such ensemble or member; DataError: see `load_ensemble`.
        SolveError: a network that diverges wherever it is cued.
    """
    use_threads(config.threads)
    check_formats(config.formats)
    known: References = {}
    if config.ensemble:
        ensemble = load_ensemble(config.ensemble)
        member = ensemble[config.member]
        stored, out = ensemble.stored(config.member), Path(config.out)
        atomic.make_folder(out)
        yield _analyzed(
            config, ensemble.config_of(config.member), stored, member.metrics, out, figures=out, known=known
        )
        return
    folders = [RunFolder.open(run) for run in config.run]
    for folder in folders:
        stored = read_network(folder.network)[0]
        atomic.make_folder(folder.figures)
        fitted = saved_config(folder.path)
        yield _analyzed(config, fitted, stored, folder.metrics(), folder.path, figures=folder.figures, known=known)


def _analyzed(
    config: AnalyzeConfig,
    fitted: FitConfig,
    stored: FittedNetwork,
    metrics: Mapping[str, float],
    out: Path,
    *,
    figures: Path,
    known: References,
) -> tuple[Path, Found, list[Path]]:
    evaluation = fitted.evaluation
    attractor = analyze(
        *restore(stored),
        protocol=evaluation.protocol,
        step=evaluation.step,
        n_headings=config.headings,
        diffusion=metrics.get(DIFFUSION, math.nan),
    )
    found = {"dataset": stored.dataset, "seed": stored.seed, **summary(attractor)}
    drawn = draw_attractor(saved(stored, attractor), formats=config.formats)
    arrays, numbers = out / "analysis.h5", out / "analysis.json"
    write_arrays(arrays, attractor.arrays())
    atomic.write_text(numbers, json.dumps(found, indent=2, allow_nan=False) + "\n")
    for name, picture in drawn.items():
        atomic.write_bytes(figures / name, picture)
    paths = [numbers, arrays, *(figures / name for name in drawn)]
    if config.physiology:
        paths += score_network(
            stored, fitted, metrics, folder=out, figures=figures, formats=config.formats, known=known
        )
    return out, found, paths


def saved(stored: FittedNetwork, attractor: Attractor) -> SavedAnalysis:
    """An analysis as its figures see it."""
    return SavedAnalysis(
        origin=f"{stored.dataset}; {len(stored.bias)} neurons; seed {stored.seed}",
        found=summary(attractor),
        arrays=attractor.arrays(),
    )


def attractor_table(found: Found) -> str:
    """Lines of name, value and unit, for people."""
    width = max(len(words) for _, words, _ in _SHOWN)
    lines = []
    for name, words, unit in _SHOWN:
        value = found[name]
        lines.append(f"  {words:<{width}}  {'-' if value is None else f'{value:.3g}':>7} {unit}".rstrip())
    if found["is_continuum"]:
        lines.append("  no drift: a continuum of steady states, no isolated fixed points")
    if found["unresolved_sign_changes"]:
        lines.append(f"  {found['unresolved_sign_changes']:g} sign changes of the drift have no fixed point found")
    return "\n".join(lines)
