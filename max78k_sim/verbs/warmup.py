"""``max78k warmup``: compile the engine ahead of time."""

from __future__ import annotations

import json
from argparse import Namespace

from .. import engine


def main(options: Namespace) -> None:
    """Compile what is not in the cache yet, and say what was done."""
    path = engine.choose_path()
    done = engine.warmup(path)
    folder = cache_folder(path)
    if options.json:
        parts = [{"what": what, "seconds": seconds} for what, seconds in done]
        print(json.dumps({"path": path, "cache": folder, "done": parts}))
        return
    for what, seconds in done:
        print(f"{what}: {seconds:.2f} s")
    print(f"instruction path: {path}; cache: {folder}")


def cache_folder(path: str) -> str:
    """Where numba keeps what was compiled (NUMBA_CACHE_DIR moves it)."""
    from ..engine.driver import driver

    return str(driver(path).stats.cache_path)
