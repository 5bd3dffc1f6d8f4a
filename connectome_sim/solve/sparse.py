"""Sparse stepping kernel: forward steps on the CPU in compiled code that visits only connections. Knows no gradient.

Trials are the lanes of vectors: a group of ``LANES`` trials is stepped together, its state laid out [neuron, lane], and
groups are shared among threads. One evaluation of the equation walks the rows of W in compressed form and adds up
weight times presynaptic row, so the work is that of the connections there are. No operation mixes lanes: a trial that
diverges, or a lane without a trial, leaves the others as they are to the last bit.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, no_type_check

import numba
import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]  # numba brings it along
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from torch import Tensor

from connectome_sim.solve.dense import DenseKernel, Problem, Tape

LANES = 16  # trials per group (chosen: 32 is 10 % faster for 64 trials, but slower for few and leaves threads idle)
_SUMS_BYTES = 256  # size of the partial sums of a row (chosen: half the vector registers of AVX2; all are slower)
_CODES = {"sigmoid": 0, "softplus": 1, "relu": 2, "tanh": 3}
_DTYPES = (torch.float32, torch.float64)
# Where matrix products win: more connections than both (measured with benchmarks/simulate.py; below the number, the
# state of a group stays in the fastest cache whatever the share)
_NUMBER = 25_000
_SHARE = 0.45  # of all pairs
_compiled = njit(cache=True, error_model="numpy", fastmath={"contract"})  # fused multiply-add, and nothing reordered


class SparseKernel(DenseKernel):
    """Compiled steps on the CPU where no tape is wanted and connections are few; otherwise the dense kernel.

    Few means up to 25,000, or up to 45 % of all pairs of neurons.
    """

    def forward(self, problem: Problem, *, keep: bool) -> tuple[Tensor, Tape | None]:
        """As in ``Kernel``."""
        p = problem
        if keep or not _is_worthwhile(p):
            return super().forward(problem, keep=keep)
        n_steps, batch = p.angular_velocity.shape
        rates = p.initial.new_empty(n_steps + 1, *p.initial.shape)
        weights = _array(p.weights)
        post, pre = np.nonzero(weights)
        before = numba.get_num_threads()
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS, -(-batch // LANES)))
        try:
            _integrate(
                rates.numpy(),
                _array(p.initial),
                _array(p.angular_velocity),
                _current(p),
                np.searchsorted(post, np.arange(len(weights) + 1)),
                pre.astype(np.uint32),
                weights[post, pre],
                _array(p.bias),
                _array(p.velocity_input),
                _array(p.blend),
                np.array((*p.scheme.couplings, 0.0), weights.dtype),
                np.array(p.scheme.weights, weights.dtype),
                p.substeps,
                _CODES[p.activation.name],
            )
        finally:
            numba.set_num_threads(before)
        return rates, None


SPARSE = SparseKernel()


def _is_worthwhile(problem: Problem) -> bool:
    weights = problem.weights
    if weights.device.type != "cpu" or weights.dtype not in _DTYPES:
        return False
    return int(torch.count_nonzero(weights)) <= max(_NUMBER, _SHARE * weights.numel())


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _current(problem: Problem) -> np.ndarray:
    """The current [steps or 1, batch or 1, neuron]: an axis along which it was broadcast has length 1."""
    current = problem.current
    if current is None:
        return _array(torch.zeros_like(problem.bias)[None, None])
    for axis in (0, 1):
        if current.stride(axis) == 0:
            current = current.narrow(axis, 0, 1)
    return _array(current)


@njit(parallel=True, cache=True)
@no_type_check
def _integrate(
    rates,
    initial,
    omega,
    current,
    pointer,
    pre,
    weight,
    bias,
    velocity_input,
    blend,
    couplings,
    stage_weights,
    substeps,
    activation,
):
    """Fills ``rates`` [steps + 1, batch, neuron]; connections of neuron i are pointer[i] to pointer[i + 1]."""
    for group in prange(-(-omega.shape[1] // LANES)):
        _integrate_group(
            group * LANES,
            rates,
            initial,
            omega,
            current,
            pointer,
            pre,
            weight,
            bias,
            velocity_input,
            blend,
            couplings,
            stage_weights,
            substeps,
            activation,
        )


@_compiled
@no_type_check
def _integrate_group(
    first_trial,
    rates,
    initial,
    omega,
    current,
    pointer,
    pre,
    weight,
    bias,
    velocity_input,
    blend,
    couplings,
    stage_weights,
    substeps,
    activation,
):
    """Steps trials first_trial to first_trial + LANES, as far as there are so many; the lanes left over idle at 0."""
    n_times, n_trials, n = rates.shape
    used = min(LANES, n_trials - first_trial)
    r, after, external, x, stage_a, stage_b = [np.zeros((n, LANES), rates.dtype) for _ in range(6)]
    for lane in range(used):
        for i in range(n):
            r[i, lane] = rates[0, first_trial + lane, i] = initial[first_trial + lane, i]
    for t in range(n_times - 1):
        for lane in range(used):
            trial = first_trial + lane
            omega_t, current_t = omega[t, trial], current[t % current.shape[0], trial % current.shape[1]]
            for i in range(n):
                external[i, lane] = bias[i] + velocity_input[i] * omega_t + current_t[i]
        for _ in range(substeps):
            s, s_next = r, stage_a
            for stage in range(len(stage_weights)):
                for i in range(n):
                    add_connections(x, external, s, i, pre, weight, pointer[i], pointer[i + 1])
                _activate(x.ravel(), activation)
                _advance(after, s_next, r, s, x, blend, stage_weights[stage], couplings[stage], stage == 0)
                s, s_next = s_next, (stage_b if stage % 2 == 0 else stage_a)
            r, after = after, r
        for lane in range(used):
            for i in range(n):
                rates[t + 1, first_trial + lane, i] = r[i, lane]


@_compiled
@no_type_check
def _advance(after, s_next, r, s, phi, blend, stage_weight, coupling, first):
    """One stage of ``scheme``: r' += b_i k_i and s_(i+1) = r + c_i k_i with k_i = a (phi - s_i)."""
    n, lanes = r.shape
    for i in range(n):
        b, c = stage_weight * blend[i], coupling * blend[i]
        start = r[i] if first else after[i]
        for lane in range(lanes):
            gap = phi[i, lane] - s[i, lane]
            after[i, lane] = start[lane] + b * gap
            s_next[i, lane] = r[i, lane] + c * gap


@_compiled
@no_type_check
def _activate(x, activation):
    """Phi in place. Loops over one plain array, which the compiler turns into vector instructions."""
    if activation == 0:
        for i in range(len(x)):
            x[i] = _sigmoid(x[i])
    elif activation == 1:
        for i in range(len(x)):
            x[i] = _softplus(x[i])
    elif activation == 2:
        for i in range(len(x)):
            x[i] = _relu(x[i])
    else:
        for i in range(len(x)):
            x[i] = _tanh(x[i])


# Elementary functions without branches or calls, hence vectorisable, in the precision of their argument. All rest on
# e^x as a fraction, so that each activation takes one division.


@no_type_check
def _exponential(x):
    """(s, p, q) with e^x = s (p + q) / (p - q), x clipped to where e^x is a normal number; NaN stays NaN.

    x = n ln 2 + f with n whole and |f| <= ln 2 / 2, s = 2^n, and p and q are the even and odd part of the numerator of
    the diagonal Padé approximant of e^f of order m; the denominator is the numerator of e^-f. Its relative error is
    about (m!)^2 / ((2m)! (2m + 1)!) |f|^(2m + 1): 2e-19 for m = 6, 6e-9 for m = 3.
    """


@overload(_exponential)
@no_type_check
def _exponential_of(x):
    number, order, lowest, highest, mantissa_bits, ln2_bits = (
        (np.float64, 6, -708, 709, 52, 32) if x == types.float64 else (np.float32, 3, -87, 88, 23, 12)
    )
    lowest, highest, log2_e = number(lowest), number(highest), number(1 / math.log(2))
    # adding this leaves no room for a fraction: what remains is rounded to a whole number, held in the lowest bits
    shifter = number(1.5 * 2**mantissa_bits)
    # ln 2 in two parts, the first short enough for n times it to be exact
    ln2 = Fraction("0.693147180559945309417232121458176568")
    ln2_high = Fraction(round(ln2 * 2**ln2_bits), 2**ln2_bits)
    ln2_high, ln2_low = number(ln2_high), number(ln2 - ln2_high)
    f_ = math.factorial
    pade = [f_(2 * order - k) * f_(order) / (f_(2 * order) * f_(k) * f_(order - k)) for k in range(order + 1)]
    even = tuple(number(c) for c in pade[0::2])
    odd = tuple(number(c) for c in pade[1::2])

    def exponential(x):
        x = lowest if x < lowest else x
        x = highest if x > highest else x
        shifted = x * log2_e + shifter
        n = shifted - shifter
        f = (x - n * ln2_high) - n * ln2_low
        z = f * f
        return _power_of_two(shifted), _polynomial(z, even), _polynomial(z, odd) * f

    return exponential


@no_type_check
def _polynomial(z, coefficients):
    """Horner's rule, lowest coefficient first; unrolled by the compiler, as each step is a function of its own."""


@overload(_polynomial)
@no_type_check
def _polynomial_of(z, coefficients):
    def last(z, coefficients):
        return coefficients[0]

    def step(z, coefficients):
        return coefficients[0] + z * _polynomial(z, coefficients[1:])

    return last if len(coefficients) == 1 else step


@no_type_check
def _power_of_two(shifted):
    """2^n where the lowest bits of ``shifted`` are the whole number n: moves n, plus the bias, to the exponent."""


@overload(_power_of_two)
@no_type_check
def _power_of_two_of(shifted):
    def double(shifted):
        bits = np.float64(shifted).view(np.int64)
        return np.int64((bits << 52) + (1023 << 52)).view(np.float64)

    def single(shifted):
        bits = np.float32(shifted).view(np.int32)
        return np.int32((bits << np.int32(23)) + np.int32(127 << 23)).view(np.float32)

    return double if shifted == types.float64 else single


@no_type_check
def _sigmoid(x):
    """1 / (1 + e^-x)."""


@overload(_sigmoid)
@no_type_check
def _sigmoid_of(x):
    def sigmoid(x):
        s, p, q = _exponential(x)
        numerator = s * (p + q)
        return numerator / (numerator + (p - q))

    return sigmoid


@no_type_check
def _tanh(x):
    """(e^2x - 1) / (e^2x + 1), sorted by p and q: near 0, where s = 1, nothing cancels."""


@overload(_tanh)
@no_type_check
def _tanh_of(x):
    one = np.float64(1) if x == types.float64 else np.float32(1)

    def tanh(x):
        s, p, q = _exponential(x + x)
        return ((s - one) * p + (s + one) * q) / ((s + one) * p + (s - one) * q)

    return tanh


@no_type_check
def _relu(x):
    """The larger of x and 0; NaN stays NaN."""


@overload(_relu)
@no_type_check
def _relu_of(x):
    zero = np.float64(0) if x == types.float64 else np.float32(0)

    def relu(x):
        return zero if x <= zero else x

    return relu


@no_type_check
def _softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + u), u = e^-|x|, log(1 + u) = 2 artanh(u / (2 + u)) as a series."""


@overload(_softplus)
@no_type_check
def _softplus_of(x):
    # the argument of artanh is at most 1/3, so the series left out is below 9^-17 / 35 and 9^-8 / 17
    number, n_terms = (np.float64, 17) if x == types.float64 else (np.float32, 8)
    two = number(2)
    series = tuple(number(2 / (2 * k + 1)) for k in range(n_terms))

    def softplus(x):
        s, p, q = _exponential(-abs(x))
        numerator = s * (p + q)
        argument = numerator / (numerator + two * (p - q))
        return _relu(x) + argument * _polynomial(argument * argument, series)

    return softplus


@intrinsic
@no_type_check
def add_connections(typing_context, x, external, s, i, pre, weight, first, last):
    """x[i] = external[i] + sum over k from first to last of weight[k] s[pre[k]], each row one vector of lanes.

    Written as vectors for the compiler, because it cannot prove by itself that the rows of x and s do not overlap. The
    sum runs in several chains, or each addition would wait for the one before.
    """
    signature = types.void(x, external, s, types.intp, pre, weight, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(position):
            return context.make_array(signature.args[position])(context, builder, arguments[position]).data

        x, external, s, pre, weight = (data(position) for position in (0, 1, 2, 4, 5))
        i, first, last = arguments[3], arguments[6], arguments[7]
        integer, scalar = i.type, weight.type.pointee
        vector, undefined = ir.VectorType(scalar, LANES), ir.Constant(ir.VectorType(scalar, LANES), ir.Undefined)
        every_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        alignment = context.get_abi_sizeof(scalar)
        n_chains = _SUMS_BYTES // (LANES * alignment)

        def row(array, index):
            start = builder.gep(array, [builder.mul(index, integer(LANES))])
            return builder.bitcast(start, vector.as_pointer())

        def add(one, other):
            return builder.fadd(one, other, flags=("contract",))

        def add_connection(k, chain):
            j = builder.zext(builder.load(builder.gep(pre, [k])), integer)
            w = builder.insert_element(undefined, builder.load(builder.gep(weight, [k])), ir.IntType(32)(0))
            w = builder.shuffle_vector(w, undefined, every_lane)
            product = builder.fmul(w, builder.load(row(s, j), align=alignment), flags=("contract",))
            builder.store(add(builder.load(chain), product), chain)

        chains = [cgutils.alloca_once(builder, vector) for _ in range(n_chains)]
        builder.store(builder.load(row(external, i), align=alignment), chains[0])
        for chain in chains[1:]:
            builder.store(ir.Constant(vector, [0.0] * LANES), chain)
        stride = integer(n_chains)
        whole = builder.sub(last, builder.srem(builder.sub(last, first), stride))
        with cgutils.for_range_slice(builder, first, whole, stride, integer) as (k, _):
            for offset, chain in enumerate(chains):
                add_connection(builder.add(k, integer(offset)), chain)
        with cgutils.for_range_slice(builder, whole, last, integer(1), integer) as (k, _):
            add_connection(k, chains[0])
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = add(total, builder.load(chain))
        builder.store(total, row(x, i), align=alignment)
        return context.get_dummy_value()

    return signature, generate
