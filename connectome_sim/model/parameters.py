"""Cell-type parameters: unconstrained numbers that an optimiser may move, and the bounded values they stand for.

Knows the wiring's types and type pairs, not its neurons' dynamics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from connectome_sim.axes import PerType
from connectome_sim.errors import ParameterError
from connectome_sim.model.bounds import Bounds
from connectome_sim.model.wiring import Wiring

FAMILIES = ("gain", "threshold", "time_constant", "velocity_gain")
GAIN_GRANULARITIES = ("pair", "type", "ei", "global", "synapse")
TYPE_GRANULARITIES = ("type", "global")

DEFAULT_BOUNDS: Mapping[str, Bounds] = {
    "gain": Bounds(1e-3, 1e3, "log"),  # 1, times the raw connectome (chosen: wide enough not to be met)
    "threshold": Bounds(-20.0, 20.0),  # 1 (chosen: beyond +-20 a sigmoid is constant in float32)
    "time_constant": Bounds(0.01, 0.5, "log"),  # s (chosen: membranes to slow synapses; 2 steps)
    "velocity_gain": Bounds(1e-3, 1e2, "log"),  # per rad/s (chosen: 1e2 saturates a sigmoid at 6 deg/s)
}
DEFAULT_START: Mapping[str, float] = {
    "gain": 1.0,  # the raw connectome
    "threshold": 0.0,
    "time_constant": 0.1,  # s, the middle of its bounds
    "velocity_gain": 0.3,  # per rad/s (chosen: 0.9 at 180 deg/s)
}


@dataclass(frozen=True)
class ParameterSpec:
    """Which parameters a network has, how finely, within which bounds, and which of them a fit may move.

    Attributes:
        gains: granularity of the gains: "pair" one per connected type pair, "type" one per presynaptic type, "ei" one
            for excitation and one for inhibition, "global" one for all; "synapse": one per connection, which ties
            nothing to a cell type (an upper bound, thousands of numbers).
        thresholds: "type" or "global".
        time_constants: "type" or "global".
        velocity_gains: "type" (one per velocity-receiving type) or "global".
        trainable: the families that a fit may move; the others keep their start or what ``Parameters.set_`` gives them.
        bounds: bounds of each family; families left out have the default ones.
        start: families -> value before any fit; a start that is worked out from the wiring leaves these as they are.
            Families left out have the default value.

    Raises:
        ParameterError: unknown granularity or family, or a start outside its bounds.
    """

    gains: str = "pair"
    thresholds: str = "type"
    time_constants: str = "type"
    velocity_gains: str = "type"
    trainable: frozenset[str] = frozenset(FAMILIES)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("gains", self.gains, GAIN_GRANULARITIES)
        for name in ("thresholds", "time_constants", "velocity_gains"):
            _one_of(name, getattr(self, name), TYPE_GRANULARITIES)
        for name in ("trainable", "bounds", "start"):
            for family in getattr(self, name):
                _one_of(name, family, FAMILIES)
        object.__setattr__(self, "trainable", frozenset(self.trainable))
        object.__setattr__(self, "bounds", {**DEFAULT_BOUNDS, **self.bounds})
        for family in FAMILIES:
            start = torch.tensor(self.start_of(family), dtype=torch.float64)
            self.bounds[family].check(start, f"start of {family}")

    def start_of(self, family: str) -> float:
        """Value of a family before any fit."""
        return float(self.start.get(family, DEFAULT_START[family]))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ParameterError(f"parameters, field {name!r}: got {value!r}, wanted one of {allowed}")


class Parameters(nn.Module):
    """The parameters of one network: one unconstrained leaf tensor per family, and their bounded values.

    Raw tensors hold one number per group (a type pair, a type, a sign, a connection, or everything, as the spec says).
    A group without any synapse is inert: it has no number, counts nothing in ``n_parameters``, and its entries of
    ``gain_table`` are 1. ``state_dict`` holds the four raw tensors only.

    Attributes:
        gain_group: number of the gain of each entry of ``gain_table``, -1 where inert.

    Args:
        spec: granularity, bounds, which families are trainable.
        wiring: types, type pairs and velocity types.
        dtype: floating-point type of the raw tensors; that of the wiring if not given.
    """

    gain_group: Tensor

    def __init__(self, spec: ParameterSpec, wiring: Wiring, *, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.types = wiring.types
        self.velocity_types = wiring.velocity_types
        group, gain_names = _gain_groups(spec.gains, wiring)
        self.register_buffer("gain_group", group, persistent=False)
        self._names = {
            "gain": gain_names,
            "threshold": wiring.types if spec.thresholds == "type" else ("all",),
            "time_constant": wiring.types if spec.time_constants == "type" else ("all",),
            "velocity_gain": wiring.velocity_types if spec.velocity_gains == "type" else ("all",),
        }
        self.raw = nn.ParameterDict()
        for family in FAMILIES:
            start = torch.full((len(self._names[family]),), spec.start_of(family), dtype=torch.float64)
            raw = spec.bounds[family].inverse(start).to(dtype or wiring.connections.dtype).to(wiring.connections.device)
            self.raw[family] = nn.Parameter(raw, requires_grad=family in spec.trainable)

    @property
    def n_parameters(self) -> int:
        """How many numbers a fit may move."""
        return sum(self.raw[family].numel() for family in self.spec.trainable)

    def names(self, family: str) -> tuple[str, ...]:
        """What each number of a family belongs to, e.g. ``EPG<-PEN_a`` (post <- pre)."""
        return self._names[_known(family)]

    def values(self, family: str) -> Float[Tensor, " group"]:
        """Bounded values of a family, one per group, in the order of ``names``."""
        return self.spec.bounds[_known(family)].forward(self.raw[family])

    @property
    def by_type(self) -> bool:
        """Whether gains are those of type pairs, and not of single connections."""
        return self.spec.gains != "synapse"

    def gain_table(self) -> Float[Tensor, "post pre"]:
        """Gains [post type, pre type], or [post neuron, pre neuron] with one per connection; 1.

        The entries of inert pairs are 1 and have no gradient.
        """
        values = self.values("gain")
        if not self.by_type:  # in the order of the entries; placing is many times faster backwards than gathering
            places = (self.gain_group >= 0).flatten().nonzero().flatten()
            return values.new_ones(self.gain_group.numel()).index_copy(0, places, values).view_as(self.gain_group)
        return torch.cat([values, values.new_ones(1)])[
            self.gain_group
        ]  # the last entry serves the inert groups, numbered -1

    def threshold(self) -> PerType:
        """Thresholds theta, 1."""
        return self.values("threshold").expand(len(self.types))

    def time_constant(self) -> PerType:
        """Time constants tau, s."""
        return self.values("time_constant").expand(len(self.types))

    def velocity_gain(self) -> Float[Tensor, " velocity_type"]:
        """Velocity gains k of the velocity-receiving types, per rad/s."""
        return self.values("velocity_gain").expand(len(self.velocity_types))

    @torch.no_grad()
    def set_(self, family: str, values: Tensor | float) -> None:
        """Give a family new values.

        Args:
            family: one of ``FAMILIES``.
            values: one number for all groups; one per group in the order of ``names``; or, for gains, a table of the
                shape of ``gain_table``, of which the entries of one group must agree (those of inert pairs are
                ignored).

        Raises:
            ParameterError: unknown family, wrong shape, a value outside the bounds, or a table finer than the
                granularity.
        """
        raw = self.raw[_known(family)]
        new = torch.as_tensor(values, dtype=torch.float64, device=raw.device)
        if family == "gain" and new.ndim == 2:
            new = self._groups_from_table(new)
        if new.ndim > 0 and new.shape != raw.shape:
            raise ParameterError(
                f"{family}: got shape {tuple(new.shape)}, "
                f"wanted {tuple(raw.shape)} for {self._names[family]}, or one number"
            )
        bounds = self.spec.bounds[family]
        bounds.check(new, family)
        raw.copy_(bounds.inverse(new).expand(raw.shape))

    def _groups_from_table(self, table: Tensor) -> Tensor:
        if table.shape != self.gain_group.shape:
            raise ParameterError(
                f"gain: got a table of shape {tuple(table.shape)}, wanted {tuple(self.gain_group.shape)} [post, pre]"
            )
        if not self.by_type:
            return table[self.gain_group >= 0]
        groups = []
        for g, name in enumerate(self._names["gain"]):
            members = table[self.gain_group == g]
            if not torch.allclose(members, members[0], rtol=1e-6, atol=0.0):
                raise ParameterError(
                    f"gain {name!r}: got values from {members.min():g} to {members.max():g} in one group "
                    f"of gains={self.spec.gains!r}, wanted one value; use a finer granularity or average them"
                )
            groups.append(members[0])
        return torch.stack(groups)


def _known(family: str) -> str:
    _one_of("family", family, FAMILIES)
    return family


def _gain_groups(granularity: str, wiring: Wiring) -> tuple[Tensor, tuple[str, ...]]:
    """Group number of each type pair [K, K], or of each pair of neurons [N, N], and the name of each group.

    The number is -1 where there is no synapse.
    """
    if granularity == "synapse":
        connected = wiring.connections != 0
        group = torch.full_like(connected, -1, dtype=torch.int64)
        group[connected] = torch.arange(int(connected.sum()), device=group.device)
        labels = [f"{wiring.types[k]}[{i}]" for i, k in enumerate(wiring.type_index.tolist())]
        return group, tuple(f"{labels[post]}<-{labels[pre]}" for post, pre in connected.nonzero().tolist())
    group = torch.full((wiring.n_types, wiring.n_types), -1, dtype=torch.int64)
    names: list[str] = []
    for post, pre in wiring.pair_present.nonzero().tolist():
        name = {
            "pair": f"{wiring.types[post]}<-{wiring.types[pre]}",
            "type": wiring.types[pre],
            "ei": "excitatory" if wiring.type_signs[post, pre] > 0 else "inhibitory",
            "global": "all",
        }[granularity]
        if name not in names:
            names.append(name)
        group[post, pre] = names.index(name)
    return group.to(wiring.pair_present.device), tuple(names)
