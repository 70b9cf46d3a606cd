"""Long runs of C and Python beside each other: ``python -m tests.firmware.train_steps``.

10,000 steps of the last layer and 500 of several layers, with weights of 8, 4, 2 and 1 bits; kernel
and bias memory are compared after every step.  Narrow weights are the highest bits of the shipped
ones; examples are made up.  Arguments choose networks or widths: ``digits``, ``4``, or
``one-sample``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import networks as shipped
from max78k_sim import Program, compile_network, load_network
from trainer.recipe import Recipe

from .twins import Twins

EXAMPLES = 64


@dataclass(frozen=True)
class Case:
    """One row: ``layers`` of a shipped network, and how many steps.

    ``momentum_shift`` of 0: the step of a linear layer for one sample (cnn_linear.c).
    """

    network: str
    layers: tuple[str, ...]
    steps: int
    rate_shift: int
    bits: int = 8
    momentum_shift: int = 3

    @property
    def trained(self) -> str:
        """What is, in a cell of a table."""
        return ", ".join(self.layers) + (" (one sample)" if self.momentum_shift == 0 else "")

    def named(self, names: Collection[str]) -> bool:
        """Whether it is asked for; no names: all are."""
        mine = {self.network, str(self.bits)} if self.momentum_shift else {ONE_SAMPLE}
        return not names or bool(mine & set(names))


WIDTHS = (8, 4, 2, 1)
NETWORKS = ("digits", "fashion", "keywords")
ONE_SAMPLE = "one-sample"  # chooses the rows of cnn_linear.c
CASES = tuple(
    Case(network, layers, steps, rate_shift, bits)
    for network, layers, steps, rate_shift in (
        ("digits", ("conv3", "conv4", "fc"), 500, 8),
        ("fashion", ("conv4", "fc"), 500, 8),
        ("keywords", ("conv5", "conv6", "fc"), 500, 8),
        ("digits", ("fc",), 10_000, 10),
        ("fashion", ("fc",), 10_000, 10),
        ("keywords", ("fc",), 10_000, 10),
    )
    for bits in WIDTHS
) + tuple(Case(network, ("fc",), 10_000, 7, momentum_shift=0) for network in NETWORKS)
HEADER = "| network | layers | steps | bits | kernel words written | equal after every step |"


def program_of(name: str, bits: int) -> Program:
    """A shipped network, with the highest bits of its weights."""
    folder = shipped.DIRECTORY / name
    network = load_network(folder / "network.yaml", folder / "checkpoint.pth.tar")
    fewer = 8 - bits
    layers = tuple(
        replace(layer, weight_bits=bits, output_shift=layer.output_shift + fewer)
        for layer in network.layers
    )
    parameters = tuple(
        None if each is None else replace(each, kernel=each.kernel >> fewer)
        for each in network.parameters
    )
    return compile_network(replace(network, layers=layers, parameters=parameters))


def random_examples(shape: tuple[int, ...], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose classes can be learnt: a pattern of each, and noise."""
    random = np.random.default_rng(7)
    labels = random.integers(0, classes, EXAMPLES)
    patterns = random.integers(-100, 100, (classes, *shape))
    noise = random.integers(-27, 28, (EXAMPLES, *shape))
    return (patterns[labels] + noise).astype(np.int8), labels


def task_of(case: Case) -> tuple[Program, Recipe, np.ndarray, np.ndarray]:
    """What a case trains, one sample a step: program, recipe, and examples with their labels."""
    program = program_of(case.network, case.bits)
    network = program.plan.network
    recipe = Recipe(
        layers=case.layers,
        batch=1,
        steps=case.steps,
        rate_shift=case.rate_shift - (8 - case.bits),
        deeper_shift=1,
        momentum_shift=case.momentum_shift,
    )
    classes = network.layers[-1].out_channels
    return program, recipe, *random_examples(network.input_shape, classes)


def run_case(case: Case, folder: Path) -> str:
    """A row of the table; an AssertionError names the step that differs."""
    program, recipe, images, labels = task_of(case)
    both = Twins(program, recipe, folder, images[:8], labels[:8])
    for step in range(case.steps):
        shown = np.array([step * 13 % EXAMPLES])
        both.step(images[shown], labels[shown])
        both.check()
    return (
        f"| {case.network} | {case.trained} | {case.steps:,} | "
        f"{case.bits} | {both.trainer.slots_written['kernel']:,} | yes |"
    )


def main(names: list[str]) -> Iterator[str]:
    """Rows, as they come."""
    yield HEADER
    yield "| --- | --- | --- | --- | --- | --- |"
    for case in CASES:
        if not case.named(names):
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            yield run_case(case, Path(folder))
        print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    for line in main(sys.argv[1:]):
        print(line, flush=True)
