"""Noise for spoken words, in integers: white, pink, and babble of other words.

Random numbers are those of ``quantized_update.draws``: a function of (seed, clip, sample).
"""

from __future__ import annotations

import math

import numpy as np

from ..quantized_update import draws
from .audio import RATE

FULL_SCALE = (1 << 15) - 1
SILENCE = 50  # below peak / SILENCE nothing is spoken
EDGE = RATE // 100  # samples that stay around what is spoken
OCTAVES = 12  # of pink noise
SPOKEN = 4  # words of a babble
FIRST = 1 << 10  # elements of the draws that noise takes begin here
SCALE_BITS = 16  # of a noise's factor


def white(seed: int, clip: int, first: int = FIRST, count: int = RATE) -> np.ndarray:
    """About Gaussian, each sample on its own: int64 [count], the sum of 4 bytes less its mean."""
    words = draws(seed, clip, count, first)
    summed = sum((words >> np.uint64(8 * byte)) & np.uint64(0xFF) for byte in range(4))
    return np.asarray(summed, np.uint64).astype(np.int64) - 510


def pink(seed: int, clip: int) -> np.ndarray:
    """As loud in every octave: int64 [RATE], the sum of white noises held 1, 2, 4 ... samples."""
    total, first = np.zeros(RATE, np.int64), FIRST
    for octave in range(OCTAVES):
        count = -(-RATE >> octave)
        total += np.repeat(white(seed, clip, first, count), 1 << octave)[:RATE]
        first += count
    return total


def babble(pool: list[np.ndarray], numbers: np.ndarray) -> np.ndarray:
    """Some of other people's words at once, each beginning somewhere, around: int64 [RATE].

    ``pool``: int16 [sample] each; ``numbers``: 32-bit random ones, one for each that speaks.
    """
    total = np.zeros(RATE, np.int64)
    for number in numbers:
        chosen, start = divmod(int(number), RATE)
        word = placed(pool[chosen % len(pool)], 0).astype(np.int64)
        total += np.roll(word * FULL_SCALE // max(1, np.abs(word).max()), start)
    return total


def trimmed(samples: np.ndarray) -> np.ndarray:
    """From where something is spoken to where it ends, and EDGE around: int16 [sample]."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int64)) * SILENCE > np.abs(samples).max())
    if not len(loud):
        return samples
    return samples[max(0, loud[0] - EDGE) : loud[-1] + 1 + EDGE]


def placed(word: np.ndarray, shift: int) -> np.ndarray:
    """A word in a second of silence, its middle ``shift`` samples off, but all of it: [RATE]."""
    if len(word) >= RATE:
        start = (len(word) - RATE) // 2
        return word[start : start + RATE]
    start = min(max(0, (RATE - len(word)) // 2 + shift), RATE - len(word))
    return np.pad(word, (start, RATE - len(word) - start))


def faded_in(
    signal: np.ndarray, word: np.ndarray, noise: np.ndarray, snr: int, peak: int
) -> np.ndarray:
    """Signal and noise at a ratio of mean powers, as loud as asked for: int16 [RATE].

    ``word``: what the signal's power is measured on; ``snr``: decibels; ``peak``: percent of full
    scale.
    """
    factor = round(
        (1 << SCALE_BITS) * loudness(word) / max(1.0, loudness(noise)) * 10 ** (-snr / 20)
    )
    mixed = (signal.astype(np.int64) << SCALE_BITS) + noise * factor
    largest = max(1, int(np.abs(mixed).max()))
    return (mixed * (FULL_SCALE * peak // 100) // largest).astype(np.int16)


def loudness(samples: np.ndarray) -> float:
    """Root of the mean square."""
    values = samples.astype(np.int64)
    return math.sqrt(int((values * values).sum()) / max(1, len(values)))
