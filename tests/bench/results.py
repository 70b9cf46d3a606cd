"""Everything that a whole run measures, in the order that it is printed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch

from . import chip, emulator, goals, growth, peaks, speed, subjects, training
from .figures import Figure
from .growth import Series
from .speed import Speeds


@dataclass(frozen=True)
class Results:
    """``sections``: figures under a heading."""

    machine: str
    weights: str
    speeds: Speeds
    series: tuple[Series, ...]
    sections: dict[str, tuple[Figure, ...]]

    @property
    def figures(self) -> list[Figure]:
        """All of them."""
        return [figure for section in self.sections.values() for figure in section]

    @property
    def missed(self) -> list[Figure]:
        """Those whose goal was not reached."""
        return [figure for figure in self.figures if not figure.holds]


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_text() -> str:
    """The processor by what it can do, and the libraries; no names of machines."""
    return (
        f"{platform.machine()}, {cores()} cores, instruction path {peaks.instruction_path()}; "
        f"PyTorch {torch.__version__} (uses {torch.backends.cpu.get_cpu_capability()}), "
        f"numba {numba.__version__}, numpy {np.__version__}, Python {platform.python_version()}"
    )


def measure(corpus: Path | None, names: list[str], batches: tuple[int, ...]) -> Results:
    """Start and memory first, while the machine is quiet; then speed, and what is left."""
    measured = [subjects.load(name, corpus) for name in names]
    threads = tuple(sorted({1, min(2, cores()), cores()}))
    start, memory = chip.start_figures(), goals.memory_figures()
    speeds = speed.measure(measured, threads, batches)
    weights = f"random (seed {subjects.SEED})" if corpus is None else "of the golden cases"
    sections = {
        "Speed, each at its best batch": tuple(goals.speed_figures(speeds)),
        "Memory": tuple(memory),
        "Start": tuple(start),
        "One image": tuple(chip.one_image_figures(measured)),
        "One chip and the trainer (networks/fashion)": tuple(chip.machine_figures()),
        "A training step of a whole network, 1 thread": tuple(training.step_figures(measured)),
        "The emulated board": tuple(emulator.figures()),
    }
    return Results(machine_text(), weights, speeds, growth.measure(), sections)
