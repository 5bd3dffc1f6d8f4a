"""Subnormal numbers count as zero where speed matters: a thread's floating-point mode, set and put back.

Most processors take a hundred cycles or more for an operation on a subnormal number (below 1e-38 in float32), and
adjoints that fade over a trial spend most of it there. Beside the numbers they are added to, they are nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, no_type_check

import torch
from llvmlite import binding, ir  # type: ignore[import-untyped]  # numba brings it along
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)  # what compiled code holds a control word in


class Register(NamedTuple):
    """The floating-point control word of a kind of processor: instructions that read and write it, and a mode of it."""

    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    flush: int  # the bits with which subnormal operands and results are zero


def _mxcsr(builder: Any, operation: str, place: Any) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{operation}")
    builder.call(function, [builder.bitcast(place, pointer)])


def _read_mxcsr(builder: Any) -> Any:
    place = cgutils.alloca_once(builder, ir.IntType(32))
    _mxcsr(builder, "stmxcsr", place)
    return builder.zext(builder.load(place), _WORD)


def _write_mxcsr(builder: Any, word: Any) -> None:
    place = cgutils.alloca_once(builder, ir.IntType(32))
    builder.store(builder.trunc(word, ir.IntType(32)), place)
    _mxcsr(builder, "ldmxcsr", place)


def _read_fpcr(builder: Any) -> Any:
    kind = ir.FunctionType(_WORD, [])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.get.fpcr"), [])


def _write_fpcr(builder: Any, word: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_WORD])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.set.fpcr"), [word])


_MXCSR = Register(_read_mxcsr, _write_mxcsr, 1 << 15 | 1 << 6)  # flush to zero, denormals are zero
_FPCR = Register(_read_fpcr, _write_fpcr, 1 << 24)  # FZ: both
REGISTERS = {"x86_64": _MXCSR, "aarch64": _FPCR, "arm64": _FPCR}
"""By architecture, as LLVM names it. On any other one kernels leave the mode alone and are only slower."""

_REGISTER = REGISTERS.get(binding.get_process_triple().split("-")[0])


@intrinsic
@no_type_check
def flush_subnormals(typing_context):
    """In compiled code: from here on subnormal numbers are zero in this thread; returns what `restore` takes.

    Compiled code has no ``finally``: nothing between the two may raise, so what allocates comes before.
    """

    def generate(context, builder, signature, arguments):
        if _REGISTER is None:
            return _WORD(0)
        before = _REGISTER.read(builder)
        _REGISTER.write(builder, builder.or_(before, _WORD(_REGISTER.flush)))
        return before

    return types.int64(), generate


@intrinsic
@no_type_check
def restore(typing_context, before):
    """In compiled code: the mode is as before `flush_subnormals`."""

    def generate(context, builder, signature, arguments):
        if _REGISTER is not None:
            _REGISTER.write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """In Python: within it, PyTorch takes subnormal numbers for zero in this thread, where the processor can."""
    before = sys.float_info.min / 2 == 0  # PyTorch sets the mode and does not tell it
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
