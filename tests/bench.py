"""``make bench``: how long things take here, and the goals that are asserted.

Machines are shared and noisy, so each figure is the best of several, and what compares two things
is a ratio from one run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from max78k_sim import Machine
from max78k_sim.bus import Bus
from tests import fashion
from trainer.loop import Recipe, Trainer


@dataclass(frozen=True)
class Figure:
    """One measurement; ``goal`` (same unit) is asserted where it is given."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the goal, if there is one, was reached."""
        return self.goal is None or self.value <= self.goal


def best(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def command(*arguments: str) -> Callable[[], object]:
    """A call of the command line in a process of its own."""
    line = [sys.executable, "-m", "max78k_sim.cli", *arguments]
    return lambda: subprocess.run(line, check=True, capture_output=True)


def figures() -> list[Figure]:
    """Every measurement."""
    sample = np.load(fashion.DIRECTORY / "sample.npy")
    run = command(
        "run", *fashion.NETWORK_OPTIONS, "--sample-input", str(fashion.DIRECTORY / "sample.npy")
    )
    chip = fashion.machine()
    chip.run(sample)
    inference = best(lambda: chip.run(sample), 50)
    kernels = fashion.program().plan.placement("fc", "kernel")
    word = chip.memory.read(int(kernels.words[0]), 4)

    def write_and_run():
        chip.memory.write(int(kernels.words[0]), word)
        chip.run(sample)

    after_write = best(write_and_run, 50)
    pool, trainer = fashion.pool(), Trainer(chip, Recipe())
    chip.run(sample)

    def step():
        trainer.begin()
        trainer.learn_from_memory(3)
        trainer.apply()

    multiplications = sum(layer.multiplications for layer in fashion.network().layers)
    return [
        Figure("max78k --help", best(command("--help"), 7), "s", 0.3),
        Figure("max78k run, warm caches", best(run, 3), "s"),
        Figure("place and compile the network", best(fashion.program.__wrapped__, 5) * 1e3, "ms"),
        Figure("one inference", inference * 1e3, "ms", 5.0),
        Figure("multiplications a second", multiplications / inference / 1e9, "10^9/s"),
        Figure("inference after a kernel write / inference", after_write / inference, "ratio", 3.0),
        Figure("a word of data memory through the bus", bus_write() * 1e6, "us"),
        Figure("one training step without inferences", best(step, 20) * 1e3, "ms"),
        Figure("one batch of 4", best(lambda: batch(trainer, pool), 5) * 1e3, "ms"),
    ]


def bus_write() -> float:
    """Seconds of one write to data memory, of a thousand."""
    bus = Bus(Machine())
    first = bus.device.address("data")

    def write():
        for address in range(first, first + 4000, 4):
            bus.write(address, 4, address)

    return best(write, 20) / 1000


def emulator_figures() -> list[Figure]:
    """The emulated board, against unicorn alone on the same program; none without a compiler."""
    import pytest

    from firmware.board import Board
    from tests.firmware.arm import program

    try:
        elf = program("speed", "-DROUNDS=300")
    except pytest.skip.Exception:
        return []
    Board(elf).run(instructions=100_000)  # compiles the hooks
    boards = [Board(elf) for _ in range(3)]
    counted = best(lambda: boards.pop().run(), 3)
    board = Board(elf)
    end = board.run().pc
    bare = best(lambda: bare_unicorn(board, end), 3)
    nanoseconds = counted / board.cpu.instructions * 1e9
    return [
        Figure("an emulated instruction", nanoseconds, "ns", 20.0),
        Figure("emulated board / unicorn alone", counted / bare, "ratio"),
    ]


def bare_unicorn(board, end: int) -> None:
    """The board's program in unicorn as it comes, up to an address."""
    from firmware.board.cpu import MEMORIES, REGISTERS, new_engine

    engine = new_engine()
    for _, base, size in MEMORIES:
        engine.mem_map(base, size)
    engine.mmio_map(0x40000000, 0x100000, lambda *_: 0, None, lambda *_: None, None)
    for segment in board.image.segments:
        engine.mem_write(segment.address, segment.data)
    first = bytes(engine.mem_read(0x10000000, 8))
    stack, reset = (int.from_bytes(first[n : n + 4], "little") for n in (0, 4))
    engine.reg_write(REGISTERS["sp"], stack)
    engine.emu_start(reset, end)


def batch(trainer: Trainer, pool) -> None:
    """A whole step on four images."""
    trainer.train_batch(pool.images[:4], pool.labels[:4])


def main() -> int:
    """Print the table; 1 when a goal was missed."""
    measured = [*figures(), *emulator_figures()]
    for figure in measured:
        goal = "" if figure.goal is None else f"  goal {figure.goal} {figure.unit}"
        verdict = "" if figure.holds else "  MISSED"
        print(f"{figure.name:45} {figure.value:9.3f} {figure.unit:7}{goal}{verdict}")
    return 0 if all(figure.holds for figure in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
