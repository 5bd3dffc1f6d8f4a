"""Compiled steps along connections and their exact reverse. Knows no tensor and no error.

Trials are the lanes of rows (see ``rows.py``): arrays are laid out [..., neuron, lane], and a call steps one group of
as many trials as a row has lanes.
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np

from connectome_sim.solve.compiled import activate, compiled, compiled_alone, slope
from connectome_sim.solve.rows import load, store, weighted_sum, zero
from connectome_sim.solve.subnormals import flush_subnormals, restore

STRIDE = 8  # solver steps between marks (chosen: their states stay in the second-level cache)
_FLUSH = 16  # steps whose gradient of the gains is summed before it is added up in float64 (chosen)


class Network(NamedTuple):
    """What the equation uses; the connections of neuron i are entries pointer[i] to the next one."""

    pointer: np.ndarray  # [N + 1]
    pre: np.ndarray  # presynaptic neuron of each connection, uint32
    weight: np.ndarray  # of each connection
    bias: np.ndarray  # [N]
    velocity_input: np.ndarray  # [N]
    blend: np.ndarray  # a [N], see scheme.py
    activation: int  # one of ACTIVATION_CODES


class Columns(NamedTuple):
    """What the reverse uses; the connections of neuron j to type A are entries pointer[j K + A] to the next one."""

    pointer: np.ndarray  # [N K + 1]
    post: np.ndarray  # postsynaptic neuron of each connection, uint32
    value: np.ndarray  # signed, normalised count of each connection
    type_index: np.ndarray  # [N]
    gain: np.ndarray  # [K, K]
    blend: np.ndarray  # a [N]
    activation: int  # one of ACTIVATION_CODES


class Trials(NamedTuple):
    """Where all trials start and what drives them."""

    initial: np.ndarray  # [B, N]
    omega: np.ndarray  # angular velocity [T, B]
    current: np.ndarray  # [T or 1, B or 1, N]
    observed: np.ndarray  # neurons whose rates are wanted [M]


class Results(NamedTuple):
    """What comes of all trials."""

    rates: np.ndarray  # [samples + 1, B, M]
    final: np.ndarray  # [B, N]


class Tape(NamedTuple):
    """What a group's reverse needs: all of it, or no mark and, used over and over, one activation."""

    marks: np.ndarray  # states every STRIDE steps and at the end [marks, N, lane]
    values: np.ndarray  # activations of every stage [stages in all, N, lane]


class Wanted(NamedTuple):
    """What is differentiated: gradients by the results of all trials, and the drive."""

    rates: np.ndarray  # [samples + 1, B, M]
    final: np.ndarray  # [B, N]
    omega: np.ndarray  # [T, B]
    observed: np.ndarray  # [M]


class Sums(NamedTuple):
    """Gradients of a group's trials, lane by lane, and by the initial state of all trials."""

    gain: np.ndarray  # [K, K, lane], float64
    bias: np.ndarray  # [N, lane]
    blend: np.ndarray  # [N, lane]
    velocity_input: np.ndarray  # [N, lane]
    initial: np.ndarray  # [B, N]


@compiled_alone
@no_type_check
def forward(first_trial, results, tape, trials, network, steps, width):
    """Steps as many trials as a row has lanes, from ``first_trial``; what the lanes left over hold is not used."""
    n_steps, n, lanes = len(trials.omega), len(network.bias), len(width)
    used = min(lanes, len(trials.initial) - first_trial)
    marks, values, current, dtype = tape.marks, tape.values, trials.current, results.rates.dtype
    n_stages = len(steps.weights)
    states = np.zeros((n_stages + 1, n, lanes), dtype)  # of the stages of a step, and the next step's first
    base, velocity = np.zeros((n, lanes), dtype), np.zeros((1, lanes), dtype)
    mode = flush_subnormals()
    for lane in range(used):
        for i in range(n):
            states[0, i, lane] = trials.initial[first_trial + lane, i]
    _sample(results.rates[0], states[0], trials.observed, first_trial, used)
    step = 0
    for t in range(n_steps):
        if t < len(current):
            for lane in range(used):
                current_t = current[t, (first_trial + lane) % current.shape[1]]
                for i in range(n):
                    base[i, lane] = network.bias[i] + current_t[i]
        for lane in range(used):
            velocity[0, lane] = trials.omega[t, first_trial + lane]
        for _ in range(steps.substeps):
            if len(marks) and step % STRIDE == 0:
                marks[step // STRIDE] = states[0]
            for stage in range(n_stages):
                x = values[(step * n_stages + stage) % len(values)]
                _total_input(x, states[stage], base, velocity, network, width)
                activate(x.ravel(), network.activation)
                _advance(states, x, stage, network.blend, steps, width)
            states[0] = states[n_stages]
            step += 1
        if (t + 1) % steps.sample_every == 0:
            _sample(results.rates[(t + 1) // steps.sample_every], states[0], trials.observed, first_trial, used)
    if len(marks):
        marks[-1] = states[0]
    for lane in range(used):
        for i in range(n):
            results.final[first_trial + lane, i] = states[0, i, lane]
    restore(mode)


@compiled
@no_type_check
def _sample(rates, state, observed, first_trial, used):
    for lane in range(used):
        for k in range(len(observed)):
            rates[first_trial + lane, k] = state[observed[k], lane]


@compiled
@no_type_check
def _total_input(x, s, base, velocity, network, width):
    """``x`` = W s + b + I + k omega."""
    omega = load(velocity, 0, width)
    for i in range(len(x)):
        external = load(base, i, width) + network.velocity_input[i] * omega
        first, last = network.pointer[i], network.pointer[i + 1]
        store(x, i, weighted_sum(external, s, network.pre, network.weight, first, last))


@compiled
@no_type_check
def _advance(states, phi, stage, blend, steps, width):
    """One stage of ``scheme``, states [stage, neuron, lane]: s_(i+1) = r + c_i k_i, r' += b_i k_i.

    The last one is r'.
    """
    n, last = len(blend), len(states) - 1
    coupling, weight = steps.couplings[stage], steps.weights[stage]
    so_far = 0 if stage == 0 else last
    for i in range(n):
        k = blend[i] * (load(phi, i, width) - load(states, stage * n + i, width))
        if stage + 1 < last:
            store(states, (stage + 1) * n + i, load(states, i, width) + coupling * k)
        store(states, last * n + i, load(states, so_far * n + i, width) + weight * k)


@compiled_alone
@no_type_check
def reverse(first_trial, sums, tape, wanted, columns, steps, width):
    """The reverse of ``forward`` for the trials of one group; one that diverged has no gradient."""
    n, n_types, n_stages, lanes = len(columns.blend), len(columns.gain), len(steps.weights), len(width)
    used = min(lanes, len(wanted.final) - first_trial)
    marks, values = tape.marks, tape.values
    dtype, n_steps = marks.dtype, len(values) // n_stages
    states = np.empty((STRIDE, n_stages + 1, n, lanes), dtype)  # from one mark to the next
    adjoint, total, sbar, delta, slopes = [np.zeros((n, lanes), dtype) for _ in range(5)]
    # gains and what goes to them by type pair, presynaptic type first
    gain_onto, gain_part = columns.gain.T.copy().ravel(), np.zeros((n_types * n_types, lanes), dtype)
    velocity = np.zeros((1, lanes), dtype)
    mode = flush_subnormals()
    for lane in range(used):
        for i in range(n):
            adjoint[i, lane] = wanted.final[first_trial + lane, i]
    step = n_steps
    for t in range(len(wanted.omega) - 1, -1, -1):
        if (t + 1) % steps.sample_every == 0:
            _add_samples(adjoint, wanted.rates[(t + 1) // steps.sample_every], wanted.observed, first_trial, used)
        for lane in range(used):
            velocity[0, lane] = wanted.omega[t, first_trial + lane]
        for _ in range(steps.substeps):
            if step == n_steps or step % STRIDE == 0:
                _between_marks(states, tape, (step - 1) // STRIDE, columns.blend, steps, width)
            step -= 1
            for stage in range(n_stages - 1, -1, -1):
                s, phi = states[step % STRIDE, stage], values[step * n_stages + stage]
                slope(slopes.ravel(), phi.ravel(), columns.activation)
                is_last = stage + 1 == n_stages
                _stage_gradients(
                    sbar, delta, adjoint, slopes, phi, s, stage, velocity, columns.blend, sums, steps, width
                )
                onward = adjoint if is_last else total
                _along_columns(total, onward, sbar, delta, s, columns, gain_onto, gain_part, width)
            adjoint, total = total, adjoint
        if t % _FLUSH == 0:
            for of in range(n_types):
                for onto in range(n_types):
                    for p in range(lanes):
                        sums.gain[onto, of, p] += gain_part[of * n_types + onto, p]
                        gain_part[of * n_types + onto, p] = 0
    _add_samples(adjoint, wanted.rates[0], wanted.observed, first_trial, used)
    last_state = marks[-1]
    for lane in range(lanes):
        finite = True
        for i in range(n):
            finite = finite and np.isfinite(last_state[i, lane])
        if lane >= used or not finite:
            sums.gain[:, :, lane] = 0
            sums.bias[:, lane] = 0
            sums.blend[:, lane] = 0
            sums.velocity_input[:, lane] = 0
            adjoint[:, lane] = 0
        if lane < used:
            for i in range(n):
                sums.initial[first_trial + lane, i] = adjoint[i, lane]
    restore(mode)


@compiled
@no_type_check
def _between_marks(states, tape, mark, blend, steps, width):
    """The states from a mark to the next one, once more."""
    n_stages = len(steps.weights)
    first = mark * STRIDE
    for step in range(first, min(first + STRIDE, len(tape.values) // n_stages)):
        here = states[step - first]
        here[0] = tape.marks[mark] if step == first else states[step - first - 1, n_stages]
        for stage in range(n_stages):
            _advance(here, tape.values[step * n_stages + stage], stage, blend, steps, width)


@compiled
@no_type_check
def _add_samples(adjoint, gradient, observed, first_trial, used):
    for lane in range(used):
        for k in range(len(observed)):
            adjoint[observed[k], lane] += gradient[first_trial + lane, k]


@compiled
@no_type_check
def _stage_gradients(sbar, delta, adjoint, slopes, phi, s, stage, velocity, blend, sums, steps, width):
    """Of one stage: kbar = b rbar' + c sbar, delta = a phi' kbar, -a kbar to sbar, and the sums by neuron."""
    omega = load(velocity, 0, width)
    b, c, is_last = steps.weights[stage], steps.couplings[stage], stage + 1 == len(steps.weights)
    for i in range(len(s)):
        kbar = b * load(adjoint, i, width)
        if not is_last:
            kbar += c * load(sbar, i, width)
        d = (blend[i] * kbar) * load(slopes, i, width)
        store(delta, i, d)
        store(sbar, i, (-blend[i]) * kbar)
        store(sums.velocity_input, i, load(sums.velocity_input, i, width) + d * omega)
        store(sums.bias, i, load(sums.bias, i, width) + d)
        store(sums.blend, i, load(sums.blend, i, width) + kbar * (load(phi, i, width) - load(s, i, width)))


@compiled
@no_type_check
def _along_columns(total, onward, sbar, delta, s, columns, gain_onto, gain_part, width):
    """Of every neuron j: sum_A g_AB U_jA to sbar, U_jA s_j to the gains, and total = onward + sbar."""
    nothing, n_types = zero(delta, width), len(columns.gain)
    for j in range(len(s)):
        first_pair, first_pointer = columns.type_index[j] * n_types, j * n_types
        own, back = load(s, j, width), load(sbar, j, width)
        for onto in range(n_types):
            first, last = columns.pointer[first_pointer + onto], columns.pointer[first_pointer + onto + 1]
            if first < last:
                pair = first_pair + onto
                u = weighted_sum(nothing, delta, columns.post, columns.value, first, last)
                back += gain_onto[pair] * u
                store(gain_part, pair, load(gain_part, pair, width) + u * own)
        store(sbar, j, back)
        store(total, j, load(onward, j, width) + back)
