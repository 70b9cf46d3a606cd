"""Kernels of three taps by fewer products: Winograd's F(4, 3), in integers, exact.

Four outputs of a kernel of three taps take six products instead of twelve; sixteen outputs of a
kernel of three by three take 36 instead of 144.  With six data d, three weights g, and products
element by element,

    24 y = OUT (KERNEL g * DATA d)

which multiplies polynomials by their values at 0, 1, -1, 2, -2 and infinity.  The fractions of
KERNEL, and of OUT, are multiplied out.  Where kernels have columns, too, both directions are
transformed.  Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).

No bit is lost.  Data become at most 100 times as large, weights 144 times: 12,800 and 18,432 fit 16
bits, and two products 32.  Sums of 32 bits may wrap: they are 24 or 576 times the result, that is
9 * 64, and nine has an inverse among numbers of 32 bits; 64 times a result of 26 bits, as the
chip's accumulators have, fits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .pack import NOWHERE, Pack, with_zero
from .path import Path
from .steps import LANES, LINE, SUM_BYTES

TAPS, OUTPUTS, POINTS = 3, 4, 6  # of one direction
ACROSS = {1: (1, 1), TAPS: (OUTPUTS, POINTS)}  # of the other, by the columns of a kernel
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 12]])
DATA = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
OUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 2]])
THREES, TWOS = 1, 3  # 24 = 3 * 2 ** 3
PAIR = 2  # channels of a word
PAIR_BYTES = 2  # of a number
PATCHES = 24  # at a time: whole tiles of every path
LEAST_CHANNELS = 8  # fewer are transformed for too few products


def points(columns: int) -> int:
    """Of kernels with so many columns, TAPS or 1."""
    return POINTS * ACROSS[columns][1]


def serves(
    kernel: tuple[int, int], size: tuple[int, int], channels: int, outputs: int, path: Path
) -> bool:
    """Whether this is the faster way: kernels, and outputs, of so many rows and columns."""
    (rows, columns), (down, across) = kernel, size
    if not path.patches or rows != TAPS or columns not in ACROSS:
        return False
    wide = ACROSS[columns][0]
    if down < OUTPUTS or across < wide or min(channels, outputs) < LEAST_CHANNELS:
        return False
    patches = -(-down // OUTPUTS) * -(-across // wide)
    return path.gain * points(columns) * patches <= rows * columns * down * across


def pack(kernels: np.ndarray, path: Path) -> Pack:
    """int8 [output, row tap, column tap, channel] -> Pack; "groups" of its blocks are words.

    ``weights``: int16 [block, point, word, output, PAIR] as bytes; ``places``: [block, tap, word,
    output, PAIR].
    """
    outputs, rows, columns, channels = kernels.shape
    words, lanes = -(-channels // PAIR), -(-outputs // path.lanes) * path.lanes
    numbers = np.arange(kernels.size).reshape(outputs, rows * columns, channels)
    laid = np.full((rows * columns, words * PAIR, lanes), NOWHERE, np.int64)
    laid[:, :channels, :outputs] = numbers.transpose(1, 2, 0)
    blocks, places, place = [], [], 0
    for first in range(0, lanes, path.block):
        part = laid[:, :, first : first + path.block]
        count = part.shape[2]
        places.append(part.reshape(-1, PAIR, count).transpose(0, 2, 1).reshape(-1))
        blocks.append((count, 0, words, place, first))
        place += points(columns) * words * PAIR * count * PAIR_BYTES
    none = np.zeros(0, np.int64)
    empty = Pack(
        blocks=np.array(blocks, np.int64),
        taps=none.astype(np.int32),
        weights=np.zeros(place, np.int8),
        places=np.concatenate(places),
        absent=none,
        sums=np.zeros(lanes, np.int32),
    )
    return packed_alike(empty, kernels)


def packed_alike(old: Pack, kernels: np.ndarray) -> Pack:
    """Other kernels of the same shape in the order of the ``old``."""
    taps = kernels.shape[1:3]
    values = with_zero(kernels).take(old.places).astype(np.int16)
    found, done = [], 0
    for count, _, words, _, _ in old.blocks.tolist():
        size = taps[0] * taps[1] * words * PAIR * count
        part = values[done : done + size].reshape(*taps, -1)
        if taps[1] == TAPS:
            part = kernel_points(part.swapaxes(0, 1)).swapaxes(0, 1)
        found.append(kernel_points(part).reshape(-1))
        done += size
    return replace(old, weights=np.concatenate(found).view(np.int8))


def kernel_points(taps: np.ndarray) -> np.ndarray:
    """int16 [TAPS, ...] -> [POINTS, ...]: KERNEL times these."""
    first, middle, last = taps
    ends, odd, even = first + last, 2 * middle, first + 4 * last
    return np.stack(
        [6 * first, -4 * (ends + middle), -4 * (ends - middle), even + odd, even - odd, 12 * last]
    )


# ---- room for PATCHES: data [point, patch, channel], int16, and sums [point, patch, output], int32


def point_bytes(patch: int) -> int:
    """Between points, of so many bytes a patch; one line more, or they would share the cache's."""
    return PATCHES * patch + LINE


def data_bytes(depth: int) -> int:
    """Of a patch; ``depth``: vectors of LANES channels."""
    return depth * LANES * PAIR_BYTES


def room(depth: int, columns: int, path: Path) -> int:
    """Bytes of both."""
    return points(columns) * (point_bytes(data_bytes(depth)) + point_bytes(SUM_BYTES * path.block))
