"""Forward sensitivities: how the rates move when a parameter moves, stepped along with the rates. Knows no loss.

A network of cell-type parameters has some sixty of them, whatever its size, so the derivative of a trajectory with
respect to all of them is cheaper to carry forward with the trajectory than to ask for one loss at a time: one pass
gives the Jacobian that a Gauss-Newton step needs. With a dot for the derivative along one direction of the parameters,
the schemes of ``scheme.py`` become (s a stage state, a the blend, x the total input)::

    xdot_i = sum_B [ g_AB (S sdot)_iB + gdot_AB (S s)_iB ] - thetadot_A + kdot_i omega
    kdot_i = a phi'(x_i) xdot_i - a sdot_i + adot (phi(x_i) - s_i)

with S the signed, normalised counts, (S s)_iB = sum over the neurons j of type B of S_ij s_j, A the type of neuron i.
The kernel carries the directions of one trial as the lanes of vectors (see ``tangent_kernel.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from connectome_sim.axes import State
from connectome_sim.errors import ShapeError, SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve import tangent_kernel as kernel
from connectome_sim.solve.compiled import ACTIVATION_CODES, announce
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.rows import width
from connectome_sim.solve.scheme import SCHEMES, Scheme, Steps
from connectome_sim.solve.threads import share

_LINE = 64  # bytes of a block's row: a cache line


@dataclass(frozen=True, eq=False)
class Directions:
    """P directions in the space of a network's parameters, as derivatives of what the rate equation uses.

    Attributes:
        gain: of the gain of each type pair [post type, pre type, P].
        bias: of the bias of each neuron [neuron, P].
        time_constant: of the time constant of each neuron, s [neuron, P].
        velocity_input: of the velocity input of each neuron, per rad/s [neuron, P].
    """

    gain: Float[Tensor, "post_type pre_type direction"]
    bias: Float[Tensor, "neuron direction"]
    time_constant: Float[Tensor, "neuron direction"]
    velocity_input: Float[Tensor, "neuron direction"]

    @property
    def count(self) -> int:
        """Number of directions P."""
        return int(self.bias.shape[-1])


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Rates of the observed neurons and their derivatives.

    Attributes:
        rates: [samples, batch, observed]; the first sample is the initial state.
        tangents: derivative of ``rates`` along each direction [samples, batch, observed, direction].
        final: last state of all neurons [batch, neuron].
        final_tangents: its derivatives [batch, neuron, direction], from which a solve can go on.
    """

    rates: Float[Tensor, "sample batch observed"]
    tangents: Float[Tensor, "sample batch observed direction"]
    final: State
    final_tangents: Float[Tensor, "batch neuron direction"]


def sensitivities(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    directions: Directions,
    *,
    method: str,
    step: float,
    observed: Int[Tensor, " observed"],
    sample_every: int = 1,
    initial_tangents: Float[Tensor, "batch neuron direction"] | None = None,
) -> Sensitivity:
    """Integrate rates and their derivatives along parameter directions, exactly those of the discrete scheme.

    Args:
        network: a network built from cell-type parameters (``network.typed`` is needed).
        initial: r at time 0.
        drive: angular velocity, and a current that does not change during the drive.
        directions: what to differentiate by.
        method: a method of the fused backend.
        step: solver step, s: the drive's time step or an integer fraction of it.
        observed: indices of the neurons to report.
        sample_every: report every so many steps of the drive.
        initial_tangents: derivatives of ``initial`` (zero if not given).

    Raises:
        SolveError: unknown method, a network without types, a current that changes during the drive, or a network that
            is not on the CPU.
        ShapeError: a number of steps that is not a multiple of ``sample_every``, or arrays that do not fit each other.
        StepError: a step that does not divide the drive's time step.
    """
    _check(network, initial, drive, directions, method, sample_every)
    scheme, substeps = SCHEMES[method], steps_per_sample(drive, step)
    dtype = np.float64 if network.dtype == torch.float64 else np.float32
    lanes = _LINE // np.dtype(dtype).itemsize
    blocks = -(-directions.count // lanes)
    samples = drive.n_steps // sample_every
    start = initial_tangents if initial_tangents is not None else initial.new_zeros(*initial.shape, directions.count)
    rates = np.empty((drive.n_trials, samples, len(observed)), dtype)
    tangents = np.empty((drive.n_trials, samples, blocks, len(observed), lanes), dtype)
    final, final_tangents = _array(initial, dtype).copy(), _in_blocks(start, dtype, 1)
    blend, along_blend = _blend(network, directions, scheme, drive.time_step / substeps)
    gain = _in_blocks(directions.gain, dtype, 0)
    omega = np.ascontiguousarray(_array(drive.angular_velocity, dtype).T)
    current = _constant_current(drive, dtype, final.shape)
    parts = (
        _kernel_network(network, blend, dtype),
        kernel.Along(
            gain,
            _in_blocks(directions.bias, dtype, 0),
            _in_blocks(directions.velocity_input, dtype, 0),
            _in_blocks(along_blend, dtype, 0),
            (gain != 0).any(axis=-1),
        ),
        Steps.of(scheme, dtype, substeps=substeps, sample_every=sample_every),
        width(lanes),
    )

    def step_trial(b: int) -> None:
        samples = kernel.Samples(observed.numpy(), rates[b], tangents[b])
        kernel.integrate(
            kernel.Carried(final[b], final_tangents[b]), samples, kernel.Trial(omega[b], current[b]), *parts
        )

    announce(kernel.integrate)
    share(step_trial, drive.n_trials)
    return Sensitivity(
        rates=_with_first(rates, initial[:, observed]),
        tangents=_with_first(_from_blocks(tangents, directions.count), start[:, observed]),
        final=torch.from_numpy(final),
        final_tangents=torch.from_numpy(_from_blocks(final_tangents, directions.count)),
    )


def _check(
    network: RateNetwork, initial: Tensor, drive: Drive, directions: Directions, method: str, sample_every: int
) -> None:
    """What the kernel takes for granted: it does not look where it reads and writes."""
    if method not in SCHEMES:
        raise SolveError(f"sensitivities, field 'method': got {method!r}, wanted one of {tuple(SCHEMES)}")
    if network.typed is None:
        raise SolveError("sensitivities: got a network of plain arrays, wanted one built from cell-type parameters")
    if network.device.type != "cpu":
        raise SolveError(f"sensitivities: got a network on {network.device}, wanted one on the CPU")
    if sample_every < 1 or drive.n_steps % sample_every:
        raise ShapeError(f"sensitivities: got {drive.n_steps} steps, wanted a multiple of sample_every={sample_every}")
    n, k = network.n_neurons, len(network.typed.gain)
    wanted = {
        "initial": (initial, (drive.n_trials, n)),
        "directions.gain": (directions.gain, (k, k, directions.count)),
        "directions.bias": (directions.bias, (n, directions.count)),
        "directions.time_constant": (directions.time_constant, (n, directions.count)),
        "directions.velocity_input": (directions.velocity_input, (n, directions.count)),
    }
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise ShapeError(f"sensitivities, field {name!r}: got shape {tuple(tensor.shape)}, wanted {shape}")
    if drive.current is not None and drive.current.shape[2] != n:
        raise ShapeError(f"drive, field 'current': got {drive.current.shape[2]} neurons, wanted {n}")


def _array(tensor: Tensor, dtype: type[np.floating]) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy().astype(dtype, copy=False))


def _in_blocks(tensor: Tensor, dtype: type[np.floating], axis: int) -> np.ndarray:
    """The last axis, directions, filled up with zeros and cut into blocks, whose number becomes axis ``axis``."""
    array, lanes = _array(tensor, dtype), _LINE // np.dtype(dtype).itemsize
    array = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % lanes)])
    array = array.reshape(*array.shape[:-1], -1, lanes)
    return np.ascontiguousarray(np.moveaxis(array, -2, axis))


def _from_blocks(array: np.ndarray, count: int) -> np.ndarray:
    """[..., block, neuron, lane] -> [..., neuron, direction]."""
    array = np.moveaxis(array, -3, -2)
    return array.reshape(*array.shape[:-2], -1)[..., :count]


def _with_first(samples: np.ndarray, first: Tensor) -> Tensor:
    """Samples [batch, samples, ...] with the initial value in front, time first."""
    later = torch.from_numpy(samples).transpose(0, 1)
    return torch.cat([first.detach()[None].to(later.dtype), later])


def _blend(network: RateNetwork, directions: Directions, scheme: Scheme, step: float) -> tuple[Tensor, Tensor]:
    """The scheme's blend [N] and its derivative along each direction [N, P]."""
    tau = network.time_constant.detach().requires_grad_()
    with torch.enable_grad():
        blend = scheme.blend(tau, step)
        slope = torch.autograd.grad(blend.sum(), tau)[0]
    return blend.detach(), directions.time_constant * slope[:, None]


def _kernel_network(network: RateNetwork, blend: Tensor, dtype: type[np.floating]) -> kernel.Network:
    assert network.typed is not None  # checked at the door
    connectivity, gain = network.typed.connectivity, _array(network.typed.gain, dtype)
    value = connectivity.row_value.astype(dtype, copy=False)
    return kernel.Network(
        connectivity.row_pointer,
        connectivity.row_pre,
        value,
        value * gain.ravel()[connectivity.row_pair],
        connectivity.type_index,
        gain,
        _array(network.bias, dtype),
        _array(network.velocity_input, dtype),
        _array(blend, dtype),
        ACTIVATION_CODES[network.activation.name],
    )


def _constant_current(drive: Drive, dtype: type[np.floating], shape: tuple[int, ...]) -> np.ndarray:
    if drive.current is None:
        return np.zeros(shape, dtype)
    if drive.current.stride(0) != 0 and not (drive.current == drive.current[0]).all():
        raise SolveError("sensitivities: got a current that changes during the drive, wanted one that stays; split it")
    return _array(drive.current[0], dtype)
