"""The peak of a processor: a path's products without loads or stores."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from llvmlite import ir

from .lanes import I64
from .native import address_of, compiled, target
from .path import PATHS, WORD, Path
from .steps import address, zeros
from .tile import build_peak

ROUNDS = 2_000_000  # of a call that is timed: several milliseconds


def peak_of(path: str, threads: int, seconds: float) -> float:
    """Multiplications a second of all threads together, the best of several tries.

    Of as many pixels as a tile has, and of fewer, because registers hold the words of fewer.
    """
    chosen = PATHS[path]
    works = {pixels: products_of(chosen, pixels) for pixels in range(1, chosen.pixels[0] + 1)}
    products = ROUNDS * chosen.group * chosen.lanes * WORD
    operands = [zeros(2048) for _ in range(threads)]
    for each in operands:
        each[:] = 1
    places = [address(array) for array in operands]
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < end:
            for pixels, work in works.items():
                start = time.perf_counter()
                list(pool.map(partial(work, ROUNDS), places))
                best = max(best, threads * products * pixels / (time.perf_counter() - start))
    return best


def products_of(path: Path, pixels: int) -> Callable[[int, int], None]:
    """``build_peak``, compiled."""
    name, module, machine = f"max78k_peak_{pixels}", ir.Module("peak"), target()
    kind = ir.FunctionType(ir.VoidType(), [I64, I64])
    build_peak(ir.Function(module, kind, name), path, pixels)
    place = address_of(name, compiled(module, machine), machine)
    return ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(place)
