"""What is asserted of speed and memory: best batch against best batch, in one run."""

from __future__ import annotations

from collections.abc import Iterator

from . import memory
from .figures import Figure
from .speed import Speeds

WRITTEN_OUT = {"mnist": 10.0, "simplenet": 10.0, "kws20_v3": 5.0}  # times, at least
FLOAT = 3.0  # times, of every network
PEAK_SHARE = {"simplenet": 65.0}  # percent, one thread
TWO_THREADS = 1.8  # times one thread
MEMORY = 300.0  # MB for memory.IMAGES images of MNIST


def threads_text(threads: int) -> str:
    """ "1 thread", "2 threads"."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def speed_figures(speeds: Speeds) -> Iterator[Figure]:
    """Ratios, the share of the peak and the gain of a second thread, of what was measured."""
    networks = list(dict.fromkeys(speed.network for speed in speeds.speeds))
    counts = [peak.threads for peak in speeds.peaks]
    for threads in counts:
        for name in networks:
            for text, competitor, goal in (
                ("quantised", "written out", WRITTEN_OUT.get(name)),
                ("quantised, in place", "in place", None),
                ("float32", "float32", FLOAT),
            ):
                text = f"{name}, {threads_text(threads)}: max78k / PyTorch {text}"
                ratio = speeds.ratio(name, threads, competitor)
                yield Figure(text, ratio, "times", goal, True)
    for name in networks:
        text, share = f"{name}, 1 thread: share of the int8 peak", speeds.share(name, 1)
        yield Figure(text, share, "%", PEAK_SHARE.get(name), True)
    for name in networks if 2 in counts else ():
        gain = speeds.scaling(name, 2)
        yield Figure(f"{name}: 2 threads / 1 thread", gain, "times", TWO_THREADS, True)


def memory_figures() -> list[Figure]:
    """Of processes of their own."""
    name = f"peak memory of {memory.IMAGES:,} images of MNIST"
    return [
        Figure(name, memory.megabytes("max78k"), "MB", MEMORY),
        Figure(f"{name}, PyTorch float32, 64 at a time", memory.megabytes("float32"), "MB"),
        Figure(
            "peak memory of the imports and the network alone", memory.megabytes("nothing"), "MB"
        ),
    ]
