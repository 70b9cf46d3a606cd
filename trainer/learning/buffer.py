"""A board that learns from a stream: which examples it keeps, and shows itself again.

The twin of firmware/runtime/protocol/cnn_replay.c, place by place and draw by draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim.arithmetic import ACTIVATION_MIN
from max78k_sim.errors import InputError

from ..loop import Pool
from ..recipe import Recipe
from .replay import POLICIES, Codec, uniform

DRAW_SALT = 0x2B5D19C7  # keeps draws from the buffer apart from those of the policy
STEP_BITS = 4  # of codes of 4 bits: steps of 16, from -128 on


class Buffer:
    """Numbers of examples in places 0 to ``room`` - 1; ``policy``: one of replay.POLICIES."""

    def __init__(self, room: int, seed: int, policy: str = "balanced"):
        self.policy, self.seed, self.drawn = POLICIES[policy](room, seed), seed ^ DRAW_SALT, 0
        self.kept: dict[int, int] = {}

    def offer(self, example: int, label: int) -> None:
        """Keep an example where the policy says so."""
        place = self.policy.offer(label)
        if place is not None:
            self.kept[place] = example

    def draw(self) -> int:
        """Any of those that are kept; InputError where none is."""
        if not self.kept:
            raise InputError("nothing is kept that could be shown again: offer examples first")
        place = uniform(self.seed, self.drawn, len(self.kept))
        self.drawn += 1
        return self.kept[place]


def as_kept(images: np.ndarray, bits: int) -> np.ndarray:
    """int8 [sample, ...]: as samples come out of a board's memory; ``bits``: 8 or 4 a value."""
    codec = Codec(bits, ACTIVATION_MIN, STEP_BITS)
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return codec.decode(codec.encode(flat), flat.shape[1]).reshape(images.shape)


@dataclass(frozen=True, eq=False)
class Given:
    """An order that is written down: ``batches``, int64 [step, batch], indices into a pool."""

    batches: np.ndarray

    def batch_at(self, step: int) -> np.ndarray:
        """int64 [batch]."""
        return self.batches[step]


def require_examples(new: int, batch: int) -> None:
    """InputError where no step is a new example and kept ones."""
    if batch < 2 or not new:
        raise InputError(
            f"a step shows a new example and kept ones, here {new} new ones in batches of {batch}; "
            "give --batch 2 or more, also to generate, and --new-images"
        )


def rehearsal(pool: Pool, recipe: Recipe, room: int, bits: int, policy: str) -> tuple[Pool, Given]:
    """What a board shows itself that is given the old examples first, and then new ones in turn.

    Each step is a new example, which is offered to the buffer the first time, and kept ones.  The
    pool that comes back has the new examples twice: as they are shown, and as they are kept.
    """
    require_examples(pool.new, recipe.batch)
    new, labels = pool.new, pool.labels
    buffer = Buffer(room, recipe.seed, policy)
    for n in range(new, len(labels)):
        buffer.offer(n, int(labels[n]))
    batches = []
    for step in range(recipe.steps):
        shown = step % new
        if step < new:
            buffer.offer(shown, int(labels[shown]))
        batches.append([shown, *(new + buffer.draw() for _ in range(recipe.batch - 1))])
    whole = Pool(
        np.concatenate([pool.images[:new], as_kept(pool.images, bits)]),
        np.concatenate([labels[:new], labels]),
        new,
    )
    return whole, Given(np.array(batches, np.int64))
