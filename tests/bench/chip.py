"""The command line, one chip and the trainer: what a user waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim import Machine
from max78k_sim.batch import Batch
from max78k_sim.bus import Bus
from tests import fashion
from trainer.loop import Trainer
from trainer.recipe import Recipe

from . import subjects
from .figures import Figure, best
from .subjects import Subject


def command(*arguments: str, **environment: str) -> Callable[[], object]:
    """A call of the command line in a process of its own, which keeps compiled Python as usual."""
    line = [sys.executable, "-m", "max78k_sim.cli", *arguments]
    variables = os.environ | environment | {"PYTHONDONTWRITEBYTECODE": ""}
    return lambda: subprocess.run(line, check=True, capture_output=True, env=variables)


def start_figures() -> list[Figure]:
    """The command line: help, and one inference with and without what numba kept."""
    name = "max78k run on MNIST"
    with TemporaryDirectory() as folder:
        arguments = run_arguments(Path(folder))
        warm = command("run", *arguments)
        warm()
        first = (
            best(command("run", *arguments, NUMBA_CACHE_DIR=f"{folder}/cache{number}"), 1)
            for number in range(2)
        )
        return [
            Figure("max78k --help", best(command("--help"), 7), "s", 0.3),
            Figure(f"{name}, warm caches", best(warm, 5), "s", 0.7),
            Figure(f"{name}, the very first time", min(first), "s", 6.0),
        ]


def run_arguments(folder: Path) -> list[str]:
    """Files of the MNIST network of the benchmark, and what names them."""
    description = subjects.FOLDER / "mnist.yaml"
    subjects.write_weights(description, folder / "weights.npz")
    np.save(folder / "sample.npy", subjects.load("mnist").samples(1)[0])
    return [
        *("--config-file", str(description)),
        *("--checkpoint-file", str(folder / "weights.npz")),
        *("--sample-input", str(folder / "sample.npy")),
    ]


def machine_figures() -> list[Figure]:
    """One chip and one training step, with the network that is shipped."""
    sample = np.load(fashion.DIRECTORY / "sample.npy")
    chip = fashion.machine()
    chip.run(sample)
    inference = best(lambda: chip.run(sample), 50)
    after_write = best(writing(chip, "fc", lambda: chip.run(sample)), 50)
    pool, trainer = fashion.pool(), Trainer(chip, Recipe())
    chip.run(sample)

    def step():
        trainer.learn(trainer.maps_in_memory(), np.array([3]))

    multiplications = sum(layer.multiplications for layer in fashion.network().layers)
    return [
        Figure("place and compile the network", best(fashion.program.__wrapped__, 5) * 1e3, "ms"),
        Figure("one inference", inference * 1e3, "ms", 5.0),
        Figure("multiplications a second", multiplications / inference / 1e9, "10⁹/s"),
        Figure("inference after a kernel write / inference", after_write / inference, "times", 3.0),
        Figure("a word of data memory through the bus", bus_write() * 1e6, "µs"),
        Figure("one training step without inferences", best(step, 20) * 1e3, "ms"),
        Figure("one batch of 4", best(lambda: batch(trainer, pool), 5) * 1e3, "ms"),
    ]


def one_image_figures(measured: list[Subject]) -> Iterator[Figure]:
    """One image by the memory-exact machine and by the batch engine, and after a kernel write."""
    for subject in measured:
        chip, sample = subject.machine(), subject.samples(1)
        engine = Batch(chip)
        layer = next(layer.name for layer in subject.network.layers if layer.has_kernels)
        works: dict[str, Callable[[], object]] = {
            "machine": lambda: chip.run(sample[0]),  # noqa: B023
            "batch engine": lambda: engine.run(sample),  # noqa: B023
        }
        for name, work in works.items():
            work()
            once = best(work, 30) * 1e3
            written = best(writing(chip, layer, work), 30) * 1e3
            yield Figure(f"{subject.name}: one image, {name}", once, "ms")
            yield Figure(f"{subject.name}: a kernel write, one image, {name}", written, "ms")


def writing(chip: Machine, layer: str, work: Callable[[], object]) -> Callable[[], object]:
    """A write of a kernel's first word, with the value that it has, and then the work."""
    assert chip.program is not None
    address = int(chip.program.plan.placement(layer, "kernel").words[0])
    word = chip.memory.read(address, 4)

    def write_and_work():
        chip.memory.write(address, word)
        work()

    return write_and_work


def bus_write() -> float:
    """Seconds of one write to data memory, of a thousand."""
    bus = Bus(Machine())
    first = bus.device.address("data")

    def write():
        for address in range(first, first + 4000, 4):
            bus.write(address, 4, address)

    return best(write, 20) / 1000


def batch(trainer: Trainer, pool) -> None:
    """A whole step on four images."""
    trainer.train_batch(pool.images[:4], pool.labels[:4])
