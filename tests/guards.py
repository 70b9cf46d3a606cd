"""What no file may do to its reader: hang, or take a gigabyte."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HANGS = 60  # seconds, of what takes milliseconds
MOST_BYTES = 1 << 30
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # see proc(5)


@contextmanager
def no_hang() -> Iterator[None]:
    """AssertionError for what has not ended after a minute."""

    def stop(signum, frame):
        raise AssertionError(f"no answer after {HANGS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def bounded_memory(most: int = MOST_BYTES) -> Iterator[None]:
    """AssertionError where the process's memory grew by ``most`` bytes at any moment (Linux)."""
    if not CLEAR.exists():
        yield
        return
    CLEAR.write_text(RESET_PEAK)
    before = memory_bytes("VmRSS")
    yield
    grown = memory_bytes("VmHWM") - before
    assert grown < most, f"{grown:,} B more at the peak"


def memory_bytes(name: str) -> int:
    """One row of the process's status."""
    row = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(row.split()[1]) * 1024
