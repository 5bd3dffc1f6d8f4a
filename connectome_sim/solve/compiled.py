"""Building blocks of compiled kernels: how they are compiled, and vector-friendly activations. Knows no scheme."""

from __future__ import annotations

import logging
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
from numba import njit, types
from numba.extending import overload

ACTIVATION_CODES = {"sigmoid": 0, "softplus": 1, "relu": 2, "tanh": 3}
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
def slope(into, value, activation):
    """Phi' at activations phi = ``value``, both plain arrays."""
    one = into.dtype.type(1)
    if activation == 0:
        for i in range(len(into)):
            into[i] = value[i] * (one - value[i])
    elif activation == 1:
        for i in range(len(into)):
            into[i] = -_expm1(-value[i])
    elif activation == 2:
        for i in range(len(into)):
            into[i] = one if value[i] > 0 else one - one
    else:
        for i in range(len(into)):
            into[i] = one - value[i] * value[i]


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
def _expm1(x):
    """e^x - 1, sorted by p and q like tanh."""


@overload(_expm1)
@no_type_check
def _expm1_of(x):
    one = np.float64(1) if x == types.float64 else np.float32(1)

    def expm1(x):
        s, p, q = _exponential(x)
        return ((s - one) * p + (s + one) * q) / (p - q)

    return expm1


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
