"""Data memory: offsets, what fits an instance and beside what, CHW input, what a layer reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..errors import InputError, NotEmulated
from ..layer import DATA_BUFFER, NETWORK_INPUT, Layer, set_bits
from .rule import DESCRIPTION, LIMITATIONS, PROJECT, Checked, Rule
from .sizes import Messages


@dataclass(frozen=True)
class Tenant:
    """A tensor in data memory: bytes ``start`` to ``end`` (past it) of some instances."""

    name: str
    start: int
    end: int
    instances: frozenset[int]

    def __str__(self) -> str:
        return f"{self.name} 0x{self.start:04x}-0x{self.end - 1:04x}"


def instances(network: Checked, processors: int) -> frozenset[int]:
    """The data-memory instances of a processor map."""
    share = network.device.limits.processors_per_instance
    return frozenset(processor // share for processor in set_bits(processors))


def output_tenant(network: Checked, layer: Layer) -> Tenant:
    """Where a layer's output lies."""
    where = instances(network, layer.output_processors)
    start = layer.out_offset
    return Tenant(f"output of {layer.name}", start, start + layer.out_bytes, where)


def input_tenant(network: Checked, layer: Layer) -> Tenant:
    """Where a layer's input lies, whoever wrote it."""
    where, start = instances(network, layer.processors), layer.in_offset
    return Tenant(f"input of {layer.name}", start, start + layer.in_bytes, where)


def neighbours(network: Checked, layer: Layer) -> Iterator[Tenant]:
    """What is alive while a layer writes its output: what it, or a layer after it, still reads.

    Kept outputs live to the end.  What is streamed lies in ring buffers and is left out.
    """
    buffer = network.data_buffer
    if buffer is not None and not layer.buffer_shift and not layer.buffer_insert:
        where = instances(network, buffer.processors)
        yield Tenant(f"rolling buffer {buffer.name}", buffer.offset, buffer.end, where)
    later = network.layers[layer.index :]
    for reader in later:
        if NETWORK_INPUT in reader.sources and not (reader.streaming or network.fifo):
            yield input_tenant(network, reader)
            break
    for writer in network.layers[: layer.index]:
        read = any(writer.index in reader.sources for reader in later)
        if (read or writer.keep) and not network.streams_into_next(writer):
            yield output_tenant(network, writer)


def highest_offset(size: int, length: int, taken: list[Tenant]) -> int | None:
    """The highest offset at which so many bytes lie beside what is taken; None if there is none."""
    ends = [size, *(tenant.start for tenant in taken)]
    for end in sorted(ends, reverse=True):
        start = (end - length) & ~3
        if start >= 0 and not any(start < other.end and other.start < end for other in taken):
            return start
    return None


def offset_word(network: Checked, layer: Layer) -> Messages:
    """Whole words."""
    for field, offset in (("in_offset", layer.in_offset), ("out_offset", layer.out_offset)):
        if offset < 0 or offset % 4:
            legal = max(0, offset & ~3)
            yield f"{field} 0x{offset:x} is not a multiple of 4 from 0 up; use 0x{legal:x}"


def instance_bytes(network: Checked) -> int:
    """Bytes of a data-memory instance."""
    data = network.device.region("data")
    return data.entries * data.entry_stride


def input_fits(network: Checked, layer: Layer) -> Messages:
    """A streamed input needs its ring buffer only."""
    size, length = instance_bytes(network), layer.in_bytes
    if layer.streaming or layer.in_offset + length <= size:
        return
    rows, columns = layer.in_size
    each = length // (rows * columns) or 1
    shape = f"{rows}x{columns}x{each}" if rows * columns * each == length else f"{rows}x{columns}"
    legal = f"highest legal in_offset 0x{size - length:x}"
    if length > size:
        legal = "no offset would do; use fewer pixels, or stream it (streaming: true and --fifo)"
        if not layer.index and not layer.big_data and layer.in_channels <= 16:
            legal += ", or data_format: CHW"
    yield (
        f"input {shape} = {length:,} B (0x{length:x}) at in_offset 0x{layer.in_offset:x} ends at "
        f"0x{layer.in_offset + length:x}, past 0x{size:x}, the end of a data-memory instance; "
        f"{legal}"
    )


def output_fits(network: Checked, layer: Layer) -> Messages:
    """An output that the next layer streams does not lie in memory whole."""
    size, length = instance_bytes(network), layer.out_bytes
    if network.streams_into_next(layer) or layer.out_offset + length <= size:
        return
    rows, columns = layer.out_size
    each = layer.out_words[1]
    where = instances(network, layer.output_processors)
    alive = [other for other in neighbours(network, layer) if other.instances & where]
    best = highest_offset(size, length, alive)
    beside = "; live neighbours: " + ", ".join(map(str, alive)) if alive else ""
    if length > size:
        legal, beside = "no offset would do; use fewer pixels, channels or output bits", ""
    elif best is None:
        legal = f"highest legal out_offset 0x{size - length & ~3:x}, but it overlaps what is alive"
    else:
        legal = f"highest legal out_offset 0x{best:x}"
    yield (
        f"output {rows}x{columns}x{each} = {length:,} B (0x{length:x}) at out_offset "
        f"0x{layer.out_offset:x} ends at 0x{layer.out_offset + length:x}, past 0x{size:x}, the end "
        f"of a data-memory instance; {legal}{beside}"
    )


def offset_range(network: Checked, layer: Layer) -> Messages:
    """Also of what is streamed."""
    size = instance_bytes(network)
    for field, offset in (("in_offset", layer.in_offset), ("out_offset", layer.out_offset)):
        if offset >= size:
            yield f"{field} 0x{offset:x} is past 0x{size:x}, the end of a data-memory instance"


def chw_layer(network: Checked, layer: Layer) -> Messages:
    """The chip writes HWC."""
    if layer.big_data and layer.index:
        yield "data_format CHW is for the first layer only; remove it"


def chw_processors(network: Checked, layer: Layer) -> Messages:
    """One channel in each data-memory instance."""
    if not layer.big_data:
        return
    if len(instances(network, layer.processors)) != layer.processors.bit_count():
        yield (
            f"processors 0x{layer.processors:016x} share a data-memory instance; CHW input takes "
            "every fourth processor, for example 0x0000000000000111"
        )
    elif layer.in_passes[0] > 1:
        yield f"CHW input of {layer.in_channels} channels; at most 16"


def chw_flatten(network: Checked, layer: Layer) -> Messages:
    """Not known."""
    if layer.big_data and layer.flatten:
        yield "flatten of CHW input is not emulated; use data_format: HWC"


def in_sequences(network: Checked, layer: Layer) -> Messages:
    """Earlier layers, the sample, or the rolling buffer; the first layer reads the sample."""
    if not layer.index and layer.sources != (NETWORK_INPUT,):
        yield "the first layer reads the sample; remove in_sequences"
        return
    for number in layer.sources:
        if number == DATA_BUFFER and network.data_buffer is not None:
            continue
        if not NETWORK_INPUT <= number < layer.index:
            yield (
                f"in_sequences {number}: layers are executed in order, so it is -1 (the input) to "
                f"{layer.index - 1}"
            )


def input_shape(network: Checked, layer: Layer) -> Messages:
    """As many values as the layer before wrote."""
    if layer.inputs or not layer.index:
        return
    before = network.layers[layer.index - 1]
    wrote = (before.out_channels, *before.out_size)
    reads = (layer.in_channels, *layer.in_size)
    if layer.eltwise:
        fits = reads[0] * layer.operands * reads[1] * reads[2] <= wrote[0] * wrote[1] * wrote[2]
    else:
        fits = reads[0] == wrote[0] and reads[1] * reads[2] == wrote[1] * wrote[2]
    if not fits:
        yield f"reads {reads} (channels, rows, columns); {before.name} writes {wrote}"


def concatenation(network: Checked, layer: Layer) -> Messages:
    """Words of four channels are written whole."""
    if layer.operands > 1 or len(layer.inputs) < 2:
        return
    parts = [network.layers[number] for number in layer.inputs if number >= 0]
    for number, part in enumerate(parts[:-1]):
        mine = instances(network, part.output_processors)
        shared = [
            other
            for other in parts[number + 1 :]
            if mine & instances(network, other.output_processors)
            and other.output_processors & part.output_processors == 0
        ]
        if part.out_channels % 4 and shared:
            yield (
                f"concatenates {part.out_channels} channels of {part.name} with {shared[0].name} "
                "in one word; all parts but the last have a multiple of 4, for example "
                f"{-(-part.out_channels // 4) * 4}"
            )


def concatenation_order(network: Checked, layer: Layer) -> Messages:
    """Channels are read by ascending processor."""
    if layer.operands > 1:
        return
    parts = [network.layers[number] for number in layer.inputs if number >= 0]
    for before, after in pairwise(parts):
        low, high = before.output_processors, after.output_processors
        if low & high == 0 and low > high and layer.processors & low and layer.processors & high:
            yield (
                f"in_sequences has {before.name} (output_processors 0x{low:016x}) before "
                f"{after.name} (0x{high:016x}); channels are read by ascending processor: list "
                f"{after.name} first"
            )


RULES = (
    Rule(
        "offset-word", f"{DESCRIPTION}: in_offset", "Offsets are multiples of 4 bytes, from 0 up.",
        InputError, offset_word, True,
    ),
    Rule(
        "input-fits", LIMITATIONS,
        "An input that is not streamed ends within its data-memory instances of 32 KiB.",
        check=input_fits,
    ),
    Rule(
        "output-fits", LIMITATIONS,
        "An output ends within its data-memory instances of 32 KiB.",
        check=output_fits,
        note="The generator does not count what write_gap adds.",
    ),
    Rule(
        "offset-range", f"{DESCRIPTION}: out_offset",
        "Offsets are less than 0x8000, the bytes of a data-memory instance.",
        check=offset_range,
        note="The generator also takes offsets up to 0x20000 that a stream does not use.",
    ),
    Rule(
        "chw-layer", f"{DESCRIPTION}: data_format", "CHW is the format of a network's input only.",
        check=chw_layer, basic=True,
    ),
    Rule(
        "chw-processors", f"{DESCRIPTION}: processors",
        "Channels of CHW input lie in data-memory instances of their own, 16 at most.",
        check=chw_processors,
    ),
    Rule(
        "chw-flatten", PROJECT, "Flattening of CHW input is not emulated.",
        NotEmulated, chw_flatten,
    ),
    Rule(
        "in-sequences", f"{DESCRIPTION}: in_sequences",
        "A layer reads earlier layers, the input or the rolling buffer; the first the input.",
        InputError, in_sequences, True,
    ),
    Rule(
        "input-shape", f"{DESCRIPTION}: in_dim",
        "A layer reads as many values as the layer before it writes.",
        check=input_shape,
    ),
    Rule(
        "concatenation-order", f"{DESCRIPTION}: in_sequences",
        "Concatenated parts are listed by ascending output processors.",
        InputError, concatenation_order,
        note="The generator warns only.",
    ),
    Rule(
        "concatenation", LIMITATIONS,
        "Concatenated parts, other than the last, have a multiple of 4 channels where they share "
        "a word.",
        check=concatenation,
        note="The generator refuses such parts only where one writes directly after the other.",
    ),
)  # fmt: skip
