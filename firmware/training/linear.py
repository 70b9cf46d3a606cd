"""The step of a linear last layer for one sample (runtime/cnn_linear.c): whom it takes, its tables.

A project has this step, or the one of any layers; both do the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.device import WORD  # bytes; weights of one are stepped together, by one draw
from max78k_sim.errors import NotEmulated
from max78k_sim.packing import KERNEL_BYTE, KERNEL_BYTES, KERNEL_SLOT, slot_offset

from ..text import fill, number_lines
from .runs import NONE
from .tables import OTHER_BYTES, TrainingStep, find_tables, sram

LARGEST, LARGEST_STEP = 4095, 255  # of a number in an instruction: added, and stepped by
GROUP_BYTES = 4 * KERNEL_BYTES  # that cnn_stream.c writes together
ERROR_BITS, PRODUCT_BITS, STEP_BITS = 15, 31, 24
NEEDED = {  # constant: its value, and in words
    "TRAIN_BATCH": (1, "batches of 1"),
    "TRAIN_MOMENTUM_SHIFT": (0, "momentum_shift 0"),
    "TRAIN_ADAM": (0, "no Adam"),
    "TRAIN_FRACTION": (0, "weights in place"),
    "TRAIN_DECAY_SHIFT": (0, "no decay"),
    "TRAIN_WIDE_BIAS": (0, "biases on the chip"),
    "TEACHER_SHARE": (0, "no teacher"),
    "LOSS_SQUARED": (0, "cross-entropy"),
    "ROUNDING": (0, "stochastic rounding"),
}
CONSTANT, LINEAR = range(2)  # of SCHEDULE; others halve


# --- whom it takes


def missing(plan: Plan, step: TrainingStep) -> tuple[str, ...]:
    """What the step would need and a network or its recipe is not, in words; nothing: it takes."""
    return (*missing_of_recipe(plan, step), *missing_of_layer(plan))


def missing_of_recipe(plan: Plan, step: TrainingStep) -> Iterator[str]:
    """What is trained, and how."""
    first, *more = step.layers
    if more or first.layer.index != plan.network.layers[-1].index or not learns(step, "kernel"):
        yield "kernels of the last layer alone"
    elif first.again:
        yield "activations that are not overwritten"
    for name, (value, words) in NEEDED.items():
        if step.constants[name] != value:
            yield words
    if not all(takes_rate(step, first.right_shift, factor) for factor in factors(step)):
        yield "another rate_shift or rate_mantissa"


def learns(step: TrainingStep, part: str) -> bool:
    """Whether the last layer's kernel or bias does."""
    return step.layers[0].number(part) != NONE


def factors(step: TrainingStep) -> range | tuple[int, ...]:
    """Of the schedule, all that may come: 256 leaves the rate as it is."""
    schedule = step.constants["SCHEDULE"]
    if schedule == CONSTANT:
        return (256,)
    return range(257) if schedule == LINEAR else tuple(1 << n for n in range(9))


def takes_rate(step: TrainingStep, shift: int, factor: int) -> bool:
    """Whether no bit of mantissa * factor / 2^(shift + 8) is lost; no weight moves by over 64."""
    rate = int(step.constants["TRAIN_RATE_MANTISSA"]) * factor
    bits = rate.bit_length() + ERROR_BITS + STEP_BITS - shift
    return bits <= PRODUCT_BITS and rate % (1 << max(shift - STEP_BITS, 0)) == 0


def missing_of_layer(plan: Plan) -> Iterator[str]:
    """What the last layer has to be."""
    layer = plan.network.layers[-1]
    if layer.op != "linear":
        yield "a linear layer"
        return
    features = layer.in_channels * layer.pixels
    rows = {
        "8-bit weights": layer.weight_bits == 8,
        "32-bit outputs": layer.output_bits == 32,
        "one source, not pooled": layer.operands == len(layer.sources) == 1 == max(layer.pool),
        "one processor a channel": layer.in_channels <= plan.device.limits.processors,
        f"a multiple of {WORD} inputs": features % WORD == 0,
        f"at most {LARGEST_STEP} pixels": layer.pixels <= LARGEST_STEP,
        f"at most {LARGEST} weights a processor": layer.out_channels * layer.pixels <= LARGEST,
        f"at most {WORD * LARGEST} weights": layer.out_channels * features <= WORD * LARGEST,
    }
    yield from (what for what, holds in rows.items() if not holds)
    if all(rows.values()):
        if not kernels_in_order(plan):
            yield "kernels in one run of each processor"
        if not pixels_in_order(plan):
            yield "activations of a pixel in one word"


def kernels_of(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """int64 [out, channel, pixel] of kernels, and [channel] of first slots: addresses."""
    layer = plan.network.layers[-1]
    address = plan.placement(layer.name, "kernel").address.astype(np.int64)
    address = address.reshape(layer.out_channels, layer.in_channels, layer.pixels)
    return address, address[0, :, 0] - KERNEL_BYTE[0]


def kernels_in_order(plan: Plan) -> bool:
    """Whether each processor's weights follow each other from the start of a slot: [out][pixel]."""
    address, slots = kernels_of(plan)
    outputs, _, pixels = address.shape
    offset = slot_offset(np.arange(outputs * pixels)).reshape(outputs, 1, pixels)
    return bool((slots % KERNEL_SLOT == 0).all() and (address == slots[:, None] + offset).all())


def pixels_in_order(plan: Plan) -> bool:
    """Whether the words of four channels' pixels are a run."""
    layer = plan.network.layers[-1]
    data = plan.placement(layer.name, "input")
    address = data.address.reshape(layer.in_channels, layer.pixels)
    steps = address - address[:, :1] == WORD * np.arange(layer.pixels)
    return bool(steps.all()) and all(count == layer.pixels for _, count in data.runs)


def describe(plan: Plan, step: TrainingStep) -> str:
    """Which step a project has, and why not the other one, for people."""
    if step.copy is None:
        lacks = ", ".join(missing(plan, step))
        return f"training step: of any layers; that of a linear layer for one sample takes {lacks}"
    held = "also in SRAM" if step.copy else "not copied"
    return f"training step: of a linear layer for one sample (cnn_linear.c); kernels {held}"


# --- its tables


def linear_header(plan: Plan, step: TrainingStep) -> str:
    """cnn_linear_config.h; NotEmulated for what cnn_linear.c does not take."""
    layer = plan.network.layers[-1]
    lacks = missing(plan, step)
    if step.copy is None or lacks:
        raise NotEmulated(f"{layer.name}: the step for one sample takes {', '.join(lacks)}")
    data, sums = (plan.placement(layer.name, kind) for kind in ("input", "output"))
    _, slots = kernels_of(plan)
    learns_bias = learns(step, "bias")
    biases = plan.placement(layer.name, "bias").address if learns_bias else np.zeros(1, int)
    device = plan.device
    quadrants = sorted({device.locate(int(address)).group for address in slots})
    controls = [device.address("quadrant register", group) for group in quadrants]
    return fill(
        "cnn_linear_config.h.in",
        layer=layer.name,
        copy=int(step.copy),
        classes=layer.out_channels,
        positions=layer.pixels,
        processors=layer.in_channels,
        runs=len(data.runs),
        pad=pad(plan),
        shift=step.layers[0].right_shift,
        has_bias=int(learns_bias),
        kernels=number_lines(slots, " \\"),
        features=number_lines(features(plan), " \\"),
        data=number_lines([address for address, _ in data.runs], " \\"),
        sums=number_lines(sums.address.reshape(-1), " \\"),
        biases=number_lines(biases, " \\"),
        controls=number_lines([*controls, 0], " \\"),
        packed=f"{packed_bit(plan):x}",
    )


def pad(plan: Plan) -> int:
    """Words of zeros between runs of activations, where weights of two processors share a draw."""
    return WORD if plan.network.layers[-1].pixels % WORD else 0


def features(plan: Plan) -> np.ndarray:
    """int64 [channel]: byte of its first activation in C's array of runs."""
    layer, room = plan.network.layers[-1], pad(plan)
    data = plan.placement(layer.name, "input")
    first = data.address.reshape(layer.in_channels, -1)[:, 0].astype(np.int64)
    run = np.searchsorted([address for address, _ in data.runs], first & -WORD)
    return (room + run * (layer.pixels + room)) * WORD + first % WORD


def packed_bit(plan: Plan) -> int:
    """CTRL's bit for packed kernels."""
    return int(plan.device.global_registers[0].replace(0, packed_kernels=1))


# --- SRAM


def step_sram(plan: Plan, step: TrainingStep) -> dict[str, int]:
    """Bytes that the C training step holds, by purpose, whichever it is."""
    if step.copy is None:
        return sram(find_tables(plan, step), step)
    layer, room = plan.network.layers[-1], pad(plan)
    slots = -(-layer.out_channels * layer.pixels // KERNEL_BYTES)
    stream = room + -(-slots * KERNEL_BYTES // GROUP_BYTES) * GROUP_BYTES + WORD
    runs = len(plan.placement(layer.name, "input").runs)
    return {
        "kernels": stream * (layer.in_channels if step.copy else 1),
        "maps": WORD * (runs * (layer.pixels + room) + room),
        "errors": WORD * (layer.out_channels + 1),
        "other": OTHER_BYTES,
    }
