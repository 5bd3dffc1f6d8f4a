"""Perturbations of a network: silencing, clamping, scaling, stimulating, for good or in a window of time.

Each is a small frozen value that states its name, the connections it changes and the neurons it holds or drives; they
compose. Knows no case, no probe and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from connectome_sim.ablation.targets import Target
from connectome_sim.axes import BoolArray, FloatArray
from connectome_sim.connectome.connectome import Connectome, Neurons
from connectome_sim.errors import ConfigError
from connectome_sim.model import RateNetwork

LARGEST_FACTOR = 2.0  # of a graded silencing: twice the fitted strength (the project's definition)
# Rates of a clamped neuron are held by a bias phi^-1(rate), which must be finite: a sigmoid at 1e-15 is silent
SMALLEST_RATE = 1e-15


@dataclass(frozen=True)
class Window:
    """A part of the trial, s from its start.

    Attributes:
        start: s, zero or more.
        end: s, after the start.

    Raises:
        ConfigError: a window that is empty, or begins before the trial.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.end) and 0 <= self.start < self.end):
            raise ConfigError(f"window: got {self.start} to {self.end} s, wanted 0 <= start < end")

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.start:g} to {self.end:g} s"

    def overlaps(self, other: Window) -> bool:
        """Whether the two share more than a moment."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Pulses:
    """A pulse train within a window: on for ``width`` at the start of every ``period``.

    Attributes:
        period: s.
        width: s, shorter than the period.

    Raises:
        ConfigError: a width that is not between 0 and the period.
    """

    period: float
    width: float

    def __post_init__(self) -> None:
        if not 0 < self.width < self.period:
            raise ConfigError(f"pulses: got a width of {self.width} s every {self.period} s, wanted 0 < width < period")


@dataclass(frozen=True, eq=False)
class Block:
    """Connections whose weight is multiplied: those from ``pre`` onto ``post``, masks [N].

    Attributes:
        post: postsynaptic neurons.
        pre: presynaptic neurons.
        factor: 0 silences.
    """

    post: BoolArray
    pre: BoolArray
    factor: float

    @property
    def connections(self) -> BoolArray:
        """As a mask [post, pre]."""
        return np.logical_and.outer(self.post, self.pre)


@runtime_checkable
class Perturbation(Protocol):
    """What a perturbation states of itself."""

    @property
    def target(self) -> Target:
        """The neurons it is aimed at."""

    @property
    def window(self) -> Window | None:
        """When; throughout where None."""

    @property
    def name(self) -> str:
        """Unambiguous and stable: it becomes part of the case's id."""

    def block(self, neurons: Neurons) -> Block | None:
        """The connections it multiplies."""


def _when(window: Window | None) -> str:
    return "" if window is None else f", {window.name}"


def _mask(target: Target | None, neurons: Neurons) -> BoolArray:
    return np.ones(len(neurons), dtype=bool) if target is None else target.mask(neurons)


@dataclass(frozen=True, kw_only=True)
class Output:
    """The synapses of the target onto others are silent, as with shibire: columns of W are zero.

    Attributes:
        target: whose output.
        onto: only its synapses onto these, e.g. for one type pair; all of them where None.
        window: when; throughout where None.
    """

    target: Target
    onto: Target | None = None
    window: Window | None = None

    @property
    def name(self) -> str:
        """As in ``Perturbation``."""
        return f"output of {self.target.name}" + onto_words(self.onto) + _when(self.window)

    def block(self, neurons: Neurons) -> Block:
        """Its columns of W, in the rows of ``onto``, times 0."""
        return Block(_mask(self.onto, neurons), self.target.mask(neurons), 0.0)


@dataclass(frozen=True, kw_only=True)
class Input:
    """The target receives no synapse: rows of W are zero.

    Unless ``source`` says which synapses, the velocity input goes too: it stands for synapses of neurons outside of the
    circuit. The bias stays, and so does the cue, which is the experimenter's.

    Attributes:
        target: whose input.
        source: only the synapses of these; all of them where None.
        window: when; throughout where None.
    """

    target: Target
    source: Target | None = None
    window: Window | None = None

    @property
    def name(self) -> str:
        """As in ``Perturbation``."""
        source = "" if self.source is None else f" from {self.source.name}"
        return f"input of {self.target.name}" + source + _when(self.window)

    def block(self, neurons: Neurons) -> Block:
        """Its rows of W, in the columns of ``source``, times 0."""
        return Block(self.target.mask(neurons), _mask(self.source, neurons), 0.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The synapses of the target onto others are weaker or stronger by a factor: graded silencing.

    Attributes:
        target: whose output.
        factor: 0 (as `Output`) to 2.
        onto: only its synapses onto these; all of them where None.
        window: when; throughout where None.

    Raises:
        ConfigError: a factor outside 0 to 2.
    """

    target: Target
    factor: float
    onto: Target | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.factor <= LARGEST_FACTOR:
            raise ConfigError(f"scale, field 'factor': got {self.factor}, wanted 0 to {LARGEST_FACTOR:g}")

    @property
    def name(self) -> str:
        """As in ``Perturbation``."""
        return f"output of {self.target.name}" + onto_words(self.onto) + f" times {self.factor:g}" + _when(self.window)

    def block(self, neurons: Neurons) -> Block:
        """Its columns of W, in the rows of ``onto``, times the factor."""
        return Block(_mask(self.onto, neurons), self.target.mask(neurons), self.factor)


@dataclass(frozen=True, kw_only=True)
class Clamp:
    """The rate of the target is held: what it sends is constant, what it receives is without effect.

    Its columns of W are zero and their product with the held rate r* is part of the bias of its targets; its own row
    and velocity input are zero and its bias is phi^-1(r*), so that the network stays one of plain arrays. The cue does
    not reach it. From another rate it relaxes to r* with its time constant, which nobody but the read-out sees.

    Attributes:
        target: whose rate.
        rate: r*, 1; each neuron's own resting rate where None: its mean over settled states at evenly spaced headings.
        window: when; throughout where None.

    Raises:
        ConfigError: a rate that is negative or not finite.
    """

    target: Target
    rate: float | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate >= 0):
            raise ConfigError(f"clamp, field 'rate': got {self.rate}, wanted zero or more")

    @property
    def name(self) -> str:
        """As in ``Perturbation``."""
        rate = "rest" if self.rate is None else f"{self.rate:g}"
        return f"{self.target.name} clamped at {rate}" + _when(self.window)

    def block(self, neurons: Neurons) -> None:
        """None: its connections are replaced, not multiplied."""
        self.target.mask(neurons)


@dataclass(frozen=True, kw_only=True)
class Stimulate:
    """A current into the target within a window: a step, or a train of pulses. Activation of PEN on one side (as with
    ATP and P2X2) turns the bump.

    Attributes:
        target: who receives it.
        current: 1; negative hyperpolarises.
        window: when.
        pulses: on and off within the window; on throughout it where None.

    Raises:
        ConfigError: a current that is zero or not finite.
    """

    target: Target
    current: float
    window: Window
    pulses: Pulses | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.current) or self.current == 0:
            raise ConfigError(f"stimulate, field 'current': got {self.current}, wanted a finite number other than 0")

    @property
    def name(self) -> str:
        """As in ``Perturbation``."""
        train = "" if self.pulses is None else f" for {self.pulses.width:g} s every {self.pulses.period:g} s"
        return f"current {self.current:g} into {self.target.name}{train}{_when(self.window)}"

    def block(self, neurons: Neurons) -> None:
        """None: no connection changes."""
        self.target.mask(neurons)

    def is_on(self, time: FloatArray) -> BoolArray:
        """Whether the current flows at each time (s), to a microsecond."""
        since = time - self.window.start + 1e-6
        on = (since >= 0) & (time < self.window.end - 1e-6)
        return on if self.pulses is None else on & (since % self.pulses.period < self.pulses.width)


def onto_words(onto: Target | None) -> str:
    """The neurons that a perturbation is narrowed to, as part of its name; nothing for all of them."""
    return "" if onto is None else f" onto {onto.name}"


PERTURBATIONS: Mapping[str, type] = {
    "output": Output,
    "input": Input,
    "scale": Scale,
    "clamp": Clamp,
    "stimulate": Stimulate,
}
"""Name in a configuration -> perturbation."""


@dataclass(frozen=True)
class Removed:
    """What a set of perturbations takes away.

    Attributes:
        neurons: neurons aimed at.
        connections: connected pairs that are changed.
        synapses: synapses silenced; those scaled by a factor f count 1 - f each, so that strengthening is negative.
    """

    neurons: int
    connections: int
    synapses: float

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            self.neurons + other.neurons, self.connections + other.connections, self.synapses + other.synapses
        )


def removed(perturbations: Sequence[Perturbation], connectome: Connectome) -> Removed:
    """What they remove of a connectome; a clamp takes all connections from and onto its target."""
    neurons, counts = connectome.neurons, connectome.dense()
    aimed = np.zeros(len(neurons), dtype=bool)
    factor = np.ones(counts.shape)
    for perturbation in perturbations:
        mask = perturbation.target.mask(neurons)
        aimed |= mask
        block = perturbation.block(neurons)
        if block is not None:
            factor[block.connections] *= block.factor
        elif isinstance(perturbation, Clamp):
            factor[mask], factor[:, mask] = 0.0, 0.0
    changed = (factor != 1) & (counts > 0)
    return Removed(int(aimed.sum()), int(changed.sum()), float(((1 - factor) * counts).sum()))


def taken(before: Connectome, after: Connectome) -> Removed:
    """What a rewiring took: neurons and connections that are gone (net), and the synapses that are fewer (net)."""
    return Removed(
        before.n_neurons - after.n_neurons,
        int(before.counts.nnz) - int(after.counts.nnz),
        float(before.counts.sum()) - float(after.counts.sum()),
    )


def perturbed(
    network: RateNetwork, neurons: Neurons, perturbations: Sequence[Perturbation], *, resting: FloatArray
) -> tuple[RateNetwork, BoolArray]:
    """The network under perturbations, and the neurons whose rate is held [N]. A stimulation leaves it as it is.

    Args:
        network: the intact network.
        neurons: its neuron table.
        perturbations: what acts at the same time, in any order, without contradictions.
        resting: resting rate of each neuron [N], 1, for clamps.
    """
    weights = network.weights.detach().clone()
    velocity = network.velocity_input.detach().clone()
    for perturbation in perturbations:
        block = perturbation.block(neurons)
        if block is not None:
            weights[torch.as_tensor(block.connections, device=weights.device)] *= block.factor
        if isinstance(perturbation, Input) and perturbation.source is None:
            velocity[torch.as_tensor(perturbation.target.mask(neurons), device=weights.device)] = 0.0
    held, rates = np.zeros(len(neurons), dtype=bool), np.zeros(len(neurons))
    for perturbation in perturbations:
        if isinstance(perturbation, Clamp):
            mask = perturbation.target.mask(neurons)
            held |= mask
            rates[mask] = resting[mask] if perturbation.rate is None else perturbation.rate
    bias = network.bias.detach().clone()
    if held.any():
        at = torch.as_tensor(held, device=weights.device)
        bias += weights @ torch.as_tensor(rates).to(weights)
        bias[at] = torch.as_tensor(inverse_activation(network.activation.name, rates[held])).to(weights)
        weights[at], weights[:, at], velocity[at] = 0.0, 0.0, 0.0
    return replace(network, weights=weights, bias=bias, velocity_input=velocity, typed=None), held


def inverse_activation(name: str, rate: FloatArray) -> FloatArray:
    """phi^-1 of rates, finite: a sigmoid, tanh or softplus comes no closer to its limits than 1e-15.

    Raises:
        ConfigError: a rate that this activation never reaches.
    """
    highest = 1.0 if name in ("sigmoid", "tanh") else math.inf
    if (rate > highest).any():
        raise ConfigError(f"clamp, field 'rate': got {rate.max():g}, wanted at most {highest:g} for a {name} neuron")
    inside = np.clip(rate, SMALLEST_RATE, 1 - SMALLEST_RATE if highest == 1 else None)
    if name == "sigmoid":
        return np.log(inside) - np.log1p(-inside)
    if name == "tanh":
        return np.arctanh(np.clip(rate, None, 1 - SMALLEST_RATE))
    if name == "softplus":
        return inside + np.log(-np.expm1(-inside))
    return np.array(rate)  # relu: every rate of zero or more is its own input


def refuse_contradictions(perturbations: Sequence[Perturbation], connectome: Connectome) -> None:
    """Refuses perturbations that act at the same time and ask for different things of the same neuron or connection.

    Silencing twice what is silent is no contradiction; scaling what is silenced or scaled already is one, and so is
    silencing, scaling, driving or clamping a clamped neuron.

    Raises:
        ConfigError: two of them contradict each other; both are named.
        SelectionError: a target that is empty or not there.
    """
    neurons = connectome.neurons
    for first, second in combinations(perturbations, 2):
        if first.window is not None and second.window is not None and not first.window.overlaps(second.window):
            continue
        one, other = first.block(neurons), second.block(neurons)
        if one is not None and other is not None and (isinstance(first, Scale) or isinstance(second, Scale)):
            shared = one.connections & other.connections & (connectome.dense() > 0)
            if shared.any():
                raise ConfigError(
                    f"perturbations {first.name!r} and {second.name!r}: both change {int(shared.sum())} connections, "
                    "wanted one factor for each; narrow a target, or state one of them only"
                )
        for clamp, also in ((first, second), (second, first)):
            if isinstance(clamp, Clamp) and not isinstance(also, Input):
                both = clamp.target.mask(neurons) & also.target.mask(neurons)
                if both.any():
                    raise ConfigError(
                        f"perturbations {clamp.name!r} and {also.name!r}: both aim at {int(both.sum())} neurons whose "
                        "rate is held, wanted one of the two; narrow a target"
                    )


def active(perturbations: Sequence[Perturbation], start: float, end: float) -> tuple[Perturbation, ...]:
    """Those that act between two times, s, at which none of them begins or ends."""
    middle = (start + end) / 2
    return tuple(p for p in perturbations if p.window is None or p.window.start <= middle < p.window.end)
