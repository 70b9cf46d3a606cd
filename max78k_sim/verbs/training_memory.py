"""Where the C training step gets its tensors from, and whether it fits: the trainer's memory plan
with the bytes that the C code really holds."""

from __future__ import annotations

from firmware.training.linear import missing, step_sram
from firmware.training.tables import TrainingStep
from trainer.memory.choice import Rules
from trainer.memory.needs import find_needs
from trainer.memory.plan import MemoryPlan, plan_memory
from trainer.memory.step_sram import STACK_BYTES, StepOptions
from trainer.memory.step_sram import step_sram as sram_of_shapes
from trainer.recipe import Recipe
from trainer.state import state_bytes

from ..errors import InputError, NotEmulated
from ..network import Network
from ..program import Program
from .training import training_step


def memory_plan(
    program: Program, recipe: Recipe, kilobytes: int, copy: bool | None = None
) -> MemoryPlan:
    """Where the backward pass gets its tensors from, within a budget of SRAM.

    Nothing is copied: where a tensor is lost, layers get other offsets, or the first ones run
    again.  InputError where it does not fit, with the smallest budget that would do.  ``copy``: as
    ``kernel_copy`` has it.
    """
    network = program.plan.network
    trained = recipe.layers or (network.layers[-1].name,)
    weights = trained if "kernel" in recipe.parts else ()
    biases = () if "kernel" in recipe.parts else trained
    rules = Rules(sram=kilobytes << 10, stash=False)
    taken = bytes_taken(program, recipe, kernel_copy(program, recipe, kilobytes, copy))
    return plan_memory(program.plan, weights, biases, rules, taken)


def kernel_copy(
    program: Program, recipe: Recipe, kilobytes: int, asked: bool | None = None
) -> bool:
    """Whether the C code keeps a copy of the kernels in SRAM: as asked, or where that fits.

    Only the step of a linear layer and one sample can (firmware/training/linear.py); InputError
    where it is asked of another, with what that one takes.
    """
    try:
        step = some_step(program, recipe, True)
    except NotEmulated:
        return False
    if asked and step.copy is None:
        raise InputError(
            "--kernel-copy: only the step of a linear layer for one sample keeps one; it takes "
            + ", ".join(missing(program.plan, step))
        )
    if asked is not None or step.copy is None:
        return bool(asked)
    return sum(step_sram(program.plan, step).values()) + STACK_BYTES <= kilobytes << 10


def is_linear_step(program: Program, recipe: Recipe) -> bool:
    """Whether the C step is that of a linear layer for one sample."""
    try:
        return some_step(program, recipe, True).copy is not None
    except NotEmulated:
        return False


def some_step(program: Program, recipe: Recipe, copy: bool) -> TrainingStep:
    """The C training step, but for the units of hidden gradients."""
    exponents = some_exponents(program.plan.network, recipe)
    return training_step(program, recipe, exponents, copy)


def bytes_taken(program: Program, recipe: Recipe, copy: bool) -> dict[str, int]:
    """SRAM by purpose: of the C code; where there is none, of the layers' shapes."""
    network = program.plan.network
    try:
        step = some_step(program, recipe, copy)
        return step_sram(program.plan, step) | {"stack": STACK_BYTES}
    except NotEmulated:
        trained = recipe.layers or (network.layers[-1].name,)
        each = state_bytes(recipe, weights=1)
        fraction = each.pop("fractions")
        options = StepOptions(fraction_bytes=fraction, velocity_bytes=sum(each.values()))
        return sram_of_shapes(network, find_needs(network, trained), options)


def some_exponents(network: Network, recipe: Recipe) -> dict[int, int] | None:
    """Units of gradients that are legal; how much memory is needed does not depend on them."""
    trained = {network.layer(name).index for name in recipe.layers}
    if trained <= {len(network.layers) - 1}:
        return None
    return {
        index: recipe.finest(network.layers[index].output_shift, depth)
        for depth, index in enumerate(sorted(trained, reverse=True))
    }
