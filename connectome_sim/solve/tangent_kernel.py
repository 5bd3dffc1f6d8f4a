"""Compiled stepping of rates together with their derivatives. Knows no tensor, no error and no parameter family.

One trial is one thread's work. Its derivatives are laid out [block, neuron, lane]: a block holds as many directions as
fit into a cache line, so that the derivatives of all neurons by them stay in the first-level cache while the
connections are walked, once per block. The rates themselves are walked once per stage, type by type, because the gains'
derivatives need those sums.
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

from connectome_sim.solve.compiled import compiled
from connectome_sim.solve.rows import load, store, weighted_sum
from connectome_sim.solve.subnormals import flush_subnormals, restore

# Sums may be reordered. Infinities and NaN keep their meaning: a trial that diverged must show.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


class Network(NamedTuple):
    """What the equation uses. The connections of neuron i from type B are entries pointer[i K + B] to the next one."""

    pointer: np.ndarray  # [N K + 1]
    pre: np.ndarray  # presynaptic neuron of each connection, uint32
    value: np.ndarray  # signed, normalised count of each connection
    weight: np.ndarray  # the same times its gain
    type_index: np.ndarray  # [N]
    gain: np.ndarray  # [K, K]
    bias: np.ndarray  # [N]
    velocity_input: np.ndarray  # [N]
    blend: np.ndarray  # a [N], see scheme.py
    activation: int  # one of ACTIVATION_CODES


class Along(NamedTuple):
    """Derivatives of the fields of ``Network`` along each direction, in Q blocks of directions."""

    gain: np.ndarray  # [Q, K, K, lane]
    bias: np.ndarray  # [Q, N, lane]
    velocity_input: np.ndarray  # [Q, N, lane]
    blend: np.ndarray  # [Q, N, lane]
    moves_gain: np.ndarray  # [Q, K, K]: whether any direction of the block moves that gain


class Carried(NamedTuple):
    """The state of a trial and its derivatives, taken to the end."""

    rates: np.ndarray  # [N]
    tangents: np.ndarray  # [Q, N, lane]


class Samples(NamedTuple):
    """The observed neurons of a trial: which, their rates and their derivatives."""

    observed: np.ndarray  # [M]
    rates: np.ndarray  # [samples, M]
    tangents: np.ndarray  # [samples, Q, M, lane]


class Trial(NamedTuple):
    """What drives a trial."""

    omega: np.ndarray  # angular velocity [T]
    current: np.ndarray  # [N]


@njit(fastmath=_FAST, cache=True, nogil=True)
@no_type_check
def integrate(carried, samples, trial, network, along, steps, width):
    """Step a trial and its derivatives through its drive."""
    r, w = carried.rates.copy(), carried.tangents.copy()
    omega, observed = trial.omega, samples.observed
    r_new, w_new = np.empty_like(r), np.empty_like(w)
    one = np.empty_like(r), np.empty_like(w)  # stage states and their derivatives, taken in turn
    other = np.empty_like(r), np.empty_like(w)
    sums = np.zeros((len(r), len(network.gain)), r.dtype)
    gap, a_slope = np.empty_like(r), np.empty_like(r)
    stages = len(steps.weights)
    mode = flush_subnormals()
    for t in range(len(omega)):
        for _ in range(steps.substeps):
            s, v = r, w
            s_next, v_next = one
            for stage in range(stages):
                weight, coupling = steps.weights[stage], steps.couplings[stage]
                first, last = stage == 0, stage + 1 == stages
                _evaluate(s, omega[t], trial.current, network, sums, gap, a_slope)
                for i in range(len(r)):
                    r_new[i] = (r[i] if first else r_new[i]) + weight * network.blend[i] * gap[i]
                    s_next[i] = r[i] + coupling * network.blend[i] * gap[i]
                so_far = w if first else w_new
                for q in range(len(w)):
                    _along_block(
                        q, v[q], w[q], so_far[q], w_new[q], v_next[q], omega[t], network, along,
                        sums, gap, a_slope, weight, coupling, last, width,
                    )  # fmt: skip
                s, v = s_next, v_next
                s_next, v_next = other if stage % 2 == 0 else one
            r, r_new = r_new, r
            w, w_new = w_new, w
        if (t + 1) % steps.sample_every == 0:
            m = (t + 1) // steps.sample_every - 1
            for k in range(len(observed)):
                samples.rates[m, k] = r[observed[k]]
                for q in range(len(w)):
                    samples.tangents[m, q, k] = w[q, observed[k]]
    carried.rates[:] = r
    carried.tangents[:] = w
    restore(mode)


@njit(fastmath=_FAST, cache=True)
@no_type_check
def _evaluate(s, omega, current, network, sums, gap, a_slope):
    """Of every neuron: the sums S s per presynaptic type, phi - s, and a phi'."""
    n_types = len(network.gain)
    for i in range(len(s)):
        x = network.bias[i] + network.velocity_input[i] * omega + current[i]
        for other in range(n_types):
            total = network.gain.dtype.type(0)  # a plain 0 would make the sums float64
            for k in range(network.pointer[i * n_types + other], network.pointer[i * n_types + other + 1]):
                total += network.value[k] * s[network.pre[k]]
            sums[i, other] = total
            x += network.gain[network.type_index[i], other] * total
        phi, slope = _respond(x, network.activation)
        gap[i], a_slope[i] = phi - s[i], network.blend[i] * slope


@compiled
@no_type_check
def _along_block(
    q, v, start, so_far, after, v_next, omega, network, along, sums, gap, a_slope, weight, coupling, last, width
):
    """One stage of the derivatives along the directions of block ``q``, all [N, lane].

    With xdot the derivative of the total input, kdot = a phi' xdot - a v + adot (phi - s), after = so_far + b kdot and,
    if it is not the last stage, v_next = start + c kdot.
    """
    n, n_types = len(v), len(network.gain)
    first_row = q * n  # of the arrays [Q, N, lane]
    for i in range(n):
        kind, row = network.type_index[i], first_row + i
        external = load(along.bias, row, width) + omega * load(along.velocity_input, row, width)
        first_pair = (q * n_types + kind) * n_types
        for other in range(n_types):
            if along.moves_gain[q, kind, other]:
                external += sums[i, other] * load(along.gain, first_pair + other, width)
        first, past = network.pointer[i * n_types], network.pointer[(i + 1) * n_types]
        x = weighted_sum(external, v, network.pre, network.weight, first, past)
        k = a_slope[i] * x - network.blend[i] * load(v, i, width) + gap[i] * load(along.blend, row, width)
        store(after, i, load(so_far, i, width) + weight * k)
        if not last:
            store(v_next, i, load(start, i, width) + coupling * k)


@njit(fastmath=_FAST, cache=True)
@no_type_check
def _respond(x, activation):
    """Activation and slope."""
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
    return phi, slope
