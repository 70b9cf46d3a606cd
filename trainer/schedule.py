"""Which images are shown when: a function of seed and step, so a resumed run sees the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .quantized_update import draws

SCHEDULE_SALT = 0x5EED5EED  # keeps these draws apart from those of the rounding


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
