"""From a Recipe to what the C generator prints, and to a known answer."""

from __future__ import annotations

import numpy as np

from firmware.generate import TrainingCheck, TrainingStep
from trainer import losses, quantized_update
from trainer.gradients import BIAS_INPUT
from trainer.loop import LAST_EXPONENT, Trainer, together
from trainer.recipe import Recipe

from .. import placement
from ..device import WORD
from ..errors import NotEmulated
from ..machine import Machine
from ..network import Layer, Network
from ..program import Program

CHECK_STEPS, CHECK_BATCH = 3, 2
IN_C = {  # what the C training step does so far, by field of a Recipe
    "parts": ("kernel", "bias"),
    "schedule": "constant",
    "optimizer": "momentum",
    "decay_shift": 0,
    "precision": "in place",
    "rounding": "stochastic",
    "loss": "cross-entropy",
    "teacher_share": 0,
    "wide_bias": False,
}


def layer_in_c(network: Network, recipe: Recipe) -> Layer:
    """The layer that the C step trains; NotEmulated for what only Python does so far."""
    last = network.layers[-1]
    if set(recipe.layers) - {last.name} or last.op != "linear" or last.weight_bits != 8:
        names = ", ".join(recipe.layers) or last.name
        raise NotEmulated(
            f"C that trains {names}: so far it trains a linear last layer with 8-bit weights"
        )
    for field, value in IN_C.items():
        found = getattr(recipe, field)
        if found != value:
            raise NotEmulated(f"C that trains with {field} {found!r}: so far only {value!r}")
    return last


def training_step(recipe: Recipe, layer: Layer) -> TrainingStep:
    """The numbers of the C training step, from the modules that the Python trainer uses."""
    shift = recipe.right_shift(layer.output_shift, LAST_EXPONENT, 0)
    constants = {
        "TRAIN_SEED": recipe.seed,
        "TRAIN_RATE_MANTISSA": recipe.rate_mantissa,
        "TRAIN_RATE_SHIFT": shift,
        "TRAIN_MOMENTUM_SHIFT": recipe.momentum_shift,
        "ERROR_BITS": losses.ERROR_BITS,
        "ERROR_LIMIT": losses.ERROR_LIMIT,
        "BIAS_INPUT": BIAS_INPUT,
        "LOG2_E": losses.LOG2_E,
        "EXPONENT_SCALE": losses.exponent_scale(layer.output_shift),
        "EXPONENT_BITS": losses.EXPONENT_BITS,
        "STEP_BITS": losses.STEP_BITS,
        "LARGEST_EXPONENT": losses.LARGEST_EXPONENT,
        "STEP_FACTOR": quantized_update.STEP_FACTOR,
        "SHARING": quantized_update.SHARING,
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
    layer = layer_in_c(program.plan.network, recipe)
    features, logits = (program.plan.placement(layer.name, kind) for kind in ("input", "output"))
    trained = [store.placement for store in trainer.stores.values()]
    before = tuple(whole_slots(memory, *run) for place in trained for run in runs(memory, place))
    shown = []
    for _ in range(CHECK_STEPS):
        labels = random.integers(layer.out_channels, size=CHECK_BATCH)
        samples = []
        for label in labels:
            placement.write(memory, features, random.integers(0, 128, features.shape))
            placement.write(memory, logits, random.integers(-100_000, 100_000, logits.shape))
            shown.append((int(label), (*runs(memory, features), *runs(memory, logits))))
            samples.append(trainer.maps_in_memory())
        trainer.learn(together(samples), labels)
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
