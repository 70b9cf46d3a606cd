"""Hypothesis strategies for code that uses the chip: numbers, tensors, layers, networks, registers.

For tests only: this file needs hypothesis (``pip install "max78k[test]"``), nothing else here does.
What a strategy draws is legal by the rules of network.py, and shrinks: numbers to 0, tensors to one
value, networks to one layer.  Examples: docs/property-testing.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .allocation import allocate
from .arithmetic import ACTIVATION_MAX, ACTIVATION_MIN, BIAS_SHIFT, Q17_14
from .devices import MAX78000
from .errors import HardwareLimit, InputError
from .network import Layer, Network, Parameters, passes_of
from .registers import Register

try:
    from hypothesis import reject
    from hypothesis import strategies as st
except ImportError as error:
    raise InputError('max78k_sim.testing needs hypothesis: pip install "max78k[test]"') from error

LIMITS = MAX78000.limits
MOST_CHANNELS = 130  # three passes; enough for every kind of layer, and a test stays quick
CHANNELS = st.one_of(
    st.integers(1, 64), st.integers(1, 9), st.sampled_from((64, 65, 68, 100, 128, MOST_CHANNELS))
)
SIDES = st.integers(1, 9)  # rows, or columns, of an input


# ---- numbers and tensors ------------------------------------------------------------------------


def q7_values() -> st.SearchStrategy[int]:
    """Q7 numbers: integers from -128 to 127."""
    return st.integers(ACTIVATION_MIN, ACTIVATION_MAX)


def q17_14_values() -> st.SearchStrategy[int]:
    """Q17.14 numbers: integers of 32 bits, as 32-bit output has them."""
    limit = 1 << Q17_14.bits - 1
    return st.integers(-limit, limit - 1)


def accumulators() -> st.SearchStrategy[int]:
    """What the chip's accumulator holds: integers of 26 bits."""
    limit = 1 << LIMITS.accumulator_bits - 1
    return st.integers(-limit, limit - 1)


def generator(draw: st.DrawFn) -> np.random.Generator:
    """A random generator of its own for bulk data, from a drawn seed."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@st.composite
def integer_arrays(draw: st.DrawFn, shape: int | tuple[int, ...], low: int, high: int):
    """int8 [shape] from ``low`` to ``high``, both included.

    Mostly random over the whole range, else one value everywhere, which is also what it shrinks
    to; a few elements are drawn one by one.
    """
    values = st.integers(low, high)
    array = np.full(shape, draw(values), np.int8)
    places = st.integers(0, max(array.size, 1) - 1)
    chosen = draw(st.dictionaries(places, values, max_size=8))
    if draw(st.sampled_from((False, True, True, True))):  # last: what is shorter is simpler
        array[...] = generator(draw).integers(low, high + 1, shape, np.int8)
    if array.size:
        array.flat[list(chosen)] = list(chosen.values())
    return array


def q7_arrays(shape: int | tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Q7 tensors: int8 [shape], -128 to 127."""
    return integer_arrays(shape, ACTIVATION_MIN, ACTIVATION_MAX)


def kernels(
    out_channels: int, in_channels: int, shape: tuple[int, int] = (3, 3), bits: int = 8
) -> st.SearchStrategy[np.ndarray]:
    """Kernels: int8 [out, in, row, column] over the whole range of ``bits`` bits (1, 2, 4 or 8)."""
    limit = 1 << bits - 1
    return integer_arrays((out_channels, in_channels, *shape), -limit, limit - 1)


# ---- layers and networks ------------------------------------------------------------------------


def sometimes(draw: st.DrawFn) -> bool:
    """True one time in four, and never in what was shrunk unless it has to be."""
    return draw(st.integers(0, 3)) == 3


def low_processors(channels: int) -> int:
    """The map from processor 0 up."""
    return (1 << passes_of(channels)[1]) - 1


@st.composite
def processor_maps(draw: st.DrawFn, channels: int) -> int:
    """A map for so many channels: contiguous, or scattered where one pass takes them all."""
    passes, each = passes_of(channels)
    step = 4 if passes > 1 else draw(st.sampled_from((1, 4)))
    first = draw(st.integers(0, (LIMITS.processors - each) // step))
    if passes == 1 and sometimes(draw):
        order = generator(draw).permutation(LIMITS.processors)[:each]
        return sum(1 << int(processor) for processor in order)
    return low_processors(channels) << step * first


@st.composite
def big_data_maps(draw: st.DrawFn, channels: int) -> int:
    """A map for at most 16 channels of CHW input: every fourth processor."""
    share = LIMITS.processors_per_instance
    first = draw(st.integers(0, LIMITS.processors // share - channels))
    return sum(1 << share * (first + channel) for channel in range(channels))


@st.composite
def inputs(draw: st.DrawFn, big_data: bool) -> tuple[tuple[int, int, int], int]:
    """(channels, rows, columns) and processors of a first layer."""
    channels = draw(st.integers(1, 16) if big_data else CHANNELS)
    shape = (channels, draw(SIDES), draw(SIDES))
    return shape, draw(big_data_maps(channels) if big_data else processor_maps(channels))


@st.composite
def layers(draw: st.DrawFn, weight_bits: tuple[int, ...] = (8,)) -> Layer:
    """A legal layer that could be a network's only one, of a few channels to 130."""
    big_data = sometimes(draw)
    shape, processors = draw(inputs(big_data))
    layer = draw(layers_of(0, shape, processors, True, big_data))
    (layer,) = in_first_quadrant([layer])
    return replace(layer, weight_bits=draw(st.sampled_from(weight_bits)))


@st.composite
def layers_of(
    draw: st.DrawFn, index: int, shape: tuple[int, int, int], processors: int, last: bool, chw: bool
) -> Layer:
    """One legal layer that reads (channels, rows, columns) from some processors."""
    channels, rows, columns = shape
    passes, each = passes_of(channels)
    full = passes * each == channels and rows * columns <= 64 and not chw
    linear = full and sometimes(draw)
    most = max(1, min(MOST_CHANNELS, 4000 // (rows * columns * passes)))  # kernels fit their memory
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
    activation = draw(st.sampled_from((None, "relu", "abs")))
    if last and draw(st.booleans()):
        return replace(layer, output_bits=32)  # the chip applies no activation then
    return replace(layer, activation=activation)


@st.composite
def convolutions(draw: st.DrawFn, layer: Layer) -> Layer:
    """The layer with a kernel, padding, pooling and stride that leave at least one pixel."""
    rows, columns = layer.in_size
    most = LIMITS.pool
    window = draw(
        st.just((1, 1))
        | st.tuples(st.integers(1, min(rows, most)), st.integers(1, min(columns, most)))
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


def in_first_quadrant(chain: list[Layer]) -> list[Layer]:
    """The layers, the last one moved if none uses quadrant 0: a network has to."""
    quadrant = (1 << LIMITS.processors_per_group) - 1
    if any((layer.processors | layer.output_processors) & quadrant for layer in chain):
        return chain
    moved = replace(chain[-1], output_processors=low_processors(chain[-1].out_channels))
    return [*chain[:-1], moved]


@st.composite
def parameters(draw: st.DrawFn, layer: Layer) -> Parameters:
    """Weights small enough for 26 bits of accumulator with any sample, and a bias or none."""
    products = layer.features * layer.kernel_shape[0] * layer.kernel_shape[1]
    largest = (1 << LIMITS.accumulator_bits - 1) - 1 - (-ACTIVATION_MIN << BIAS_SHIFT)
    limit = max(1, min(1 << layer.weight_bits - 1, largest // (-ACTIVATION_MIN * products)))
    kernel = draw(integer_arrays(layer.kernel_tensor_shape, -limit, limit - 1))
    processors = layer.output_processors  # scattered: where the vendor's sources disagree
    lowest = processors & -processors
    has_bias = processors + lowest & processors == 0 and draw(st.booleans())
    return Parameters(kernel, draw(q7_arrays(layer.out_channels)) if has_bias else None)


@st.composite
def networks(draw: st.DrawFn, most_layers: int = 3, weight_bits: tuple[int, ...] = (8,)) -> Network:
    """A small legal network for MAX78000 with weights, which ``compile_network`` accepts.

    1 to ``most_layers`` layers; each takes one of ``weight_bits`` (1, 2, 4, 8), of which Machine
    executes 8.  ``networks().map(compile_network)`` gives programs.
    """
    count = draw(st.integers(1, most_layers))
    big_data = sometimes(draw)
    shape, processors = draw(inputs(big_data))
    chain: list[Layer] = []
    for index in range(count):
        last, chw = index == count - 1, big_data and index == 0
        layer = draw(layers_of(index, shape, processors, last, chw))
        chain.append(replace(layer, weight_bits=draw(st.sampled_from(weight_bits))))
        shape = (layer.out_channels, *layer.out_size)
        processors = layer.output_processors
    chain = in_first_quadrant(chain)
    weights = tuple(draw(parameters(layer)) for layer in chain)
    network = Network("random", MAX78000, tuple(chain), weights, draw(st.booleans()))
    try:
        allocate(network)
    except HardwareLimit:  # the kernels of several layers may be too many for their memory
        reject()
    return network


def samples(network: Network) -> st.SearchStrategy[np.ndarray]:
    """Inputs of a network: int8 [channel, row, column] over the whole range."""
    return q7_arrays(network.input_shape)


# ---- registers ----------------------------------------------------------------------------------


def register_words(register: Register) -> st.SearchStrategy[int]:
    """Words of a register (see ``Device.layer_registers``) with any value in each known field.

    Every word decodes, and encodes to itself; whether Machine executes it is another question.
    """
    fields = {field.name: st.integers(0, field.limit) for field in register.fields}
    return st.fixed_dictionaries(fields).map(register.encode)
