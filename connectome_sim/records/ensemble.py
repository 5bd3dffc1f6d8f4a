"""The folder of an ensemble: fitted parameters of many members and where they come from. Knows no model and no wiring.

Layout (format version 3; version 2 has no checksums)::

    parameters.safetensors   one array [member, parameter] per family, float64
    manifest.json            everything else: names of the parameters, dataset, configuration, seeds, metrics
    SHA256SUMS               checksums of both

No neuron is in it: the wiring comes from the dataset that the manifest names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from connectome_sim import files
from connectome_sim.axes import FloatArray
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.arrays import read_parameters, write_parameters
from connectome_sim.records.manifest import refuse_newer
from connectome_sim.records.text import numbers, read_object

FORMAT = "connectome-sim ensemble"
FORMAT_VERSION = 3
CHECKSUMS_SINCE = 3
MANIFEST = "manifest.json"
PARAMETERS = "parameters.safetensors"
_TEXTS = ("command", "dataset", "dataset_version", "dataset_sha256", "circuit_sha256")


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """What is known of one member.

    Attributes:
        seed: of its fit.
        succeeded: whether the fit met the bounds of its configuration.
        metrics: held-out scores, name with unit -> number, NaN where a figure does not exist.
    """

    seed: int
    succeeded: bool
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleRecord:
    """The fitted parameters of members that share circuit and configuration.

    Attributes:
        values: family -> bounded values, [member, parameter], float64.
        names: family -> what each parameter belongs to, e.g. ``EPG<-PEN_a`` (post <- pre), ``EPG``.
        members: seed and scores of each member.
        command: the command that fitted them.
        dataset: name of the connectome.
        dataset_version: as its publisher calls it.
        dataset_sha256: SHA-256 of its content.
        circuit_sha256: SHA-256 of the wiring that was fitted, see `Connectome.sha256`: other neurons of the dataset do
            not change it.
        types: cell classes of the circuit -> number of neurons.
        config: of the fits, nested plain values, without seed and without what says how and where to run.
        failed_seeds: seeds of fits that failed and were left out.
        versions: package name -> version at the fits.
        commit: of the package's source at the fits; None if unknown.

    Raises:
        RunFolderError: no member, or arrays, names and members that do not fit together.
    """

    values: Mapping[str, FloatArray]
    names: Mapping[str, tuple[str, ...]]
    members: tuple[MemberRecord, ...]
    command: str
    dataset: str
    dataset_version: str
    dataset_sha256: str
    circuit_sha256: str
    types: Mapping[str, int]
    config: Mapping[str, Any]
    failed_seeds: tuple[int, ...] = ()
    versions: Mapping[str, str]
    commit: str | None

    def __post_init__(self) -> None:
        if not self.members:
            raise RunFolderError("ensemble: got no member, wanted at least one")
        if self.values.keys() != self.names.keys():
            raise RunFolderError(f"ensemble: got values of {sorted(self.values)}, wanted those of {sorted(self.names)}")
        for family, array in self.values.items():
            wanted = (len(self.members), len(self.names[family]))
            if array.shape != wanted or array.dtype != np.float64 or not np.isfinite(array).all():
                raise RunFolderError(
                    f"ensemble, family {family!r}: got shape {array.shape} of {array.dtype}, "
                    f"wanted finite float64 of shape {wanted} [member, parameter]"
                )

    @property
    def origin(self) -> str:
        """Name and version of the connectome."""
        return self.dataset if self.dataset_version in self.dataset else f"{self.dataset} {self.dataset_version}"

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds an ensemble, whole or damaged."""
        return (folder / MANIFEST).exists()

    def write(self, folder: Path) -> None:
        """Writes its files, the manifest last: a folder without one is no ensemble.

        Raises:
            RunFolderError: the folder holds an ensemble already, or cannot be written.
        """
        if self.is_in(folder):
            raise RunFolderError(f"{folder}: holds an ensemble already; choose another folder or remove it.")
        atomic.make_folder(folder)
        atomic.start_checksums(folder)
        write_parameters(folder / PARAMETERS, {name: torch.as_tensor(array) for name, array in self.values.items()})
        self.write_manifest(folder)

    def write_manifest(self, folder: Path) -> None:
        """Replaces the manifest of a folder that holds these parameters.

        Raises:
            RunFolderError: it cannot be written.
        """
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("values", "members")}
        content |= {"format": FORMAT, "format_version": FORMAT_VERSION}
        content["members"] = [asdict(member) for member in self.members]
        text = json.dumps(_without_nan(content), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        atomic.write_text(folder / MANIFEST, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> EnsembleRecord:
        """Reads an ensemble.

        Raises:
            RunFolderError: no such ensemble, a damaged one, or one of a newer format version.
        """
        path = folder / MANIFEST
        if not files.exists(path):
            raise RunFolderError(f"{path}: no such file; {folder} is not the folder of an ensemble.")
        content = read_object(path)
        if content.pop("format", None) != FORMAT:
            raise RunFolderError(f"{path}: field 'format' is missing or another, wanted {FORMAT!r}.")
        version = content.pop("format_version", None)
        refuse_newer(version, FORMAT_VERSION, path=path)
        files.require(folder, promised=version >= CHECKSUMS_SINCE)
        wanted = {f.name for f in fields(cls)} - {"values"}
        if content.keys() != wanted:
            missing, unknown = sorted(wanted - content.keys()), sorted(content.keys() - wanted)
            raise RunFolderError(
                f"{path}: fields missing: {missing or 'none'}, unknown: {unknown or 'none'}; one of an older format "
                "version has to be collected again from its runs (connectome-sim ensemble)."
            )
        _check_kinds(content, path)
        content["members"] = tuple(_member(path, k, member) for k, member in enumerate(content["members"]))
        content["names"] = {family: tuple(names) for family, names in content["names"].items()}
        content["failed_seeds"] = tuple(content["failed_seeds"])
        values = {name: tensor.numpy() for name, tensor in read_parameters(folder / PARAMETERS).items()}
        try:
            return cls(values=values, **content)
        except RunFolderError as error:
            raise RunFolderError(f"{folder}: {error}") from error


def _check_kinds(content: Mapping[str, Any], path: Path) -> None:
    texts: dict[str, type] = dict.fromkeys(_TEXTS, str)
    kinds = texts | {"config": dict, "names": dict, "types": dict, "versions": dict, "members": list}
    within: dict[str, type] = {"names": list, "types": int, "versions": str}
    for name, kind in {**kinds, "failed_seeds": list}.items():
        if not isinstance(content[name], kind):
            raise _wrong(path, name, content[name], kind.__name__)
    for name, kind in within.items():
        for key, value in content[name].items():
            texts_only = not isinstance(value, list) or all(isinstance(item, str) for item in value)
            if not isinstance(value, kind) or not texts_only:
                raise _wrong(path, f"{name}.{key}", value, kind.__name__)
    if not (content["commit"] is None or isinstance(content["commit"], str)):
        raise _wrong(path, "commit", content["commit"], "str or null")
    if not all(type(seed) is int for seed in content["failed_seeds"]):
        raise _wrong(path, "failed_seeds", content["failed_seeds"], "whole numbers")


def _member(path: Path, number: int, content: object) -> MemberRecord:
    place = f"members.{number}"
    if not isinstance(content, dict) or content.keys() != {f.name for f in fields(MemberRecord)}:
        raise _wrong(path, place, content, "seed, succeeded and metrics")
    for name, kind in (("seed", int), ("succeeded", bool), ("metrics", dict)):
        if type(content[name]) is not kind:
            raise _wrong(path, f"{place}.{name}", content[name], kind.__name__)
    return MemberRecord(**{**content, "metrics": numbers(content["metrics"], path=path, place=f"{place}.metrics.")})


def _wrong(path: Path, place: str, value: object, wanted: str) -> RunFolderError:
    return RunFolderError(f"{path}: {place} is {str(value)[:100]!r}, wanted {wanted}; the file is damaged.")


def _without_nan(content: Any) -> Any:
    """The same with null for numbers that are not finite, as JSON has none."""
    if isinstance(content, Mapping):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
