"""What the C training step has to know of each layer: computed here, printed by sources.py.

The fields are those of ``cnn_layer`` (runtime/cnn_layers.h); places in buffers are planned so that
what is not alive at the same time shares memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from max78k_sim.allocation import Plan

from .buffers import Buffer, arrange
from .runs import Kernels, Run
from .shapes import PLAIN, LayerStep, Shape

ACTIVATIONS = {None: "CNN_LINEAR", "relu": "CNN_RELU", "abs": "CNN_ABS"}
TIMES = 3  # of a layer: its error is taken; gradients; what is passed down
TAKEN, LEARNT, PASSED = range(TIMES)
SLOT_BYTES = 600 + 4 * 261  # of cnn_slot, a kernel word with all that can lie in it; of changes
OTHER_BYTES = 64  # numbers of the step, and what aligns them


@dataclass(frozen=True)
class TrainingStep:
    """What the C training step has to know; the numbers are the trainer's own.

    ``layers``: from the last one down; ``constants``: names (without CNN_) and values; ``powers``:
    the soft-max's table; ``state``: bytes that are kept from step to step, by purpose; ``copy``:
    None for the step of any layers; for that of a linear layer and one sample (linear.py),
    whether it keeps a copy of the kernels in SRAM.
    """

    layers: tuple[LayerStep, ...]
    constants: Mapping[str, int | str]
    powers: tuple[int, ...]
    state: Mapping[str, int]
    copy: bool | None = None

    @property
    def at_once(self) -> bool:
        """Whether gradients are applied as they are made: a step is one sample."""
        return bool(self.constants["TRAIN_AT_ONCE"])


@dataclass(frozen=True)
class Row:
    """One row of ``cnn_layers``: tables by name, and single fields."""

    step: LayerStep
    operands: tuple[Run, ...]
    output: tuple[Run, ...]
    kernels: Kernels | None
    biases: tuple[Run, ...] | None
    parts: tuple[tuple[int, int], ...]  # (sums, exponent)
    slices: tuple[tuple[int, int, int, int], ...]  # (channel, channels, sums, exponent)
    correlation: Mapping[str, int]
    source: Mapping[str, int]
    fields: Mapping[str, int | str]


@dataclass(frozen=True)
class Tables:
    """``rows``: from the last layer down; ``sizes``: elements of each buffer, by constant."""

    rows: tuple[Row, ...]
    sizes: Mapping[str, int]


def find_tables(plan: Plan, step: TrainingStep) -> Tables:
    """All rows and the sizes of all buffers."""
    involved = frozenset(each.layer.index for each in step.layers)
    shapes = [Shape(plan, each, involved, step.at_once) for each in step.layers]
    for shape in shapes:
        shape.refuse()
    buffers = list(buffers_of(shapes))
    places, sums = arrange(buffers)
    exponents = {name: n for n, name in enumerate(b.name for b in buffers if b.name[0] == "E")}
    readers = {shape.layer.index: errors_of(shapes, shape) for shape in shapes}
    rows = tuple(row_of(shape, readers[shape.layer.index], places, exponents) for shape in shapes)
    kernels = [shape.weights for shape in shapes if shape.needs_weights]
    weighted = [shape for shape in shapes if shape.layer.has_kernels]
    sizes = {
        "SUMS": sums,
        "ERRORS": max(shape.outputs for shape in weighted),
        "MAPS": max(1, *(shape.map_size for shape in shapes)),
        "KERNELS": max([1, *kernels]),
        "BIASES": max(shape.layer.out_channels for shape in weighted),
        "SCRATCH": max(shape.scratch for shape in weighted),
        "EXPONENTS": len(exponents),
        "PARTS": max(len(each) for each in readers.values()),
        "LAYERS": len(rows),
        "RUNS": sum(len(shape.step.again or {}) for shape in shapes),
    }
    return Tables(rows, sizes)


def times_of(shapes: list[Shape]) -> dict[int, int]:
    """The time at which each layer's turn begins."""
    return {shape.layer.index: TIMES * n for n, shape in enumerate(shapes)}


def buffers_of(shapes: list[Shape]) -> list[Buffer]:
    """int32 buffers; errors of outputs have names that start with E."""
    times = times_of(shapes)
    by_index = {shape.layer.index: shape for shape in shapes}

    def taken(source: int) -> int:
        """When the error of an output is read for the last time."""
        return times[source] + (TAKEN if by_index[source].layer.has_kernels else PASSED)

    last = shapes[0]
    found = [Buffer("Eloss", last.outputs, 0, taken(last.layer.index))]
    for shape in shapes:
        begin, name = times[shape.layer.index], shape.name
        now = begin + PASSED
        if shape.gradients:
            size = shape.gradients
            found.append(Buffer(f"gradients {name}", size, begin + LEARNT, begin + LEARNT))
        if not shape.passes_down:
            continue
        end = now if shape.side_by_side else max(taken(source) for source in shape.lower)
        found.append(Buffer(f"E{name}", shape.size, now, end))
        if shape.layer.has_kernels and shape.step.view != PLAIN:
            found.append(Buffer(f"product {name}", shape.view_size, now, now))
        if shape.layer.has_kernels and not shape.plain_source:
            found.append(Buffer(f"pooled {name}", shape.pooled_size, now, now))
        if shape.side_by_side:
            for number, source in enumerate(shape.sources):
                if source in shape.lower:
                    size = int(np.prod(shape.source_shape(source)))
                    found.append(Buffer(f"E{name} {number}", size, now, taken(source)))
    return found


def errors_of(shapes: list[Shape], wanted: Shape) -> list[tuple[str, int]]:
    """(buffer, first element in it) of the errors of an output, by who read it."""
    if wanted is shapes[0]:
        return [("Eloss", 0)]
    found = []
    for shape in shapes:
        for number, source in enumerate(shape.sources):
            if source != wanted.layer.index:
                continue
            if shape.side_by_side:
                found.append((f"E{shape.name} {number}", 0))
            else:
                found.append((f"E{shape.name}", number * shape.operand_size))
    return found


def row_of(
    shape: Shape, errors: list[tuple[str, int]], places: dict[str, int], exponents: dict[str, int]
) -> Row:
    """One layer's row."""
    step, layer = shape.step, shape.layer
    slices, first = [], 0
    for number, (source, channels) in enumerate(
        zip(shape.sources, shape.channels_read, strict=True)
    ):
        name = f"E{shape.name} {number}"
        if shape.side_by_side and source in shape.lower:
            slices.append((first, channels, places[name], exponents[name]))
        first += channels
    back = places.get(f"E{shape.name}", 0)
    pooled = places.get(f"pooled {shape.name}", back)
    return Row(
        step,
        shape.read_runs(),
        shape.output_runs() if layer.has_kernels else (),
        shape.kernels,
        shape.bias_runs(),
        tuple((places[name] + start, exponents[name]) for name, start in errors),
        tuple(slices),
        shape.correlation if layer.has_kernels else {},
        shape.source,
        {
            "outputs": shape.outputs,
            "data": shape.data,
            "view": shape.view,
            "gradients": places.get(f"gradients {shape.name}", 0),
            "product": places.get(f"product {shape.name}", pooled),
            "pooled": pooled,
            "back": f"{{{back}u, {exponents.get(f'E{shape.name}', 0)}u}}",
            "view_kind": step.view,
            "activation": "CNN_WIDE" if layer.output_bits == 32 else ACTIVATIONS[layer.activation],
            "reads": int(shape.reads),
            "needs_weights": int(shape.needs_weights),
            "passes_down": int(shape.passes_down),
            "error_bits": step.error_bits,
            "output_shift": layer.output_shift,
            "gradient_exponent": step.exponent,
            "right_shift": step.right_shift,
            "outputs_at_once": shape.outputs_at_once if layer.has_kernels else 0,
            "output_again": step.run("output"),
            "operands_again": step.run("operands"),
        },
    )


def sram(tables: Tables, step: TrainingStep) -> dict[str, int]:
    """Bytes that the C training step holds, by purpose; what a program adds is not counted."""
    sizes, given = tables.sizes, {name: int(value) for name, value in step.constants.items()}
    return {
        **step.state,
        "errors": 2 * sizes["ERRORS"],
        "sums": 4 * sizes["SUMS"],
        "maps": sizes["MAPS"],
        "kernels": sizes["KERNELS"] + sizes["BIASES"],
        "scratch": 2 * sizes["SCRATCH"],
        "logits": 8 * given["TRAIN_CLASSES"],
        "kernel word": SLOT_BYTES,
        "other": 4 * sizes["EXPONENTS"] + OTHER_BYTES,
    }
