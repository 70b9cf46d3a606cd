"""The peak of a processor: a path's products without loads or stores."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from llvmlite import ir

from .lanes import I64
from .native import address_of, compiled, target
from .path import PATHS, WORD
from .steps import LANES, address
from .tile import PEAK_VECTORS, build_peak

ROUNDS = 200_000  # of a call that is timed


def peak_of(path: str, threads: int, seconds: float) -> float:
    """Multiplications a second of all threads together, the best of several tries."""
    chosen, module, machine = PATHS[path], ir.Module("peak"), target()
    kind = ir.FunctionType(ir.VoidType(), [I64, I64])
    build_peak(ir.Function(module, kind, "max78k_peak"), chosen)
    place = address_of("max78k_peak", compiled(module, machine), machine)
    work = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(place)
    each = ROUNDS * PEAK_VECTORS * chosen.pixels[PEAK_VECTORS - 1] * chosen.group * LANES * WORD
    operands = [np.ones(1024, np.uint8) for _ in range(threads)]
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(partial(work, ROUNDS), [address(array) for array in operands]))
            best = max(best, threads * each / (time.perf_counter() - start))
    return best
