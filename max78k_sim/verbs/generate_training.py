"""``max78k generate --train``: the network as it has to lie, the training step, a known answer."""

from __future__ import annotations

from argparse import Namespace

from firmware.memories import SRAM
from firmware.training.check import TrainingCheck
from firmware.training.tables import TrainingStep
from trainer.data.datasets import load_for, open_dataset
from trainer.recipe import Recipe

from ..errors import InputError
from ..program import Program, compile_network
from .common import new_class_from, pool_from
from .kept_examples import shown
from .training import exponents_of, trainer_of, training_check, training_step
from .training_memory import kernel_copy, memory_plan


def prepare(
    options: Namespace, program: Program, recipe: Recipe
) -> tuple[Program, TrainingStep, TrainingCheck]:
    """All that is printed; the program has other offsets where the way back needs them.

    Units of hidden layers' gradients are those that ``train`` with the same options takes.
    """
    new_class_from(options, program.plan.network)
    if options.sram << 10 > SRAM.size:
        raise InputError(f"--sram {options.sram}: the processor has {SRAM.size >> 10} KB")
    memory = memory_plan(program, recipe, options.sram, options.kernel_copy)
    if memory.changes:
        program = compile_network(memory.plan.network)
    exponents = None
    last = program.plan.network.layers[-1].name
    if set(recipe.layers) - {last}:
        exponents = exponents_from(options, program, recipe)
    copy = kernel_copy(program, recipe, options.sram, options.kernel_copy)
    return (
        program,
        training_step(program, recipe, exponents, copy),
        training_check(program, recipe, exponents),
    )


def exponents_from(options: Namespace, program: Program, recipe: Recipe) -> dict[int, int]:
    """Units of the gradients, from the examples of the first batch of ``train``."""
    network = program.plan.network
    new_class = new_class_from(options, network)
    if open_dataset(options.data, "train").shape != network.input_shape:
        raise InputError(
            f"--data {options.data}: its examples are no {network.input_shape}, as the network "
            "takes them; gradients of hidden layers are scaled by examples"
        )
    pool = pool_from(options, load_for(network, options.data, "train"), new_class)
    pool, order = shown(options, program, recipe, pool)
    first = order.batch_at(0)
    trainer = trainer_of(program, recipe)
    trainer.choose_scales(pool.images[first], pool.labels[first])
    return exponents_of(trainer)
