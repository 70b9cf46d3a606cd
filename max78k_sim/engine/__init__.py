"""The compute core: products of bytes, as fast as the processor has instructions for them.

A path is a set of instructions (``path.PATHS``).  The fastest that this processor has is taken,
unless ``MAX78K_PATH`` names another; all give the same bits.
"""

import os
from functools import cache

from ..errors import InputError

APPLE = "apple-m"  # as LLVM names the processors of Macs


@cache
def paths() -> tuple[str, ...]:
    """The paths that this processor can run, the fastest first."""
    from llvmlite import binding

    from .path import PATHS

    features = dict(binding.get_host_cpu_features())
    if binding.get_host_cpu_name().startswith(APPLE):
        features["dotprod"] = True  # LLVM does not list what these have
    return tuple(
        path.name for path in PATHS.values() if all(features.get(name) for name in path.features)
    )


def choose_path(name: str | None = None) -> str:
    """A path by name, or by ``MAX78K_PATH``, or the fastest; InputError where it cannot run."""
    wanted = name or os.environ.get("MAX78K_PATH")
    if wanted and wanted not in paths():
        raise InputError(
            f"MAX78K_PATH {wanted!r} cannot run on this processor; it has {', '.join(paths())}"
        )
    return wanted or paths()[0]


def warmup(path: str | None = None) -> list[tuple[str, float]]:
    """Compile what runs need, or load it where it was compiled before: (what, seconds)."""
    import time

    chosen, done = choose_path(path), []
    from .native import BACKWARD, ERRORS, FORWARD, UPDATE, loaded

    parts = {
        "compute core": FORWARD,
        "gradients": BACKWARD,
        "errors": ERRORS,
        "steps of weights": UPDATE,
    }
    for what, name in parts.items():
        start = time.perf_counter()
        loaded(chosen, name)
        done.append((f"{what}, path {chosen}", time.perf_counter() - start))
    return done


def peak_int8(path: str | None = None, threads: int = 1, seconds: float = 0.2) -> float:
    """Multiplications a second that this processor reaches without loads or stores, by a path."""
    from .measure import peak_of

    return peak_of(choose_path(path), threads, seconds)
