"""What is perturbed: a fitted network with its connectome, and the same parameters on another connectome.

Knows no perturbation and no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from connectome_sim.axes import BoolArray, FloatArray
from connectome_sim.connectome.connectome import Connectome, Neurons
from connectome_sim.errors import DataError
from connectome_sim.evaluate import restore
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.records import FittedNetwork

SPREAD = 1e-3  # relative, of the weight per synapse within a type pair that still counts as one value (float32 fits)


@dataclass(frozen=True, eq=False)
class Member:
    """One fitted network of an ensemble.

    Attributes:
        name: tells members apart; part of the ids of its cases.
        seed: of its fit.
        connectome: the circuit it was fitted to, N neurons, with signs.
        fitted: its plain arrays, in the order of those neurons.

    Raises:
        DataError: network and connectome do not list the same neurons.
    """

    name: str
    seed: int
    connectome: Connectome
    fitted: FittedNetwork

    def __post_init__(self) -> None:
        if tuple(self.connectome.neurons.id.tolist()) != self.fitted.id:
            raise DataError(
                f"member {self.name}: got a network of {len(self.fitted.id)} neurons for a connectome of "
                f"{self.connectome.n_neurons}, wanted the same neurons in the same order"
            )

    @property
    def velocity_types(self) -> frozenset[str]:
        """Types whose neurons sense the velocity."""
        return frozenset(self.connectome.neurons.type[self.fitted.velocity_input != 0].tolist())


@dataclass(frozen=True, eq=False)
class Subject:
    """A network ready to be perturbed and measured.

    Attributes:
        neurons: N neurons.
        network: float64.
        readout: its decoder.
        resting: resting rate of each neuron [N], 1: the mean over states settled after cues at 16 even headings.
    """

    neurons: Neurons
    network: RateNetwork
    readout: Readout
    resting: FloatArray


def intact(member: Member) -> Subject:
    """The member as it was fitted."""
    network, readout = restore(member.fitted)
    return Subject(member.connectome.neurons, network, readout, member.fitted.initial_states.mean(axis=0))


def transplanted(member: Member, connectome: Connectome) -> Subject:
    """The member's fitted parameters on another connectome of (some of) the same neurons.

        W_ij = |w_AB| s_AB C_ij,  i in A, j in B

    w_AB is the fitted weight per synapse of the type pair, g_AB s_AB / c0 with the c0 of the fit: a synapse keeps its
    strength whatever happens to the others. A pair of types without a synapse in the fit has no fitted value; it gets
    the median of its presynaptic type. Bias, time constant, velocity input and resting rate stay with the neuron.

    Raises:
        DataError: a neuron that the member does not have, or weights that are not the member's counts times one value
            per type pair.
    """
    position = {name: i for i, name in enumerate(member.fitted.id)}
    if unknown := [name for name in connectome.neurons.id.tolist() if name not in position]:
        raise DataError(f"member {member.name}: got a connectome with neuron {unknown[0]}, wanted some of its own")
    kept = np.array([position[name] for name in connectome.neurons.id.tolist()])
    strength = synapse_strength(member)
    types = member.connectome.types
    index = np.array([types.index(name) for name in connectome.neurons.type.tolist()])
    signs = connectome.signs.table(types)
    weights = (strength * signs)[np.ix_(index, index)] * connectome.dense()
    fitted, neurons = member.fitted, connectome.neurons
    epg: BoolArray = neurons.type == "EPG"
    network = RateNetwork.from_arrays(
        weights,
        fitted.bias[kept],
        fitted.time_constant[kept],
        fitted.velocity_input[kept],
        activation=fitted.activation,
        ring_angle=fitted.ring_angle[kept],
        epg_mask=epg,
    )
    readout = Readout(torch.as_tensor(fitted.ring_angle[kept]), torch.as_tensor(epg))
    return Subject(neurons, network, readout, fitted.initial_states.mean(axis=0)[kept])


def synapse_strength(member: Member) -> FloatArray:
    """|weight| per synapse of each type pair [post type, pre type], in the order of the connectome's types.

    Raises:
        DataError: weights that are not counts times one value per type pair.
    """
    counts, index = member.connectome.dense(), member.connectome.type_index
    n_types = len(member.connectome.types)
    ratio = np.divide(np.abs(member.fitted.weights), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    strength = np.full((n_types, n_types), np.nan)
    for post in range(n_types):
        for pre in range(n_types):
            values = ratio[np.ix_(index == post, index == pre)]
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            strength[post, pre] = values.mean()
            if np.ptp(values) > SPREAD * values.mean() or (member.fitted.weights[counts == 0] != 0).any():
                raise DataError(
                    f"member {member.name}: its weights are not the connectome's counts times one value for each pair "
                    "of types, so its parameters cannot be taken to another connectome"
                )
    for pre in range(n_types):
        column = strength[:, pre]
        known = column[np.isfinite(column)]
        strength[np.isnan(column), pre] = np.median(known) if len(known) else 0.0
    return strength
