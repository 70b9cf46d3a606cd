"""What training keeps of a weight from one step to the next: one table, which the trainer, the
memory planner and the C code share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .recipe import Recipe

WORD_BYTES = 4  # of a velocity, a sum, a square
FRACTION_BYTES = {"in place": 0, "residual": 1, "int16": 2}  # of a weight, by precision


@dataclass(frozen=True)
class Kept:
    """One row: ``each(recipe)`` is how many bytes of a weight or bias it takes."""

    name: str
    meaning: str
    each: Callable[[Recipe], int]


def keeps_velocities(recipe: Recipe) -> bool:
    """Momentum is a velocity; without Adam, the sum over a batch is one too.

    With neither, a sample's gradient is all that a step needs: it is applied as it is made.
    """
    return recipe.momentum_shift > 0 or (not recipe.at_once and recipe.optimizer != "adam")


def keeps_sums(recipe: Recipe) -> bool:
    """Adam's velocity does not take the place of the batch's gradient."""
    return recipe.optimizer == "adam" and not recipe.at_once


STATE = (
    Kept(
        "velocities",
        "int32: what momentum remembers, or the sum over a batch",
        lambda recipe: WORD_BYTES * keeps_velocities(recipe),
    ),
    Kept(
        "gradients",
        "int32: the sum over a batch, with Adam",
        lambda recipe: WORD_BYTES * keeps_sums(recipe),
    ),
    Kept(
        "squares",
        "uint32: the decaying sum of squares, with Adam",
        lambda recipe: WORD_BYTES * (recipe.optimizer == "adam"),
    ),
    Kept(
        "fractions",
        "int8 or int16: what lies below a weight's bits",
        lambda recipe: FRACTION_BYTES[recipe.precision],
    ),
)
WIDE_BIASES, WIDE_BIAS_BYTES = "wide biases", 8  # int64 of a class, on the processor


def state_bytes(recipe: Recipe, weights: int, wide: int = 0) -> dict[str, int]:
    """Bytes by purpose, of all trained weights and biases, ``wide`` of them kept on the
    processor."""
    found = {kept.name: kept.each(recipe) * weights for kept in STATE}
    return found | {WIDE_BIASES: WIDE_BIAS_BYTES * wide}
