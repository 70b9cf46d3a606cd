"""The same training step by step on several sides, and the first word that differs, by its name.

A Side trains on batches: the Python simulation, the generated C on this computer, and the same C in
the emulated board (``BoardSide``, in board_side.py).  ``verbs/cosim.py`` brings them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.device import WORD, WORD_MASK
from max78k_sim.elements import Element, find_each
from max78k_sim.machine import Machine
from max78k_sim.memory import Memory

from .host import HostTrainer

COMPARED = ("kernel", "bias")  # memories, after every step


class Side(Protocol):
    """One that trains: ``memory`` is its accelerator's, ``name`` what people call it."""

    name: str
    memory: Memory

    def step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch: int8 [sample, channel, row, column]; int64 [sample, class], the outputs."""


@dataclass(frozen=True)
class Difference:
    """The first word in which a side differs from the first one.

    ``what``: the element; ``address`` in bytes; ``expected`` and ``found`` as uint32 words.
    """

    step: int
    side: str
    what: str
    address: int
    expected: int
    found: int
    words: int  # that differ, in this memory

    def __str__(self):
        return (
            f"step {self.step}: {self.what}, 0x{self.address:08x}: {self.side} has "
            f"0x{self.found:08x}, the simulation 0x{self.expected:08x} ({self.words:,} "
            f"{'words differ' if self.words != 1 else 'word differs'} there)"
        )


class HostSide:
    """The compiled C on this computer; the accelerator is a Machine."""

    name = "C on this computer"

    def __init__(self, machine: Machine, trainer: HostTrainer):
        self.machine, self.trainer, self.memory = machine, trainer, machine.memory
        self._image = np.zeros(0, np.int8)
        trainer.use(self._run_to)

    def _run_to(self, last: int) -> None:
        """The present sample again, and layers up to a last one (none for -1)."""
        if last < 0:
            self.machine.prepare(self._image)
            return
        for trace in self.machine.traces(self._image):
            if trace.layer == last:
                return

    def step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch."""
        self.trainer.begin()
        outputs = []
        for image, label in zip(images, labels, strict=True):
            self._image = image
            outputs.append(self.machine.run(image).reshape(-1))
            self.trainer.learn(int(label))
        self.trainer.apply()
        return np.array(outputs, np.int64)


Batches = Iterator[tuple[np.ndarray, np.ndarray]]  # images, labels


def lockstep(plan: Plan, sides: Sequence[Side], batches: Batches) -> Iterator[Difference | None]:
    """Every side does a step, then all are compared with the first; ends at a difference."""
    first, *others = sides
    for step, (images, labels) in enumerate(batches, 1):
        expected = first.step(images, labels)
        for side in others:
            found = side.step(images, labels)
            difference = compare_outputs(plan, step, side.name, expected, found)
            for region in COMPARED:
                difference = difference or compare_memory(
                    plan, step, side.name, first.memory, side.memory, region
                )
            if difference is not None:
                yield difference
                return
        yield None


def compare_outputs(
    plan: Plan, step: int, side: str, expected: np.ndarray, found: np.ndarray
) -> Difference | None:
    """The first output that differs; int64 [sample, class]."""
    wrong = np.argwhere(expected != found)
    if not len(wrong):
        return None
    sample, number = (int(axis) for axis in wrong[0])
    last = plan.network.layers[-1]
    address = int(plan.placement(last.name, "output").address.reshape(-1)[number])
    what = f"{last.name} output [channel {number}] of sample {sample + 1} of the batch"
    ours, theirs = (int(each[sample, number]) & WORD_MASK for each in (expected, found))
    return Difference(step, side, what, address, ours, theirs, len(wrong))


def compare_memory(
    plan: Plan, step: int, side: str, expected: Memory, found: Memory, region: str
) -> Difference | None:
    """The first word of a memory that differs, in the order of addresses."""
    ours, theirs = (memory.arrays[region] for memory in (expected, found))
    if np.array_equal(ours, theirs):
        return None
    wrong = np.argwhere(ours != theirs)
    place = tuple(int(axis) for axis in wrong[0])
    address = int(plan.device.region(region).address(*place))
    word, other = int(ours[place]), int(theirs[place])
    what = describe(plan, region, address, word ^ other)
    return Difference(step, side, what, address, word, other, len(wrong))


def tap_of(plan: Plan, element: Element) -> str:
    """Which tap of a kernel an element is, of kernels that have several."""
    if element.kind != "kernel" or len(element.index) < 3:
        return ""
    shape = plan.placement(element.layer, "kernel").shape[2:]
    number = int(np.ravel_multi_index(element.index[2:], shape))
    return f" (tap {number + 1} of {np.prod(shape)})"


def describe(plan: Plan, region: str, address: int, changed: int) -> str:
    """What the first byte of a word that differs holds; ``changed``: bits that differ."""
    lane = next(n for n in range(WORD) if changed >> 8 * n & 0xFF)
    elements = find_each(plan, np.array([address + lane]))[0]
    bits = changed >> 8 * lane & 0xFF
    for element in elements:
        if bits >> element.bit & (1 << element.bits) - 1:
            return f"{element}{tap_of(plan, element)}"
    return f"{region} memory that the network does not use"
