"""SRAM of the processor in one training step, by purpose.

What the planner copies out of data memory comes on top.  Numbers are those of the layers' shapes;
what the C code adds (its own variables, the replay buffer of the application) is given by the
caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from max78k_sim.network import Layer, Network

from ..state import WORD_BYTES
from .needs import Need, Needs

ERROR_BYTES = 2  # an int16 mantissa
SUM_BYTES = 4  # an int32 accumulator
KERNEL_WORD_BYTES = 16  # one 72-bit word in its slot
STACK_BYTES = 4096


@dataclass(frozen=True)
class StepOptions:
    """What is held beside the tensors.

    ``weights``: how many are trained, where that is not all of the trained layers';
    ``velocity_bytes``: of each (0: neither momentum nor sums over a batch); ``fraction_bytes``: of
    each trained weight below its int8 (0, 1 or 2); ``whole_input``: a layer's input is copied
    whole, not the rows that a row of outputs needs; ``replay``: bytes of samples or latents that
    are shown again.
    """

    weights: int | None = None
    velocity_bytes: int = WORD_BYTES
    fraction_bytes: int = 0
    whole_input: bool = False
    replay: int = 0
    stack: int = STACK_BYTES


@dataclass(frozen=True)
class Purpose:
    """One row of the table: ``size(network, needs, options)`` is its peak in bytes."""

    name: str
    meaning: str
    size: Callable[[Network, Needs, StepOptions], int]


def step_sram(network: Network, needs: Needs, options: StepOptions | None = None) -> dict[str, int]:
    """Peak bytes of one step by purpose, in the order of PURPOSES."""
    chosen = options or StepOptions()
    return {purpose.name: purpose.size(network, needs, chosen) for purpose in PURPOSES}


def elements(layer: Layer) -> int:
    """Values that a layer writes."""
    return layer.out_channels * layer.out_size[0] * layer.out_size[1]


def error_elements(network: Network, needs: Needs) -> int:
    """The most values of error that are alive at once, from the loss down.

    The error of a tensor is alive from its last reader's backward to that of the layer that wrote
    it: two of a chain, more where a branch goes around.
    """
    active = {need.layer.index: need.layer for need in needs.layers}
    last_reader = {
        index: max((n for n, layer in active.items() if index in layer.sources), default=index)
        for index in active
    }
    return max(
        sum(
            elements(network.layers[index])
            for index, reader in last_reader.items()
            if index <= now <= reader or index == now
        )
        for now in active
    )


def row_sums(network: Network, needs: Needs, options: StepOptions) -> int:
    """Of one row of the error that a layer passes down."""
    rows = (
        need.layer.in_size[1] * need.layer.in_channels for need in needs.layers if need.passes_down
    )
    return SUM_BYTES * max(rows, default=0)


def trained_weights(needs: Needs, options: StepOptions) -> int:
    """Weights that are learned, without biases."""
    if options.weights is not None:
        return options.weights
    return sum(weights_of(need.layer) for need in needs.layers if need.weights)


def trained_biases(needs: Needs) -> int:
    """Biases that are learned."""
    return sum(need.layer.out_channels for need in needs.layers if need.bias)


def weights_of(layer: Layer) -> int:
    """Elements of a layer's kernel."""
    total = 1
    for size in layer.kernel_tensor_shape:
        total *= size
    return total


def input_bytes(need: Need, whole: bool) -> int:
    """Of one layer's input in SRAM: all of it, or the rows that one row of outputs needs."""
    layer = need.layer
    if not need.inputs:
        return 0
    rows, columns = layer.in_size
    if not whole and not layer.flatten:
        reach = (layer.kernel_shape[0] - 1) * layer.dilation if layer.has_kernels else 0
        rows = min(rows, reach * layer.stride + layer.pool[0])
    return rows * columns * layer.in_channels * layer.operands


PURPOSES = (
    Purpose(
        "errors",
        "int16 of the tensors between two layers",
        lambda network, needs, options: ERROR_BYTES * error_elements(network, needs),
    ),
    Purpose("accumulators", "int32 of one row of an input's error", row_sums),
    Purpose(
        "velocities",
        "int32 of each trained weight and bias",
        lambda network, needs, options: (
            options.velocity_bytes * (trained_weights(needs, options) + trained_biases(needs))
        ),
    ),
    Purpose(
        "fractions",
        "of trained weights, below their stored bits",
        lambda network, needs, options: options.fraction_bytes * trained_weights(needs, options),
    ),
    Purpose(
        "input",
        "int8 of the input that a layer's gradient is made from",
        lambda network, needs, options: max(
            input_bytes(need, options.whole_input) for need in needs.layers
        ),
    ),
    Purpose(
        "kernel word",
        "one word on its way",
        lambda network, needs, options: KERNEL_WORD_BYTES,
    ),
    Purpose(
        "logits",
        "int32 of the last layer's output",
        lambda network, needs, options: SUM_BYTES * elements(network.layers[-1]),
    ),
    Purpose(
        "replay",
        "samples or latents that are shown again",
        lambda network, needs, options: options.replay,
    ),
    Purpose(
        "stack",
        "of the program",
        lambda network, needs, options: options.stack,
    ),
)
