"""A member of an ensemble as a run folder, on which every verb works. Prints nothing.

The folder holds what a fit leaves behind but its history and traces, and two tables that compare the member with the
others: ``ensemble_parameters.csv`` and ``ensemble_scores.csv``.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from connectome_sim.build import measuring
from connectome_sim.build.ensembles import Ensemble, ensemble_folder, load_ensemble
from connectome_sim.build.fitting import named_parameters, semantics
from connectome_sim.build.reporting import OVERRIDES
from connectome_sim.config import to_yaml
from connectome_sim.config.compose import CONFIG
from connectome_sim.config.settings import HOW, Subject
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import RunFolderError
from connectome_sim.evaluate import success
from connectome_sim.records import (
    EnsembleRecord,
    Manifest,
    RunFolder,
    atomic,
    config_hash,
    write_network,
    write_parameters,
)
from connectome_sim.solve import implementation

SCORES = (
    "walking_error_10s_median_deg",
    "walking_error_60s_median_deg",
    "walking_error_60s_p90_deg",
    "linear_range_low_deg_per_s",
    "linear_range_high_deg_per_s",
    "rest_drift_60s_median_deg",
    "rest_distinct_headings",
    "noise_diffusion_deg2_per_s",
)
"""Metrics of the members that stand side by side."""


def member_run(subject: Subject) -> RunFolder:
    """The run folder of the member that is asked for: the one that is there, or a new one.

    Raises:
        RunFolderError: a folder of that name that holds something else, or that cannot be written.
        ConfigError: no such ensemble or member; DataError: see `load_ensemble`.
    """
    path, name, number = Path(subject.folder), subject.chosen_ensemble, subject.member
    if not path.exists():
        ensemble = load_ensemble(name)
        ensemble[number]  # one that is not there shows here
        _write(path, ensemble, number)
        return RunFolder.open(path)
    folder, record = RunFolder.open(path), EnsembleRecord.read(ensemble_folder(name))
    found, wanted = folder.manifest(), [member.seed for member in record.members[number : number + 1]]
    same = [found.seeds.get("fit")] == wanted and folder.network.exists() and folder.connectome.exists()
    if not same or hdf5.read(folder.connectome).sha256 != record.circuit_sha256:
        raise RunFolderError(
            f"{path}: got a run of {found.dataset or 'an unknown dataset'}, seeds {dict(found.seeds)}, wanted member "
            f"{number} of {name}; choose another out=..., or remove it"
        )
    return folder


def _write(path: Path, ensemble: Ensemble, number: int) -> None:
    """Writes the folder under another name first: it is there as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _fill(temporary, path, ensemble, number)
        try:
            temporary.rename(path)
        except OSError as error:
            raise atomic.failure("write", path, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(temporary: Path, path: Path, ensemble: Ensemble, number: int) -> None:
    member, record = ensemble[number], ensemble.record
    config = replace(ensemble.config_of(number), run=str(path))
    atomic.make_folder((temporary / CONFIG).parent)
    atomic.write_text(temporary / CONFIG, to_yaml(config))
    if record.command:
        overrides = OmegaConf.to_yaml(_overrides(record.command, member.seed))
        atomic.write_text((temporary / CONFIG).with_name(OVERRIDES), overrides)
    _, reasons = success(member.metrics, config.success)
    manifest = Manifest(
        dataset=record.dataset,
        dataset_version=record.dataset_version,
        dataset_sha256=ensemble.connectome.provenance.sha256,
        config_sha256=config_hash(semantics(config)),
        seeds={"fit": member.seed, "held_out": config.held_out_seed},
        versions=record.versions,
        solver=implementation(ensemble.wiring.connections, config.solve),
        commit=record.commit,
        status="succeeded" if member.succeeded else "failed",
        reason="" if member.succeeded else "; ".join(reasons) or f"recorded as failed in {ensemble.name}",
    )
    folder = RunFolder.create(temporary, manifest, prepared=True)
    hdf5.write(ensemble.connectome, folder.connectome)
    values, network = named_parameters(member.parameters), ensemble.stored(number)
    write_parameters(folder.parameters, values)
    write_network(folder.network, [network])
    plain = {name: float(value) for name, value in values.items()}
    described = {**measuring.parameters_of(config, ensemble.connectome, plain), **measuring.rates_of(network)}
    folder.write_metrics({**member.metrics, **described, "success": member.succeeded})
    folder.write_table("ensemble_parameters", parameter_rows(record, number))
    folder.write_table("ensemble_scores", score_rows(record, number))


def parameter_rows(record: EnsembleRecord, number: int) -> list[dict[str, str]]:
    """Every parameter: that of this member, and those of all members by their seed."""
    return [
        {
            "family": family,
            "parameter": name,
            "this_member": repr(float(values[number, k])),
            **{f"seed_{m.seed}": repr(float(value)) for m, value in zip(record.members, values[:, k], strict=True)},
        }
        for family, values in record.values.items()
        for k, name in enumerate(record.names[family])
    ]


def score_rows(record: EnsembleRecord, number: int) -> list[dict[str, str]]:
    """Every member: its seed, whether it is this one, and its scores."""
    return [
        {
            "seed": str(member.seed),
            "this": "this" if k == number else "",
            "succeeded": "yes" if member.succeeded else "NO",
            **{name: repr(float(member.metrics[name])) for name in SCORES if name in record.members[0].metrics},
        }
        for k, member in enumerate(record.members)
    ]


def _overrides(command: str, seed: int) -> list[str]:
    """What would start the fit of one member, from the command of them all."""
    given = shlex.split(command)[2:]
    kept = [item for item in given if "=" in item or item.startswith("~")]
    return [item for item in kept if item.lstrip("+").partition("=")[0] not in (*HOW, "seed")] + [f"seed={seed}"]
