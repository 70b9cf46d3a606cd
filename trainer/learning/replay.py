"""Replay: what is kept of old examples, and which ones, within a budget of bytes.

What is kept of an example is its pixels or its latents (what the first trained layer convolves),
in 8 or 4 bits a value, its label and, if wanted, what the untrained network said of each class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim.arithmetic import ACTIVATION_MAX, ACTIVATION_MIN
from max78k_sim.errors import InputError

from ..quantized_update import DRAW_BITS, STEP_FACTOR, WORD, mix

LABEL_BYTES = 1
NIBBLE = 4  # bits
LARGEST_CODE = (1 << NIBBLE) - 1
REPLAY_SALT = 0x4E1A7B0F  # keeps these draws apart from those of rounding and schedule


@dataclass(frozen=True)
class Kind:
    """What is kept: pixels or latents, ``bits`` (8 or 4) a value."""

    latent: bool
    bits: int


KINDS = {
    "pixels": Kind(latent=False, bits=8),
    "pixels, 4 bits": Kind(latent=False, bits=4),
    "latents": Kind(latent=True, bits=8),
    "latents, 4 bits": Kind(latent=True, bits=4),
}


@dataclass(frozen=True)
class Codec:
    """How int8 values are kept: ``bits`` each, 4-bit codes in steps of 2**``step_bits``.

    Codes of 4 bits count from ``lowest``: 0 of data that are never negative, -128 of others.
    """

    bits: int
    lowest: int = 0
    step_bits: int = 3

    @staticmethod
    def of(values: np.ndarray, bits: int) -> Codec:
        """The finest steps with which all but one in 1,000 of some values can be coded."""
        if (values < 0).any():
            return Codec(bits, ACTIVATION_MIN, 4)
        most = int(np.quantile(values, 0.999, method="lower")) if values.size else 0
        step_bits = next(n for n in range(4) if most <= LARGEST_CODE << n or n == 3)
        return Codec(bits, 0, step_bits)

    def size(self, values: int) -> int:
        """Bytes of so many values."""
        return values if self.bits == 8 else -(-values // 2)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """uint8 [sample, byte] of int8 [sample, value]: the nearest codes, the first value low."""
        if self.bits == 8:
            return values.view(np.uint8)
        steps = values.astype(np.int16) - self.lowest
        codes = np.clip(steps + (1 << self.step_bits >> 1) >> self.step_bits, 0, LARGEST_CODE)
        if codes.shape[1] % 2:
            codes = np.pad(codes, ((0, 0), (0, 1)))
        return (codes[:, ::2] | codes[:, 1::2] << NIBBLE).astype(np.uint8)

    def decode(self, kept: np.ndarray, values: int) -> np.ndarray:
        """int8 [sample, value]: at most half a step from what was encoded, unless out of range."""
        if self.bits == 8:
            return kept.view(np.int8)
        pairs = np.stack([kept & LARGEST_CODE, kept >> NIBBLE], axis=2)
        codes = pairs.reshape(len(kept), 2 * kept.shape[1])
        whole = (codes[:, :values].astype(np.int16) << self.step_bits) + self.lowest
        return np.minimum(whole, ACTIVATION_MAX).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Examples:
    """What lies in memory of some examples.

    ``kept``: uint8 [sample, byte]; ``shape``: of what was kept, without the samples; ``labels``:
    int64 [sample] (a byte in memory); ``teacher``: uint8 [sample, class] or None.
    """

    codec: Codec
    shape: tuple[int, ...]
    kept: np.ndarray
    labels: np.ndarray
    teacher: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        """int8 [sample, *shape]."""
        count = int(np.prod(self.shape))
        return self.codec.decode(self.kept, count).reshape(len(self.kept), *self.shape)

    @property
    def bytes(self) -> int:
        """All that is kept."""
        classes = 0 if self.teacher is None else self.teacher.shape[1]
        return len(self.kept) * example_bytes(self.codec, self.shape, classes)


def keep(codec: Codec, values: np.ndarray, labels: np.ndarray, teacher=None) -> Examples:
    """Examples of int8 values [sample, ...]."""
    shape = values.shape[1:]
    flat = np.ascontiguousarray(values).reshape(len(values), int(np.prod(shape)))
    return Examples(codec, shape, codec.encode(flat), labels, teacher)


def example_bytes(codec: Codec, shape: tuple[int, ...], classes: int) -> int:
    """Bytes of one example; ``classes``: of the teacher, 0 without one."""
    return codec.size(int(np.prod(shape))) + LABEL_BYTES + classes


def capacity(budget: int, size: int) -> int:
    """How many examples of ``size`` bytes fit; InputError if not even one does."""
    if budget < size:
        raise InputError(f"replay of {budget} bytes: one example takes {size}")
    return budget // size


# ---- policies: which of a stream of labels stay --------------------------------------------------


def uniform(seed: int, number: int, below: int) -> int:
    """The ``number``-th draw (quantized_update.draws of one element): 0 to below - 1."""
    step = seed + number * STEP_FACTOR & WORD
    return mix(mix(step)) * below >> DRAW_BITS


class Reservoir:
    """Every example of the stream stays with the same probability (Vitter's algorithm R)."""

    def __init__(self, room: int, seed: int):
        self.room, self.seed, self.seen = room, seed ^ REPLAY_SALT, 0

    def offer(self, label: int) -> int | None:
        """The place that the next example takes, 0 to room - 1; None where it is let go."""
        number, self.seen = self.seen, self.seen + 1
        if number < self.room:
            return number
        place = uniform(self.seed, number, self.seen)
        return place if place < self.room else None


class Balanced:
    """As many of each class as possible: one that is not the largest drives out one that is.

    Within a class every example stays with the same probability (Chrysakis and Moens, ICML 2020).
    The C twin is firmware/runtime/protocol/cnn_replay.c.
    """

    def __init__(self, room: int, seed: int):
        self.room, self.seed, self.number, self.held = room, seed ^ REPLAY_SALT, 0, 0
        self.places: dict[int, list[int]] = {}  # of each class, in the order of their first example
        self.seen: dict[int, int] = {}

    def offer(self, label: int) -> int | None:
        """The place that the next example takes, 0 to room - 1; None where it is let go."""
        number, self.number = self.number, self.number + 1
        mine = self.places.setdefault(label, [])
        self.seen[label] = self.seen.get(label, 0) + 1
        if self.held < self.room:
            mine.append(self.held)
            self.held += 1
            return mine[-1]
        largest = max(self.places.values(), key=len)
        if len(mine) < len(largest):
            mine.append(largest.pop(uniform(self.seed, number, len(largest))))
            return mine[-1]
        place = uniform(self.seed, number, self.seen[label])
        return mine[place] if place < len(mine) else None


POLICIES: dict[str, type[Reservoir] | type[Balanced]] = {
    "reservoir": Reservoir,
    "balanced": Balanced,
}


def chosen(name: str, labels: np.ndarray, room: int, seed: int) -> np.ndarray:
    """int64 [kept]: which examples of a whole stream a policy of POLICIES keeps, ascending."""
    policy = POLICIES[name](room, seed)
    held: dict[int, int] = {}
    for number, label in enumerate(labels.tolist()):
        place = policy.offer(label)
        if place is not None:
            held[place] = number
    return np.array(sorted(held.values()), np.int64)
