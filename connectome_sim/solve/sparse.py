"""Sparse stepping kernel: steps and their exact reverse on the CPU, in compiled code that visits connections only.

Trials are the lanes of vectors: a group of ``LANES`` trials is stepped together, its state laid out [neuron, lane], and
groups are shared among threads. Forwards, one evaluation of the equation walks the rows of W in compressed form.
Backwards it walks the columns of S, the signed counts, type by type: with U_jA the sum over the neurons i of type A of
S_ij delta_i, both what goes on to neuron j, sum_A g_AB U_jA, and the gradient of every gain, sum_j U_jA s_j, come from
one walk, so neither dense weights nor their gradient are formed. No operation mixes lanes until the end: a trial that
diverges, or a lane without a trial, leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from connectome_sim.solve.compiled import (
    ACTIVATION_CODES,
    LANES,
    activate,
    add_connections,
    add_connections_back,
    announce,
    compiled,
    compiled_alone,
    gate,
)
from connectome_sim.solve.problem import Gradients, Problem, Tape
from connectome_sim.solve.threads import share

_DTYPES = (torch.float32, torch.float64)
# Where matrix products win: more connections than both (measured with benchmarks/simulate.py; below the number, the
# state of a group stays in the fastest cache whatever the share)
_NUMBER = 25_000
_SHARE = 0.45  # of all pairs
_FLUSH = 16  # steps whose gradient of the gains is summed before it is added up in float64 (chosen)


def is_worthwhile(weights: Tensor) -> bool:
    """Whether a network is stepped faster along its connections: on the CPU, with few of them.

    Few means up to 25,000, or up to 45 % of all pairs of neurons.
    """
    if weights.device.type != "cpu" or weights.dtype not in _DTYPES:
        return False
    return int(torch.count_nonzero(weights)) <= max(_NUMBER, _SHARE * weights.numel())


class SparseKernel:
    """Compiled steps on the CPU, with gradients of the gains of type pairs instead of those of single weights."""

    name = "numba"

    def forward(self, problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor, Tape | None]:
        """As in ``Kernel``. The tape is stage states and activations, [groups, stages in all (+ 1), neuron, LANES]."""
        p = problem
        n_steps, batch = p.angular_velocity.shape
        n, groups = len(p.bias), -(-batch // LANES)
        stages = n_steps * p.substeps * p.scheme.stages
        observed = _observed(p)
        rates = p.initial.new_empty(n_steps // p.sample_every + 1, batch, len(observed))
        final = torch.empty_like(p.initial)
        states = p.initial.new_empty(groups, stages + 1 if keep else 2 * p.scheme.stages, n, LANES)
        values = p.initial.new_empty(groups, stages if keep else 1, n, LANES)
        kept_states, kept_values = states.numpy(), values.numpy()
        inputs = (
            _array(p.initial),
            _array(p.angular_velocity),
            _current(p),
            observed,
            *_rows(p),
            _array(p.bias),
            _array(p.velocity_input),
            _array(p.blend),
            *_coefficients(p),
            p.substeps,
            p.sample_every,
            ACTIVATION_CODES[p.activation.name],
        )
        results = rates.numpy(), final.numpy()
        announce(_integrate)
        share(lambda g: _integrate(g * LANES, *results, kept_states[g], kept_values[g], *inputs), groups)
        return rates, final, (states, values) if keep else None

    def backward(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor, *, need_weights: bool
    ) -> Gradients:
        """As in ``Kernel``; the equations are those of the dense kernel. ``need_weights`` asks for the gains' gradient.

        Trials that diverged have no gradient.
        """
        p = problem
        assert p.connectivity is not None and p.gain is not None  # what the fused backend looks at first
        states, values = tape
        groups, n, k = len(states), len(p.bias), len(p.gain)
        c = p.connectivity
        gain = np.zeros((groups, k, k, LANES))
        by_neuron = np.zeros((groups, 3, n, LANES), _array(p.bias).dtype)
        initial = torch.empty_like(p.initial)
        kept_states, kept_values, into = states.numpy(), values.numpy(), initial.numpy()
        inputs = (
            _array(grad_rates),
            _array(grad_final),
            _array(p.angular_velocity),
            _observed(p),
            c.column_pointer,
            c.column_post,
            c.column_value,
            c.type_index,
            _array(p.gain),
            _array(p.blend),
            *_coefficients(p),
            p.substeps,
            p.sample_every,
            ACTIVATION_CODES[p.activation.name],
        )
        announce(_reverse)
        share(
            lambda g: _reverse(g * LANES, gain[g], *by_neuron[g], into, kept_states[g], kept_values[g], *inputs),
            groups,
        )
        bias, blend, velocity = (torch.from_numpy(part.sum(axis=(0, 2))).to(p.bias.dtype) for part in _split(by_neuron))
        return Gradients(
            weights=None,
            gain=torch.from_numpy(gain.sum(axis=(0, 3))).to(p.gain.dtype) if need_weights else None,
            bias=bias,
            blend=blend,
            velocity_input=velocity,
            initial=initial,
            angular_velocity=None,
            current=None,
        )


SPARSE = SparseKernel()


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _split(by_neuron: np.ndarray) -> Iterator[np.ndarray]:
    """The three sums [groups, neuron, lane], float64."""
    yield from np.moveaxis(by_neuron, 1, 0).astype(np.float64)


def _observed(problem: Problem) -> np.ndarray:
    return np.arange(len(problem.bias)) if problem.observed is None else _array(problem.observed)


def _rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections by postsynaptic neuron: pointers [N + 1], presynaptic neurons, weights."""
    c = problem.connectivity
    if c is None or problem.gain is None:
        weights = _array(problem.weights)
        post, pre = np.nonzero(weights)
        return np.searchsorted(post, np.arange(len(weights) + 1)), pre.astype(np.uint32), weights[post, pre]
    gain = _array(problem.gain)
    return np.ascontiguousarray(c.row_pointer[:: len(gain)]), c.row_pre, c.row_value * gain.ravel()[c.row_pair]


def _coefficients(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The scheme's c_i, with a 0 for the last stage, and b_i."""
    dtype = _array(problem.bias).dtype
    return np.array((*problem.scheme.couplings, 0.0), dtype), np.array(problem.scheme.weights, dtype)


def _current(problem: Problem) -> np.ndarray:
    """The current [steps or 1, batch or 1, neuron]: an axis along which it was broadcast has length 1."""
    current = problem.current
    if current is None:
        return _array(torch.zeros_like(problem.bias)[None, None])
    for axis in (0, 1):
        if current.stride(axis) == 0:
            current = current.narrow(axis, 0, 1)
    return _array(current)


@compiled_alone
@no_type_check
def _integrate(
    first_trial,
    rates,
    final,
    states,
    values,
    initial,
    omega,
    current,
    observed,
    pointer,
    pre,
    weight,
    bias,
    velocity_input,
    blend,
    couplings,
    stage_weights,
    substeps,
    sample_every,
    activation,
):
    """Steps trials first_trial to first_trial + LANES, as far as there are so many; the lanes left over idle at 0.

    ``states`` and ``values`` hold what is kept: all of it, or, used over and over, as much as a step needs.
    """
    n_steps, n = len(omega), len(bias)
    used = min(LANES, len(initial) - first_trial)
    n_stages, rows, value_rows = len(stage_weights), len(states), len(values)
    external, base = np.zeros((n, LANES), rates.dtype), np.zeros((n, LANES), rates.dtype)
    velocity = np.zeros(LANES, rates.dtype)
    states[0] = 0
    for lane in range(used):
        for i in range(n):
            states[0, i, lane] = initial[first_trial + lane, i]
    for k in range(len(observed)):
        for lane in range(used):
            rates[0, first_trial + lane, k] = states[0, observed[k], lane]
    stage_number = 0
    for t in range(n_steps):
        if t < len(current):
            for lane in range(used):
                current_t = current[t, (first_trial + lane) % current.shape[1]]
                for i in range(n):
                    base[i, lane] = bias[i] + current_t[i]
        for lane in range(used):
            velocity[lane] = omega[t, first_trial + lane]
        for i in range(n):
            for lane in range(LANES):
                external[i, lane] = base[i, lane] + velocity_input[i] * velocity[lane]
        for _ in range(substeps):
            r, after = states[stage_number % rows], states[(stage_number + n_stages) % rows]
            for stage in range(n_stages):
                s, x = states[stage_number % rows], values[stage_number % value_rows]
                stage_number += 1
                for i in range(n):
                    add_connections(x, external, s, i, pre, weight, pointer[i], pointer[i + 1])
                activate(x.ravel(), activation)
                s_next = after if stage + 1 == n_stages else states[stage_number % rows]
                _advance(after, s_next, r, s, x, blend, stage_weights[stage], couplings[stage], stage, n_stages)
        if (t + 1) % sample_every == 0:
            for k in range(len(observed)):
                for lane in range(used):
                    rates[(t + 1) // sample_every, first_trial + lane, k] = after[observed[k], lane]
    last = states[stage_number % rows]
    for lane in range(used):
        for i in range(n):
            final[first_trial + lane, i] = last[i, lane]


@compiled
@no_type_check
def _advance(after, s_next, r, s, phi, blend, stage_weight, coupling, stage, n_stages):
    """One stage of ``scheme``: r' += b_i k_i and s_(i+1) = r + c_i k_i with k_i = a (phi - s_i)."""
    n, lanes = r.shape
    for i in range(n):
        b, c = stage_weight * blend[i], coupling * blend[i]
        start = r[i] if stage == 0 else after[i]
        for lane in range(lanes):
            gap = phi[i, lane] - s[i, lane]
            after[i, lane] = start[lane] + b * gap
            if stage + 1 < n_stages:
                s_next[i, lane] = r[i, lane] + c * gap


@compiled_alone
@no_type_check
def _reverse(
    first_trial,
    gain_total,
    bias_total,
    blend_total,
    velocity_total,
    initial_gradient,
    states,
    values,
    grad_rates,
    grad_final,
    omega,
    observed,
    pointer,
    post,
    value,
    type_index,
    gain,
    blend,
    couplings,
    stage_weights,
    substeps,
    sample_every,
    activation,
):
    n, n_types, n_stages = len(blend), len(gain), len(stage_weights)
    used = min(LANES, len(grad_final) - first_trial)
    dtype = states.dtype
    adjoint, total, sbar, kbar, delta, slope = [np.zeros((n, LANES), dtype) for _ in range(6)]
    gain_onto, gain_part = gain.T.copy(), np.zeros((n_types, n_types, LANES), dtype)  # [pre type, post type]
    velocity = np.zeros(LANES, dtype)
    for lane in range(used):
        for i in range(n):
            adjoint[i, lane] = grad_final[first_trial + lane, i]
    number = len(values)
    for t in range(len(omega) - 1, -1, -1):
        if (t + 1) % sample_every == 0:
            _add_samples(adjoint, grad_rates[(t + 1) // sample_every], observed, first_trial, used)
        for lane in range(used):
            velocity[lane] = omega[t, first_trial + lane]
        for _ in range(substeps):
            total[:] = adjoint
            for stage in range(n_stages - 1, -1, -1):
                number -= 1
                s, phi = states[number], values[number]
                gate(slope, phi, blend, activation)
                b, c = stage_weights[stage], couplings[stage]
                _stage_gradients(kbar, delta, sbar, adjoint, slope, blend, b, c)
                _add_products(velocity_total, bias_total, blend_total, delta, kbar, velocity, phi, s)
                for j in range(n):
                    of = type_index[j]
                    add_connections_back(sbar, s, delta, j, gain_onto[of], gain_part[of], pointer, post, value)
                _add(total, sbar)
            adjoint, total = total, adjoint
        if t % _FLUSH == 0:
            for onto in range(n_types):
                for of in range(n_types):
                    for p in range(LANES):
                        gain_total[onto, of, p] += gain_part[of, onto, p]
                        gain_part[of, onto, p] = 0
    _add_samples(adjoint, grad_rates[0], observed, first_trial, used)
    last_state = states[len(values)]
    for lane in range(LANES):
        finite = True
        for i in range(n):
            finite = finite and np.isfinite(last_state[i, lane])
        if lane >= used or not finite:
            gain_total[:, :, lane] = 0
            bias_total[:, lane] = 0
            blend_total[:, lane] = 0
            velocity_total[:, lane] = 0
            adjoint[:, lane] = 0
        if lane < used:
            for i in range(n):
                initial_gradient[first_trial + lane, i] = adjoint[i, lane]


@compiled
@no_type_check
def _add_samples(adjoint, gradient, observed, first_trial, used):
    for k in range(len(observed)):
        for lane in range(used):
            adjoint[observed[k], lane] += gradient[first_trial + lane, k]


# One loop over lanes for each array that is written: more, and the compiler no longer turns them into vectors.


@compiled
@no_type_check
def _stage_gradients(kbar, delta, sbar, adjoint, slope, blend, b, c):
    """Of one stage: kbar = b rbar' + c sbar, delta = a phi' kbar, and -a kbar, to which sbar is yet to be added."""
    n, lanes = kbar.shape
    for i in range(n):
        a = blend[i]
        for p in range(lanes):
            kbar[i, p] = b * adjoint[i, p] + c * sbar[i, p]
        for p in range(lanes):
            delta[i, p] = slope[i, p] * kbar[i, p]
        for p in range(lanes):
            sbar[i, p] = -a * kbar[i, p]


@compiled
@no_type_check
def _add_products(velocity_total, bias_total, blend_total, delta, kbar, velocity, phi, s):
    """The sums by neuron: velocity delta, delta, kbar (phi - s)."""
    n, lanes = delta.shape
    for i in range(n):
        for p in range(lanes):
            velocity_total[i, p] += delta[i, p] * velocity[p]
    _add(bias_total, delta)
    for i in range(n):
        for p in range(lanes):
            blend_total[i, p] += kbar[i, p] * (phi[i, p] - s[i, p])


@compiled
@no_type_check
def _add(total, part):
    n, lanes = total.shape
    for i in range(n):
        for p in range(lanes):
            total[i, p] += part[i, p]
