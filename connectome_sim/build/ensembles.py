"""Ensembles: fitted members that share a circuit, from run folders to files and back to networks. Prints nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from connectome_sim.build import measuring
from connectome_sim.build.fitting import semantics
from connectome_sim.build.objects import circuit, wiring
from connectome_sim.config import EnsembleConfig, FitConfig, saved_config, typed
from connectome_sim.config.compose import saved_overrides
from connectome_sim.config.foreign import refuse_code
from connectome_sim.config.retired import without_retired
from connectome_sim.config.settings import HOW
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, ConnectomeSimError, DataError, RunFolderError
from connectome_sim.model import Activation, Parameters, RateNetwork, Wiring, build_network
from connectome_sim.model.parameters import FAMILIES
from connectome_sim.readout import Readout
from connectome_sim.records import EnsembleRecord, FittedNetwork, Manifest, MemberRecord, RunFolder, read_scalars
from connectome_sim.resources import data_dir

FOLDER = "ensembles"
"""Folder of the shipped ensembles inside the data folder."""


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """One fitted network of an ensemble.

    Attributes:
        network: ready to simulate, float32 as in the fit.
        parameters: at the level of cell types.
        seed: of the fit.
        metrics: held-out scores, name with unit -> number.
        succeeded: whether the fit met the bounds of its configuration.
    """

    network: RateNetwork
    parameters: Parameters
    seed: int
    metrics: Mapping[str, float]
    succeeded: bool


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Fitted members on one circuit: a sequence of :class:`EnsembleMember`.

    Attributes:
        name: name of its folder.
        record: its files as plain values.
        config: of the fits; its seed is that of the first member.
        connectome: the circuit, read from the dataset.
        wiring: the circuit as tensors.
        members: in the order of the file.
    """

    name: str
    record: EnsembleRecord
    config: FitConfig
    connectome: Connectome
    wiring: Wiring
    members: tuple[EnsembleMember, ...]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[EnsembleMember]:
        return iter(self.members)

    def __getitem__(self, number: int) -> EnsembleMember:
        """A member by its number.

        Raises:
            ConfigError: there is no member of that number.
        """
        if not 0 <= number < len(self):
            raise ConfigError(f"ensemble {self.name}, member: got {number}, wanted 0 to {len(self) - 1}")
        return self.members[number]

    @property
    def readout(self) -> Readout:
        """The decoder of its networks."""
        return Readout(self.wiring.ring_angle, self.wiring.epg_mask)

    def config_of(self, number: int) -> FitConfig:
        """The configuration of one member's fit."""
        return replace(self.config, seed=self[number].seed)

    def stored(self, number: int) -> FittedNetwork:
        """A member as ``network.h5`` holds it: plain arrays, and states settled after cues.

        Raises:
            ConfigError: there is no member of that number.
        """
        return measuring.stored(self.config_of(number), self.connectome, self[number].network, self.readout)


def ensemble_folder(name: str | Path) -> Path:
    """Folder of an ensemble: a path (it contains a separator, or exists), or the name of a shipped one.

    Raises:
        ConfigError: neither.
    """
    path = Path(name)
    if path.is_dir() or len(path.parts) != 1:
        return path
    shipped = data_dir() / FOLDER
    if (shipped / path).is_dir():
        return shipped / path
    known = sorted(folder.name for folder in shipped.iterdir() if folder.is_dir()) if shipped.is_dir() else []
    raise ConfigError(
        f"ensemble: got {str(name)!r}, wanted a folder that connectome-sim ensemble wrote, or a shipped one: "
        f"{', '.join(known) or 'none ships with this version'}"
    )


def load_ensemble(name: str | Path) -> Ensemble:
    """The networks of an ensemble, on the wiring of the dataset that is on this machine.

    Args:
        name: of a shipped ensemble, or the path of its folder.

    Raises:
        ConfigError: no such ensemble, or one whose configuration is more than values.
        RunFolderError: a damaged one, or one of a newer format.
        DataError: the dataset is not on this machine, or gives another circuit than the one that was fitted.
    """
    folder = ensemble_folder(name)
    record = EnsembleRecord.read(folder)
    label = folder.resolve().name
    refuse_code(record.config, where=f"ensemble {label}")
    how = {"name": label, "id": "", "run": str(folder)}
    config = typed(
        FitConfig, {**how, **without_retired(record.config), "seed": record.members[0].seed}, where=f"ensemble {label}"
    )
    connectome = _circuit(label, record, config)
    wired = wiring(config, connectome)
    members = tuple(_member(label, record, config, wired, number) for number in range(len(record.members)))
    return Ensemble(label, record, config, connectome, wired, members)


def _circuit(label: str, record: EnsembleRecord, config: FitConfig) -> Connectome:
    """The circuit of the dataset on this machine, if it is the one of the fits."""
    try:
        connectome = circuit(config.connectome)
    except ConnectomeSimError as error:
        raise type(error)(f"ensemble {label}: needs the wiring of {record.origin}: {error}") from error
    if _types(connectome) != record.types:
        raise DataError(f"ensemble {label}, field 'types': got {_types(connectome)}, wanted {dict(record.types)}")
    if connectome.sha256 != record.circuit_sha256:
        raise DataError(
            f"ensemble {label}, field 'circuit_sha256': got {connectome.sha256} from {connectome.provenance.dataset} "
            f"{connectome.provenance.version} on this machine, wanted {record.circuit_sha256}, the circuit of "
            f"{record.origin} to which the members were fitted: other synapse counts, or another version"
        )
    return connectome


def _types(connectome: Connectome) -> dict[str, int]:
    return {name: int((connectome.neurons.type == name).sum()) for name in connectome.types}


def _member(label: str, record: EnsembleRecord, config: FitConfig, wired: Wiring, number: int) -> EnsembleMember:
    parameters = Parameters(config.parameters, wired, dtype=torch.float64)
    for family in FAMILIES:
        if parameters.names(family) != record.names.get(family):
            raise DataError(
                f"ensemble {label}, parameters {family!r}: got those of {record.names.get(family)}, "
                f"wanted {parameters.names(family)} for this circuit"
            )
        parameters.set_(family, torch.as_tensor(record.values[family][number]))
    known = record.members[number]
    network = build_network(wired, parameters, Activation.named(config.activation)).detach()
    return EnsembleMember(network, parameters, known.seed, known.metrics, known.succeeded)


@dataclass(frozen=True, eq=False)
class _Run:
    """What a member needs of a run folder."""

    path: Path
    manifest: Manifest
    config: FitConfig
    parameters: Mapping[str, float]
    metrics: Mapping[str, float]

    def values(self, family: str, names: Sequence[str]) -> list[float]:
        """Values of a family in the order of ``names``."""
        if missing := [name for name in names if f"{family}/{name}" not in self.parameters]:
            raise RunFolderError(f"{self.path}: parameters.safetensors lacks {family}/{missing[0]} of this circuit")
        return [self.parameters[f"{family}/{name}"] for name in names]


def run_ensemble(config: EnsembleConfig) -> tuple[Path, EnsembleRecord]:
    """Collect the fitted parameters of runs that differ in their seed alone, in the order of their seeds.

    Fits that failed are left out unless asked for; their seeds stay in the manifest.

    Returns:
        The folder, and what was written there.

    Raises:
        ConfigError: no run, or a pattern without one.
        RunFolderError: not a run folder or an unfinished one; runs of different circuits, configurations or datasets;
            one seed twice; no fit that succeeded; or a folder that holds an ensemble already.
    """
    runs = sorted((_read(path) for path in _expanded(config.run)), key=lambda run: run.config.seed)
    for run in runs[1:]:
        _refuse_different(runs[0], run)
    seeds = [run.config.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise RunFolderError(f"run: got two runs of seed {twice}, wanted each seed once")
    taken = [run for run in runs if config.failed or run.manifest.status == "succeeded"]
    if not taken:
        raise RunFolderError(f"run: got {len(runs)} runs, none of which succeeded; failed=true takes them all the same")
    first, folder = taken[0], Path(config.out)
    connectome = hdf5.read(RunFolder.open(first.path).connectome)
    parameters = Parameters(first.config.parameters, wiring(first.config, connectome))
    names = {family: parameters.names(family) for family in FAMILIES}
    record = EnsembleRecord(
        values={family: np.array([run.values(family, names[family]) for run in taken]) for family in FAMILIES},
        names=names,
        members=tuple(
            MemberRecord(
                seed=run.config.seed, succeeded=run.manifest.status == "succeeded", metrics=rounded(run.metrics)
            )
            for run in taken
        ),
        command=config.command or _command(first, seeds),
        dataset=first.manifest.dataset,
        dataset_version=first.manifest.dataset_version,
        dataset_sha256=first.manifest.dataset_sha256,
        circuit_sha256=connectome.sha256,
        types=_types(connectome),
        config=shared(first.config),
        failed_seeds=tuple(run.config.seed for run in runs if run not in taken),
        versions=first.manifest.versions,
        commit=first.manifest.commit,
    )
    record.write(folder)
    return folder, record


def _expanded(patterns: Sequence[str]) -> list[Path]:
    """Run folders by name or pattern."""
    folders: list[Path] = []
    for pattern in patterns:
        if "*" not in pattern:
            folders.append(Path(pattern))
            continue
        root = Path(pattern[: pattern.index("*")]).parent if not pattern.startswith("*") else Path()
        found = sorted(path for path in root.glob(str(Path(pattern).relative_to(root))) if path.is_dir())
        if not found:
            raise ConfigError(f"run: got {pattern!r}, which is the name of no folder")
        folders += found
    return folders


def _read(path: Path) -> _Run:
    folder = RunFolder.open(path)
    manifest, fitted = folder.manifest(), saved_config(path)
    if manifest.status == "running" or not folder.parameters.exists():
        raise RunFolderError(f"{path}: got a fit that has no result ({manifest.status}); wait for it, or leave it out")
    return _Run(path, manifest, fitted, read_scalars(folder.parameters), folder.metrics())


def shared(config: FitConfig) -> dict[str, Any]:
    """What the members of an ensemble have in common."""
    return {name: value for name, value in semantics(config).items() if name not in ("seed", "name")}


def _refuse_different(first: _Run, other: _Run) -> None:
    for field in ("dataset", "dataset_version", "dataset_sha256"):
        a, b = getattr(first.manifest, field), getattr(other.manifest, field)
        if a != b:
            raise RunFolderError(f"{other.path}: got {field} {b!r}, wanted {a!r} as in {first.path}")
    if different := _difference(shared(first.config), shared(other.config)):
        place, a, b = different
        raise RunFolderError(f"{other.path}: got configuration {place}={b!r}, wanted {a!r} as in {first.path}")
    if first.parameters.keys() != other.parameters.keys():
        raise RunFolderError(f"{other.path}: got other parameters than {first.path}, wanted the same circuit")


def _difference(a: Any, b: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Place and values of the first difference between two nested configurations."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            inside = f"{place}.{name}" if place else str(name)
            if found := _difference(a.get(name), b.get(name), inside):
                return found
        return None
    return None if a == b else (place, a, b)


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Six digits of each metric: more were never measured."""
    return {name: float(f"{value:.6g}") for name, value in metrics.items()}


def _command(run: _Run, seeds: Sequence[int]) -> str:
    """The sweep over seeds that a run was one of, from the overrides it was started with; empty where it has none."""
    given = saved_overrides(run.path)
    if given is None:
        return ""
    kept = [item for item in given if item.lstrip("+").partition("=")[0] not in (*HOW, "seed")]
    consecutive = list(seeds) == list(range(len(seeds)))
    swept = f"seed=range({len(seeds)})" if consecutive else f"seed={','.join(map(str, seeds))}"
    return shlex.join(["connectome-sim", "fit", "--multirun", *kept, swept])
