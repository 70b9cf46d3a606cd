"""Kernels as a tile wants them: words of four channels, in groups whose pairs fit 16 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .path import VECTORS, WORD, Path
from .steps import LANES

BLOCK = LANES * VECTORS  # outputs
BLOCK_FIELDS = 5  # vectors, first tap, groups, first weight, first output
TRIED = 4  # of the weakest words, for each strong one
LARGEST_PAIR, SMALLEST_PAIR = 32767, 32768  # magnitude of a sum in 16 bits


@dataclass(frozen=True, eq=False)
class Pack:
    """One layer's kernels for one path, and for maps with these strides.

    ``blocks`` int64 [block, BLOCK_FIELDS]; ``taps`` int32: byte offsets from a pixel; ``weights``
    int8; ``sums`` int32 [output]: what a map that stores x + zero adds, to be taken from the bias.
    """

    blocks: np.ndarray
    taps: np.ndarray
    weights: np.ndarray
    sums: np.ndarray


def pack(kernels: np.ndarray, row: int, column: int, largest: int, zero: int, path: Path) -> Pack:
    """int8 [output, row tap, column tap, channel] -> Pack.

    ``row`` and ``column``: bytes between rows and pixels of the map; ``largest``: byte in it.
    """
    offsets, words = words_of(kernels, row, column)
    blocks, taps, weights, place, tap = [], [], [], 0, 0
    for first in range(0, words.shape[2], BLOCK):
        part = words[:, :, first : first + BLOCK]
        used = part.any(axis=(1, 2))
        where, groups = grouped(offsets[used], part[used], largest, path)
        vectors = part.shape[2] // LANES
        blocks.append((vectors, tap, len(where) // path.group, place, first))
        taps.append(where)
        weights.append(
            groups.reshape(len(where), WORD, vectors, LANES).transpose(0, 2, 3, 1).reshape(-1)
        )
        place += weights[-1].size
        tap += len(where)
    sums = zero * kernels.astype(np.int32).sum(axis=(1, 2, 3), dtype=np.int32)
    return Pack(
        np.array(blocks, np.int64),
        np.concatenate(taps).astype(np.int32),
        np.ascontiguousarray(np.concatenate(weights)),
        np.pad(sums, (0, words.shape[2] - len(sums))),
    )


def words_of(kernels: np.ndarray, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [word]: offsets; int8 [word, byte, output]: weights, whole vectors of outputs.

    The taps of a kernel's row are one run of bytes in a map, cut into words.
    """
    outputs, rows, columns, channels = kernels.shape
    run = (columns - 1) * column + channels
    words = -(-run // WORD)
    lanes = -(-outputs // LANES) * LANES
    laid = np.zeros((rows, words * WORD, lanes), np.int8)
    place = (np.arange(columns)[:, None] * column + np.arange(channels)).reshape(-1)
    laid[:, place, :outputs] = kernels.transpose(1, 2, 3, 0).reshape(rows, -1, outputs)
    offsets = np.arange(rows)[:, None] * row + WORD * np.arange(words)
    return offsets.reshape(-1), laid.reshape(rows * words, WORD, lanes)


def grouped(offsets, words, largest: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same words, in groups of ``path.group`` that no data can carry out of 16 bits.

    Where neighbours do not fit together, others are tried; what fits with nothing stands beside
    zeros; and a word that does not fit by itself becomes two, of even and of odd channels.
    """
    if not path.pair_limit or not len(words):
        return offsets, words
    strength = pair_strength(words, largest)
    alone = strength.max(axis=(1, 2, 3), initial=0) > 1
    if alone.any():
        odd = words[alone].copy()
        odd[:, 0::2] = 0
        even = words.copy()
        even[np.ix_(alone, (1, 3))] = 0
        words, offsets = np.concatenate([even, odd]), np.concatenate([offsets, offsets[alone]])
        strength = pair_strength(words, largest)
    order = partners(strength)
    words = np.concatenate([words, np.zeros_like(words[:1])])  # -1: zeros
    offsets = np.append(offsets, 0)
    return offsets[order], words[order]


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
