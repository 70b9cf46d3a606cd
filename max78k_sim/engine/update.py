"""A step of weights, as LLVM code: what ``trainer/quantized_update.py`` says, 16 weights at a time.

Everything is 64-bit integers, the same on every path.  What a recipe leaves out (fractions, decay,
a kind of rounding) is done with numbers that change nothing, so that one run of code does for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from . import choose_path, native
from .lanes import I8, I16, I64, Row, at, clip, function_of, in_runs, load_at, splat, store
from .native import UPDATE
from .path import Path
from .steps import LANES, address

DRAW_BITS = 32
ROUNDS = 2  # of multiplications in a draw, between three shifts
NUMBERS = (  # the same for all weights
    "fraction_step",  # bytes; 0: all fractions are the same zeros
    "bits", "unit", "half",  # of fraction; 2**bits, and half of it
    "rate", "rate_bits",
    "decay", "decay_left", "decay_right",  # -1 or 0: whether weights decay
    "left", "right",  # what divides a change
    "draws", "draw_right", "middle", "to_zero",  # added before: of a draw, always, if below 0
    "lowest", "highest",
    "base", "first", "sharing", "sharing_bits", "turn",
    "right_0", "factor_0", "right_1", "factor_1", "right_2",
)  # fmt: skip
JOB = ("weights", "velocity", "fraction", "count", *NUMBERS)


@dataclass(frozen=True)
class Draws:
    """Random numbers of 32 bits: of elements ``first`` on, ``sharing`` of which share one.

    ``base`` is mixed with a group's number; ``mix``: (right shift, factor) of each round.
    """

    base: int
    first: int
    sharing: int
    mix: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Step:
    """total -= velocity * rate / 2**(rate_bits + shift), of totals with so many bits of fraction.

    ``decay``: so much to the right of a whole change; 0 for none.  Totals are saturated.
    """

    rate: int
    rate_bits: int
    shift: int
    rounding: str
    decay: int
    bits: int
    lowest: int
    highest: int


# What is added before a division by 2**shift: (-1 or 0: the draw), always, below 0.
OFFSETS: dict[str, Callable[[int], tuple[int, int, int]]] = {
    "stochastic": lambda shift: (-1, 0, 0),
    "nearest": lambda shift: (0, 1 << shift - 1, 0),
    "truncate": lambda shift: (0, 0, (1 << shift) - 1),
}


def step(
    weights: np.ndarray, velocity: np.ndarray, fraction: np.ndarray | None, how: Step, draws: Draws
) -> None:
    """Step int8 ``weights`` in place, and their int16 fractions (or none); ``velocity``: int64."""
    kept = np.zeros(LANES, np.int16) if fraction is None else fraction
    arrays = {"weights": weights, "velocity": velocity, "fraction": kept}
    for (name, array), kind in zip(arrays.items(), (np.int8, np.int64, np.int16), strict=True):
        if array.dtype != kind or not array.flags.c_contiguous:
            raise TypeError(f"{name} is {array.dtype}, it has to be {np.dtype(kind)}, in one run")
    fields = {name: address(array) for name, array in arrays.items()}
    fields |= numbers(how, draws) | {"count": weights.size}
    fields["fraction_step"] = 0 if fraction is None else kept.itemsize
    native.run(UPDATE, choose_path(), JOB, fields)


def numbers(how: Step, draws: Draws) -> dict[str, int]:
    """What the code takes instead of questions."""
    offsets = OFFSETS[how.rounding](how.shift) if how.shift > 0 else (0, 0, 0)
    left = how.shift - how.decay
    (right_0, factor_0), (right_1, factor_1), (right_2, _) = draws.mix
    return {
        "bits": how.bits, "unit": 1 << how.bits, "half": 1 << how.bits >> 1,
        "rate": how.rate, "rate_bits": how.rate_bits,
        "decay": -bool(how.decay), "decay_left": max(left, 0), "decay_right": max(-left, 0),
        "left": max(-how.shift, 0), "right": max(how.shift, 0),
        **dict(zip(("draws", "middle", "to_zero"), offsets, strict=True)),
        "draw_right": DRAW_BITS - max(how.shift, 0),
        "lowest": how.lowest << how.bits, "highest": how.highest << how.bits,
        "base": draws.base, "first": draws.first, "sharing": draws.sharing - 1,
        "sharing_bits": draws.sharing.bit_length() - 1, "turn": DRAW_BITS // draws.sharing,
        "right_0": right_0, "factor_0": factor_0, "right_1": right_1, "factor_1": factor_1,
        "right_2": right_2,
    }  # fmt: skip


# ---- the code -----------------------------------------------------------------------------------


class Lanes:
    """Some weights, from the ``first``: ``lanes.name`` is a number of the job in every lane."""

    def __init__(self, builder: ir.IRBuilder, job: dict, first, count: int):
        self.builder, self._job, self.first, self.count = builder, job, first, count
        self.kind = ir.VectorType(I64, count)

    def __getattr__(self, name: str):
        return splat(self.builder, self._job[name], self.kind)

    def constant(self, value: int):
        """In every lane."""
        return ir.Constant(self.kind, [value] * self.count)

    @property
    def elements(self):
        """Their numbers, as the draws count them."""
        within = ir.Constant(self.kind, list(range(self.count)))
        start = self.builder.add(self.first, self._job["first"])
        return self.builder.add(splat(self.builder, start, self.kind), within)

    def place(self, name: str, step):
        """Address of the first one's."""
        return at(self.builder, self._job[name], self.first, step)

    def read(self, place, kind: ir.IntType):
        """Numbers of memory, as 64 bits."""
        found = load_at(self.builder, place, ir.VectorType(kind, self.count))
        return self.builder.sext(found, self.kind) if kind is not I64 else found

    def write(self, value, place, kind: ir.IntType) -> None:
        """The inverse."""
        store(self.builder, self.builder.trunc(value, ir.VectorType(kind, self.count)), place)


def draw(builder, lanes: Lanes):
    """32-bit random numbers of each."""
    word, elements = lanes.constant((1 << DRAW_BITS) - 1), lanes.elements
    value = builder.xor(builder.lshr(elements, lanes.sharing_bits), lanes.base)
    for number in range(ROUNDS):
        value = builder.xor(value, builder.lshr(value, getattr(lanes, f"right_{number}")))
        value = builder.and_(builder.mul(value, getattr(lanes, f"factor_{number}")), word)
    value = builder.xor(value, builder.lshr(value, lanes.right_2))
    turn = builder.mul(builder.and_(elements, lanes.sharing), lanes.turn)
    beyond = builder.lshr(value, builder.sub(lanes.constant(DRAW_BITS), turn))
    return builder.and_(builder.or_(builder.shl(value, turn), beyond), word)


def divided(builder, lanes: Lanes, change):
    """Changes in units of the totals, rounded."""
    offset = builder.and_(builder.lshr(draw(builder, lanes), lanes.draw_right), lanes.draws)
    sign = builder.ashr(change, lanes.constant(63))
    offset = builder.add(builder.add(offset, lanes.middle), builder.and_(sign, lanes.to_zero))
    return builder.ashr(builder.shl(builder.add(change, offset), lanes.left), lanes.right)


def build_step(builder, address) -> None:
    """All weights of a job."""
    row = Row(builder, address, JOB)
    job = {name: getattr(row, name) for name in JOB}  # loaded before anything is stored

    def write(first, count: int) -> None:
        lanes = Lanes(builder, job, first, count)
        place, fraction = lanes.place("weights", 1), lanes.place("fraction", job["fraction_step"])
        total = builder.shl(lanes.read(place, I8), lanes.bits)
        total = builder.add(total, lanes.read(fraction, I16))
        velocity = lanes.read(lanes.place("velocity", I64.width // 8), I64)
        change = builder.ashr(builder.mul(velocity, lanes.rate), lanes.rate_bits)
        decay = builder.shl(builder.and_(total, lanes.decay), lanes.decay_left)
        change = builder.add(change, builder.ashr(decay, lanes.decay_right))
        total = builder.sub(total, divided(builder, lanes, change))
        total = clip(builder, total, lanes.lowest, lanes.highest)
        whole = builder.ashr(builder.add(total, lanes.half), lanes.bits)
        lanes.write(whole, place, I8)
        lanes.write(builder.sub(total, builder.shl(whole, lanes.bits)), fraction, I16)

    in_runs(builder, job["count"], write)


def module_of(path: Path) -> ir.Module:
    """All of it: ``max78k_run(address of a job)``; the same for every path."""
    module = ir.Module(f"max78k_update_{path.name}")
    function_of(module, "run", build_step, 1)
    return module
