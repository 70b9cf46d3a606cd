"""What the compute core could do here: compiled ahead of time, and its peak without memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from .driver import driver
from .pack import BLOCK_FIELDS
from .path import PATHS, WORD
from .steps import LANES, STEP
from .tile import PEAK_VECTORS, peak

ROUNDS = 200_000  # of a call that is timed


def run_nothing(path: str) -> None:
    """Run no step on no sample: compiles ``driver.run``, with the types that it is always given."""
    small, numbers, words = np.zeros(1, np.uint8), np.zeros(1, np.int32), np.zeros(1, np.int8)
    blocks = np.zeros((1, BLOCK_FIELDS), np.int64)
    driver(path)(np.zeros(0, STEP), numbers, blocks, numbers, words, numbers, small, small, 1, 1,
                 small, 0, small, 0, 0, 0)  # fmt: skip


def peak_of(path: str, threads: int, seconds: float) -> float:
    """Multiplications a second of all threads together, the best of several tries."""

    @njit(nogil=True)
    def work(rounds, address):
        peak(path, rounds, address)

    chosen = PATHS[path]
    each = ROUNDS * PEAK_VECTORS * chosen.pixels[PEAK_VECTORS - 1] * chosen.group * LANES * WORD
    places = [np.ones(1024, np.uint8) for _ in range(threads)]
    work(1, places[0].ctypes.data)
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(lambda place: work(ROUNDS, place.ctypes.data), places))
            best = max(best, threads * each / (time.perf_counter() - start))
    return best
