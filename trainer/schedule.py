"""Which images are shown when: a function of seed and step, so a resumed run sees the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .quantized_update import draws
from .recipe import Recipe

SCHEDULE_SALT = 0x5EED5EED  # keeps these draws apart from those of the rounding


class Examples(Protocol):
    """A pool of examples, or what a strategy keeps: labels, those of the new class first."""

    @property
    def labels(self) -> np.ndarray:
        """int64 [example]."""

    @property
    def new(self) -> int:
        """How many are of the new class."""


class Order(Protocol):
    """Which examples of a pool a step shows."""

    def batch_at(self, step: int) -> np.ndarray:
        """int64 [batch]: indices into the pool."""


@dataclass(frozen=True)
class Schedule:
    """Labelled examples: the first ``new`` of a pool are of the new class, the others are replay.

    Each place of a batch shows a new example with probability ``new_share`` / 256.
    """

    new: int
    replay: int
    batch: int
    new_share: int
    seed: int

    def batch_at(self, step: int) -> np.ndarray:
        """int64 [batch]: indices into the pool for one step."""
        draw = draws(self.seed ^ SCHEDULE_SALT, step, 2 * self.batch).astype(np.int64)
        choose, place = draw[: self.batch], draw[self.batch :]
        from_new = (choose & 255) < self.new_share
        if not self.replay:
            from_new[:] = True
        if not self.new:
            from_new[:] = False
        count = np.where(from_new, self.new, self.replay)
        offset = np.where(from_new, 0, self.new)
        return offset + place % np.maximum(count, 1)


def schedule_of(examples: Examples, recipe: Recipe) -> Schedule:
    """The order in which a recipe shows examples."""
    old = len(examples.labels) - examples.new
    return Schedule(examples.new, old, recipe.batch, recipe.new_share, recipe.seed)
