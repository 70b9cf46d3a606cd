"""Cycles of the accelerator, layer by layer, and what the Cortex-M4 spends around it.

Every number is an estimate.  A layer's cycles match the vendor's generator; on silicon four
two-dimensional networks, with the constant for start and interrupt, were within 0.2 us of 1.4 to
2.6 ms.  (A one-dimensional network was 2 % slower than estimated; why is not known.)
"""

from __future__ import annotations

from dataclasses import dataclass

from .allocation import Plan, kernel_shape
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


def layer_cycles(network: Network, layer: Layer) -> int:
    """Cycles of one layer.  Matches the vendor's generator (conv2d and linear, not streaming).

    The layer visits every pixel of its padded input once.  For every input pass it reads the
    pooling window (padding: one cycle) and stores the result in a line of the buffer; a pixel that
    completes no output takes one cycle more; one that does takes a cycle for each output channel,
    gaps of the processor map included.  A flattening layer visits its pixels like a 1x1 kernel, and
    takes a cycle more where the registers have to say "flatten".
    """
    kernel = kernel_shape(network, layer)
    passes = layer.in_passes[0]
    outputs_a_pixel = kernel.count // kernel.passes
    rows, columns = layer.pooled_size
    out_rows, out_columns = layer.pooled_size if layer.flatten else layer.out_size
    pixels, outputs = rows * columns, out_rows * out_columns
    padded = (rows + 2 * layer.padding) * (columns + 2 * layer.padding)

    reading_pixels = pixels * passes * (layer.pool[0] * layer.pool[1] + 1)
    reading_padding = (padded - pixels) * passes * 2
    filling = padded - outputs
    computing = outputs * passes * outputs_a_pixel
    one_output = out_rows if passes == outputs_a_pixel == 1 else 0  # a cycle more for each row
    flattening = layer.flatten and kernel.passes > network.device.limits.passes
    return reading_pixels + reading_padding + filling + computing + one_output + flattening


def latency(source: Plan | Network) -> Latency:
    """Cycles of a network; it needs neither weights nor a plan."""
    network = source.network if isinstance(source, Plan) else source
    return Latency(tuple(layer_cycles(network, layer) for layer in network.layers))


def milliseconds(cycles: float, hertz: float = ACCELERATOR_HERTZ) -> float:
    """Cycles of a clock as milliseconds."""
    return cycles / hertz * 1000
