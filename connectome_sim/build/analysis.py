"""The verb analyze: from runs or a member of an ensemble to analysis.json, analysis.h5 and figures. Prints nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from connectome_sim.analysis import analyze
from connectome_sim.analysis.attractor import summary
from connectome_sim.analysis.visited import visit
from connectome_sim.build.members import member_run
from connectome_sim.build.objects import use_threads
from connectome_sim.build.physiology import References, score_network
from connectome_sim.build.reporting import write_report
from connectome_sim.config import AnalyzeConfig, saved_config
from connectome_sim.evaluate import restore
from connectome_sim.evaluate.probes import DIFFUSION
from connectome_sim.figures.all import draw_analysis
from connectome_sim.figures.rendering import check_formats
from connectome_sim.records import RunFolder, read_network, write_arrays

Found = Mapping[str, Any]


def run_analyze(config: AnalyzeConfig) -> Iterator[tuple[Path, Found, list[Path]]]:
    """Analyze networks one after the other, each into its folder: numbers, arrays, figures, report.

    Yields:
        The folder, the content of ``analysis.json``, and the files written, the report last.

    Raises:
        RunFolderError: no such run, no network in it, or files that cannot be written.
        ConfigError: an unknown format, no such ensemble or member; DataError: see `load_ensemble`.
        SolveError: a network that diverges wherever it is cued.
    """
    use_threads(config.threads)
    check_formats(config.formats)
    known: References = {}
    for folder in [RunFolder.open(run) for run in config.run] or [member_run(config)]:
        yield _analyzed(config, folder, known)


def _analyzed(config: AnalyzeConfig, folder: RunFolder, known: References) -> tuple[Path, Found, list[Path]]:
    stored, fitted = read_network(folder.network)[0], saved_config(folder.path)
    evaluation, (network, readout) = fitted.evaluation, restore(stored)
    attractor = analyze(
        network,
        readout,
        protocol=evaluation.protocol,
        step=evaluation.step,
        n_headings=config.headings,
        diffusion=folder.metrics().get(DIFFUSION, math.nan),
    )
    visited = visit(
        network,
        readout,
        seed=fitted.held_out_seed,
        protocol=evaluation.protocol,
        step=evaluation.step,
        duration=config.walk_s,
    )
    walked = {name: value if math.isfinite(value) else None for name, value in visited.metrics().items()}
    found = {"dataset": stored.dataset, "seed": stored.seed, **summary(attractor), **walked}
    write_arrays(folder.analysis, {**attractor.arrays(), **visited.arrays()})
    numbers = folder.write_findings(found)
    drawn = draw_analysis(folder, formats=config.formats)
    paths = [numbers, folder.analysis, *drawn]
    if config.physiology:
        paths += score_network(
            stored,
            fitted,
            folder.metrics(),
            folder=folder.path,
            figures=folder.figures,
            formats=config.formats,
            known=known,
        )
    return folder.path, found, [*paths, write_report(folder)]
