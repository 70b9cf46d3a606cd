"""Data memory: offsets, what fits an instance, CHW input, what a layer reads, streams."""

from __future__ import annotations

from ..errors import InputError, NotEmulated
from ..layer import NETWORK_INPUT, Layer, set_bits
from .rule import DESCRIPTION, GENERATOR, LIMITATIONS, PROJECT, Checked, Rule
from .sizes import Messages


def offset_word(network: Checked, layer: Layer) -> Messages:
    """Whole words."""
    for field, offset in (("in_offset", layer.in_offset), ("out_offset", layer.out_offset)):
        if offset < 0 or offset % 4:
            yield f"{field} 0x{offset:x} is not a multiple of 4 from 0 up"


def fit_message(network: Checked, field: str, offset: int, length: int) -> Messages:
    """Of a tensor that has to end within its data-memory instances."""
    data = network.device.region("data")
    size = data.entries * data.entry_stride
    end, highest = offset + length, size - length
    if end <= size:
        return
    advice = (
        f"the highest legal {field} is 0x{highest:x}"
        if highest >= 0
        else "no offset would do; use fewer pixels or channels (CHW for an input)"
    )
    yield (
        f"{field} 0x{offset:x} and {length:,} B (0x{length:x}) end at 0x{end:x}, past "
        f"0x{size:x}, the end of a data-memory instance; {advice}"
    )


def input_fits(network: Checked, layer: Layer) -> Messages:
    """A streamed input needs its ring buffer only."""
    length = 0 if layer.streaming else layer.in_bytes
    return fit_message(network, "in_offset", layer.in_offset, length)


def output_fits(network: Checked, layer: Layer) -> Messages:
    """An output that the next layer streams does not lie in memory whole."""
    length = 0 if network.streams_into_next(layer) else layer.out_bytes
    return fit_message(network, "out_offset", layer.out_offset, length)


def chw_layer(network: Checked, layer: Layer) -> Messages:
    """The chip writes HWC."""
    if layer.big_data and layer.index:
        yield "data_format CHW is for the first layer only; remove it"


def chw_processors(network: Checked, layer: Layer) -> Messages:
    """One channel in each data-memory instance."""
    if not layer.big_data:
        return
    share = network.device.limits.processors_per_instance
    instances = [processor // share for processor in set_bits(layer.processors)]
    if len(set(instances)) != len(instances):
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
    """Earlier layers, or the sample."""
    for number in layer.sources:
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


def streaming_fifo(network: Checked, layer: Layer) -> Messages:
    """A stream starts in a FIFO."""
    if layer.streaming and not network.fifo:
        yield "streaming: true needs FIFOs; add --fifo"


def streaming_start(network: Checked, layer: Layer) -> Messages:
    """From the first layer on."""
    if layer.streaming and layer.index and not network.layers[layer.index - 1].streaming:
        yield "streaming: true after a layer that does not stream"


def streaming_layers(network: Checked, layer: Layer) -> Messages:
    """The stream registers."""
    most = network.device.limits.stream_layers
    if layer.streaming and layer.index >= most:
        yield f"at most {most} layers stream"


def streaming_flatten(network: Checked, layer: Layer) -> Messages:
    """Not both."""
    if layer.streaming and layer.flatten:
        yield "flatten and streaming in one layer"


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
        "A layer reads earlier layers or the input.",
        InputError, in_sequences, True,
    ),
    Rule(
        "input-shape", f"{DESCRIPTION}: in_dim",
        "A layer reads as many values as the layer before it writes.",
        check=input_shape,
    ),
    Rule(
        "streaming-fifo", LIMITATIONS, "Streaming needs FIFOs.", InputError, streaming_fifo
    ),
    Rule(
        "streaming-start", f"{DESCRIPTION}: streaming",
        "The layers before a streaming layer stream as well.",
        check=streaming_start,
    ),
    Rule(
        "streaming-layers", LIMITATIONS, "At most 8 layers stream.", check=streaming_layers
    ),
    Rule(
        "streaming-flatten", GENERATOR, "A streaming layer does not flatten.",
        check=streaming_flatten,
    ),
)  # fmt: skip
