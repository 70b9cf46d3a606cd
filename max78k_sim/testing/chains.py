"""Legal networks: layers behind each other, branches that are added or concatenated, weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from ..allocation import allocate
from ..arithmetic import ACTIVATION_MIN, BIAS_SHIFT
from ..device import WORD
from ..devices import MAX78000
from ..errors import HardwareLimit
from ..network import Layer, Network, Parameters
from .single import (
    AREA,
    EVERY_OPERATION,
    Source,
    in_first_quadrant,
    inputs,
    is_contiguous,
    layers_of,
    low_processors,
    next_source,
    shape_of,
    sometimes,
)
from .values import LIMITS, integer_arrays, q7_arrays

SHARE = LIMITS.processors_per_instance


@st.composite
def parameters(draw: st.DrawFn, layer: Layer) -> Parameters:
    """Weights small enough for 26 bits of accumulator with any sample, and a bias or none."""
    products = layer.features * layer.kernel_shape[0] * layer.kernel_shape[1]
    largest = (1 << LIMITS.accumulator_bits - 1) - 1 - (-ACTIVATION_MIN << BIAS_SHIFT)
    limit = max(1, min(1 << layer.weight_bits - 1, largest // (-ACTIVATION_MIN * products)))
    kernel = draw(integer_arrays(layer.kernel_tensor_shape, -limit, limit - 1))
    # scattered maps: where the vendor's sources disagree
    has_bias = is_contiguous(layer.output_processors) and draw(st.booleans())
    return Parameters(kernel, draw(q7_arrays(layer.out_channels)) if has_bias else None)


@st.composite
def networks(
    draw: st.DrawFn,
    most_layers: int = 3,
    weight_bits: tuple[int, ...] = (8,),
    operations: tuple[str, ...] = EVERY_OPERATION,
) -> Network:
    """A small legal network for MAX78000 with weights, which ``compile_network`` accepts.

    1 to ``most_layers`` layers of the given ``operations`` (see ``layers``); each
    with weights takes one of ``weight_bits`` (1, 2, 4, 8).  From three layers on, some have two
    branches that a third layer adds, or reads as one input.  ``networks().map(compile_network)``
    gives programs.
    """
    count = draw(st.integers(1, most_layers))
    big_data = sometimes(draw)
    shape, processors = draw(inputs(big_data))
    source = Source(0, shape, processors, big_data, operations=operations)
    chain: list[Layer] = []
    while len(chain) < count:
        chain += draw(branches(source, count) if count - len(chain) > 2 else one(source, count))
        source = next_source(chain[-1], operations)
    chain = in_first_quadrant(chain)
    chain = [
        replace(layer, weight_bits=draw(st.sampled_from(weight_bits)))
        if layer.has_kernels
        else layer
        for layer in chain
    ]
    weights = tuple(draw(parameters(layer)) if layer.has_kernels else None for layer in chain)
    network = Network("random", MAX78000, tuple(chain), weights, draw(st.booleans()))
    try:
        allocate(network)
    except HardwareLimit:  # the kernels of several layers may be too many for their memory
        reject()
    return network


def one(source: Source, count: int) -> st.SearchStrategy[list[Layer]]:
    """The next layer of a network of ``count``."""
    return layers_of(source, last=source.index == count - 1).map(lambda layer: [layer])


@st.composite
def branches(draw: st.DrawFn, source: Source, count: int) -> list[Layer]:
    """Sometimes two layers that read one source, and a third that joins their outputs."""
    first = draw(layers_of(source, last=False))
    if source.big_data or not first.has_kernels or not sometimes(draw):
        return [first]
    number = source.index
    first = replace(first, inputs=(number - 1,))
    second = replace(first, index=number + 1, name=f"layer{number + 1}")
    joined = draw(
        added(first, second, source.operations) if draw(st.booleans()) else beside(first, second)
    )
    if joined is None:
        return [replace(first, inputs=())]
    first, second, joint = joined
    joint = replace(joint, operations=source.operations)
    return [first, second, draw(layers_of(joint, last=number + 2 == count - 1))]


def added(
    first: Layer, second: Layer, operations: tuple[str, ...]
) -> st.SearchStrategy[tuple[Layer, Layer, Source] | None]:
    """Outputs interleaved by a write gap, for an element-wise layer; None where they do not fit."""
    suits = "eltwise" in operations and 2 * first.out_bytes <= AREA
    if not suits or (first.out_passes[0] > 1 and "passthrough" not in operations):
        return st.none()  # several passes are combined, but not convolved
    joint = Source(
        second.index + 1,
        shape_of(first),
        first.output_processors,
        inputs=(first.index, second.index),
        operands=2,
        offset=first.out_offset,
    )
    first, second = replace(first, write_gap=1), replace(second, write_gap=1)
    return st.just((first, replace(second, out_offset=first.out_offset + WORD), joint))


@st.composite
def beside(draw: st.DrawFn, first: Layer, second: Layer) -> tuple[Layer, Layer, Source] | None:
    """Outputs in processors above each other, read as one input; None without enough of them."""
    lowest = -(-first.output_processors.bit_length() // SHARE) * SHARE
    room = min(LIMITS.processors - lowest, first.out_channels)
    if room < 1 or first.out_passes[0] > 1:
        return None
    channels = draw(st.integers(1, room))
    processors = low_processors(channels) << lowest
    second = replace(second, out_channels=channels, output_processors=processors)
    _, rows, columns = shape_of(first)
    joint = Source(
        second.index + 1,
        (first.out_channels + channels, rows, columns),
        first.output_processors | processors,
        inputs=(first.index, second.index),
        offset=first.out_offset,
    )
    return first, second, joint


def samples(network: Network) -> st.SearchStrategy[np.ndarray]:
    """Inputs of a network: int8 [channel, row, column] over the whole range."""
    return q7_arrays(network.input_shape)
