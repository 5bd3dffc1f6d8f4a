"""Whether arrays fit each other: what kernels take for granted, which do not look where they read and write."""

from __future__ import annotations

from torch import Tensor

from connectome_sim.axes import State
from connectome_sim.errors import ShapeError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork


def check_fit(network: RateNetwork, initial: State, drive: Drive) -> None:
    """Raise a ShapeError where initial state or drive do not fit the network in shape, dtype or device."""
    wanted = (drive.n_trials, network.n_neurons)
    if tuple(initial.shape) != wanted:
        raise ShapeError(
            f"initial state: got shape {tuple(initial.shape)}, "
            f"wanted {wanted} [trials of the drive, neurons of the network]"
        )
    if drive.current is not None and drive.current.shape[2] != network.n_neurons:
        raise ShapeError(f"drive, field 'current': got {drive.current.shape[2]} neurons, wanted {network.n_neurons}")
    for name, tensor in (("initial state", initial), ("drive, field 'angular_velocity'", drive.angular_velocity)):
        if tensor.dtype != network.dtype or tensor.device != network.device:
            raise ShapeError(
                f"{name}: got {tensor.dtype} on {tensor.device}, "
                f"wanted {network.dtype} on {network.device} like the network; use .to(...)"
            )


def check_samples(network: RateNetwork, drive: Drive, observed: Tensor | None, sample_every: int) -> None:
    """Raise a ShapeError for steps that are no multiple of ``sample_every``, or observed neurons that are not there."""
    if sample_every < 1 or drive.n_steps % sample_every:
        raise ShapeError(f"solve: got {drive.n_steps} steps, wanted a multiple of sample_every={sample_every}")
    if observed is None:
        return
    if not ((observed >= 0) & (observed < network.n_neurons)).all():
        raise ShapeError(f"solve, field 'observed': got an index outside of 0 to {network.n_neurons - 1}")
    if len(observed.unique()) < len(observed):
        raise ShapeError("solve, field 'observed': got a neuron twice, wanted each once")
