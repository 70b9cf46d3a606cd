"""Where the C training step gets its tensors from, and whether it fits: the trainer's memory plan
with the bytes that the C code really holds."""

from __future__ import annotations

from firmware.train_tables import find_tables, sram
from trainer.memory.choice import Rules
from trainer.memory.needs import find_needs
from trainer.memory.plan import MemoryPlan, plan_memory
from trainer.memory.step_sram import STACK_BYTES, StepOptions, step_sram
from trainer.recipe import Recipe

from ..errors import NotEmulated
from ..network import Network
from ..program import Program
from .training import training_step

ADAM_BYTES = 8  # of a weight: a second moment, and the batch's gradient


def memory_plan(program: Program, recipe: Recipe, kilobytes: int) -> MemoryPlan:
    """Where the backward pass gets its tensors from, within a budget of SRAM.

    Nothing is copied: where a tensor is lost, layers get other offsets, or the first ones run
    again.  InputError where it does not fit, with the smallest budget that would do.
    """
    network = program.plan.network
    trained = recipe.layers or (network.layers[-1].name,)
    weights = trained if "kernel" in recipe.parts else ()
    biases = () if "kernel" in recipe.parts else trained
    rules = Rules(sram=kilobytes << 10, stash=False)
    return plan_memory(program.plan, weights, biases, rules, bytes_taken(program, recipe))


def bytes_taken(program: Program, recipe: Recipe) -> dict[str, int]:
    """SRAM by purpose: of the C code; where there is none, of the layers' shapes."""
    network = program.plan.network
    try:
        step = training_step(program, recipe, some_exponents(network, recipe))
        return sram(find_tables(program.plan, step), step) | {"stack": STACK_BYTES}
    except NotEmulated:
        trained = recipe.layers or (network.layers[-1].name,)
        adam = ADAM_BYTES * (recipe.optimizer == "adam")
        fraction = max(recipe.fraction_bits(8), 0) // 8
        options = StepOptions(fraction_bytes=fraction, velocity_bytes=4 + adam)
        return step_sram(network, find_needs(network, trained), options)


def some_exponents(network: Network, recipe: Recipe) -> dict[int, int] | None:
    """Units of gradients that are legal; how much memory is needed does not depend on them."""
    trained = {network.layer(name).index for name in recipe.layers}
    if trained <= {len(network.layers) - 1}:
        return None
    return {
        index: recipe.finest(network.layers[index].output_shift, depth)
        for depth, index in enumerate(sorted(trained, reverse=True))
    }
