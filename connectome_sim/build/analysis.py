"""The verb analyze: from a run or a member of an ensemble to analysis.json, analysis.h5 and tables. Prints nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from connectome_sim.analysis import Attractor, analyze
from connectome_sim.analysis.attractor import summary
from connectome_sim.analysis.visited import Visited, visit
from connectome_sim.build.members import member_run
from connectome_sim.build.objects import use_threads
from connectome_sim.build.physiology import held_out_seed, recorded, reference_rows, remove_scores, write_scores
from connectome_sim.config import AnalyzeConfig, FitConfig, saved_config
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import restore
from connectome_sim.evaluate.noise import DIFFUSION
from connectome_sim.records import FittedNetwork, RunFolder, read_network, write_arrays
from connectome_sim.solve.threads import side_by_side

Found = Mapping[str, Any]
Analyzed = tuple[Path, Found, list[Path]]


def run_analyze(config: AnalyzeConfig) -> Analyzed:
    """Analyze a network: numbers, arrays and tables in its run folder, which ``figures`` draws.

    Returns:
        The folder, the content of ``analysis.json``, and the files written.

    Raises:
        RunFolderError: no such run, no network in it, or files that cannot be written.
        ConfigError: several runs, no such ensemble or member; DataError: see `load_ensemble`.
        SolveError: a network that diverges wherever it is cued.
    """
    use_threads(config.threads)
    if len(config.run) > 1:
        raise ConfigError(f"run: got {list(config.run)}, wanted one; `run_analyses` takes several")
    folder = RunFolder.open(config.run[0]) if config.run else member_run(config)
    stored, fitted = read_network(folder.network)[0], saved_config(folder.path)
    metrics = folder.metrics()
    seed, protocol = held_out_seed(fitted, metrics), fitted.evaluation.protocol
    tasks: list[Callable[[], Any]] = [partial(_attractor, config, stored, fitted, metrics)]
    if config.physiology:
        tasks += [partial(recorded, stored, fitted, seed), partial(reference_rows, protocol, seed)]
    with threadpool_limits(1, user_api="blas"):  # whose threads cost more than they save on matrices this small
        (attractor, visited), *physiology = side_by_side(tasks)
    walked = {name: value if math.isfinite(value) else None for name, value in visited.metrics().items()}
    found = {"dataset": stored.dataset, "seed": stored.seed, **summary(attractor), **walked}
    write_arrays(folder.analysis, {**attractor.arrays(), **visited.arrays()})
    paths = [folder.write_findings(found), folder.analysis]
    if config.physiology:
        paths += write_scores(folder, metrics, stored, fitted, *physiology)
    else:
        remove_scores(folder)
    return folder.path, found, paths


def _attractor(
    config: AnalyzeConfig, stored: FittedNetwork, fitted: FitConfig, metrics: Mapping[str, float]
) -> tuple[Attractor, Visited]:
    evaluation, (network, readout) = fitted.evaluation, restore(stored)
    found = analyze(
        network,
        readout,
        protocol=evaluation.protocol,
        step=evaluation.step,
        n_headings=config.headings,
        diffusion=metrics.get(DIFFUSION, math.nan),
    )
    visited = visit(
        network,
        readout,
        seed=fitted.held_out_seed,
        protocol=evaluation.protocol,
        step=evaluation.step,
        duration=config.walk_s,
    )
    return found, visited
