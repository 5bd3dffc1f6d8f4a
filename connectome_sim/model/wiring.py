"""Wiring: a connectome as tensors ready for the rate equation. Knows no parameter value and no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import SelectionError
from connectome_sim.model.connectivity import Connectivity, compressed

# Velocity input of a right-hand neuron per positive angular velocity. A right-hand PEN excites EPG about +55 degrees
# from its own place on the ring and a left-hand one about -56 (measured in hemibrain v1.2), so exciting the right and
# inhibiting the left moves the bump towards increasing angle, which is positive angular velocity.
ANATOMICAL_VELOCITY_SIGNS: Mapping[str, int] = {"PEN_a": 1, "PEN_b": 1}
SIDES = {"R": 1, "L": -1}


@dataclass(frozen=True, eq=False)
class Wiring:
    """What is fixed about a network: who is connected to whom, with which sign, and who senses velocity.

    Attributes:
        types: the K cell types.
        type_index: index into ``types`` of each neuron.
        connections: signed, normalised counts s C / c0, with c0 the mean total input count of a neuron (1).
        type_signs: sign of each type pair, +1 or -1.
        pair_present: whether a type pair has any synapse.
        velocity_types: the V types that receive the velocity input.
        velocity_side: sign of the velocity input of a neuron (+1 where positive angular velocity excites it), 0
            without one.
        velocity_type_index: index into ``velocity_types``, -1 without velocity input.
        ring_angle: preferred heading, rad, NaN where a neuron has none.
        epg_mask: the neurons whose bump is read as the heading.
    """

    types: tuple[str, ...]
    type_index: Int[Tensor, " neuron"]
    connections: Float[Tensor, "neuron neuron"]
    type_signs: Float[Tensor, "type type"]
    pair_present: Bool[Tensor, "type type"]
    velocity_types: tuple[str, ...]
    velocity_side: Float[Tensor, " neuron"]
    velocity_type_index: Int[Tensor, " neuron"]
    ring_angle: Float[Tensor, " neuron"]
    epg_mask: Bool[Tensor, " neuron"]

    @property
    def n_neurons(self) -> int:
        """Number of neurons N."""
        return int(self.type_index.shape[0])

    @property
    def n_types(self) -> int:
        """Number of cell types K."""
        return len(self.types)

    @property
    def membership(self) -> Float[Tensor, "neuron type"]:
        """One-hot type of each neuron: ``membership @ x`` gives a neuron the value of its type, exactly."""
        one_hot = torch.nn.functional.one_hot(self.type_index, self.n_types)
        return one_hot.to(self.connections.dtype)

    @cached_property
    def connectivity(self) -> Connectivity:
        """The connections in compressed form, for kernels that visit nothing else."""
        return compressed(self.connections.cpu().numpy(), self.type_index.cpu().numpy(), self.n_types)

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Wiring:
        """The same wiring in another precision or on another device (indices and masks keep their dtype)."""
        changes: dict[str, Any] = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            if isinstance(tensor, Tensor):
                changes[field.name] = tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        return replace(self, **changes)

    @staticmethod
    def from_connectome(
        connectome: Connectome,
        *,
        velocity_types: Sequence[str] = ("PEN_a", "PEN_b"),
        velocity_signs: Mapping[str, int] | None = None,
        heading_type: str = "EPG",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Wiring:
        """Wiring of a connectome whose neurons carry type, side and ring angle, and whose types carry a sign.

        Args:
            connectome: the circuit, counts [post, pre].
            velocity_types: types that receive the velocity input, e.g. ``("GLNO",)``.
            velocity_signs: type -> +1 if positive angular velocity excites its right-hand and inhibits its left-hand
                neurons, -1 for the opposite. Types left out: PEN_a and PEN_b +1 (anatomy), any other from its own
                synapses onto PEN_a and PEN_b (see ``velocity_sign_from_targets``), so GLNO follows from what it
                innervates here.
            heading_type: the type whose bump is read as the heading.
            dtype: floating-point type of the tensors.
            device: where the tensors live.

        Raises:
            SelectionError: no neuron of a velocity type or of the heading type, a velocity neuron without a side, a
                sign that cannot be inferred, or no synapse at all.
            DataError: a type without a sign.
        """
        types, type_index = connectome.types, connectome.type_index
        signs = connectome.signs.table(types)
        counts = connectome.dense()
        if counts.sum() == 0:
            raise SelectionError("connectome: got no synapse between the selected neurons, wanted at least one")
        for name in (*velocity_types, heading_type):
            if name not in types:
                raise SelectionError(
                    f"connectome: got no neuron of type {name!r}, wanted one of {types}; "
                    "change velocity.types, or the circuit"
                )
        signed = signs[np.ix_(type_index, type_index)] * counts
        side, velocity_type_index = _velocity_side(connectome, signed, tuple(velocity_types), velocity_signs or {})
        c0 = counts.sum() / connectome.n_neurons  # mean total input count of a neuron
        angle = connectome.neurons.ring_angle
        heading = (connectome.neurons.type == heading_type) & np.isfinite(angle)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(np.array(array, dtype=np.float64), dtype=dtype, device=device)

        return Wiring(
            types=types,
            type_index=torch.as_tensor(type_index, device=device),
            connections=tensor(signed / c0),
            type_signs=tensor(signs),
            pair_present=torch.as_tensor(connectome.totals() > 0, device=device),
            velocity_types=tuple(velocity_types),
            velocity_side=tensor(side),
            velocity_type_index=torch.as_tensor(velocity_type_index, device=device),
            ring_angle=tensor(angle),
            epg_mask=torch.as_tensor(heading, device=device),
        )


def velocity_sign_from_targets(connectome: Connectome, signed: np.ndarray, velocity_type: str) -> int:
    """The velocity sign of a type upstream of PEN_a and PEN_b, from its own synapses.

    A neuron that excites right-hand PEN (or inhibits left-hand PEN) must itself be excited by positive angular
    velocity. The sum over the type of side_j s_ij C_ij side_i (i: PEN, j: neuron of the type) says whether that holds
    for its right-hand neurons (+1) or its left-hand ones (-1). For GLNO this needs no assumption about which side it
    crosses to.

    Args:
        connectome: the circuit.
        signed: signed counts [post, pre].
        velocity_type: the type.

    Raises:
        SelectionError: it has no net lateralised connection onto PEN_a or PEN_b.
    """
    side = np.array([SIDES.get(str(s), 0) for s in connectome.neurons.side])
    pen = np.isin(connectome.neurons.type, list(ANATOMICAL_VELOCITY_SIGNS))
    own = connectome.neurons.type == velocity_type
    total = side[pen] @ signed[np.ix_(pen, own)] @ side[own]
    if total == 0:
        raise SelectionError(
            f"velocity type {velocity_type!r}: got no lateralised synapses onto PEN_a or PEN_b to infer its sign from; "
            f"state it: velocity.signs.{velocity_type}=1 or -1"
        )
    return int(np.sign(total))


def _velocity_side(
    connectome: Connectome, signed: np.ndarray, velocity_types: tuple[str, ...], velocity_signs: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sign of the velocity input [N] and index of the velocity type [N]."""
    side, index = np.zeros(connectome.n_neurons), np.full(connectome.n_neurons, -1)
    for v, name in enumerate(velocity_types):
        sign = velocity_signs.get(name, ANATOMICAL_VELOCITY_SIGNS.get(name))
        if sign is None:
            sign = velocity_sign_from_targets(connectome, signed, name)
        if sign not in (1, -1):
            raise SelectionError(f"velocity.signs.{name}: got {sign!r}, wanted +1 or -1")
        for i in np.flatnonzero(connectome.neurons.type == name):
            label = str(connectome.neurons.side[i])
            if label not in SIDES:
                raise SelectionError(
                    f"neuron {connectome.neurons.id[i]} of velocity type {name!r}: got side {label!r}, "
                    "wanted 'L' or 'R'; fill the side column or leave this type out of velocity.types"
                )
            side[i], index[i] = sign * SIDES[label], v
    return side, index
