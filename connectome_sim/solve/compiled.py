"""Building blocks of compiled kernels: vector-friendly activations and a walk along connections. Knows no scheme.

Arrays are laid out [neuron, lane]: a row of ``LANES`` numbers, trials or directions, is one vector.
"""

from __future__ import annotations

import logging
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # numba brings it along
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LANES = 16  # numbers per row (chosen: 32 is 10 % faster for 64 trials, but slower for few and leaves threads idle)
ACTIVATION_CODES = {"sigmoid": 0, "softplus": 1, "relu": 2, "tanh": 3}
_SUMS_BYTES = 256  # size of the partial sums of a row (chosen: half the vector registers of AVX2; all are slower)
_LOG = logging.getLogger("connectome_sim")
_HOW = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}}  # fused multiply-add, and nothing reordered
compiled = njit(**_HOW)
compiled_alone = njit(nogil=True, **_HOW)  # for what Python calls: others may run meanwhile


def announce(kernel: Any) -> None:
    """Say so where a kernel is about to be compiled, which takes seconds, once on a machine."""
    if kernel.signatures:
        return  # done in this process
    kept = Path(kernel._cache.cache_path).glob(f"*.{kernel.py_func.__name__}-*.nbi")
    if not any(kept):
        _LOG.warning("compiling %s for this machine, once (some ten seconds)", kernel.py_func.__name__.strip("_"))


@compiled
@no_type_check
def activate(x, activation):
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


@compiled
@no_type_check
def gate(slope, value, blend, activation):
    """A phi' at activations phi = ``value`` [neuron, lane]."""
    n, lanes = value.shape
    for i in range(n):
        a = blend[i]
        if activation == 0:
            for p in range(lanes):
                slope[i, p] = a * value[i, p] * (1 - value[i, p])
        elif activation == 1:
            for p in range(lanes):
                slope[i, p] = -a * np.expm1(-value[i, p])
        elif activation == 2:
            for p in range(lanes):
                slope[i, p] = a if value[i, p] > 0 else 0 * a
        else:
            for p in range(lanes):
                slope[i, p] = a * (1 - value[i, p] * value[i, p])


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


class _Rows:
    """Writes vector code: a row of lanes is one vector, loaded, multiplied and summed as such.

    The compiler cannot prove by itself that rows of different arrays do not overlap, so loops over lanes that read one
    and write another would not become vectors.
    """

    def __init__(self, context: Any, builder: Any, scalar: Any) -> None:
        self.builder, self.scalar = builder, scalar
        self.vector = ir.VectorType(scalar, LANES)
        self.alignment = {ir.FloatType: 4, ir.DoubleType: 8}[type(scalar)]
        self.zero = ir.Constant(self.vector, [0.0] * LANES)

    def variable(self, value: Any) -> Any:
        place = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(value, place)
        return place

    def _at(self, data: Any, row: Any) -> Any:
        start = self.builder.gep(data, [self.builder.mul(row, row.type(LANES))])
        return self.builder.bitcast(start, self.vector.as_pointer())

    def load(self, data: Any, row: Any) -> Any:
        return self.builder.load(self._at(data, row), align=self.alignment)

    def store(self, value: Any, data: Any, row: Any) -> None:
        self.builder.store(value, self._at(data, row), align=self.alignment)

    def spread(self, number: Any) -> Any:
        """A number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        every_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, undefined, every_lane)

    def add(self, one: Any, other: Any) -> Any:
        return self.builder.fadd(one, other, flags=("contract",))

    def multiply(self, one: Any, other: Any) -> Any:
        return self.builder.fmul(one, other, flags=("contract",))

    def walk(self, s: Any, neuron: Any, value: Any, first: Any, last: Any, chains: list[Any]) -> Any:
        """The sum of the chains and of value[k] s[neuron[k]] over k from first to last.

        It runs in several chains, or each addition would wait for the one before.
        """
        builder, integer = self.builder, first.type

        def add_connection(k: Any, chain: Any) -> None:
            j = builder.zext(builder.load(builder.gep(neuron, [k])), integer)
            w = self.spread(builder.load(builder.gep(value, [k])))
            builder.store(self.add(builder.load(chain), self.multiply(w, self.load(s, j))), chain)

        stride = integer(len(chains))
        whole = builder.sub(last, builder.srem(builder.sub(last, first), stride))
        with cgutils.for_range_slice(builder, first, whole, stride, integer) as (k, _):
            for offset, chain in enumerate(chains):
                add_connection(builder.add(k, integer(offset)), chain)
        with cgutils.for_range_slice(builder, whole, last, integer(1), integer) as (k, _):
            add_connection(k, chains[0])
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = self.add(total, builder.load(chain))
        return total


def _data(context: Any, builder: Any, signature: Any, arguments: Any, positions: tuple[int, ...]) -> list[Any]:
    """Pointers to the data of array arguments."""
    return [context.make_array(signature.args[p])(context, builder, arguments[p]).data for p in positions]


@intrinsic
@no_type_check
def add_connections(typing_context, x, external, s, i, pre, weight, first, last):
    """x[i] = external[i] + sum over k from first to last of weight[k] s[pre[k]]."""
    signature = types.void(x, external, s, types.intp, pre, weight, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, external, s, pre, weight = _data(context, builder, signature, arguments, (0, 1, 2, 4, 5))
        i, first, last = arguments[3], arguments[6], arguments[7]
        rows = _Rows(context, builder, weight.type.pointee)
        chains = [rows.variable(rows.load(external, i))]
        chains += [rows.variable(rows.zero) for _ in range(_SUMS_BYTES // (LANES * rows.alignment) - 1)]
        rows.store(rows.walk(s, pre, weight, first, last, chains), x, i)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
@no_type_check
def add_connections_back(typing_context, sbar, s, delta, j, gain, gain_part, pointer, post, value):
    """Of neuron j, with U_A = sum over its connections k onto type A of value[k] delta[post[k]].

    sbar[j] += sum_A gain[A] U_A and gain_part[A] += U_A s[j], ``gain`` [A] and ``gain_part`` [A, lane] being those of
    the gains from the type of neuron j; its connections onto type A start at pointer[j K + A].
    """
    signature = types.void(sbar, s, delta, types.intp, gain, gain_part, pointer, post, value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = (0, 1, 2, 4, 5, 6, 7, 8)
        sbar, s, delta, gain, gain_part, pointer, post, value = _data(context, builder, signature, arguments, places)
        j = arguments[3]
        n_types = builder.extract_value(context.make_array(signature.args[4])(context, builder, arguments[4]).shape, 0)
        rows, integer = _Rows(context, builder, value.type.pointee), j.type
        own, total = rows.load(s, j), rows.variable(rows.load(sbar, j))
        chains = [rows.variable(rows.zero) for _ in range(2)]
        start = builder.mul(j, n_types)
        with cgutils.for_range_slice(builder, integer(0), n_types, integer(1), integer) as (onto, _):
            here = builder.add(start, onto)
            first = builder.load(builder.gep(pointer, [here]))
            last = builder.load(builder.gep(pointer, [builder.add(here, integer(1))]))
            with builder.if_then(builder.icmp_signed("<", first, last)):
                for chain in chains:
                    builder.store(rows.zero, chain)
                u = rows.walk(delta, post, value, first, last, chains)
                g = rows.spread(builder.load(builder.gep(gain, [onto])))
                builder.store(rows.add(builder.load(total), rows.multiply(g, u)), total)
                rows.store(rows.add(rows.load(gain_part, onto), rows.multiply(u, own)), gain_part, onto)
        rows.store(builder.load(total), sbar, j)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
@no_type_check
def add_row(typing_context, x, i, factor, s, j):
    """x[i] += factor s[j]."""
    signature = types.void(x, types.intp, x.dtype, s, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, s = _data(context, builder, signature, arguments, (0, 3))
        i, factor, j = arguments[1], arguments[2], arguments[4]
        rows = _Rows(context, builder, x.type.pointee)
        rows.store(rows.add(rows.load(x, i), rows.multiply(rows.spread(factor), rows.load(s, j))), x, i)
        return context.get_dummy_value()

    return signature, generate
