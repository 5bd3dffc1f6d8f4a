"""Measuring the members of an ensemble again, into its manifest. Fits nothing, prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from connectome_sim.build import measuring
from connectome_sim.build.ensembles import Ensemble, ensemble_folder, load_ensemble, rounded, shared
from connectome_sim.build.fitting import named_parameters
from connectome_sim.build.objects import use_threads
from connectome_sim.config import EnsembleConfig, EvaluationConfig
from connectome_sim.errors import RunFolderError
from connectome_sim.evaluate import success
from connectome_sim.records import EnsembleRecord, MemberRecord
from connectome_sim.solve.threads import side_by_side


def run_remeasure(
    config: EnsembleConfig, *, on_end: Callable[[MemberRecord], None] = lambda _: None
) -> tuple[Path, EnsembleRecord]:
    """Measure every member of ``config.measure`` with the held-out protocol as it is now; nothing else changes.

    With some of the probes only, what the others found before stays, if it was measured under the same conditions and
    is still measured at all. The manifest is written once, at the end.

    Args:
        config: which ensemble, where to, and which probes.
        on_end: called with each member as it is measured.

    Returns:
        The folder, and what was written there.

    Raises:
        ConfigError: no such ensemble, or other conditions than those of the figures that stay.
        RunFolderError: ``out`` holds another ensemble; DataError: see `load_ensemble`.
        StepError, SolveError: as `evaluate`.
    """
    use_threads(config.threads)
    folder, known = Path(config.out), ensemble_folder(config.measure)
    again = folder.resolve() == known.resolve()
    if not again and EnsembleRecord.is_in(folder):
        raise RunFolderError(f"{folder}: holds an ensemble already; wanted that of measure=... itself, or a new folder")
    ensemble = load_ensemble(known)
    evaluation = replace(ensemble.config.evaluation, which=config.which)
    members = side_by_side(
        [partial(_measured, ensemble, number, evaluation) for number in range(len(ensemble))],
        on_end=lambda _, member: on_end(member),
    )
    record = replace(ensemble.record, members=members, config=shared(ensemble.config))
    record.write_manifest(folder) if again else record.write(folder)
    return folder, record


def _measured(ensemble: Ensemble, number: int, evaluation: EvaluationConfig) -> MemberRecord:
    fitted, before = ensemble.config_of(number), ensemble[number].metrics
    measuring.check_conditions(before, evaluation, fitted)
    network = ensemble.stored(number)
    result = measuring.measure(network, evaluation, fitted, progress=False)
    values = {name: float(value) for name, value in named_parameters(ensemble[number].parameters).items()}
    described = {**measuring.parameters_of(fitted, ensemble.connectome, values), **measuring.rates_of(network)}
    metrics: Mapping[str, float] = {**measuring.kept(before, evaluation), **result.metrics, **described}
    succeeded, _ = success(metrics, fitted.success)
    return MemberRecord(seed=fitted.seed, succeeded=succeeded, metrics=rounded({**metrics, "success": succeeded}))
