"""``max78k warmup``: compile the engine ahead of time."""

from __future__ import annotations

import json
from argparse import Namespace

from .. import engine


def main(options: Namespace) -> None:
    """Compile what is not in the cache yet, and say what was done."""
    from ..engine.native import cache_folder

    path = engine.choose_path()
    done = engine.warmup(path)
    folder = str(cache_folder())
    if options.json:
        parts = [{"what": what, "seconds": seconds} for what, seconds in done]
        print(json.dumps({"path": path, "cache": folder, "done": parts}))
        return
    for what, seconds in done:
        print(f"{what}: {seconds:.2f} s")
    print(f"instruction path: {path}; cache: {folder}")
