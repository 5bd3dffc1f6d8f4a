"""``network.h5``: a fitted network in plain arrays, enough to simulate it without this package. Knows no solver.

The equation, with rate r [N], omega the angular velocity in rad/s and phi the activation::

    time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega)

Positive omega increases the decoded heading, angle( sum over EPG of r * exp(i ring_angle) ).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from connectome_sim.axes import AngleArray, FloatArray
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.arrays import open_hdf5

FORMAT = "connectome-sim network"
FORMAT_VERSION = 1
ACTIVATIONS = ("sigmoid", "softplus", "relu", "tanh")
N_INITIAL = 16  # settled states stored with each member, by the contract of format version 1
EQUATION = (
    "time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega); omega in rad/s; positive omega "
    "increases the decoded heading = angle(sum over EPG of r * exp(i ring_angle)); phi is the activation: sigmoid "
    "1/(1+exp(-x)), softplus log(1+exp(x)), relu max(x,0), tanh"
)
_TEXT = h5py.string_dtype("utf-8")
_LABELS = ("id", "type", "instance", "side")
_PER_NEURON = ("bias", "time_constant", "velocity_input")


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedNetwork:
    """One fitted network in plain arrays, with the neurons it is made of.

    Attributes:
        weights: gain, sign and normalisation included, 1, [N post, N pre].
        bias: minus the threshold, 1, [N].
        time_constant: s, [N].
        velocity_input: input current per angular velocity, s/rad, [N].
        activation: sigmoid, softplus, relu or tanh.
        ring_angle: rad, NaN where a neuron has none, [N].
        id: identifier of each neuron in its dataset, [N].
        type: circuit class (EPG, PEN_a, ...), [N].
        instance: the dataset's name of each neuron, [N].
        side: "L", "R" or "", [N].
        initial_states: settled states at rest after a cue at 16 evenly spaced headings, 1, [16, N].
        initial_headings: their decoded headings, rad, [16].
        seed: seed of the fit.
        dataset: name of the connectome.
        dataset_sha256: SHA-256 of the file it came from.

    Raises:
        RunFolderError: an array of the wrong shape or with values that no network can have (the field is named).
    """

    weights: FloatArray
    bias: FloatArray
    time_constant: FloatArray
    velocity_input: FloatArray
    activation: str
    ring_angle: AngleArray
    id: tuple[str, ...]
    type: tuple[str, ...]
    instance: tuple[str, ...]
    side: tuple[str, ...]
    initial_states: FloatArray
    initial_headings: FloatArray
    seed: int = 0
    dataset: str = ""
    dataset_sha256: str = ""

    def __post_init__(self) -> None:
        n = len(self.bias)
        shapes = {
            "weights": (n, n),
            "ring_angle": (n,),
            "initial_states": (N_INITIAL, n),
            "initial_headings": (N_INITIAL,),
            **{name: (n,) for name in _PER_NEURON},
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise RunFolderError(f"network: {name} has shape {list(array.shape)}, wanted {list(shape)}.")
            if name != "ring_angle" and not np.isfinite(array).all():
                raise RunFolderError(f"network: {name} holds values that are not finite.")
        for name in _LABELS:
            if len(getattr(self, name)) != n:
                raise RunFolderError(f"network: {name} has {len(getattr(self, name))} entries, wanted {n}.")
        if self.activation not in ACTIVATIONS:
            raise RunFolderError(f"network: activation is {self.activation!r}, wanted one of {', '.join(ACTIVATIONS)}.")
        if (self.time_constant <= 0).any():
            raise RunFolderError(
                f"network: time_constant reaches {self.time_constant.min()} s, wanted positive values."
            )

    @property
    def epg_mask(self) -> np.ndarray:
        """True for the neurons that the heading is decoded from (class EPG), bool [N]."""
        return np.asarray([name == "EPG" for name in self.type])


def write_network(path: Path, networks: Sequence[FittedNetwork]) -> None:
    """Writes one or more members of an ensemble, which share neurons and activation, as format version 1.

    Raises:
        RunFolderError: no member, members that do not share their neurons, or the file cannot be written.
    """
    if not networks:
        raise RunFolderError(f"{path}: no network to write.")
    first = networks[0]
    for i, other in enumerate(networks[1:], start=1):
        _refuse_different(path, first, other, i)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["activation"] = first.activation
        file.attrs["equation"] = EQUATION
        file.attrs["dataset"] = first.dataset
        file.attrs["dataset_sha256"] = first.dataset_sha256
        for name in _LABELS:
            file.create_dataset(f"neurons/{name}", data=list(getattr(first, name)), dtype=_TEXT)
        file.create_dataset("neurons/ring_angle", data=first.ring_angle, dtype="f8")
        for i, network in enumerate(networks):
            group = file.create_group(f"members/{i:03d}")
            group.attrs["seed"] = network.seed
            for name in ("weights", *_PER_NEURON, "initial_states", "initial_headings"):
                group.create_dataset(name, data=getattr(network, name), dtype="f8")
    atomic.write_bytes(path, buffer.getvalue())


def read_network(path: Path) -> tuple[FittedNetwork, ...]:
    """Reads all members of a ``network.h5``.

    Raises:
        RunFolderError: missing, truncated, not such a file, of a newer format version, or with fields that are missing
            or do not fit together.
    """
    with open_hdf5(path, format_name=FORMAT, format_version=FORMAT_VERSION) as file:
        try:
            shared: dict[str, Any] = {name: tuple(file[f"neurons/{name}"].asstr()[()].tolist()) for name in _LABELS}
            shared |= {name: str(file.attrs[name]) for name in ("activation", "dataset", "dataset_sha256")}
            shared["ring_angle"] = _float64(file["neurons/ring_angle"])
            groups = [file["members"][name] for name in sorted(file["members"], key=int)]
            if not groups:
                raise RunFolderError(f"{path}: /members is empty, wanted at least /members/000.")
            return tuple(_member(group, shared) for group in groups)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{path}: incomplete or damaged ({error}).") from error
        except RunFolderError as error:
            raise RunFolderError(f"{path}: {error}") from error


def _member(group: h5py.Group, shared: dict[str, Any]) -> FittedNetwork:
    names = ("weights", *_PER_NEURON, "initial_states", "initial_headings")
    own: dict[str, Any] = {name: _float64(group[name]) for name in names}
    return FittedNetwork(seed=int(group.attrs["seed"]), **own, **shared)


def _float64(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.dtype != np.float64:
        raise RunFolderError(f"{dataset.name} has type {dataset.dtype}, wanted float64.")
    return np.asarray(dataset[()])


def _refuse_different(path: Path, first: FittedNetwork, other: FittedNetwork, i: int) -> None:
    for name in (*_LABELS, "activation", "dataset", "dataset_sha256"):
        if getattr(first, name) != getattr(other, name):
            raise RunFolderError(f"{path}: member {i} differs from member 0 in {name}; members share one neuron table.")
    if not np.array_equal(first.ring_angle, other.ring_angle, equal_nan=True):
        raise RunFolderError(f"{path}: member {i} differs from member 0 in ring_angle; members share one neuron table.")
