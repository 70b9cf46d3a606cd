"""Kernels as a tile wants them: words of four channels, in groups whose pairs fit 16 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .path import WORD, Path

BLOCK = ("outputs", "tap", "groups", "weight", "output")  # in whole vectors; the first of each
TRIED = 4  # of the weakest words, for each strong one
LARGEST_PAIR, SMALLEST_PAIR = 32767, 32768  # magnitude of a sum in 16 bits


NOWHERE = -1  # the place of a weight that there is not: that of a zero behind all others


@dataclass(frozen=True, eq=False)
class Pack:
    """One layer's kernels for one path, and for maps with these strides.

    ``blocks`` int64 [block, BLOCK]; ``taps`` int32: byte offsets from a pixel; ``weights``
    int8; ``places``: of these among the kernels, or NOWHERE; ``absent``: places of kernels that
    are left out, as zeros; ``sums`` int32 [output]: what a map that stores x + zero adds (and
    ``Path.offset`` takes off), to be taken from the bias.
    """

    blocks: np.ndarray
    taps: np.ndarray
    weights: np.ndarray
    places: np.ndarray
    absent: np.ndarray
    sums: np.ndarray


def pack(kernels: np.ndarray, row: int, column: int, largest: int, zero: int, path: Path) -> Pack:
    """int8 [output, row tap, column tap, channel] -> Pack.

    ``row`` and ``column``: bytes between rows and pixels of the map; ``largest``: byte in it.
    """
    offsets, laid = words_of(kernels.shape, row, column, path.lanes)
    flat = with_zero(kernels)
    blocks, taps, found, place, tap = [], [], [], 0, 0
    for first in range(0, laid.shape[2], path.block):
        part = laid[:, :, first : first + path.block]
        used = flat[part].any(axis=(1, 2))
        where, words = grouped(offsets[used], part[used], flat, largest, path)
        blocks.append((part.shape[2], tap, len(where) // path.group, place, first))
        taps.append(where)
        words = words.reshape(len(where), WORD, part.shape[2] // path.lanes, path.lanes)
        found.append(words.transpose(0, 2, 3, 1).reshape(-1))
        place += words.size
        tap += len(where)
    places = np.concatenate(found)
    absent = np.ones(len(flat), bool)
    absent[places] = False
    return Pack(
        np.array(blocks, np.int64),
        np.concatenate(taps).astype(np.int32),
        flat[places],
        places,
        np.flatnonzero(absent[:NOWHERE]),
        sums_of(kernels, zero - path.offset, laid.shape[2]),
    )


def packed_alike(old: Pack, kernels: np.ndarray, largest: int, zero: int, path: Path):
    """Other kernels of the same shape in the order of the ``old``; None where that does not do."""
    flat = with_zero(kernels)
    weights = flat.take(old.places)
    fits = not path.pair_limit or fit(weights, old.blocks, largest)
    if not fits or flat[old.absent].any():
        return None
    sums = sums_of(kernels, zero - path.offset, len(old.sums))
    return replace(old, weights=weights, sums=sums)


def with_zero(kernels: np.ndarray) -> np.ndarray:
    """int8 [weight + 1]: all of them, and the zero at NOWHERE."""
    return np.append(kernels.reshape(-1), np.int8(0))


def sums_of(kernels: np.ndarray, zero: int, lanes: int) -> np.ndarray:
    """int32 [lanes]: zero times the sum of each output's weights."""
    sums = np.zeros(lanes, np.int32)
    if zero:
        sums[: len(kernels)] = zero * kernels.reshape(len(kernels), -1).sum(axis=1, dtype=np.int32)
    return sums


def fit(weights: np.ndarray, blocks: np.ndarray, largest: int) -> bool:
    """Whether no data can carry a pair, added over two words of a Pack, out of 16 bits."""
    if largest_sum(np.abs(weights), blocks) * largest <= LARGEST_PAIR:
        return True  # whatever the signs
    zeros = np.zeros_like(weights)  # with one zero, NumPy takes ten times as long
    above, below = np.maximum(weights, zeros), -np.minimum(weights, zeros)
    return (
        largest_sum(above, blocks) * largest <= LARGEST_PAIR
        and largest_sum(below, blocks) * largest <= SMALLEST_PAIR
    )


def largest_sum(weights: np.ndarray, blocks: np.ndarray) -> int:
    """Of pairs, added over the two words of a group; of bytes from 0 to 128."""
    words = weights.view(np.uint16)
    pairs = (words & 255) + (words >> 8)
    found = 0
    for outputs, _, groups, first, _ in blocks.tolist():
        size = outputs * WORD // 2
        two = pairs[first // 2 : first // 2 + 2 * groups * size].reshape(groups, 2, size)
        found = max(found, int((two[:, 0] + two[:, 1]).max(initial=0)))
    return found


def words_of(
    shape: tuple[int, ...], row: int, column: int, lanes: int
) -> tuple[np.ndarray, np.ndarray]:
    """int64 [word]: offsets; [word, byte, output]: places of weights, whole vectors of outputs.

    The taps of a kernel's row are one run of bytes in a map, cut into words.
    """
    outputs, rows, columns, channels = shape
    run = (columns - 1) * column + channels
    words = -(-run // WORD)
    laid = np.full((rows, words * WORD, -(-outputs // lanes) * lanes), NOWHERE, np.int64)
    place = (np.arange(columns)[:, None] * column + np.arange(channels)).reshape(-1)
    numbers = np.arange(outputs * rows * columns * channels).reshape(shape)
    laid[:, place, :outputs] = numbers.transpose(1, 2, 3, 0).reshape(rows, -1, outputs)
    offsets = np.arange(rows)[:, None] * row + WORD * np.arange(words)
    return offsets.reshape(-1), laid.reshape(rows * words, WORD, laid.shape[2])


def grouped(offsets, places, flat, largest: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same words, in groups of ``path.group`` that no data can carry out of 16 bits.

    Where neighbours do not fit together, others are tried; what fits with nothing stands beside
    zeros; and a word that does not fit by itself becomes two, of even and of odd channels.
    ``places``: [word, byte, output], of weights in ``flat``, the last of which is 0.
    """
    if not path.pair_limit or not len(places):
        return offsets, places
    strength = pair_strength(flat[places], largest)
    alone = strength.max(axis=(1, 2, 3), initial=0) > 1
    if alone.any():
        odd = places[alone].copy()
        odd[:, 0::2] = NOWHERE
        even = places.copy()
        even[np.ix_(alone, (1, 3))] = NOWHERE
        places, offsets = np.concatenate([even, odd]), np.concatenate([offsets, offsets[alone]])
        strength = pair_strength(flat[places], largest)
    order = partners(strength)
    places = np.concatenate([places, np.full_like(places[:1], NOWHERE)])  # -1: zeros
    offsets = np.append(offsets, 0)
    return offsets[order], places[order]


def pair_strength(words: np.ndarray, largest: int) -> np.ndarray:
    """[word, sign, pair, output]: share of 16 bits that a pair of products can reach."""
    pairs = words.reshape(len(words), 2, 2, -1).astype(np.float32)
    above = np.maximum(pairs, 0).sum(axis=2) * largest / LARGEST_PAIR
    below = np.maximum(-pairs, 0).sum(axis=2) * largest / SMALLEST_PAIR
    return np.stack([above, below], axis=1)


def partners(strength: np.ndarray) -> np.ndarray:
    """Numbers of words in pairs, [2 * pairs], -1 for none: neighbours where they fit together."""
    count = len(strength)
    even = count // 2 * 2
    fits = (strength[0:even:2] + strength[1:even:2]).max(axis=(1, 2, 3), initial=0) <= 1
    fits = np.repeat(fits, 2)
    numbers = np.arange(count)
    order = [numbers[:even][fits]]
    left = np.concatenate([numbers[:even][~fits], numbers[even:]])
    left = left[np.argsort(strength[left].max(axis=(1, 2, 3), initial=0))].tolist()
    while left:
        strong = left.pop()
        weak = left[:TRIED]
        fits = (strength[weak] + strength[strong]).max(axis=(1, 2, 3), initial=0) <= 1
        partner = weak[int(fits.argmax())] if fits.any() else -1
        if partner >= 0:
            left.remove(partner)
        order.append(np.array([strong, partner]))
    return np.concatenate(order).astype(np.int64)
