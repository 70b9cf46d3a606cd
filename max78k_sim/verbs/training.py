"""From a Recipe to what the C generator prints, and to a known answer."""

from __future__ import annotations

import numpy as np

from firmware.generate import TrainingCheck, TrainingStep
from trainer import losses, quantized_update
from trainer.gradients import BIAS_INPUT
from trainer.loop import Recipe, Trainer

from .. import placement
from ..device import WORD
from ..machine import Machine
from ..network import Layer
from ..program import Program

CHECK_STEPS, CHECK_BATCH = 3, 2


def training_step(recipe: Recipe, layer: Layer) -> TrainingStep:
    """The numbers of the C training step, from the modules that the Python trainer uses."""
    mantissa, shift = recipe.update_rate(layer.output_shift)
    constants = {
        "TRAIN_SEED": recipe.seed,
        "TRAIN_RATE_MANTISSA": mantissa,
        "TRAIN_RATE_SHIFT": shift,
        "TRAIN_MOMENTUM_SHIFT": recipe.momentum_shift,
        "ERROR_BITS": losses.ERROR_BITS,
        "BIAS_INPUT": BIAS_INPUT,
        "LOG2_E": losses.LOG2_E,
        "EXPONENT_SCALE": losses.exponent_scale(layer.output_shift),
        "EXPONENT_BITS": losses.EXPONENT_BITS,
        "STEP_BITS": losses.STEP_BITS,
        "LARGEST_EXPONENT": losses.LARGEST_EXPONENT,
        "STEP_FACTOR": quantized_update.STEP_FACTOR,
    }
    for number, (right, factor) in enumerate(quantized_update.MIX, 1):
        constants |= {f"MIX_SHIFT_{number}": right, f"MIX_FACTOR_{number}": factor}
    return TrainingStep(layer.name, constants, tuple(map(int, losses.POWERS)))


def training_check(program: Program, recipe: Recipe) -> TrainingCheck:
    """A known answer for the C training step: made-up activations, the Python trainer's words."""
    machine = Machine(program.device)
    machine.load(program)
    trainer = Trainer(machine, recipe)
    memory, random = machine.memory, np.random.default_rng(recipe.seed)
    trained = [store.placement for store in trainer.stores.values()]
    before = tuple(whole_slots(memory, *run) for place in trained for run in runs(memory, place))
    shown = []
    for _ in range(CHECK_STEPS):
        trainer.begin()
        for _ in range(CHECK_BATCH):
            label = int(random.integers(trainer.layer.out_channels))
            features = random.integers(0, 128, trainer.features.shape)
            logits = random.integers(-100_000, 100_000, trainer.logits.shape)
            placement.write(memory, trainer.features, features)
            placement.write(memory, trainer.logits, logits)
            seen = (*runs(memory, trainer.features), *runs(memory, trainer.logits))
            shown.append((label, seen))
            trainer.learn_from_memory(label)
        trainer.apply()
    after = tuple(run for place in trained for run in runs(memory, place))
    return TrainingCheck(CHECK_STEPS, CHECK_BATCH, before, tuple(shown), after)


def whole_slots(memory, address: int, words: np.ndarray) -> tuple[int, np.ndarray]:
    """A run to write: of kernels in whole slots, whose last word commits the others."""
    place = memory.device.locate(address)
    first = place.region.address(place.group, place.unit, place.entry)
    count = (address - first) // WORD + len(words)
    count += -count % len(place.region.word_masks)
    return first, memory.read(first, count)


def runs(memory, place: placement.Placement) -> list[tuple[int, np.ndarray]]:
    """(address, words) of a tensor's contiguous stretches, as memory holds them now."""
    return [(address, memory.read(address, count)) for address, count in place.runs]
