"""Hypothesis strategies: legal small networks, and how many examples a property gets."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from max78k_sim.devices import MAX78000
from max78k_sim.network import Layer, Network, Parameters, passes_of

NIGHTLY = os.environ.get("MAX78K_NIGHTLY") == "1"


def examples(count: int) -> settings:
    """Settings for ``count`` examples, 20 times as many and random ones with MAX78K_NIGHTLY=1."""
    return settings(
        max_examples=count * (20 if NIGHTLY else 1),
        deadline=None,
        derandomize=not NIGHTLY,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def generator(draw: st.DrawFn) -> np.random.Generator:
    """A random generator of its own for bulk data, from a drawn seed."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def low_processors(channels: int) -> int:
    """The map from processor 0 up."""
    return (1 << passes_of(channels)[1]) - 1


@st.composite
def processor_maps(draw: st.DrawFn, channels: int) -> int:
    """A map for so many channels: contiguous, or scattered where one pass takes them all."""
    passes, each = passes_of(channels)
    if passes == 1 and draw(st.integers(0, 3)) == 0:
        order = generator(draw).permutation(64)[:each]
        return sum(1 << int(processor) for processor in order)
    step = 4 if passes > 1 else draw(st.sampled_from((1, 4)))
    return low_processors(channels) << step * draw(st.integers(0, (64 - each) // step))


@st.composite
def big_data_maps(draw: st.DrawFn, channels: int) -> int:
    """Every fourth processor."""
    first = draw(st.integers(0, 16 - channels))
    return sum(1 << 4 * (first + channel) for channel in range(channels))


CHANNELS = st.one_of(
    st.integers(1, 64), st.integers(1, 9), st.sampled_from((64, 65, 68, 100, 128, 130))
)


@st.composite
def layers(
    draw: st.DrawFn, index: int, shape: tuple[int, int, int], processors: int, last: bool, chw: bool
) -> Layer:
    """One legal layer that reads (channels, rows, columns) from some processors."""
    channels, rows, columns = shape
    passes, each = passes_of(channels)
    full = passes * each == channels and rows * columns <= 64 and not chw
    linear = full and draw(st.integers(0, 3)) == 0
    most = max(1, min(130, 4000 // (rows * columns * passes)))  # kernels fit their memory
    out_channels = draw(st.integers(1, most) if linear else CHANNELS)
    layer = Layer(
        index=index,
        name=f"layer{index}",
        op="linear" if linear else "conv2d",
        in_channels=channels,
        out_channels=out_channels,
        in_size=(rows, columns),
        processors=processors,
        output_processors=draw(processor_maps(out_channels)),
        activation=None,
        output_shift=draw(st.integers(-15, 15) | st.integers(-9, -4)),
        big_data=chw,
        in_offset=0x4000 * (index % 2),
        out_offset=0x4000 * ((index + 1) % 2),
    )
    if linear:
        layer = replace(layer, kernel_shape=(1, 1), flatten=(rows, columns) != (1, 1))
    else:
        layer = draw(convolutions(layer))
    wide = last and draw(st.booleans())
    if wide:
        return replace(layer, output_bits=32)
    return replace(layer, activation=draw(st.sampled_from((None, "relu", "abs"))))


@st.composite
def convolutions(draw: st.DrawFn, layer: Layer) -> Layer:
    """Kernel, padding, pooling and stride that leave at least one pixel."""
    rows, columns = layer.in_size
    window = draw(
        st.just((1, 1)) | st.tuples(st.integers(1, min(rows, 16)), st.integers(1, min(columns, 16)))
    )
    layer = replace(
        layer,
        pool=window,
        pool_average=window != (1, 1) and draw(st.booleans()),
        stride=draw(st.integers(1, 4)),
    )
    kernel_shape = draw(st.sampled_from(((1, 1), (3, 3))))
    smallest = min(layer.pooled_size)
    padding = 0 if kernel_shape == (1, 1) else draw(st.integers(1 if smallest < 3 else 0, 2))
    return replace(layer, kernel_shape=kernel_shape, padding=padding)


@st.composite
def networks(draw: st.DrawFn, most_layers: int = 3, weight_bits: tuple[int, ...] = (8,)) -> Network:
    """A small legal network with random weights over the whole int8 range."""
    count = draw(st.integers(1, most_layers))
    big_data = draw(st.integers(0, 3)) == 0
    channels = draw(st.integers(1, 16) if big_data else CHANNELS)
    shape = (channels, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    processors = draw(big_data_maps(channels) if big_data else processor_maps(channels))
    made: list[Layer] = []
    for index in range(count):
        last, chw = index == count - 1, big_data and index == 0
        layer = draw(layers(index, shape, processors, last, chw))
        made.append(replace(layer, weight_bits=draw(st.sampled_from(weight_bits))))
        shape = (layer.out_channels, *layer.out_size)
        processors = layer.output_processors
    used = [layer.processors | layer.output_processors for layer in made]
    if not any(processors & 0xFFFF for processors in used):  # a network has to use quadrant 0
        made[-1] = replace(made[-1], output_processors=low_processors(shape[0]))
    random = generator(draw)
    parameters = tuple(draw(layer_parameters(layer, random)) for layer in made)
    return Network("random", MAX78000, tuple(made), parameters, draw(st.booleans()))


@st.composite
def layer_parameters(draw: st.DrawFn, layer: Layer, random: np.random.Generator) -> Parameters:
    """Weights small enough for 26 bits of accumulator, and a bias or none."""
    products = layer.features * layer.kernel_shape[0] * layer.kernel_shape[1]
    limit = max(1, min(1 << layer.weight_bits - 1, ((1 << 25) - (1 << 14) - 1) // (128 * products)))
    kernel = random.integers(-limit, limit, layer.kernel_tensor_shape).astype(np.int8)
    bias = random.integers(-128, 128, layer.out_channels).astype(np.int8)
    processors = layer.output_processors  # scattered: where the vendor's sources disagree
    lowest = processors & -processors
    has_bias = processors + lowest & processors == 0 and draw(st.booleans())
    return Parameters(kernel, bias if has_bias else None)


def samples(network: Network, random: np.random.Generator) -> np.ndarray:
    """int8 [channel, row, column] over the whole range."""
    return random.integers(-128, 128, network.input_shape).astype(np.int8)
