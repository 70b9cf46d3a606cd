"""Cycles of the accelerator, layer by layer, and what the Cortex-M4 spends around it.

Every number is an estimate.  A layer's cycles match the vendor's generator; on silicon four
two-dimensional networks, with the constant for start and interrupt, were within 0.2 us of 1.4 to
2.6 ms.  (A one-dimensional network was 2 % slower than estimated; why is not known.)
"""

from __future__ import annotations

from dataclasses import dataclass

from .allocation import Plan
from .kernel_layout import kernel_shape
from .layer_fields import timeslots
from .network import Layer, Network

ACCELERATOR_HERTZ = 50_000_000  # the vendor's default: a 100 MHz clock, divided by 2
PROCESSOR_HERTZ = 100_000_000  # Cortex-M4
STARTUP_CYCLES = 1  # once a run; matches the vendor's generator
OVERHEAD_CYCLES = 340  # start and interrupt, estimate: 6.8 us, missing in four measurements


@dataclass(frozen=True)
class Latency:
    """Accelerator cycles of one inference: of each layer, and in all (with the start of a run).

    ``total`` is the number that the vendor's generator prints; ``on_silicon`` adds the interrupt.
    """

    layers: tuple[int, ...]

    @property
    def total(self) -> int:
        """Cycles of the layers and of the start."""
        return STARTUP_CYCLES + sum(self.layers)

    @property
    def on_silicon(self) -> int:
        """Cycles that a program on the chip waits for a result (estimate)."""
        return self.total + OVERHEAD_CYCLES


def layer_cycles(network: Network, layer: Layer, kernel_start: int = 0) -> int:
    """Cycles of one layer.  Matches the vendor's generator; a streamed layer is its estimate.

    ``kernel_start``: the layer's first kernel word, which counts only where the element-wise
    operation comes before the pooling.
    """
    passes = layer.in_passes[0]
    window = layer.pool[0] * layer.pool[1]
    if layer.pool_first:  # a cycle for every value read, one to store what came of it
        padding, data, repeats = 2 * layer.operands, layer.operands * (window + 1), 1
    else:
        padding, data, repeats = 2, layer.operands * window + 1, passes
    if layer.has_kernels:
        cycles = convolution_cycles(network, layer, passes * padding, passes * data, repeats)
        if not layer.pool_first and (passes > 1 or layer.operands > 1):
            cycles += reread_pixels(layer) * kernel_start
    else:
        rows, columns = layer.pooled_size
        twice = layer.out_passes[0] > 1 and window > 1
        passes = 2 * passes - 1 if twice else passes
        cycles = rows * columns * passes * (data + timeslots(layer))
    return -(-3 * cycles // 2) if layer.streaming else cycles


def convolution_cycles(
    network: Network, layer: Layer, padding: int, data: int, repeats: int
) -> int:
    """Row by row: rows of padding, rows that fill the line buffer, rows that give output.

    ``padding`` and ``data``: cycles to take in a pixel of either kind; a pixel that completes no
    output takes one more.
    """
    hardware, kernel = layer.hardware, kernel_shape(network, layer)
    double = 2 if hardware.op == "convtranspose2d" else 1
    rows, columns = (double * size for size in hardware.pooled_size)
    out_columns = columns if layer.flatten else hardware.out_size[1]
    (row_pad, column_pad), (kernel_rows, kernel_columns) = hardware.padding, hardware.kernel_shape
    outputs, passes = kernel.count // kernel.passes, layer.in_passes[0]

    edges = column_pad * (padding + 1)
    before, after = kernel_columns - 1 - column_pad, out_columns - column_pad

    def taken(pixel: int) -> int:
        """A row whose pixels give output, but for the first ones."""
        inside = repeats * (before * (pixel + 1) + after * pixel)
        return edges + inside + column_pad * padding

    def filling(pixel: int) -> int:
        """A row before there is any output."""
        return 2 * edges + repeats * columns * (pixel + 1)

    computing = passes * out_columns * outputs + (outputs if outputs * passes == 1 else 0)
    fill_rows = kernel_rows - 1 - row_pad
    flattening = layer.flatten and kernel.passes > network.device.limits.passes
    return (
        row_pad * filling(padding)
        + fill_rows * filling(data)
        + (rows - fill_rows) * (taken(data) + computing)
        + row_pad * (taken(padding) + computing)
        + flattening
    )


def reread_pixels(layer: Layer) -> int:
    """Pixels on padded edges for which kernels are read again; see ``kernel_start``."""
    rows, columns = layer.pooled_size
    (row_pad, column_pad) = layer.hardware.padding
    kernel_rows, kernel_columns = layer.hardware.kernel_shape
    down = (rows + 2 * row_pad - kernel_columns + 1) * column_pad
    across = (columns + 2 * column_pad - kernel_rows + 1) * row_pad
    return down + across - row_pad * column_pad


def latency(source: Plan | Network) -> Latency:
    """Cycles of a network; without a plan, kernels are taken to start at word 0."""
    if isinstance(source, Plan):
        pairs = zip(source.network.layers, source.layers, strict=True)
        return Latency(
            tuple(layer_cycles(source.network, layer, plan.kernel_start) for layer, plan in pairs)
        )
    return Latency(tuple(layer_cycles(source, layer) for layer in source.layers))


def milliseconds(cycles: float, hertz: float = ACCELERATOR_HERTZ) -> float:
    """Cycles of a clock as milliseconds."""
    return cycles / hertz * 1000
