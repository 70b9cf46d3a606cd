"""Parameter: a kernel or bias that learns, where it lies, and what is kept of it in SRAM."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from max78k_sim.engine import update

from . import optimizers, quantized_update
from .kernel_store import KernelStore
from .quantized_update import Grid
from .recipe import FACTOR_BITS, Recipe

WIDE_BIAS_BITS = 7  # a sum's unit is 2**-7 of a bias' unit


class Parameter:
    """One tensor of the chip's memory, and its state.

    ``velocity``: int64 (int32 in C) in units of ``2**exponent``; ``fraction`` int16 and ``second``
    int64 (uint32 in C), of the same shape, or None.
    """

    def __init__(self, store: KernelStore, recipe: Recipe, bits: int, shift: int):
        self.store, self.recipe, self.shift = store, recipe, shift
        self.grid = Grid(bits, recipe.fraction_bits(bits))
        shape = store.placement.shape
        self.velocity = np.zeros(shape, np.int64)
        self.fraction = np.zeros(shape, np.int16) if self.grid.fraction_bits else None
        self.second = np.zeros(shape, np.int64) if recipe.optimizer == "adam" else None

    def state(self) -> Iterator[tuple[str, np.ndarray]]:
        """What has to be kept from one step to the next, by name."""
        for name in ("velocity", "fraction", "second"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)

    def add(self, gradient: np.ndarray) -> None:
        """A batch's gradient into the state."""
        optimizers.decay(self.velocity, self.recipe.momentum_shift)
        self.velocity += gradient.reshape(self.velocity.shape)
        if self.second is not None:
            optimizers.add_square(
                self.second, gradient.reshape(self.second.shape), self.recipe.momentum_shift
            )

    def step(self, number: int, first: int) -> None:
        """Read the tensor, change it, write what changed; draws from element ``first`` on."""
        recipe, grid, velocity = self.recipe, self.grid, self.velocity
        if self.second is not None:
            velocity = optimizers.adam_change(velocity, self.second)
        how = update.Step(
            rate=recipe.rate_mantissa * recipe.factor(number),
            rate_bits=FACTOR_BITS,
            shift=self.shift - grid.fraction_bits,
            rounding=recipe.rounding,
            decay=recipe.decay_shift,
            bits=grid.fraction_bits,
            lowest=grid.lowest,
            highest=grid.highest,
        )
        base = quantized_update.base_of(recipe.seed, number)
        draws = update.Draws(base, first, quantized_update.SHARING, quantized_update.MIX)

        def stepped(weights: np.ndarray) -> np.ndarray:
            update.step(weights, velocity, self.fraction, how, draws)
            return weights

        self.store.change(stepped)


class WideBias:
    """32-bit biases that the processor adds to the last layer's sums; the chip's stay.

    ``values``: int64 [class], in units of the sums; ``shift``: as of a bias of 8 bits.
    """

    def __init__(self, count: int, recipe: Recipe, shift: int):
        self.recipe, self.shift = recipe, shift - WIDE_BIAS_BITS
        self.velocity = np.zeros(count, np.int64)
        self.values = np.zeros(count, np.int64)

    def state(self) -> Iterator[tuple[str, np.ndarray]]:
        """What has to be kept from one step to the next, by name."""
        yield "velocity", self.velocity
        yield "values", self.values

    def add(self, gradient: np.ndarray) -> None:
        """A batch's gradient into the velocity."""
        optimizers.decay(self.velocity, self.recipe.momentum_shift)
        self.velocity += gradient

    def step(self, number: int, first: int) -> None:
        """One step; nothing is written to the chip."""
        change = self.velocity * self.recipe.rate_mantissa * self.recipe.factor(number)
        draw = quantized_update.dithers(self.recipe.seed, number, change.size, first)
        self.values -= quantized_update.ROUNDINGS[self.recipe.rounding](
            change >> FACTOR_BITS, self.shift, draw
        )
