"""Examples made slightly different each time they are shown: int8 in, int8 out, integers only.

What happens to a sample is a function of (seed, step, element), ``element`` being its number in
its data set: not of the order of work, of the batch, or of what was shown before.  So a run that is
resumed shows the same examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from max78k_sim.arithmetic import saturate
from max78k_sim.errors import InputError

from ..quantized_update import STEP_FACTOR, WORD, mix
from .audio import INPUT_SHAPE, SAMPLES, folded, unfolded

BYTES_DEVIATION = 148  # standard deviation of a sum of 4 random bytes: 147.8
BYTES_MEAN = 510
FRACTION = 16  # bits of a position between two samples of sound


@dataclass(frozen=True)
class Kind:
    """One way of changing examples."""

    change: Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # (images, keys, amount) -> images
    amount: str  # what the amount means; from 1 on
    most: int
    audio: bool = False  # only of sound, INPUT_SHAPE


def augment(
    images: np.ndarray, recipe: Iterable[tuple[str, int]], seed: int, step: int, elements
) -> np.ndarray:
    """int8 [sample, channel, row, column] as ``recipe`` says: (name of KINDS, amount), in order.

    ``elements``: the samples' numbers in their data set, integers [sample]; ``step``: counts what
    has been shown.  Returns a new array.
    """
    keys = element_keys(seed, step, np.asarray(elements))
    done: list[str] = []
    result = np.array(images, np.int8)
    for name, amount in recipe:
        kind = checked(name, amount, images.shape[1:], done)
        result = kind.change(result, mix(keys ^ np.uint64(list(KINDS).index(name) + 1)), amount)
        done.append(name)
    return result


def checked(name: str, amount: int, shape: tuple[int, ...], done: list[str]) -> Kind:
    """The kind of that name; InputError for none, or an amount or input that it cannot have."""
    if name not in KINDS:
        raise InputError(f"augmentation {name!r} is not one of {', '.join(KINDS)}")
    kind = KINDS[name]
    if name in done:
        raise InputError(f"augmentation {name} is given twice; once is possible")
    if not isinstance(amount, int) or not 1 <= amount <= kind.most:
        raise InputError(f"augmentation {name} {amount}: 1 to {kind.most} is possible, "
                         f"{kind.amount}")  # fmt: skip
    if kind.audio and shape != INPUT_SHAPE:
        raise InputError(f"augmentation {name} is of sound, {INPUT_SHAPE}; the input is {shape}")
    return kind


def element_keys(seed: int, step: int, elements: np.ndarray) -> np.ndarray:
    """A random number of each sample, from which its others come: uint64 [sample], 32 bits."""
    base = mix((seed + step * STEP_FACTOR) & WORD)
    return mix(np.uint64(base) ^ mix(elements.astype(np.uint64) & np.uint64(WORD)))


def numbers(keys: np.ndarray, low: int, high: int, place: int = 0) -> np.ndarray:
    """An integer from low to high of each sample: int64 [sample]; ``place``: which of several."""
    draw = mix(keys ^ mix(np.uint64(place + 1))).astype(np.int64)
    return low + (draw * (high - low + 1) >> 32)


# ---- kinds: (images int8 [sample, channel, row, column], keys uint64 [sample], amount) -----------


def shift(images: np.ndarray, keys: np.ndarray, amount: int) -> np.ndarray:
    """Moved by up to ``amount`` rows and columns; what comes in repeats the edge."""
    rows, columns = images.shape[2:]
    down, right = (numbers(keys, -amount, amount, place) for place in (0, 1))
    row = np.clip(np.arange(rows) - down[:, None], 0, rows - 1)  # [sample, row]
    column = np.clip(np.arange(columns) - right[:, None], 0, columns - 1)
    sample = np.arange(len(images))[:, None, None]
    moved = images.transpose(0, 2, 3, 1)[sample, row[:, :, None], column[:, None, :]]
    return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))


def mirror(images: np.ndarray, keys: np.ndarray, amount: int) -> np.ndarray:
    """Left and right exchanged, of ``amount`` in 256 samples."""
    chosen = numbers(keys, 0, 255) < amount
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def noise(images: np.ndarray, keys: np.ndarray, amount: int) -> np.ndarray:
    """About Gaussian noise added, its deviation drawn from 0 to ``amount``; saturated."""
    count = int(np.prod(images.shape[1:]))
    deviation = numbers(keys, 0, amount)[:, None]
    draw = mix(keys[:, None] ^ mix(np.arange(2, count + 2, dtype=np.uint64)))  # 1 is deviation's
    total = sum(
        (draw >> np.uint64(8 * byte) & np.uint64(0xFF)).astype(np.int64) for byte in range(4)
    )
    added = ((total - BYTES_MEAN) * deviation + BYTES_DEVIATION // 2) // BYTES_DEVIATION
    return saturate(images.astype(np.int64) + added.reshape(images.shape)).astype(np.int8)


def delay(images: np.ndarray, keys: np.ndarray, amount: int) -> np.ndarray:
    """Sound moved by up to ``amount`` samples, earlier or later; what comes in is silence."""
    moves = numbers(keys, -amount, amount)
    place = np.arange(SAMPLES) - moves[:, None]  # [sample, time]
    return folded(heard_at(unfolded(images), place << FRACTION))


def stretch(images: np.ndarray, keys: np.ndarray, amount: int) -> np.ndarray:
    """Sound slower or faster by up to ``amount`` in 256, around its middle; linear in between."""
    factor = (256 + numbers(keys, -amount, amount)) << (FRACTION - 8)
    time = np.arange(SAMPLES) - SAMPLES // 2
    return folded(heard_at(unfolded(images), (SAMPLES // 2 << FRACTION) + time * factor[:, None]))


def heard_at(sound: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Sound at places between its samples, silence outside: int8 [sample, time].

    ``place``: int64 [sample, time] in 2**-FRACTION samples.
    """
    padded = np.pad(sound, ((0, 0), (2, 2))).astype(np.int64)  # silent before and after
    whole = np.clip((place >> FRACTION) + 2, 0, SAMPLES + 2)
    part = place & ((1 << FRACTION) - 1)
    first, second = (np.take_along_axis(padded, whole + step, axis=1) for step in (0, 1))
    total = (first << FRACTION) + (second - first) * part + (1 << (FRACTION - 1))
    return (total >> FRACTION).astype(np.int8)


KINDS = {
    "shift": Kind(shift, "pixels", 64),
    "mirror": Kind(mirror, "of 256 samples", 256),
    "noise": Kind(noise, "the largest deviation, in steps of int8", 64),
    "delay": Kind(delay, "samples of 1/16000 s", 8_000, audio=True),
    "stretch": Kind(stretch, "of 256 parts of the speed", 128, audio=True),
}
