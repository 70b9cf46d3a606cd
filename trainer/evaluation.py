"""Accuracy on the exact chip: images through the accelerator, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.machine import Machine

CHUNK = 50  # images between two reports of progress


@dataclass(frozen=True)
class Accuracy:
    """``confusion``: int64 [label, predicted class], in images."""

    confusion: np.ndarray

    def of(self, classes) -> float:
        """Share of right images among those of some classes, 0 to 1 (0 where there are none)."""
        chosen = list(classes)
        shown = self.confusion[chosen].sum()
        return float(self.confusion[chosen, chosen].sum() / shown) if shown else 0.0

    @property
    def images(self) -> int:
        """Images measured."""
        return int(self.confusion.sum())


def copy_machine(machine: Machine) -> Machine:
    """A second accelerator with the same program and memory contents."""
    twin = Machine(machine.device)
    twin.program = machine.program
    for region, words in machine.memory.arrays.items():
        twin.memory.arrays[region][:] = words
    return twin


def evaluate(
    machine: Machine,
    images: np.ndarray,
    labels: np.ndarray,
    report: Callable[[int], None] | None = None,
    jobs: int | None = None,
) -> Accuracy:
    """Run every image (int8 [n, channel, row, column]) and count where it went.

    Works on copies of the machine, one a thread; ``report`` is told how many more are done.
    Raises InputError for labels that are not output classes.
    """
    if machine.program is None:
        raise InputError("the machine has no program; call load(compile_network(network)) first")
    classes = machine.program.plan.network.output_shape[0]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"labels from {labels.min()} to {labels.max()}; the network has {classes} classes"
        )
    jobs = max(1, min(jobs or os.cpu_count() or 1, -(-len(labels) // CHUNK)))
    parts = [range(start, len(labels), jobs) for start in range(jobs)]

    def work(part: range) -> np.ndarray:
        twin = copy_machine(machine)
        confusion = np.zeros((classes, classes), np.int64)
        for done, index in enumerate(part, 1):
            predicted = int(twin.run(images[index]).reshape(-1).argmax())
            confusion[int(labels[index]), predicted] += 1
            if report and (done % CHUNK == 0 or done == len(part)):
                report((done - 1) % CHUNK + 1)
        return confusion

    with ThreadPoolExecutor(jobs) as pool:
        return Accuracy(sum(pool.map(work, parts), np.zeros((classes, classes), np.int64)))
