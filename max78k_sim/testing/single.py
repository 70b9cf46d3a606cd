"""One legal layer: processor maps, operations, pooling, element-wise operations."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import reject
from hypothesis import strategies as st

from ..layer import ELTWISE, STRETCHED_TAPS
from ..network import Layer, passes_of, set_bits
from .values import LIMITS, generator

EVERY_OPERATION = ("conv2d", "conv1d", "passthrough", "linear", "convtranspose2d", "eltwise")
MOST_CHANNELS = 130  # three passes; enough for every kind of layer, and a test stays quick
MOST_WEIGHTS = 4000  # of one processor and input channel, so that kernels fit their memory
CHANNELS = st.one_of(
    st.integers(1, 64), st.integers(1, 9), st.sampled_from((64, 65, 68, 100, 128, MOST_CHANNELS))
)
SIDE = 9
MOST_DILATION = 50  # what it writes before its output stays within a gap between areas
SIDES = st.integers(1, SIDE)  # rows, or columns, of an input
AREA, FIRST_AREA = 0x2400, 0x400  # bytes: data memory is drawn as three areas, used in turn


@dataclass(frozen=True)
class Source:
    """What a layer is drawn for: ``shape`` (channels, rows, columns) in some processors.

    ``inputs`` as in Layer; with ``operands`` of 2, an element-wise layer is drawn.
    """

    index: int  # of the layer to draw
    shape: tuple[int, int, int]
    processors: int
    big_data: bool = False
    inputs: tuple[int, ...] = ()
    operands: int = 1
    offset: int | None = None  # bytes; by default where the layer before writes
    operations: tuple[str, ...] = EVERY_OPERATION  # to choose from; of none that suits, conv2d


def sometimes(draw: st.DrawFn) -> bool:
    """True one time in four, and never in what was shrunk unless it has to be."""
    return draw(st.integers(0, 3)) == 3


def area(index: int) -> int:
    """Byte offset of the data area that a layer writes."""
    return FIRST_AREA + AREA * (index % 3)


# --- processor maps


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
def packed_maps(draw: st.DrawFn, processors: int) -> int:
    """Where a pass-through layer writes: the channels of each quadrant, packed, from a word on."""
    group, share = LIMITS.processors_per_group, LIMITS.processors_per_instance
    packed = 0
    for first in range(0, LIMITS.processors, group):
        count = (processors >> first & (1 << group) - 1).bit_count()
        if count:
            place = draw(st.integers(0, (group - count) // share))
            packed |= ((1 << count) - 1) << first + share * place
    return packed


# --- layers


@st.composite
def inputs(draw: st.DrawFn, big_data: bool) -> tuple[tuple[int, int, int], int]:
    """(channels, rows, columns) and processors of a first layer."""
    channels = draw(st.integers(1, 16) if big_data else CHANNELS)
    shape = (channels, draw(SIDES), draw(SIDES))
    return shape, draw(big_data_maps(channels) if big_data else processor_maps(channels))


@st.composite
def layers(
    draw: st.DrawFn,
    weight_bits: tuple[int, ...] = (8,),
    operations: tuple[str, ...] = EVERY_OPERATION,
) -> Layer:
    """A legal layer that could be a network's only one, of a few channels to 130.

    ``operations`` are those to draw from; conv2d is drawn where none of them suits the input,
    "eltwise" is an element-wise operation before another.
    """
    big_data = sometimes(draw)
    shape, processors = draw(inputs(big_data))
    source = Source(0, shape, processors, big_data, operations=operations)
    layer = draw(layers_of(source, last=True))
    (layer,) = in_first_quadrant([layer])
    if not layer.has_kernels:
        return layer
    return replace(layer, weight_bits=draw(st.sampled_from(weight_bits)))


@st.composite
def layers_of(draw: st.DrawFn, source: Source, last: bool) -> Layer:
    """One legal layer that reads a source."""
    channels, rows, columns = source.shape
    op = draw(st.sampled_from(suitable(source)))
    layer = Layer(
        index=source.index,
        name=f"layer{source.index}",
        op=op,
        in_channels=channels,
        out_channels=channels,
        in_size=(rows, columns),
        processors=source.processors,
        output_processors=0,
        kernel_shape=(1, 1),
        big_data=source.big_data,
        in_offset=area(source.index - 1) if source.offset is None else source.offset,
        out_offset=area(source.index),
        inputs=source.inputs,
        operands=source.operands,
    )
    if source.operands > 1 or "eltwise" in source.operations:
        layer = draw(operands(layer))
    layer = draw(OPERATIONS[op](layer))
    if not layer.has_kernels:
        return replace(layer, output_processors=draw(packed_maps(layer.processors)))
    most = MOST_CHANNELS
    if layer.op == "linear":
        most = max(1, min(most, MOST_WEIGHTS // (layer.pixels * layer.in_passes[0])))
    out_channels = draw(CHANNELS if most == MOST_CHANNELS else st.integers(1, most))
    layer = replace(
        layer,
        out_channels=out_channels,
        output_processors=draw(processor_maps(out_channels)),
        output_shift=draw(st.integers(-15, 15) | st.integers(-9, -4)),
    )
    wide = replace(layer, output_bits=32)  # the chip applies no activation then
    moved = layer.hardware.skipped > 0  # starts before its offset, in words of 8-bit data
    if last and not moved and wide.out_bytes <= AREA and draw(st.booleans()):
        return wide
    return replace(layer, activation=draw(st.sampled_from((None, "relu", "abs"))))


def suitable(source: Source) -> list[str]:
    """Operations asked for that can read a source, the simplest first; else conv2d."""
    able = able_to_read(source)
    return [op for op in able if op in source.operations] or ["conv2d"]


def able_to_read(source: Source) -> list[str]:
    """Every operation that can read a source."""
    channels, rows, columns = source.shape
    passes, each = passes_of(channels)
    if source.big_data:
        return ["conv2d"]
    if source.operands > 1:
        return ["passthrough"] if passes > 1 else ["conv2d", "passthrough"]
    allowed = ["conv2d", "conv1d", "passthrough"]
    if passes * each == channels and rows * columns <= 64:
        allowed.append("linear")
    if rows <= SIDE and columns <= SIDE:
        allowed.append("convtranspose2d")
    return allowed


@st.composite
def operands(draw: st.DrawFn, layer: Layer) -> Layer:
    """The layer, sometimes with an element-wise operation before the main one.

    The operands of a pixel follow each other in memory: a first layer reads them so, a later one
    takes the pixels before it for them.
    """
    function = draw(st.sampled_from(ELTWISE))
    if layer.operands > 1:
        return replace(layer, eltwise=function)
    suits = layer.op in ("conv2d", "passthrough") and not layer.big_data
    if not suits or layer.inputs or layer.in_passes[0] > 1 or not draw(st.booleans()):
        return layer
    count = draw(st.just(2) | st.integers(2, 5) | st.integers(2, 16))
    rows, columns = layer.in_size
    if layer.index:
        count = min(count, rows * columns)
        rows, columns = rows * columns // count, 1
    if count < 2:
        return layer
    return replace(layer, operands=count, eltwise=function, in_size=(rows, columns))


@st.composite
def pooled(draw: st.DrawFn, layer: Layer) -> Layer:
    """The layer with a pooling window and stride that leave at least one pixel."""
    rows, columns = layer.in_size
    most = LIMITS.pool
    window = draw(
        st.just((1, 1))
        | st.tuples(st.integers(1, min(rows, most)), st.integers(1, min(columns, most)))
    )
    after = layer.operands == 2 and rows * columns > 1 and draw(st.booleans())
    if after and window == (1, 1):  # pooling after the operation needs some
        window = min(rows, 2), min(columns, 2)
    average = window != (1, 1) and draw(st.booleans())
    return replace(
        layer,
        pool=window,
        pool_average=average,
        stride=draw(st.integers(1, 4)),
        pool_first=not after,
    )


@st.composite
def conv2d(draw: st.DrawFn, layer: Layer) -> Layer:
    """A kernel and padding, after pooling."""
    layer = draw(pooled(layer))
    kernel_shape = draw(st.sampled_from(((1, 1), (3, 3))))
    smallest = min(layer.pooled_size)
    padding = 0 if kernel_shape == (1, 1) else draw(st.integers(1 if smallest < 3 else 0, 2))
    return replace(layer, kernel_shape=kernel_shape, padding=padding)


@st.composite
def conv1d(draw: st.DrawFn, layer: Layer) -> Layer:
    """The pixels in one row after the other; dilated by zero taps, or by folding."""
    rows, columns = layer.in_size
    layer = replace(layer, in_size=(rows * columns, 1))
    if rows * columns > 2 and draw(st.booleans()):
        return draw(dilated(layer))
    layer = draw(pooled(layer))
    length = layer.pooled_size[0]
    taps = draw(st.integers(1, min(9, length + 4)))
    least = max(0, -(-(taps - length) // 2))
    padding = draw(st.integers(least, max(least, min(2, taps - 1))))
    return replace(layer, kernel_shape=(taps, 1), padding=padding)


@st.composite
def dilated(draw: st.DrawFn, layer: Layer) -> Layer:
    """A dilation that leaves at least one pixel: of two or more taps, without pooling."""
    length = layer.in_size[0]
    taps = draw(st.integers(2, min(5, length)))
    most = min(MOST_DILATION, (length - 1) // (taps - 1))
    if taps > 3:
        most = min(most, (STRETCHED_TAPS - 1) // (taps - 1))
    dilation = draw(st.integers(1, min(most, 3)) | st.integers(1, most))
    return replace(layer, kernel_shape=(taps, 1), dilation=dilation)


@st.composite
def convtranspose2d(draw: st.DrawFn, layer: Layer) -> Layer:
    """Twice the rows and columns."""
    smallest = min(layer.in_size)
    padding = draw(st.integers(0, 1 if smallest == 1 else 2))
    return replace(layer, kernel_shape=(3, 3), padding=padding)


def linear(layer: Layer) -> st.SearchStrategy[Layer]:
    """Flattening, unless there is one pixel."""
    return st.just(replace(layer, flatten=layer.in_size != (1, 1)))


@st.composite
def passthrough(draw: st.DrawFn, layer: Layer) -> Layer:
    """Pooling alone, an element-wise operation alone, or neither."""
    if layer.in_passes[0] > 1:
        return layer
    return draw(pooled(layer))


OPERATIONS = {
    "conv2d": conv2d,
    "conv1d": conv1d,
    "convtranspose2d": convtranspose2d,
    "linear": linear,
    "passthrough": passthrough,
}


def in_first_quadrant(chain: list[Layer]) -> list[Layer]:
    """The layers, the last one moved if none uses quadrant 0: a network has to."""
    quadrant = (1 << LIMITS.processors_per_group) - 1
    if any((layer.processors | layer.output_processors) & quadrant for layer in chain):
        return chain
    if not chain[-1].has_kernels:
        reject()  # it writes the quadrants that it reads
    moved = replace(chain[-1], output_processors=low_processors(chain[-1].out_channels))
    return [*chain[:-1], moved]


def next_source(layer: Layer, operations: tuple[str, ...]) -> Source:
    """What a layer writes, for the layer after it."""
    shape, processors = shape_of(layer), layer.output_processors
    return Source(layer.index + 1, shape, processors, operations=operations)


def shape_of(layer: Layer) -> tuple[int, int, int]:
    """(channels, rows, columns) that a layer writes."""
    return layer.out_channels, *layer.out_size


def is_contiguous(processors: int) -> bool:
    """Whether a map has no gaps."""
    numbers = set_bits(processors)
    return numbers[-1] + 1 - numbers[0] == len(numbers)
