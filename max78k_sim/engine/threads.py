"""Threads that compute: started once, because to start one costs as much as a small job."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # threads do not go along with a fork
    os.register_at_fork(after_in_child=pool.cache_clear)
