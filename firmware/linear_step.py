"""The tables of runtime/cnn_linear.c, the step of a linear last layer for one sample."""

from __future__ import annotations

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.device import WORD  # bytes; weights of one are stepped together, by one draw
from max78k_sim.errors import NotEmulated
from max78k_sim.packing import KERNEL_BYTE, KERNEL_SLOT

from .text import fill, number_lines

LARGEST = 4095  # of a number in an instruction


def linear_header(plan: Plan, copy: bool) -> str:
    """cnn_linear_config.h; ``copy``: the kernels are kept in SRAM too.

    Raises NotEmulated for a last layer that cnn_linear.c does not take.
    """
    layer = plan.network.layers[-1]
    kernel, data = (plan.placement(layer.name, kind) for kind in ("kernel", "input"))
    sums = plan.placement(layer.name, "output")
    check(plan)
    first = kernel.address.reshape(layer.out_channels, layer.in_channels, layer.pixels)[0, :, 0]
    slots = first - KERNEL_BYTE[0]
    has_bias = (layer.name, "bias") in plan.placements
    biases = plan.placement(layer.name, "bias").address if has_bias else np.zeros(1, int)
    device = plan.device
    quadrants = sorted({device.locate(int(address)).group for address in slots})
    controls = [device.address("quadrant register", group) for group in quadrants]
    return fill(
        "cnn_linear_config.h.in",
        layer=layer.name,
        copy=int(copy),
        classes=layer.out_channels,
        positions=layer.pixels,
        processors=layer.in_channels,
        words=len(data.words),
        has_bias=int(has_bias),
        kernels=number_lines(slots, " \\"),
        features=number_lines(features(plan), " \\"),
        data=number_lines([number for run in data.runs for number in run] + [0], " \\"),
        sums=number_lines(sums.address.reshape(-1), " \\"),
        biases=number_lines(biases, " \\"),
        controls=number_lines([*controls, 0], " \\"),
        packed=f"{packed_bit(plan):x}",
    )


def check(plan: Plan) -> None:
    """What has to be so for cnn_linear.c; NotEmulated names what is not."""
    layer = plan.network.layers[-1]
    weights = layer.out_channels * layer.in_channels * layer.pixels
    rows = {
        "a linear layer": layer.op == "linear",
        "8-bit weights": layer.weight_bits == 8,
        "one processor a channel": layer.in_channels <= plan.device.limits.processors,
        f"a multiple of {WORD} pixels": layer.pixels % WORD == 0,
        f"at most {WORD * LARGEST} weights": weights <= WORD * LARGEST,
        "32-bit outputs": layer.output_bits == 32,
    }
    missing = [what for what, holds in rows.items() if not holds]
    if missing:
        raise NotEmulated(f"{layer.name}: the step for one sample in C takes {', '.join(missing)}")
    kernel = plan.placement(layer.name, "kernel")
    stream = kernel.pieces[1].code.reshape(layer.in_channels, layer.pixels)
    in_order = (stream == 8 * np.arange(layer.pixels)).all()
    if not in_order or kernel.address.reshape(-1)[0] % KERNEL_SLOT != KERNEL_BYTE[0]:
        raise NotEmulated(f"{layer.name}: the step for one sample in C takes kernels in one run")


def features(plan: Plan) -> np.ndarray:
    """int64 [channel]: byte of its first activation among the words that are read."""
    layer = plan.network.layers[-1]
    data = plan.placement(layer.name, "input")
    first = data.address.reshape(layer.in_channels, -1)[:, 0].astype(np.int64)
    word = np.searchsorted(data.words, first & -WORD)
    return word * WORD + first % WORD


def packed_bit(plan: Plan) -> int:
    """CTRL's bit for packed kernels."""
    return int(plan.device.global_registers[0].replace(0, packed_kernels=1))
