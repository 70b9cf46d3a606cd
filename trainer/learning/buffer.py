"""A board that learns from a stream: what it keeps of it, and shows itself again.

The twin of firmware/runtime/protocol/cnn_replay.c, place by place and draw by draw.
"""

from __future__ import annotations

import numpy as np

from max78k_sim.errors import InputError

from ..loop import Trainer
from .replay import POLICIES, Codec, uniform

DRAW_SALT = 0x2B5D19C7  # keeps draws from the buffer apart from those of the policy


class Buffer:
    """Samples in places 0 to ``room`` - 1, each coded, with its label.

    ``codec``: of int8 values; ``policy``: one of replay.POLICIES.
    """

    def __init__(self, codec: Codec, room: int, seed: int, policy: str = "balanced"):
        self.codec, self.seed, self.drawn = codec, seed ^ DRAW_SALT, 0
        self.policy = POLICIES[policy](room, seed)
        self.kept: dict[int, tuple[np.ndarray, int]] = {}

    def offer(self, image: np.ndarray, label: int) -> None:
        """Keep int8 values [...] where the policy says so."""
        place = self.policy.offer(label)
        if place is not None:
            coded = self.codec.encode(np.ascontiguousarray(image).reshape(1, image.size))
            values = self.codec.decode(coded, image.size).reshape(image.shape)
            self.kept[place] = values, label

    def draw(self) -> tuple[np.ndarray, int]:
        """Any of those that are kept, as it comes out of memory; InputError where none is."""
        if not self.kept:
            raise InputError("nothing is kept that could be shown again: offer examples first")
        place = uniform(self.seed, self.drawn, len(self.kept))
        self.drawn += 1
        return self.kept[place]


def learn_with_kept(trainer: Trainer, buffer: Buffer, image: np.ndarray, label: int) -> None:
    """A step: a new example, and kept ones for the rest of the batch."""
    kept = [buffer.draw() for _ in range(trainer.recipe.batch - 1)]
    images, labels = zip((image, label), *kept, strict=True)
    trainer.train_batch(np.stack(images), np.array(labels, np.int64))
