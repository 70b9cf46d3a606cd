"""Where layers write over what the way back reads: runs of the first layers again, as C does them.

The trainer's memory plan (trainer/memory/plan.py) also copies tensors, which the C code does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from firmware.training.shapes import LayerStep, Shape
from trainer.memory.lifetimes import Lifetimes, find_lifetimes

from ..allocation import Plan
from ..errors import NotEmulated
from ..layer import NETWORK_INPUT


def with_runs(plan: Plan, steps: Sequence[LayerStep]) -> list[LayerStep]:
    """The same steps, with what has to run before a tensor is read."""
    layers = plan.network.layers
    lifetimes = find_lifetimes(plan, [NETWORK_INPUT, *range(len(layers))])
    writers = writers_to(len(layers) - 1)  # the run that was learnt from
    involved = frozenset(step.layer.index for step in steps)
    found = []
    for step in steps:
        again: dict[str, int] = {}
        for what, tensors in reads_of(Shape(plan, step, involved)):
            if all(lifetimes.survives(tensor, writers) for tensor in tensors):
                continue
            again[what] = run_for(plan, lifetimes, tensors)
            writers = writers_to(again[what])
        found.append(replace(step, again=again))
    return found


def reads_of(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    """What the C code reads for a layer, in its order, and the tensors that have to be whole."""
    layer = shape.layer
    found: list[tuple[str, tuple[int, ...]]] = []
    if layer.has_kernels and layer.output_bits != 32:
        found.append(("output", (layer.index,)))
    if shape.reads:
        found.append(("operands", shape.sources))
    return found


def writers_to(last: int) -> list[int]:
    """Who writes data memory in a run, in order."""
    return [NETWORK_INPUT, *range(last + 1)]


def run_for(plan: Plan, lifetimes: Lifetimes, tensors: tuple[int, ...]) -> int:
    """The last layer of the shortest run after which some tensors lie whole."""
    for last in range(max(tensors), len(plan.network.layers)):
        if all(lifetimes.survives(tensor, writers_to(last)) for tensor in tensors):
            return last
    names = ", ".join(
        "the sample" if n == NETWORK_INPUT else plan.network.layers[n].name for n in tensors
    )
    raise NotEmulated(
        f"C that needs {names} whole in data memory: they never lie there together after a run"
    )
