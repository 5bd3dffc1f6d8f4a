"""Deviations of a connectome by a stated amount: noise, thresholds, symmetry, and what proofreading leaves behind.

Each is a small frozen object with a level, a name, and a function of a connectome and a generator. Pure; knows no
network. At level 0 (threshold: 1) the connectome stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import Generator

from connectome_sim.array_axes import FloatArray, IntArray
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.rings import circular_mean, mirrored_mean, whole
from connectome_sim.errors import ConfigError

SPLIT_SHARE = 0.5  # of its synapses that a split neuron loses (chosen)


@dataclass(frozen=True)
class _Deviation:
    """What all have in common: a level between 0 and the largest of its kind."""

    level: float
    kind: ClassVar[str]
    largest: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.level <= self.largest:
            raise ConfigError(f"{self.kind}, field 'level': got {self.level}, wanted 0 to {self.largest:g}")

    @property
    def name(self) -> str:
        """Unambiguous and stable: it becomes part of the case's id."""
        return f"{self.kind} {self.level:g}"


@dataclass(frozen=True)
class CountNoise(_Deviation):
    """Each count times exp(sigma z - sigma^2 / 2), z standard normal: mean 1. Rounded at random to keep the mean.

    Attributes:
        level: sigma, 1.
    """

    kind: ClassVar[str] = "log-normal count noise"
    largest: ClassVar[float] = 3.0

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The noisy connectome."""
        data = connectome.counts.data
        factor = np.exp(self.level * random.standard_normal(len(data)) - self.level**2 / 2)
        return _with_data(connectome, _rounded(data * factor, random), self.name)


@dataclass(frozen=True)
class Threshold(_Deviation):
    """Connections of fewer than ``level`` synapses are left out.

    Attributes:
        level: synapses.
    """

    kind: ClassVar[str] = "connections below"
    largest: ClassVar[float] = 1000.0

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The connectome without weak connections."""
        data = connectome.counts.data
        return _with_data(connectome, np.where(data >= self.level, data, 0), self.name)


@dataclass(frozen=True)
class MirrorSymmetry(_Deviation):
    """Left and right become alike: (1 - s) C + s (mean over a place and its mirror image), totals of type pairs kept.

    Attributes:
        level: s, 0 to 1.
    """

    kind: ClassVar[str] = "left-right symmetry"

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The more symmetric connectome."""
        return _blended(connectome, mirrored_mean(connectome), self.level, self.name, random)


@dataclass(frozen=True)
class CircularSymmetry(_Deviation):
    """All headings become alike: (1 - s) C + s (mean over pairs of equal offset), totals of type pairs kept.

    Attributes:
        level: s, 0 to 1.
    """

    kind: ClassVar[str] = "circular symmetry"

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The more symmetric connectome."""
        return _blended(connectome, circular_mean(connectome), self.level, self.name, random)


@dataclass(frozen=True)
class Split(_Deviation):
    """Some neurons are in two pieces, of which only one was kept: each of their synapses is lost with chance 1/2.

    Attributes:
        level: share of the neurons that are split.
    """

    kind: ClassVar[str] = "split neurons"

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The connectome with split neurons."""
        n = connectome.n_neurons
        split = np.isin(np.arange(n), random.choice(n, size=round(self.level * n), replace=False))
        pieces = split[_rows(connectome)].astype(int) + split[connectome.counts.indices].astype(int)
        return _with_data(connectome, random.binomial(connectome.counts.data, (1 - SPLIT_SHARE) ** pieces), self.name)


@dataclass(frozen=True)
class Merge(_Deviation):
    """Some neurons are merged with another one of their type and side: the first has the synapses of both, the second
    is gone. Synapses between the two become synapses of the neuron onto itself.

    Attributes:
        level: share of the neurons that are gone, up to 0.5; a type and side of one neuron loses none.
    """

    kind: ClassVar[str] = "merged neurons"
    largest: ClassVar[float] = 0.5

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The connectome with merged neurons."""
        neurons, n = connectome.neurons, connectome.n_neurons
        pairs = []
        for kind, side in dict.fromkeys(zip(neurons.type.tolist(), neurons.side.tolist(), strict=True)):
            alike = random.permutation(np.flatnonzero((neurons.type == kind) & (neurons.side == side)))
            pairs += list(zip(alike[: len(alike) // 2], alike[len(alike) // 2 :], strict=False))
        number = min(round(self.level * n), len(pairs))
        into = np.arange(n)
        for pair in random.choice(len(pairs), size=number, replace=False):
            first, second = pairs[pair]
            into[second] = first
        onto = sp.csr_array((np.ones(n, dtype=np.int64), (into, np.arange(n))), shape=(n, n))
        merged = connectome.replaced(step=self.name, counts=onto @ connectome.counts @ onto.T)
        return merged.select(into == np.arange(n), step="merged neurons left out")


@dataclass(frozen=True)
class Missed(_Deviation):
    """Each synapse is missed with the same chance: binomial thinning.

    Attributes:
        level: that chance.
    """

    kind: ClassVar[str] = "missed synapses"

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The thinned connectome."""
        return _with_data(connectome, random.binomial(connectome.counts.data, 1 - self.level), self.name)


Deviation = CountNoise | Threshold | MirrorSymmetry | CircularSymmetry | Split | Merge | Missed

DEVIATIONS: Mapping[str, type[Deviation]] = {
    "count_noise": CountNoise,
    "threshold": Threshold,
    "mirror_symmetry": MirrorSymmetry,
    "circular_symmetry": CircularSymmetry,
    "split": Split,
    "merge": Merge,
    "missed": Missed,
}
"""Name in a configuration -> deviation."""


def _rows(connectome: Connectome) -> IntArray:
    """Postsynaptic neuron of each stored connection."""
    return np.repeat(np.arange(connectome.n_neurons), np.diff(connectome.counts.indptr))


def _with_data(connectome: Connectome, data: IntArray, step: str) -> Connectome:
    counts = connectome.counts.copy()
    counts.data = data
    return connectome.replaced(step=step, counts=counts)


def _rounded(value: FloatArray, random: Generator) -> IntArray:
    """Up or down at random, so that the mean is the value."""
    return np.floor(value + random.random(value.shape)).astype(np.int64)


def _blended(connectome: Connectome, mean: FloatArray, strength: float, step: str, random: Generator) -> Connectome:
    expected = (1 - strength) * connectome.dense() + strength * mean
    return connectome.replaced(step=step, counts=sp.csr_array(whole(expected, connectome, random)))
