"""LLVM code in Python's clothes: sixteen lanes at once, loops, variables, functions.

The compute core is written with these: it then compiles in a second, says which vectors are meant,
and is loaded from its cache in milliseconds, without a compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

from llvmlite import ir

from ..arithmetic import ACTIVATION_MAX, ACTIVATION_MIN, FRACTION_BITS, ROUND_HALF
from .pack import BLOCK
from .steps import LANES, NUMBER

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
SUMS = ir.VectorType(I32, LANES)
SMALL = ir.VectorType(I8, LANES)
WIDTHS = (LANES, 4, 1)  # numbers that are handled at once: as many as there are left
# How sums become bytes: clipped to +-bound (what is beyond saturates anyway), shifted to the left,
# ``half`` added, shifted to the right, clipped from ``least`` to the largest byte, made absolute,
# and flipped.
FINISHING = ("bound", "left", "half", "right", "least", "flip")
SATURATES = 1 << 15  # a sum beyond it saturates whatever the shift to the left
UNSHIFTED = 1 << 30  # beyond every sum


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
    module = builder.module
    if name not in module.globals:
        kind = ir.FunctionType(result, [operand.type for operand in operands])
        ir.Function(module, kind, name)
    return builder.call(module.globals[name], operands)


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


def finishing(builder: ir.IRBuilder, step: Row) -> dict:
    """Numbers by the names in FINISHING, and ``absolute``; ``plain``: see ``finish_plain``."""
    shift, zero = step.shift, I64(0)
    positive = builder.icmp_signed(">", shift, zero)
    left = builder.select(positive, shift, zero)
    right = builder.select(positive, zero, builder.sub(zero, shift))
    relu = builder.and_(step.relu, builder.xor(step.absolute, I64(1)))
    plain = builder.icmp_signed("==", builder.or_(left, step.absolute), zero)
    return {
        "bound": builder.select(positive, I64(SATURATES), I64(UNSHIFTED)),
        "left": left,
        "half": builder.shl(I64(ROUND_HALF), right),
        "right": builder.add(right, I64(FRACTION_BITS)),
        "least": builder.select(builder.trunc(relu, I1), zero, I64(ACTIVATION_MIN)),
        "flip": step.flip,
        "absolute": step.absolute,
        "plain": builder.zext(plain, I64),
    }


def store_finished(builder: ir.IRBuilder, cells: list, how: dict) -> None:
    """Vectors of sums, and addresses, as bytes; ``how``: as ``finishing`` says, narrowed."""
    kind = cells[0][0].type
    values = {name: splat(builder, how[name], kind) for name in FINISHING}
    absolute = splat(builder, how["absolute"], ir.VectorType(I1, kind.count))
    with builder.if_else(how["plain"]) as (plain, other):
        for branch, convert in ((plain, finish_plain), (other, finish)):
            with branch:
                for sums, place in cells:
                    store(builder, convert(builder, sums, values, absolute), place)


def finish(builder: ir.IRBuilder, sums, finishing: dict, absolute):
    """Sums to bytes; ``finishing``: vectors, by the names in FINISHING."""
    bound, most = finishing["bound"], constant(sums.type, ACTIVATION_MAX)
    nothing = constant(sums.type, 0)
    value = clip(builder, sums, builder.sub(nothing, bound), bound)
    value = builder.add(builder.shl(value, finishing["left"]), finishing["half"])
    value = builder.ashr(value, finishing["right"])
    value = clip(builder, value, finishing["least"], most)
    positive = clip(builder, builder.sub(nothing, value), value, most)
    value = builder.select(absolute, positive, value)
    return builder.trunc(builder.xor(value, finishing["flip"]), small_of(sums.type))


def finish_plain(builder: ir.IRBuilder, sums, finishing: dict, absolute):
    """``finish`` where ``left`` is 0 and ``absolute`` is false."""
    value = builder.ashr(builder.add(sums, finishing["half"]), finishing["right"])
    small = small_of(sums.type)
    least, most = constant(sums.type, ACTIVATION_MIN), constant(sums.type, ACTIVATION_MAX)
    value = builder.trunc(clip(builder, value, least, most), small)  # one instruction of some
    least, flip = (builder.trunc(finishing[name], small) for name in ("least", "flip"))
    larger = builder.icmp_signed(">", value, least)
    return builder.xor(builder.select(larger, value, least), flip)


def small_of(kind: ir.VectorType) -> ir.VectorType:
    """As many bytes as a vector has numbers."""
    return ir.VectorType(I8, kind.count)


def ordered(builder: ir.IRBuilder, vector):
    """A vector as it is: what is loaded after it in the text stays after it in the code (x86).

    LLVM would load all operands first, and then lack registers for the sums.
    """
    kind = ir.FunctionType(vector.type, [vector.type])
    return builder.asm(kind, "", "=v,0,~{memory}", [vector], side_effect=True)


def at(builder: ir.IRBuilder, address, number, size):
    """address + number * size."""
    return builder.add(address, builder.mul(number, I64(size) if isinstance(size, int) else size))


@contextmanager
def loop(builder: ir.IRBuilder, count, start=None):
    """The code inside, for every number from ``start`` (0) up to ``count``."""
    before = builder.basic_block
    head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    number = builder.phi(I64)
    number.add_incoming(I64(0) if start is None else start, before)
    builder.cbranch(builder.icmp_signed("<", number, count), body, after)
    builder.position_at_end(body)
    yield number
    number.add_incoming(builder.add(number, I64(1)), builder.basic_block)
    builder.branch(head)
    builder.position_at_end(after)


def parts(builder: ir.IRBuilder, count, size):
    """How many parts of a size there are, the last one perhaps not whole."""
    return builder.udiv(builder.add(count, builder.sub(size, I64(1))), size)


def smaller(builder: ir.IRBuilder, one, other):
    """Of two numbers."""
    return builder.select(builder.icmp_signed("<", one, other), one, other)


@contextmanager
def portions(builder: ir.IRBuilder, count, size):
    """The code inside, for every part: its first number, and how many it has."""
    with loop(builder, parts(builder, count, size)) as part:
        first = builder.mul(part, size)
        yield first, smaller(builder, builder.sub(count, first), size)


def in_runs(builder: ir.IRBuilder, count, write: Callable[..., None]) -> None:
    """``write(first number, lanes)`` for all numbers up to ``count``, by WIDTHS of them."""
    done = I64(0)
    for lanes in WIDTHS:
        runs = builder.udiv(builder.sub(count, done), I64(lanes))
        with loop(builder, runs) as run:
            write(at(builder, done, run, lanes), lanes)
        done = at(builder, done, runs, lanes)


def variable(builder: ir.IRBuilder, kind: ir.Type, value=None):
    """A place on the stack, made once a call."""
    with builder.goto_entry_block():
        place = builder.alloca(kind)
    if value is not None:
        builder.store(value, place)
    return place


def own(build: Callable[..., None]) -> Callable[..., None]:
    """A function of 64-bit numbers, without a result, from what writes its code.

    ``build(builder, *arguments)``: LLVM values; addresses of bytes are numbers.  What comes back
    writes a call, ``(builder, *operands)``; a module has the function once it is called.
    """

    def call_it(builder: ir.IRBuilder, *operands) -> None:
        function = function_of(builder.module, build.__name__, build, len(operands))
        builder.call(function, operands)

    call_it.__doc__ = build.__doc__
    return call_it


def function_of(module: ir.Module, name: str, build: Callable[..., None], count: int):
    """The function in a module; its code is written when it is first asked for."""
    name = f"max78k_{name}"
    if name not in module.globals:
        kind = ir.FunctionType(ir.VoidType(), [I64] * count)
        function = ir.Function(module, kind, name)
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        start = builder.append_basic_block("start")
        builder.branch(start)  # the entry keeps nothing but variables
        builder.position_at_end(start)
        build(builder, *function.args)
        builder.ret_void()
    return module.globals[name]


def block_of(builder: ir.IRBuilder, job: Row, step: Row, number) -> Row:
    """A row of the table of blocks of a step."""
    row = at(builder, job.blocks, builder.add(step.kernel, number), NUMBER * len(BLOCK))
    return Row(builder, row, BLOCK)


class Row:
    """Fields of a step or of a job, as LLVM values: ``row.name`` loads one."""

    def __init__(self, builder: ir.IRBuilder, address, names: tuple[str, ...]):
        self._builder, self.address, self._names = builder, address, names

    def place(self, name: str):
        """Its address."""
        return self._builder.add(self.address, I64(NUMBER * self._names.index(name)))

    def __getattr__(self, name: str):
        return load_at(self._builder, self.place(name), I64)
