"""Peak memory of 10,000 MNIST images: ``python -m tests.bench.memory WHO``, a process of its own.

WHO: ``max78k``; ``float32``, PyTorch, 64 images at a time; ``nothing``, what imports take.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

IMAGES = 10_000


def megabytes(who: str) -> float:
    """What a child process says."""
    line = [sys.executable, "-m", "tests.bench.memory", who]
    return float(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def peak() -> float:
    """Most memory that this process had, in 10**6 bytes.

    Linux: not getrusage, whose figure begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        rows = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(rows["VmHWM"].split()[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def work(who: str) -> None:
    """All images, outputs kept."""
    from . import subjects

    subject = subjects.load("mnist")
    if who == "nothing":
        return
    samples = subject.samples(IMAGES)
    if who == "max78k":
        from max78k_sim.batch import Batch

        assert len(Batch(subject.machine()).run(samples)) == IMAGES
        return
    from .torch_forms import Form, TorchNetwork

    model = TorchNetwork(subject.network, Form(who, True))
    parts = (samples[start : start + 64] for start in range(0, IMAGES, 64))
    assert sum(len(model.run(model.prepare(part))) for part in parts) == IMAGES


if __name__ == "__main__":
    work(sys.argv[1])
    print(peak())
