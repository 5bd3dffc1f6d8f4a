"""Sparse stepping kernel: steps and their exact reverse on the CPU, in compiled code that visits connections only.

Trials are the lanes of vectors: a group of them is stepped together, its state laid out [neuron, lane], and groups are
shared among threads. Forwards, one evaluation of the equation walks the rows of W in compressed form.
Backwards it walks the columns of S, the signed counts, type by type: with U_jA the sum over the neurons i of type A of
S_ij delta_i, both what goes on to neuron j, sum_A g_AB U_jA, and the gradient of every gain, sum_j U_jA s_j, come from
one walk, so neither dense weights nor their gradient are formed. No operation mixes lanes until the end: a trial that
diverges, or a lane without a trial, leaves the others as they are.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from connectome_sim.model.connectivity import by_first
from connectome_sim.solve.buffers import buffer
from connectome_sim.solve.compiled import ACTIVATION_CODES, activate, announce, compiled, compiled_alone, slope
from connectome_sim.solve.problem import Gradients, Problem, Tape
from connectome_sim.solve.rows import load, store, weighted_sum, width, zero
from connectome_sim.solve.subnormals import flush_subnormals, restore
from connectome_sim.solve.threads import share

_DTYPES = (torch.float32, torch.float64)
# Where matrix products win: more connections than both (measured with benchmarks/simulate.py; below the number, the
# state of a group stays in the fastest cache whatever the share)
_NUMBER = 25_000
_SHARE = 0.45  # of all pairs
_STRIDE = 8  # solver steps between marks (chosen: their states stay in the second-level cache)
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
        """As in ``Kernel``. The tape is marks and activations, [groups, marks or stages in all, neuron, lane].

        A mark is the state every ``_STRIDE`` steps and at the end. With the activations, the states between follow at
        little cost, to the last bit, which is cheaper than to write them to memory and read them.
        """
        p = problem
        n_steps, batch = p.angular_velocity.shape
        lanes = _lanes(batch, p.bias.dtype)
        n, groups = len(p.bias), -(-batch // lanes)
        steps, stages = n_steps * p.substeps, n_steps * p.substeps * p.scheme.stages
        observed = _observed(p)
        rates = buffer((n_steps // p.sample_every + 1, batch, len(observed)), p.bias.dtype)
        final = torch.empty_like(p.initial)
        marks = buffer((groups, -(-steps // _STRIDE) + 1 if keep else 0, n, lanes), p.bias.dtype)
        values = buffer((groups, stages if keep else 1, n, lanes), p.bias.dtype)
        kept_marks, kept_values = marks.numpy(), values.numpy()
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
            width(lanes),
        )
        results = rates.numpy(), final.numpy()
        announce(_integrate)
        share(lambda g: _integrate(g * lanes, *results, kept_marks[g], kept_values[g], *inputs), groups)
        return rates, final, (marks, values) if keep else None

    def backward(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor, *, need_weights: bool
    ) -> Gradients:
        """As in ``Kernel``; the equations are those of the dense kernel. ``need_weights`` asks for the gains' gradient.

        Trials that diverged have no gradient.
        """
        p = problem
        gain, by_neuron, initial = self.by_trial(p, tape, grad_rates, grad_final)
        assert p.gain is not None
        bias, blend, velocity = by_neuron.sum(dim=-1).to(p.bias.dtype)
        return Gradients(
            weights=None,
            gain=gain.sum(dim=-1).to(p.gain.dtype) if need_weights else None,
            bias=bias,
            blend=blend,
            velocity_input=velocity,
            initial=initial,
            angular_velocity=None,
            current=None,
        )

    def by_trial(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the gradients are sums of over trials.

        Returns:
            By gain [post type, pre type, batch] and by bias, blend and velocity input [3, neuron, batch], float64; by
            initial state [batch, neuron].
        """
        p = problem
        assert p.connectivity is not None and p.gain is not None  # what those who call look at first
        marks, values = tape
        groups, _, n, lanes = marks.shape
        k, batch = len(p.gain), len(p.initial)
        c = p.connectivity
        gain = np.zeros((groups, k, k, lanes))
        by_neuron = np.zeros((groups, 3, n, lanes), _array(p.bias).dtype)
        initial = torch.empty_like(p.initial)
        kept_marks, kept_values, into = marks.numpy(), values.numpy(), initial.numpy()
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
            width(lanes),
        )
        announce(_reverse)
        share(
            lambda g: _reverse(g * lanes, gain[g], *by_neuron[g], into, kept_marks[g], kept_values[g], *inputs),
            groups,
        )
        return _in_a_row(gain, batch), _in_a_row(by_neuron, batch), initial


SPARSE = SparseKernel()


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _lanes(batch: int, dtype: torch.dtype) -> int:
    """Trials per group: a cache line of them, or half as many single-precision ones where threads would be idle.

    Results do not depend on it: no operation mixes lanes but the sum over trials.
    """
    few = -(-batch // 8) <= torch.get_num_threads()
    return 8 if few or dtype == torch.float64 else 16


def _in_a_row(sums: np.ndarray, batch: int) -> Tensor:
    """[group, ..., lane] -> [..., batch], float64: the same whatever the number of lanes."""
    by_trial = np.moveaxis(sums, 0, -2).reshape(*sums.shape[1:-1], -1)[..., :batch]
    return torch.from_numpy(np.ascontiguousarray(by_trial, dtype=np.float64))


def _observed(problem: Problem) -> np.ndarray:
    return np.arange(len(problem.bias)) if problem.observed is None else _array(problem.observed)


def _rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections by postsynaptic neuron: pointers [N + 1], presynaptic neurons, weights."""
    c = problem.connectivity
    if c is None or problem.gain is None:
        weights = _array(problem.weights)
        return by_first(weights, np.zeros(len(weights), np.int64), 1)
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
    marks,
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
    width,
):
    """Steps as many trials as a row has lanes, from ``first_trial``; what the lanes left over hold is not used.

    ``marks`` and ``values`` hold what is kept: all of it, or no mark and, used over and over, one activation.
    """
    n_steps, n, lanes = len(omega), len(bias), len(width)
    used = min(lanes, len(initial) - first_trial)
    n_stages = len(stage_weights)
    states = np.zeros((n_stages + 1, n, lanes), rates.dtype)  # of the stages of a step, and the next step's first
    base, velocity = np.zeros((n, lanes), rates.dtype), np.zeros((1, lanes), rates.dtype)
    mode = flush_subnormals()
    for lane in range(used):
        for i in range(n):
            states[0, i, lane] = initial[first_trial + lane, i]
    _sample(rates[0], states[0], observed, first_trial, used)
    step = 0
    for t in range(n_steps):
        if t < len(current):
            for lane in range(used):
                current_t = current[t, (first_trial + lane) % current.shape[1]]
                for i in range(n):
                    base[i, lane] = bias[i] + current_t[i]
        for lane in range(used):
            velocity[0, lane] = omega[t, first_trial + lane]
        for _ in range(substeps):
            if len(marks) and step % _STRIDE == 0:
                marks[step // _STRIDE] = states[0]
            for stage in range(n_stages):
                x = values[(step * n_stages + stage) % len(values)]
                _total_input(x, states[stage], base, velocity, velocity_input, pointer, pre, weight, width)
                activate(x.ravel(), activation)
                _advance(states, x, stage, blend, couplings[stage], stage_weights[stage], width)
            states[0] = states[n_stages]
            step += 1
        if (t + 1) % sample_every == 0:
            _sample(rates[(t + 1) // sample_every], states[0], observed, first_trial, used)
    if len(marks):
        marks[-1] = states[0]
    for lane in range(used):
        for i in range(n):
            final[first_trial + lane, i] = states[0, i, lane]
    restore(mode)


@compiled
@no_type_check
def _sample(rates, state, observed, first_trial, used):
    for lane in range(used):
        for k in range(len(observed)):
            rates[first_trial + lane, k] = state[observed[k], lane]


@compiled
@no_type_check
def _total_input(x, s, base, velocity, velocity_input, pointer, pre, weight, width):
    """``x`` = W s + b + I + k omega."""
    omega = load(velocity, 0, width)
    for i in range(len(x)):
        external = load(base, i, width) + velocity_input[i] * omega
        store(x, i, weighted_sum(external, s, pre, weight, pointer[i], pointer[i + 1]))


@compiled
@no_type_check
def _advance(states, phi, stage, blend, coupling, weight, width):
    """One stage of ``scheme``, states [stage, neuron, lane]: s_(i+1) = r + c_i k_i, r' += b_i k_i.

    The last one is r'.
    """
    n, last = len(blend), len(states) - 1
    so_far = 0 if stage == 0 else last
    for i in range(n):
        k = blend[i] * (load(phi, i, width) - load(states, stage * n + i, width))
        if stage + 1 < last:
            store(states, (stage + 1) * n + i, load(states, i, width) + coupling * k)
        store(states, last * n + i, load(states, so_far * n + i, width) + weight * k)


@compiled_alone
@no_type_check
def _reverse(
    first_trial,
    gain_total,
    bias_total,
    blend_total,
    velocity_total,
    initial_gradient,
    marks,
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
    width,
):
    """The reverse of ``_integrate`` for the trials of one group; sums are [.., lane], those of gains float64."""
    n, n_types, n_stages, lanes = len(blend), len(gain), len(stage_weights), len(width)
    used = min(lanes, len(grad_final) - first_trial)
    dtype, steps = marks.dtype, len(values) // n_stages
    states = np.empty((_STRIDE, n_stages + 1, n, lanes), dtype)  # from one mark to the next
    adjoint, total, sbar, delta, slopes = [np.zeros((n, lanes), dtype) for _ in range(5)]
    # gains and what goes to them by type pair, presynaptic type first
    gain_onto, gain_part = gain.T.copy().ravel(), np.zeros((n_types * n_types, lanes), dtype)
    velocity = np.zeros((1, lanes), dtype)
    mode = flush_subnormals()
    for lane in range(used):
        for i in range(n):
            adjoint[i, lane] = grad_final[first_trial + lane, i]
    step = steps
    for t in range(len(omega) - 1, -1, -1):
        if (t + 1) % sample_every == 0:
            _add_samples(adjoint, grad_rates[(t + 1) // sample_every], observed, first_trial, used)
        for lane in range(used):
            velocity[0, lane] = omega[t, first_trial + lane]
        for _ in range(substeps):
            if step == steps or step % _STRIDE == 0:
                _between_marks(states, marks, values, (step - 1) // _STRIDE, blend, couplings, stage_weights, width)
            step -= 1
            for stage in range(n_stages - 1, -1, -1):
                s, phi = states[step % _STRIDE, stage], values[step * n_stages + stage]
                slope(slopes.ravel(), phi.ravel(), activation)
                b, c, is_last = stage_weights[stage], couplings[stage], stage + 1 == n_stages
                _stage_gradients(
                    sbar, delta, adjoint, slopes, phi, s, blend, b, c, is_last,
                    velocity, velocity_total, bias_total, blend_total, width,
                )  # fmt: skip
                onward = adjoint if is_last else total
                _along_columns(
                    total, onward, sbar, delta, s, pointer, post, value, type_index, n_types,
                    gain_onto, gain_part, width,
                )  # fmt: skip
            adjoint, total = total, adjoint
        if t % _FLUSH == 0:
            for of in range(n_types):
                for onto in range(n_types):
                    for p in range(lanes):
                        gain_total[onto, of, p] += gain_part[of * n_types + onto, p]
                        gain_part[of * n_types + onto, p] = 0
    _add_samples(adjoint, grad_rates[0], observed, first_trial, used)
    last_state = marks[-1]
    for lane in range(lanes):
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
    restore(mode)


@compiled
@no_type_check
def _between_marks(states, marks, values, mark, blend, couplings, stage_weights, width):
    """The states from a mark to the next one, once more."""
    n_stages = len(stage_weights)
    first = mark * _STRIDE
    for step in range(first, min(first + _STRIDE, len(values) // n_stages)):
        here = states[step - first]
        here[0] = marks[mark] if step == first else states[step - first - 1, n_stages]
        for stage in range(n_stages):
            x = values[step * n_stages + stage]
            _advance(here, x, stage, blend, couplings[stage], stage_weights[stage], width)


@compiled
@no_type_check
def _add_samples(adjoint, gradient, observed, first_trial, used):
    for lane in range(used):
        for k in range(len(observed)):
            adjoint[observed[k], lane] += gradient[first_trial + lane, k]


@compiled
@no_type_check
def _stage_gradients(
    sbar, delta, adjoint, slopes, phi, s, blend, b, c, is_last, velocity, velocity_total, bias_total, blend_total, width
):
    """Of one stage: kbar = b rbar' + c sbar, delta = a phi' kbar, -a kbar to sbar, and the sums by neuron."""
    omega = load(velocity, 0, width)
    for i in range(len(s)):
        kbar = b * load(adjoint, i, width)
        if not is_last:
            kbar += c * load(sbar, i, width)
        d = (blend[i] * kbar) * load(slopes, i, width)
        store(delta, i, d)
        store(sbar, i, (-blend[i]) * kbar)
        store(velocity_total, i, load(velocity_total, i, width) + d * omega)
        store(bias_total, i, load(bias_total, i, width) + d)
        store(blend_total, i, load(blend_total, i, width) + kbar * (load(phi, i, width) - load(s, i, width)))


@compiled
@no_type_check
def _along_columns(
    total, onward, sbar, delta, s, pointer, post, value, type_index, n_types, gain_onto, gain_part, width
):
    """Of every neuron j: sum_A g_AB U_jA to sbar, U_jA s_j to the gains, and total = onward + sbar."""
    nothing = zero(delta, width)
    for j in range(len(s)):
        first_pair, first_pointer = type_index[j] * n_types, j * n_types
        own, back = load(s, j, width), load(sbar, j, width)
        for onto in range(n_types):
            first, last = pointer[first_pointer + onto], pointer[first_pointer + onto + 1]
            if first < last:
                pair, u = first_pair + onto, weighted_sum(nothing, delta, post, value, first, last)
                back += gain_onto[pair] * u
                store(gain_part, pair, load(gain_part, pair, width) + u * own)
        store(sbar, j, back)
        store(total, j, load(onward, j, width) + back)
