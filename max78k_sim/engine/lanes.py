"""Sixteen lanes at once: small LLVM functions that compiled code calls with addresses.

They are written as LLVM code, because that compiles in milliseconds and says which vectors are
meant; what is called often enough to matter is here or in tile.py, everything else is numba's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .steps import LANES

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
SUMS = ir.VectorType(I32, LANES)
SMALL = ir.VectorType(I8, LANES)
# How sums become bytes: clipped to +-bound (what is beyond saturates anyway), shifted to the left,
# ``half`` added, shifted to the right, clipped to least..127, made absolute, and flipped.
FINISHING = ("bound", "left", "half", "right", "least", "flip")


def constant(kind: ir.VectorType, value: int) -> ir.Constant:
    """A vector of equal elements."""
    return ir.Constant(kind, [value] * kind.count)


def splat(builder: ir.IRBuilder, value, kind: ir.VectorType):
    """A number of run time in every element of a vector."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def call(builder: ir.IRBuilder, name: str, result: ir.Type, *operands):
    """An LLVM intrinsic function."""
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def call_own(
    builder: ir.IRBuilder,
    name: str,
    kinds: Sequence[ir.Type],
    operands: Sequence,
    build: Callable[[ir.Function], None],
) -> None:
    """A function without a result, built when its module first calls it."""
    name = f"max78k_{name}"
    if name not in builder.module.globals:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        build(function)
    given = []
    for operand, kind in zip(operands, kinds, strict=True):
        if isinstance(kind, ir.PointerType):
            operand = builder.inttoptr(operand, kind)
        elif kind is I1 and operand.type != I1:
            operand = builder.trunc(operand, I1)
        given.append(operand)
    builder.call(builder.module.globals[name], given)


def numba_type(kind: ir.Type) -> types.Type:
    """What compiled code passes for it; pointers as addresses."""
    return types.boolean if kind is I1 else types.int32 if kind is I32 else types.int64


def load(builder: ir.IRBuilder, place, align: int = 1):
    """A load through a pointer."""
    value = builder.load(place)
    value.align = align
    return value


def load_at(builder: ir.IRBuilder, address, kind: ir.Type):
    """A load from any address."""
    return load(builder, builder.inttoptr(address, ir.PointerType(kind)))


def store(builder: ir.IRBuilder, value, address) -> None:
    """A store to any address."""
    builder.store(value, builder.inttoptr(address, ir.PointerType(value.type))).align = 1


def clip(builder: ir.IRBuilder, value, least, most):
    """Value between least and most."""
    low = builder.select(builder.icmp_signed("<", value, least), least, value)
    return builder.select(builder.icmp_signed(">", low, most), most, low)


def finish(builder: ir.IRBuilder, sums, finishing: dict, absolute):
    """Sums to bytes; ``finishing``: vectors, by the names in FINISHING."""
    bound, most = finishing["bound"], constant(SUMS, 127)
    value = clip(builder, sums, builder.sub(constant(SUMS, 0), bound), bound)
    value = builder.add(builder.shl(value, finishing["left"]), finishing["half"])
    value = builder.ashr(value, finishing["right"])
    value = clip(builder, value, finishing["least"], most)
    positive = clip(builder, builder.sub(constant(SUMS, 0), value), value, most)
    value = builder.select(absolute, positive, value)
    return builder.trunc(builder.xor(value, finishing["flip"]), SMALL)


def own(build: Callable[..., None]) -> Callable:
    """An intrinsic that takes one tuple of 64-bit numbers, from a function that writes its code.

    ``build(builder, *arguments)``: LLVM values; addresses of bytes are numbers.
    """

    def declare(typing_context, arguments):
        count = len(arguments)
        signature = types.void(types.UniTuple(types.int64, count))

        def fill(function: ir.Function) -> None:
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            build(builder, *function.args)
            builder.ret_void()

        def generate(context, builder, signature, operands):
            given = cgutils.unpack_tuple(builder, operands[0], count)
            call_own(builder, build.__name__, [I64] * count, given, fill)
            return context.get_dummy_value()

        return signature, generate

    declare.__doc__ = build.__doc__
    return intrinsic(declare)
