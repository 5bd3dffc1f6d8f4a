"""Between a network in tensors and its plain arrays in ``network.h5``. Knows no fit and no connectome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from connectome_sim import circular
from connectome_sim.evaluate.protocol import FULL, Protocol
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.records import FittedNetwork
from connectome_sim.records.network_file import N_INITIAL
from connectome_sim.solve import SolveOptions


def restore(stored: FittedNetwork, *, dtype: torch.dtype = torch.float64) -> tuple[RateNetwork, Readout]:
    """The network and its decoder from plain arrays."""
    network = RateNetwork.from_arrays(
        stored.weights,
        stored.bias,
        stored.time_constant,
        stored.velocity_input,
        activation=stored.activation,
        ring_angle=stored.ring_angle,
        epg_mask=stored.epg_mask,
        dtype=dtype,
    )
    ring_angle = torch.as_tensor(stored.ring_angle, dtype=dtype)
    return network, Readout(ring_angle, torch.as_tensor(stored.epg_mask))


def store(
    network: RateNetwork,
    readout: Readout,
    *,
    id: Sequence[str],
    type: Sequence[str],
    instance: Sequence[str],
    side: Sequence[str],
    seed: int,
    dataset: str,
    dataset_sha256: str,
    protocol: Protocol = FULL,
    step: float = 1e-3,
) -> FittedNetwork:
    """Plain float64 arrays of a network, with its settled states after cues at 16 evenly spaced headings.

    Args:
        network: the fitted network.
        readout: its decoder.
        id, type, instance, side: the neuron table, N entries each.
        seed: seed of the fit.
        dataset: name of the connectome.
        dataset_sha256: SHA-256 of the file it came from.
        protocol: cue and settling time.
        step: integration step of the settling, s.

    Raises:
        RunFolderError: arrays that do not fit together, or settled states that are not finite.
    """
    network, readout = network.detach().to(dtype=torch.float64), readout.to(dtype=torch.float64)
    states = Runner(network, readout, protocol, SolveOptions(method="rk4", step=step)).settle(
        circular.evenly_spaced(N_INITIAL)
    )

    def array(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().cpu().numpy()

    def names(column: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(name) for name in column)

    return FittedNetwork(
        weights=array(network.weights),
        bias=array(network.bias),
        time_constant=array(network.time_constant),
        velocity_input=array(network.velocity_input),
        activation=network.activation.name,
        ring_angle=array(readout.ring_angle),
        id=names(id),
        type=names(type),
        instance=names(instance),
        side=names(side),
        initial_states=array(states),
        initial_headings=array(readout.heading(states)),
        seed=seed,
        dataset=dataset,
        dataset_sha256=dataset_sha256,
    )
