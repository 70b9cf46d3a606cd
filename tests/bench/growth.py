"""How cost grows with the batch, the channels and the size of the image: one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim.batch import Batch

from . import figures, subjects
from .subjects import Subject

IMAGES = 64  # at once, where something else grows
DESCRIPTION = """arch: growth
dataset: none
layers:
  - {{op: conv2d, in_channels: {channels}, in_dim: [{side}, {side}], out_channels: {channels},
     pad: 1, processors: {map:#x}, out_offset: 0x4000, output_shift: -2, activate: ReLU}}
"""


@dataclass(frozen=True)
class Series:
    """Seconds of a call against what grows; ``work``: multiplications of the call."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    work: tuple[int, ...]

    @property
    def slope(self) -> float:
        """Exponent of a power law through the larger half, in which fixed costs count less."""
        half = len(self.sizes) // 2
        return float(np.polyfit(np.log(self.sizes[half:]), np.log(self.seconds[half:]), 1)[0])

    @property
    def expected(self) -> float:
        """The same of the multiplications."""
        half = len(self.sizes) // 2
        return float(np.polyfit(np.log(self.sizes[half:]), np.log(self.work[half:]), 1)[0])


def one_layer(channels: int, side: int) -> Subject:
    """A 3x3 convolution of so many channels to as many."""
    processors = (1 << min(channels, 64)) - 1
    with TemporaryDirectory() as folder:
        file = Path(folder) / "network.yaml"
        file.write_text(DESCRIPTION.format(channels=channels, side=side, map=processors))
        return Subject(f"{channels}x{side}x{side}", subjects.load_described(file))


def measure() -> tuple[Series, ...]:
    """The three series."""
    net = subjects.load("mnist")
    return (
        series(
            "batch",
            "images at once",
            (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            lambda n: (net, n),
        ),
        series(
            "channels",
            "channels in and out, 3x3, 16 x 16 pixels",
            (4, 8, 16, 32, 64, 128),
            lambda n: (one_layer(n, 16), IMAGES),
        ),
        series(
            "image size",
            "rows and columns, 3x3, 16 channels",
            (4, 8, 12, 16, 24, 32, 48, 64),
            lambda n: (one_layer(16, n), IMAGES),
        ),
    )


def series(
    name: str, unit: str, sizes: tuple[int, ...], make: Callable[[int], tuple[Subject, int]]
) -> Series:
    """Seconds by size, sizes in turns."""
    made = {size: make(size) for size in sizes}
    works = {size: call(subject, count) for size, (subject, count) in made.items()}
    seconds = figures.in_turns(works)
    work = tuple(subject.multiplications * count for subject, count in made.values())
    return Series(name, unit, sizes, tuple(seconds.values()), work)


def call(subject: Subject, count: int) -> Callable[[], object]:
    """A run of so many images, warm."""
    engine, samples = Batch(subject.machine()), subject.samples(count)
    engine.run(samples)
    return lambda: engine.run(samples)
