"""From a Recipe to what the C generator prints, and to a known answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from firmware.training.check import TrainingCheck, digest
from firmware.training.linear import missing
from firmware.training.shapes import FEATURES, PLAIN, WIDENED, LayerStep
from firmware.training.tables import TrainingStep
from trainer import gradients, losses, operands, optimizers, quantized_update
from trainer.kernel_store import TRAINED_REGIONS
from trainer.loop import Trainer, together
from trainer.parameter import Parameter, WideBias
from trainer.recipe import Recipe
from trainer.state import FRACTION_BYTES, keeps_velocities, state_bytes

from .. import placement
from ..device import WORD
from ..errors import NotEmulated
from ..layer import NETWORK_INPUT
from ..machine import Machine
from ..network import Layer
from ..program import Program
from .training_runs import with_runs

CHECK_EXAMPLES, CHECK_BATCH = 6, 2
CHECK_SALT = 0x5EEDC4EC  # of train_check.h
SUM_SHIFT = 14  # of drawn 32-bit outputs
VIEWS = {
    gradients.as_features: FEATURES,
    gradients.widened: WIDENED,
    gradients.in_one_row: PLAIN,
    np.asarray: PLAIN,
}
ROUNDINGS = {"stochastic": 0, "nearest": 1, "truncate": 2}
SCHEDULES = {"constant": 0, "linear": 1, "halving": 2}


def trainer_of(
    program: Program, recipe: Recipe, exponents: Mapping[int, int] | None = None
) -> Trainer:
    """A Trainer on a chip of its own; ``exponents``: units of the gradients, by layer index.

    They are needed where hidden layers learn (``Trainer.choose_scales`` finds them).
    """
    machine = Machine(program.device)
    machine.load(program)
    trainer = Trainer(machine, recipe)
    if exponents is not None:
        trainer.set_scales(exponents)
    return trainer


def exponents_of(trainer: Trainer) -> dict[int, int]:
    """Units of the gradients that a Trainer uses, by layer index."""
    return {index: scale.exponent for index, scale in trainer.scales.items()}


def training_step(
    program: Program,
    recipe: Recipe,
    exponents: Mapping[int, int] | None = None,
    copy: bool = True,
) -> TrainingStep:
    """The numbers of the C training step, from the modules that the Python trainer uses.

    Where it is that of a linear layer and one sample (firmware/training/linear.py), ``copy`` says
    whether it keeps the kernels in SRAM too.
    """
    trainer = trainer_of(program, recipe, exponents)
    if not trainer.scales:
        raise NotEmulated("C that trains hidden layers needs the units of their gradients")
    network = trainer.network
    steps = [layer_step(trainer, network.layers[n]) for n in reversed(trainer.backward.involved)]
    steps = with_runs(program.plan, steps)
    given = constants(trainer)
    wide = int(given["TRAIN_CLASSES"]) * int(given["TRAIN_WIDE_BIAS"])
    state = state_bytes(recipe, int(given["TRAIN_WEIGHTS"]), wide)
    step = TrainingStep(tuple(steps), given, tuple(map(int, losses.POWERS)), state)
    return step if missing(program.plan, step) else replace(step, copy=copy)


def numbers_of(trainer: Trainer) -> dict[tuple[int, str], int]:
    """Of each parameter's first weight, as draws count them."""
    found, first = {}, 0
    for key, parameter in sorted(trainer.parameters.items(), key=trainer._order):
        found[key] = first
        first += parameter.velocity.size
    return found


def layer_step(trainer: Trainer, layer: Layer) -> LayerStep:
    """One layer on the way back."""
    if not layer.has_kernels:
        return LayerStep(layer, strides=operands.strides(layer))
    how, index = gradients.correlation_of(layer), layer.index
    numbers = numbers_of(trainer)
    mine = {
        kind: trainer.parameters[index, kind]
        for kind in TRAINED_REGIONS
        if isinstance(trainer.parameters.get((index, kind)), Parameter)
    }
    view = VIEWS[how.view]
    if view == FEATURES and layer.pixels == 1:
        view = PLAIN
    learns = {kind: each for kind, each in mine.items() if isinstance(each, Parameter)}
    return LayerStep(
        layer,
        how.kernel,
        how.padding,
        how.dilation,
        operands.strides(layer),
        view,
        gradients.error_bits(layer),
        {kind: numbers[index, kind] for kind in learns},
        {kind: each.grid.fraction_bits for kind, each in learns.items()},
        trainer.scales[index].exponent if index in trainer.scales else 0,
        next((each.shift for each in learns.values()), 0),
    )


def constants(trainer: Trainer) -> dict[str, int | str]:
    """What all layers have in common, by name."""
    recipe, layer = trainer.recipe, trainer.network.layers[-1]
    numbers = numbers_of(trainer)
    wide = trainer.parameters.get((layer.index, "bias"))
    is_wide = isinstance(wide, WideBias)
    found: dict[str, int | str] = {
        "TRAIN_CLASSES": layer.out_channels,
        "TRAIN_WEIGHTS": sum(each.velocity.size for each in trainer.parameters.values()),
        "TRAIN_SEED": recipe.seed,
        "TRAIN_STEPS": recipe.steps,
        "TRAIN_BATCH": recipe.batch,
        "TRAIN_RATE_MANTISSA": recipe.rate_mantissa,
        "TRAIN_MOMENTUM_SHIFT": recipe.momentum_shift,
        "TRAIN_DECAY_SHIFT": recipe.decay_shift,
        "TRAIN_LIMIT": recipe.gradient_limit,
        "TRAIN_ADAM": int(recipe.optimizer == "adam"),
        "TRAIN_AT_ONCE": int(recipe.at_once),
        "TRAIN_VELOCITIES": int(keeps_velocities(recipe)),
        "TRAIN_FRACTION": FRACTION_BYTES[recipe.precision],
        "TRAIN_WIDE_BIAS": int(is_wide),
        "TRAIN_WIDE_FIRST": numbers[layer.index, "bias"] if is_wide else 0,
        "TRAIN_WIDE_SHIFT": wide.shift if isinstance(wide, WideBias) else 0,
        "ROUNDING": ROUNDINGS[recipe.rounding],
        "SCHEDULE": SCHEDULES[recipe.schedule],
        "LOSS_SQUARED": int(recipe.loss == "squared"),
        "TEACHER_SHARE": recipe.teacher_share,
        "AVERAGE_ROUNDING": int(trainer.network.average_rounding),
        "ERROR_BITS": losses.ERROR_BITS,
        "ERROR_LIMIT": losses.ERROR_LIMIT,
        "SQUARED_SHIFT": losses.ERROR_BITS - losses.LOGIT_BITS + layer.output_shift,
        "LOG2_E": losses.LOG2_E,
        "EXPONENT_SCALE": losses.exponent_scale(layer.output_shift),
        "EXPONENT_BITS": losses.EXPONENT_BITS,
        "STEP_BITS": losses.STEP_BITS,
        "LARGEST_EXPONENT": losses.LARGEST_EXPONENT,
        "ADAM_SQUARE_SHIFT": 31 - recipe.momentum_shift - optimizers.SQUARE_BITS,
        "ADAM_SECOND_SHIFT": optimizers.SECOND_SHIFT,
        "ADAM_LEAST_ROOT": optimizers.LEAST_ROOT,
        "ADAM_VELOCITY_SHIFT": optimizers.ADAM_BITS - optimizers.RATIO_BITS,
        "STEP_FACTOR": quantized_update.STEP_FACTOR,
        "SHARING": quantized_update.SHARING,
    }
    for number, (right, factor) in enumerate(quantized_update.MIX, 1):
        found |= {f"MIX_SHIFT_{number}": right, f"MIX_FACTOR_{number}": factor}
    return found


# ---- a known answer -----------------------------------------------------------------------------


def training_check(
    program: Program, recipe: Recipe, exponents: Mapping[int, int] | None = None
) -> TrainingCheck:
    """A known answer for the C training step: drawn activations, the Python trainer's words."""
    trainer = trainer_of(program, recipe, exponents)
    memory, network = trainer.machine.memory, program.plan.network
    stores = [store.placement for store in trainer.stores.values()]
    trained = [trainer.stores[key].placement for key in trainer.parameters if key in trainer.stores]
    before = tuple(whole_slots(memory, *run) for place in stores for run in runs(memory, place))
    drawn = tuple(drawn_runs(trainer))
    random = np.random.default_rng(recipe.seed)
    size = min(CHECK_BATCH, recipe.batch)
    classes = network.layers[-1].out_channels
    labels = random.integers(classes, size=(CHECK_EXAMPLES // size, size))
    for step, batch in enumerate(labels):
        samples = []
        for number in range(size):
            draw(memory, drawn, recipe.seed, step * size + number)
            samples.append(trainer.maps_in_memory())
        trainer.learn(together(samples), batch)
    after = tuple(
        (address, len(words), digest(words))
        for place in trained
        for address, words in runs(memory, place)
    )
    shown = tuple(map(int, chain.from_iterable(labels)))
    steps = len(labels)
    return TrainingCheck(steps, size, before, shown, drawn, after)


def drawn_runs(trainer: Trainer):
    """(address, words, right shift) of the data memory that backward reads."""
    for index in trainer.backward.needed:
        layer, kind = (0, "input") if index == NETWORK_INPUT else (index, "output")
        place = trainer.plan.placement(layer, kind)
        for address, count in place.runs:
            yield address, count, SUM_SHIFT if place.bits == 8 * WORD else 0


def draw(memory, drawn, seed: int, example: int) -> None:
    """What an accelerator could have left in data memory: train_check.c does the same."""
    words = quantized_update.draws(seed ^ CHECK_SALT, example, sum(row[1] for row in drawn))
    first = 0
    for address, count, shift in drawn:
        part = words[first : first + count].astype(np.uint32).view(np.int32) >> shift
        memory.write(address, part.view(np.uint32))
        first += count


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
