"""What this machine can do at most: int8 dot products, and a float32 matrix product."""

from __future__ import annotations

import torch

from max78k_sim import engine

from .figures import best

SIDE = 1536  # rows and columns of the float32 matrices
TIMES = 5  # the best of which counts


def instruction_path() -> str:
    """The path that the engine takes here, for example "avx512"."""
    paths = getattr(engine, "paths", None)
    return paths()[0] if paths else "unknown"


def int8(threads: int) -> float | None:
    """Multiply-accumulates a second of the path's int8 dot products; None without a measure."""
    measure = getattr(engine, "peak_int8", None)
    return max(measure(instruction_path(), threads) for _ in range(TIMES)) if measure else None


def float32(threads: int) -> float:
    """Multiply-accumulates a second of PyTorch's matrix product."""
    torch.set_num_threads(threads)
    one, other = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    out = torch.empty(SIDE, SIDE)
    return SIDE**3 / best(lambda: torch.mm(one, other, out=out), TIMES)
