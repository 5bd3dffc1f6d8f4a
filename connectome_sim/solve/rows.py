"""Vectors in compiled code: a row of an array [..., row, lane] is loaded, computed with and stored as one value.

Lanes are trials or directions. A compiler that cannot prove that arrays do not overlap turns loops over lanes into poor
vectors or none; with rows as values there is nothing to prove. Compiled code writes ``load(s, i, width) * a + b``; how
many lanes a row has is part of its type, told by ``width``, a tuple of that many ``None``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, no_type_check

from llvmlite import ir  # type: ignore[import-untyped]  # numba brings it along
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

# Sums in which a row's connections are added up, the fixed number that makes a result the same whatever the width
# (chosen: fewer wait for one another, more no longer fit into the registers)
_CHAINS = 4
_AT_A_TIME = 2  # entries that are left over are so many, see ``Connectivity``
_CONTRACT = ("contract",)  # multiplication and addition in one instruction


def width(lanes: int) -> tuple[None, ...]:
    """What tells compiled code how many lanes a row has."""
    return (None,) * lanes


class Row(types.Type):
    """Type of a row in compiled code."""

    def __init__(self, scalar: Any, lanes: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"Row({scalar} x {lanes})")


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        scalar = manager.lookup(kind.scalar).get_value_type()
        super().__init__(manager, kind, ir.VectorType(scalar, kind.lanes))


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: int) -> Any:
    """Pointer to a row; arrays are contiguous, and the last axis is the lanes."""
    data = context.make_array(array_type)(context, builder, array).data
    return _row_at(builder, data, index, lanes)


def _row_at(builder: Any, data: Any, index: Any, lanes: int) -> Any:
    start = builder.gep(data, [builder.mul(index, index.type(lanes))])
    return builder.bitcast(start, ir.VectorType(data.type.pointee, lanes).as_pointer())


def _spread(builder: Any, number: Any, lanes: int) -> Any:
    vector, integer = ir.VectorType(number.type, lanes), ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, integer(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(integer, lanes), [0] * lanes))


def _bytes(scalar: Any) -> int:
    return int(scalar.bitwidth // 8)


@intrinsic
@no_type_check
def load(typing_context, array, index, width):
    """Row ``index`` of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], arguments[0], arguments[1], len(width))
        return builder.load(place, align=_bytes(array.dtype))

    return Row(array.dtype, len(width))(array, types.intp, width), generate


@intrinsic
@no_type_check
def store(typing_context, array, index, row):
    """Put a row into an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], arguments[0], arguments[1], row.lanes)
        builder.store(arguments[2], place, align=_bytes(array.dtype))
        return context.get_dummy_value()

    return types.void(array, types.intp, row), generate


@intrinsic
@no_type_check
def zero(typing_context, like, width):
    """A row of zeros of the precision of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), [0.0] * len(width))

    return Row(like.dtype, len(width))(like, width), generate


def _arithmetic(name: str) -> Callable[..., Any]:
    @intrinsic
    @no_type_check
    def of_rows(typing_context, one, other):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments, flags=_CONTRACT)

        return one(one, other), generate

    return of_rows


_add, _subtract, _multiply = _arithmetic("fadd"), _arithmetic("fsub"), _arithmetic("fmul")


@intrinsic
@no_type_check
def _scale(typing_context, number, row):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(_spread(builder, arguments[0], row.lanes), arguments[1], flags=_CONTRACT)

    return row(row.scalar, row), generate


@overload(operator.add)
@overload(operator.iadd)
@no_type_check
def _added(one, other):
    if isinstance(one, Row) and isinstance(other, Row):
        return lambda one, other: _add(one, other)
    return None


@overload(operator.sub)
@no_type_check
def _subtracted(one, other):
    if isinstance(one, Row) and isinstance(other, Row):
        return lambda one, other: _subtract(one, other)
    return None


@overload(operator.mul)
@no_type_check
def _multiplied(one, other):
    if isinstance(one, Row) and isinstance(other, Row):
        return lambda one, other: _multiply(one, other)
    if isinstance(one, types.Float) and isinstance(other, Row):
        return lambda one, other: _scale(one, other)
    return None


@intrinsic
@no_type_check
def weighted_sum(typing_context, start, array, neuron, value, first, last):
    """The row ``start`` plus the sum of value[k] times row neuron[k] of ``array`` over k from first to last.

    The number of entries is even.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, size = start.lanes, _bytes(array.dtype)
        data, neurons, values = (
            context.make_array(signature.args[p])(context, builder, arguments[p]).data for p in (1, 2, 3)
        )
        first, last = arguments[4:]
        integer, vector = first.type, context.get_value_type(start)
        chains = [cgutils.alloca_once(builder, vector) for _ in range(_CHAINS)]
        builder.store(arguments[0], chains[0])
        for chain in chains[1:]:
            builder.store(ir.Constant(vector, [0.0] * lanes), chain)

        def add(k: Any, chain: Any) -> None:
            j = builder.zext(builder.load(builder.gep(neurons, [k])), integer)
            factor = _spread(builder, builder.load(builder.gep(values, [k])), lanes)
            row = builder.load(_row_at(builder, data, j, lanes), align=size)
            product = builder.fmul(factor, row, flags=_CONTRACT)
            builder.store(builder.fadd(builder.load(chain), product, flags=_CONTRACT), chain)

        stride = integer(_CHAINS)
        whole = builder.sub(last, builder.srem(builder.sub(last, first), stride))
        with cgutils.for_range_slice(builder, first, whole, stride, integer) as (k, _):
            for offset, chain in enumerate(chains):
                add(builder.add(k, integer(offset)), chain)
        with builder.if_then(builder.icmp_signed("<", whole, last)):
            for offset in range(_AT_A_TIME):
                add(builder.add(whole, integer(offset)), chains[offset])
        sums = [builder.load(chain) for chain in chains]
        while len(sums) > 1:
            sums = [builder.fadd(*sums[i : i + 2], flags=_CONTRACT) for i in range(0, len(sums), 2)]
        return sums[0]

    return start(start, array, neuron, value, types.intp, types.intp), generate
