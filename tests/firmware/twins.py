"""The Python trainer and the C training step beside each other, each on a chip of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from firmware.cosim.host import HostTrainer, compile_library
from firmware.generate import generate
from firmware.training.linear import step_sram
from max78k_sim import Machine, Program
from max78k_sim.testing.single import is_contiguous
from max78k_sim.verbs.training import exponents_of, training_check, training_step
from trainer.kernel_store import TRAINED_REGIONS
from trainer.loop import Trainer
from trainer.recipe import Recipe

COUNTED = {"kernel": "cnn_train_kernel_words", "bias": "cnn_train_bias_bytes"}


LAST_LAYER_REGISTER = 2


def run_to(machine: Machine, last: int, image: np.ndarray) -> None:
    """Load a sample and run layers 0 to ``last`` (none for -1), as LCNT_MAX says."""
    program = machine.prepare(image)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    before = {}
    for group in program.plan.groups:
        address = machine.device.address("quadrant register", group, 0, LAST_LAYER_REGISTER)
        before[address] = machine.memory.read(address, 1)
        machine.memory.write(address, np.array([max(last, 0)], np.uint32))
    if last >= 0:
        list(machine.execute())
    for address, words in before.items():
        machine.memory.write(address, words)


class Twins:
    """Both, with the same recipe; examples go through both accelerators.

    Units of hidden gradients are chosen from some first images (int8 [n, channel, row, column]).
    """

    def __init__(
        self,
        program: Program,
        recipe: Recipe,
        folder: Path,
        images: np.ndarray,
        labels: np.ndarray,
        check: bool = False,
    ):
        self.simulated, self.compiled = Machine(), Machine()
        self.simulated.load(program)
        self.compiled.load(program)
        self.trainer = Trainer(self.simulated, recipe)
        if not self.trainer.scales:
            self.trainer.choose_scales(images, labels)
        exponents = exponents_of(self.trainer)
        step = training_step(program, recipe, exponents)
        self.whole = step.copy is not None  # all kernel words are written at each step
        self.sram = sum(step_sram(program.plan, step).values())
        known = training_check(program, recipe, exponents) if check else None
        generate(program.plan, folder, step, known)
        self.host = HostTrainer(compile_library(folder), self.compiled.memory, recipe.seed)
        self.host.use(self.again)
        assert 0 <= self.sram - self.host.number("cnn_train_sram") <= 128
        self.image = images[0]
        self.gaps = any(
            not is_contiguous(layer.output_processors) for layer in program.plan.network.layers
        )
        self.runs = 0  # of the first layers again

    def again(self, last: int) -> None:
        """What the C code asks for where tensors are lost."""
        run_to(self.compiled, last, self.image)
        self.runs += 1

    def step(self, images: np.ndarray, labels: np.ndarray, teacher=None) -> None:
        """One batch in both; the classes that were predicted are compared."""
        maps = self.trainer.maps(images)
        wanted = self.trainer.logits(maps).argmax(axis=1).tolist()
        self.host.begin()
        for number, image in enumerate(images):
            self.compiled.run(image)
            self.image = image
            said = None if teacher is None else teacher[number]
            assert self.host.learn(int(labels[number]), said) == wanted[number]
        self.host.apply()
        self.trainer.learn(maps, labels, teacher)

    def check(self) -> None:
        """All kernel and bias memory is the same, as is how often it was written.

        Where the map of output processors has gaps, C may visit a kernel word twice; the step of a
        linear layer for one sample writes all of them.
        """
        for region in TRAINED_REGIONS:
            mine, other = (chip.memory.arrays[region] for chip in (self.simulated, self.compiled))
            assert np.array_equal(mine, other), region
        words = {kind: self.host.number(name) for kind, name in COUNTED.items()}
        written = self.trainer.slots_written
        more = self.gaps or self.whole
        assert words == written or (more and all(words[n] >= written[n] for n in words))
        assert self.host.accesses()[2] == 0  # outside of every memory
