"""``network.h5``: a fitted network in plain arrays, enough to simulate it without this package. Knows no solver.

The equation, with rate r [N], omega the angular velocity in rad/s and phi the activation::

    time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega)

Positive omega increases the decoded heading, angle( sum over EPG of r * exp(i ring_angle) ).

The root attribute ``content_sha256`` is the digest of the rest (`connectome_sim.connectome.io.hdf5_tree`); a file of
an older version has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from connectome_sim.axes import AngleArray, FloatArray
from connectome_sim.connectome.io.hdf5_tree import Attribute, Tree
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.arrays import read_tree

FORMAT = "connectome-sim network"
FORMAT_VERSION = 1
ACTIVATIONS = ("sigmoid", "softplus", "relu", "tanh")
N_INITIAL = 16  # settled states stored with each member, by the contract of format version 1
EQUATION = (
    "time_constant * dr/dt = -r + phi(weights @ r + bias + velocity_input * omega); omega in rad/s; positive omega "
    "increases the decoded heading = angle(sum over EPG of r * exp(i ring_angle)); phi is the activation: sigmoid "
    "1/(1+exp(-x)), softplus log(1+exp(x)), relu max(x,0), tanh"
)
_LABELS = ("id", "type", "instance", "side")
_PER_NEURON = ("bias", "time_constant", "velocity_input")
_OWN = ("weights", *_PER_NEURON, "initial_states", "initial_headings")
_SHARED = ("activation", "dataset", "dataset_sha256")


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
        n = self.bias.size
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
    attributes: dict[str, dict[str, Attribute]] = {
        "": {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "equation": EQUATION,
            **{name: getattr(first, name) for name in _SHARED},
        }
    }
    arrays = {f"neurons/{name}": np.array(getattr(first, name), dtype=str) for name in _LABELS}
    arrays["neurons/ring_angle"] = np.asarray(first.ring_angle, dtype=np.float64)
    for i, network in enumerate(networks):
        group = f"members/{i:03d}"
        attributes[group] = {"seed": network.seed}
        arrays |= {f"{group}/{name}": np.asarray(getattr(network, name), dtype=np.float64) for name in _OWN}
    atomic.write_bytes(path, Tree(attributes=attributes, arrays=arrays).to_bytes())


def read_network(path: Path) -> tuple[FittedNetwork, ...]:
    """Reads all members of a ``network.h5``.

    Raises:
        RunFolderError: missing, truncated, changed after it was written, not such a file, of a newer format version, or
            with fields that are missing or do not fit together.
    """
    tree = read_tree(path, format_name=FORMAT, format_version=FORMAT_VERSION)
    try:
        shared: dict[str, Any] = {name: tuple(_text(tree, f"neurons/{name}").tolist()) for name in _LABELS}
        shared |= {name: str(tree.attribute(name)) for name in _SHARED}
        shared["ring_angle"] = _float64(tree, "neurons/ring_angle")
        groups = sorted({name for name in tree.attributes if name.startswith("members/")}, key=_number)
        if not groups:
            raise RunFolderError(f"{path}: /members is empty, wanted at least /members/000.")
        found = tuple(_member(tree, group, shared) for group in groups)
    except KeyError as error:
        raise RunFolderError(f"{path}: incomplete or damaged, {error.args[0]} is missing.") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise RunFolderError(f"{path}: incomplete or damaged ({error}).") from error
    except RunFolderError as error:
        raise RunFolderError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    tree.check_digest(RunFolderError)
    return found


def _number(group: str) -> int:
    return int(group.removeprefix("members/"))


def _member(tree: Tree, group: str, shared: dict[str, Any]) -> FittedNetwork:
    own: dict[str, Any] = {name: _float64(tree, f"{group}/{name}") for name in _OWN}
    seed = tree.attribute("seed", group=group)
    if not isinstance(seed, int):
        raise RunFolderError(f"/{group}, attribute 'seed': got {seed!r}, wanted a whole number.")
    return FittedNetwork(seed=seed, **own, **shared)


def _float64(tree: Tree, name: str) -> np.ndarray:
    array = tree[name]
    if array.dtype != np.float64:
        raise RunFolderError(f"/{name} has type {array.dtype}, wanted float64.")
    return array


def _text(tree: Tree, name: str) -> np.ndarray:
    array = tree[name]
    if array.dtype.kind != "U" or array.ndim != 1:
        raise RunFolderError(f"/{name} has type {array.dtype}, shape {list(array.shape)}, wanted a list of text.")
    return array


def _refuse_different(path: Path, first: FittedNetwork, other: FittedNetwork, i: int) -> None:
    for name in (*_LABELS, *_SHARED):
        if getattr(first, name) != getattr(other, name):
            raise RunFolderError(f"{path}: member {i} differs from member 0 in {name}; members share one neuron table.")
    if not np.array_equal(first.ring_angle, other.ring_angle, equal_nan=True):
        raise RunFolderError(f"{path}: member {i} differs from member 0 in ring_angle; members share one neuron table.")
