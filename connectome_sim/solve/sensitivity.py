"""Forward sensitivities: how the rates move when a parameter moves, stepped along with the rates. Knows no loss.

A network of cell-type parameters has some sixty of them, whatever its size, so the derivative of a trajectory with
respect to all of them is cheaper to carry forward with the trajectory than to ask for one loss at a time: one pass gives
the Jacobian that a Gauss-Newton step needs. With a dot for the derivative along one direction of the parameters, the
schemes of ``scheme.py`` become (s a stage state, a the blend, x the total input)::

    xdot_i = sum_B [ g_AB (S sdot)_iB + gdot_AB (S s)_iB ] - thetadot_A + kdot_i omega
    kdot_i = a phi'(x_i) xdot_i - a sdot_i + adot (phi(x_i) - s_i)

with S the signed, normalised counts, (S s)_iB = sum over the neurons j of type B of S_ij s_j, A the type of neuron i.
The kernel walks the connections once per step and carries all directions of one trial as the lanes of one vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit, prange
from torch import Tensor

from connectome_sim.axes import PerNeuron, State
from connectome_sim.errors import ShapeError, SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.scheme import SCHEMES

_ACTIVATION_CODES = {"sigmoid": 0, "softplus": 1, "relu": 2, "tanh": 3}
_LANES = 16  # directions are padded to a multiple of this (chosen: one AVX-512 or two AVX2 registers of float32)


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
        ShapeError: a number of steps that is not a multiple of ``sample_every``.
        StepError: a step that does not divide the drive's time step.
    """
    if method not in SCHEMES:
        raise SolveError(f"sensitivities, field 'method': got {method!r}, wanted one of {tuple(SCHEMES)}")
    if network.typed is None:
        raise SolveError("sensitivities: got a network of plain arrays, wanted one built from cell-type parameters")
    if network.device.type != "cpu":
        raise SolveError(f"sensitivities: got a network on {network.device}, wanted one on the CPU")
    if drive.n_steps % sample_every:
        raise ShapeError(f"sensitivities: got {drive.n_steps} steps, wanted a multiple of sample_every={sample_every}")
    scheme, substeps = SCHEMES[method], steps_per_sample(drive, step)
    dtype = np.float64 if network.dtype == torch.float64 else np.float32
    n_dir, lanes = directions.count, -(-directions.count // _LANES) * _LANES
    batch, n = initial.shape
    tau = network.time_constant.detach()
    blend_slope = torch.func.jvp(lambda t: scheme.blend(t, step), (tau,), (torch.ones_like(tau),))[1]

    def array(tensor: Tensor) -> np.ndarray:
        return np.ascontiguousarray(tensor.detach().numpy().astype(dtype, copy=False))

    def padded(tensor: Tensor) -> np.ndarray:
        return np.ascontiguousarray(np.pad(array(tensor), [(0, 0)] * (tensor.ndim - 1) + [(0, lanes - n_dir)]))

    type_index = network.typed.type_index.numpy()
    pointer, pre, value = _blocks(array(network.typed.connections), type_index, network.typed.gain.shape[0])
    samples = drive.n_steps // sample_every
    rates = np.empty((batch, samples, len(observed)), dtype)
    tangents = np.empty((batch, samples, len(observed), lanes), dtype)
    final = array(initial).copy()
    start = initial_tangents if initial_tangents is not None else initial.new_zeros(batch, n, n_dir)
    final_tangents = padded(start)
    first = initial.detach()[None, :, observed], start[None, :, observed]
    _integrate(
        final,
        final_tangents,
        rates,
        tangents,
        np.ascontiguousarray(array(drive.angular_velocity).T),
        _constant_current(drive, dtype, (batch, n)),
        pointer,
        pre,
        value,
        type_index,
        array(network.typed.gain),
        array(network.bias),
        array(network.velocity_input),
        array(scheme.blend(tau, step)),
        padded(directions.gain),
        padded(directions.bias),
        padded(directions.velocity_input),
        padded(directions.time_constant * blend_slope[:, None]),
        observed.numpy(),
        np.array((*scheme.couplings, 0.0), dtype),
        np.array(scheme.weights, dtype),
        substeps,
        sample_every,
        _ACTIVATION_CODES[network.activation.name],
    )
    return Sensitivity(
        rates=torch.cat([first[0], torch.from_numpy(rates).transpose(0, 1)]),
        tangents=torch.cat([first[1], torch.from_numpy(tangents[..., :n_dir]).transpose(0, 1)]),
        final=torch.from_numpy(final),
        final_tangents=torch.from_numpy(final_tangents[..., :n_dir]),
    )


def _constant_current(drive: Drive, dtype: type[np.floating], shape: tuple[int, int]) -> np.ndarray:
    if drive.current is None:
        return np.zeros(shape, dtype)
    if drive.current.stride(0) != 0 and not (drive.current == drive.current[0]).all():
        raise SolveError("sensitivities: got a current that changes during the drive, wanted one that stays; split it")
    return np.ascontiguousarray(drive.current[0].numpy().astype(dtype, copy=False))


def _blocks(connections: np.ndarray, type_index: np.ndarray, n_types: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections sorted by postsynaptic neuron, then presynaptic type: pointers [N K + 1], presynaptic index, value."""
    post, pre = np.nonzero(connections)
    block = post * n_types + type_index[pre]
    order = np.argsort(block, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=len(connections) * n_types))])
    post, pre = post[order], pre[order]
    return pointer.astype(np.int64), pre.astype(np.int64), connections[post, pre]


@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, cache=True)
@no_type_check
def _integrate(
    state,
    tangent,
    rates,
    tangents,
    omega,
    current,
    pointer,
    pre,
    value,
    type_index,
    gain,
    bias,
    velocity_input,
    blend,
    d_gain,
    d_bias,
    d_velocity,
    d_blend,
    observed,
    couplings,
    weights,
    substeps,
    sample_every,
    activation,
):
    batch, n = state.shape
    lanes = tangent.shape[2]
    n_types = gain.shape[0]
    stages = weights.shape[0]
    for b in prange(batch):
        r, w = state[b].copy(), tangent[b].copy()  # state at the start of a step, and its derivatives
        r_new, w_new = np.empty_like(r), np.empty_like(w)  # at its end
        s_a, v_a = np.empty_like(r), np.empty_like(w)  # stage states, taken in turn
        s_b, v_b = np.empty_like(r), np.empty_like(w)
        dx = np.empty_like(w[0])
        scalars = np.zeros(3, dx.dtype)  # keeps the sums in the precision of the arrays
        for t in range(omega.shape[1]):
            om = omega[b, t]
            for _ in range(substeps):
                s, v = r, w
                s_next, v_next = s_a, v_a
                for stage in range(stages):
                    weight, coupling = weights[stage], couplings[stage]
                    for i in range(n):
                        kind = type_index[i]
                        x = bias[i] + velocity_input[i] * om + current[b, i]
                        for p in range(lanes):
                            dx[p] = d_bias[i, p] + d_velocity[i, p] * om
                        for other in range(n_types):
                            first, last = pointer[i * n_types + other], pointer[i * n_types + other + 1]
                            if first == last:
                                continue
                            g = gain[kind, other]
                            scalars[0] = 0.0
                            k = first
                            while k + 4 <= last:
                                j0, j1, j2, j3 = pre[k], pre[k + 1], pre[k + 2], pre[k + 3]
                                c0, c1, c2, c3 = value[k], value[k + 1], value[k + 2], value[k + 3]
                                scalars[0] += c0 * s[j0] + c1 * s[j1] + c2 * s[j2] + c3 * s[j3]
                                c0, c1, c2, c3 = c0 * g, c1 * g, c2 * g, c3 * g
                                for p in range(lanes):
                                    dx[p] += c0 * v[j0, p] + c1 * v[j1, p] + c2 * v[j2, p] + c3 * v[j3, p]
                                k += 4
                            while k < last:
                                j0, c0 = pre[k], value[k]
                                scalars[0] += c0 * s[j0]
                                c0 = c0 * g
                                for p in range(lanes):
                                    dx[p] += c0 * v[j0, p]
                                k += 1
                            total = scalars[0]
                            x += g * total
                            for p in range(lanes):
                                dx[p] += d_gain[kind, other, p] * total
                        if activation == 0:
                            phi = 1 / (1 + np.exp(-x))
                            slope = phi * (1 - phi)
                        elif activation == 1:
                            phi = max(x, 0 * x) + np.log1p(np.exp(-abs(x)))
                            slope = 1 - np.exp(-phi)
                        elif activation == 2:
                            phi = max(x, 0 * x)
                            slope = 1.0 if x > 0 else 0.0
                        else:
                            phi = np.tanh(x)
                            slope = 1 - phi * phi
                        a = blend[i]
                        scalars[1] = phi - s[i]
                        scalars[2] = a * slope
                        gap, a_slope = scalars[1], scalars[2]
                        if stage == 0:
                            r_new[i] = r[i] + weight * a * gap
                            for p in range(lanes):
                                w_new[i, p] = w[i, p] + weight * (a_slope * dx[p] - a * v[i, p] + d_blend[i, p] * gap)
                        else:
                            r_new[i] += weight * a * gap
                            for p in range(lanes):
                                w_new[i, p] += weight * (a_slope * dx[p] - a * v[i, p] + d_blend[i, p] * gap)
                        if stage + 1 < stages:
                            s_next[i] = r[i] + coupling * a * gap
                            for p in range(lanes):
                                dk = a_slope * dx[p] - a * v[i, p] + d_blend[i, p] * gap
                                v_next[i, p] = w[i, p] + coupling * dk
                    s, v = s_next, v_next
                    if stage % 2 == 0:
                        s_next, v_next = s_b, v_b
                    else:
                        s_next, v_next = s_a, v_a
                r, r_new = r_new, r
                w, w_new = w_new, w
            if (t + 1) % sample_every == 0:
                m = (t + 1) // sample_every - 1
                for q in range(len(observed)):
                    rates[b, m, q] = r[observed[q]]
                    tangents[b, m, q] = w[observed[q]]
        state[b] = r
        tangent[b] = w
