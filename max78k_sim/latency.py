"""Cycles of the accelerator, layer by layer, and what the Cortex-M4 spends around it.

Every number is an estimate.  A layer's cycles match the vendor's generator; on silicon four
two-dimensional networks, with the constant for start and interrupt, were within 0.2 us of 1.4 to
2.6 ms.  (A one-dimensional network was 2 % slower than estimated; why is not known.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .allocation import Plan
from .cycle_model import Work, cycles
from .kernel_layout import kernel_shape
from .layer_fields import timeslots
from .network import Layer, Network
from .ops import stages
from .packing import KERNEL_BYTES
from .routine import Routine

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
    return cycles(layer_work(network, layer, kernel_start))


def layer_work(network: Network, layer: Layer, kernel_start: int = 0) -> Work:
    """What a described layer does."""
    hardware = layer.hardware
    common: dict[str, Any] = {
        "has_kernels": layer.has_kernels,
        "passes": layer.in_passes[0],
        "operands": layer.operands,
        "window": layer.pool[0] * layer.pool[1],
        "pool_first": layer.pool_first,
        "streaming": layer.streaming,
    }
    if not layer.has_kernels:
        return Work(
            **common,
            size=layer.pooled_size,
            timeslots=timeslots(layer),
            several_out_passes=layer.out_passes[0] > 1,
        )
    kernel = kernel_shape(network, layer)
    return Work(
        **common,
        size=hardware.pooled_size,
        double=hardware.op == "convtranspose2d",
        padding=hardware.padding,
        kernel=hardware.kernel_shape,
        out_columns=hardware.pooled_size[1] if layer.flatten else hardware.out_size[1],
        outputs=kernel.count // kernel.passes,
        long_flatten=layer.flatten and kernel.passes > network.device.limits.passes,
        kernel_start=kernel_start,
    )


def routine_work(routine: Routine) -> Work:
    """What a layer does that is known by its registers only; the same cycles as ``layer_work``.

    Pixels of a flattening layer are passes here.  A ring buffer says that the layer streams.
    """
    config = routine.config
    has_kernels = routine.operation.convolves
    rows, columns = stages.pooled_size(config, *routine.in_size)
    most = max(each.processors.bit_count() for each in routine.configs)
    return Work(
        has_kernels=has_kernels,
        size=(rows, columns),
        passes=config.passes,
        operands=config.operand_count + 1 if config.eltwise else 1,
        window=math.prod(config.pool_window),
        pool_first=bool(config.pool_first or not config.eltwise or not config.pool),
        streaming=config.ring_words > 0,
        timeslots=1 if has_kernels else (most * (4 if config.wide else 1) - 1) // 4 + 1,
        several_out_passes=config.passes > 1,
        double=bool(config.transpose),
        padding=(config.row_pad, config.column_pad),
        kernel=config.kernel_size,
        out_columns=routine.size[1],
        outputs=config.kernel_count // config.passes,
        long_flatten=bool(config.flatten),
        kernel_start=config.kernel_first // 8 * math.prod(config.kernel_size) // KERNEL_BYTES,
    )


def latency(source: Plan | Network) -> Latency:
    """Cycles of a network; without a plan, kernels are taken to start at word 0."""
    if isinstance(source, Plan):
        pairs = zip(source.network.layers, source.layers, strict=True)
        return Latency(
            tuple(layer_cycles(source.network, layer, plan.kernel_start) for layer, plan in pairs)
        )
    return Latency(tuple(layer_cycles(source, layer) for layer in source.layers))


def run_latency(routines: Iterable[Routine]) -> Latency:
    """Cycles of a run that is known by its registers only."""
    return Latency(tuple(cycles(routine_work(routine)) for routine in routines))


def milliseconds(cycles: float, hertz: float = ACCELERATOR_HERTZ) -> float:
    """Cycles of a clock as milliseconds."""
    return cycles / hertz * 1000
