"""The verbs on a run that exists: evaluate, figures, export. Print nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from connectome_sim.build import measuring
from connectome_sim.build.ensembles import load_ensemble
from connectome_sim.build.members import member_run
from connectome_sim.build.objects import use_threads
from connectome_sim.build.reporting import write_report
from connectome_sim.config import EvaluateConfig, ExportConfig, FiguresConfig, FitConfig, saved_config
from connectome_sim.config.settings import FIT_METRICS
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.evaluate import PROBES, success
from connectome_sim.figures import draw_all
from connectome_sim.records import (
    FittedNetwork,
    RunFolder,
    read_arrays,
    read_network,
    read_parameters,
    write_network,
)


def run_evaluate(config: EvaluateConfig) -> tuple[dict[str, float], list[str]]:
    """Measure the network of a run again, into its ``metrics.json`` and ``evaluation.h5``, or a member of an ensemble.

    With some of the probes only, what the others found before stays.

    Returns:
        The metrics, and one sentence for each bound of the run's configuration that does not hold. The manifest stays
        as the fit left it.

    Raises:
        RunFolderError: no such run, or no network in it.
        ConfigError, StepError, SolveError: as `evaluate`.
    """
    use_threads(config.threads)
    folder = RunFolder.open(config.run) if config.run else member_run(config)
    fitted = saved_config(folder.path)
    networks = read_network(folder.network)
    every_probe = set(config.evaluation.which) == set(PROBES)
    before = folder.metrics()
    if not every_probe:
        _check_same_conditions(before, measuring.conditions_of(config.evaluation, fitted))
    described = _described(folder, fitted, networks[0])
    result = measuring.measure(networks[0], config.evaluation, fitted, progress=config.progress)
    if every_probe:  # nothing that another protocol measured may stay beside it
        before = {name: value for name, value in before.items() if name in FIT_METRICS}
    elif folder.evaluation.exists():
        result = replace(result, arrays={**read_arrays(folder.evaluation), **result.arrays})
    metrics = {**before, **result.metrics, **described}
    succeeded, reasons = success(metrics, fitted.success)
    result.save(folder.evaluation)
    folder.write_metrics({**metrics, "success": succeeded})
    return metrics, reasons


def _described(folder: RunFolder, fitted: FitConfig, network: FittedNetwork) -> dict[str, float]:
    """What settled states and parameters say; nothing of parameters where only the network is left of a run."""
    rates = measuring.rates_of(network)
    if not folder.parameters.exists():
        return rates
    values = {name: float(value) for name, value in read_parameters(folder.parameters).items()}
    return {**rates, **measuring.parameters_of(fitted, hdf5.read(folder.connectome), values)}


def _check_same_conditions(before: Mapping[str, float], now: Mapping[str, float]) -> None:
    """Figures of one table are measured under the same conditions."""
    for name, value in now.items():
        if name in before and before[name] != value:
            raise ConfigError(
                f"evaluation.which: the run's other figures were measured with {name} {before[name]:g}, got {value:g}; "
                "measure with the same, or all probes anew"
            )


def run_figures(config: FiguresConfig, *, processes: int = 1) -> Sequence[Path]:
    """Draw the figures of a run, or of a member of an ensemble, and write its report.

    Args:
        config: what to draw, and as what.
        processes: to draw with, see `draw_all`.

    Returns:
        The files written, the report last.

    Raises:
        RunFolderError: no such run, or a damaged file in it.
        ConfigError: an unknown format.
    """
    folder = RunFolder.open(config.run) if config.run else member_run(config)
    drawn = draw_all(folder, formats=config.formats, processes=processes)
    return [*drawn, write_report(folder)]


def run_export(config: ExportConfig) -> Path:
    """Write the networks of one or more runs, or all members of an ensemble, as the members of one file.

    Raises:
        RunFolderError: no such run, no network in it, runs that do not share their neurons, or a file that exists.
        ConfigError, DataError: an ensemble that cannot be loaded, see `load_ensemble`.
    """
    out = Path(config.out)
    if out.exists() and not config.overwrite:
        raise RunFolderError(f"{out}: exists already; choose another out=..., or say overwrite=true")
    if config.ensemble:
        ensemble = load_ensemble(config.ensemble)
        networks = [ensemble.stored(number) for number in range(len(ensemble))]
    else:
        networks = [network for run in config.run for network in read_network(RunFolder.open(run).network)]
    write_network(out, networks)
    return out
