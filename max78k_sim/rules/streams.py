"""Input through FIFOs, and layers that read it, or the layer before, as it appears."""

from __future__ import annotations

from ..errors import InputError
from ..layer import Layer, set_bits
from .rule import DESCRIPTION, GENERATOR, LIMITATIONS, Checked, Rule
from .sizes import Messages

FIFO_LANES = 4  # processors of each quadrant that a FIFO feeds; one of them with CHW
FRAME_LIMIT = 1 << 21  # rows * columns * passes of a streamed input


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


def streaming_end(network: Checked, layer: Layer) -> Messages:
    """The last layer that streams."""
    last = layer.streaming and not network.streams_into_next(layer)
    if last and layer.has_kernels and layer.hardware.padding[0] == 0:
        advice = "; use pad: 1" if layer.kernel_shape == (3, 3) else ""
        yield f"pad 0 in the last streaming layer; it has to be padded{advice}"


def streaming_size(network: Checked, layer: Layer) -> Messages:
    """The frame counter."""
    rows, columns = layer.in_size
    passes = layer.in_passes[0]
    if layer.streaming and rows * columns * passes >= FRAME_LIMIT:
        yield (
            f"a streamed input of {rows} x {columns} pixels in {passes} pass(es) is "
            f"{rows * columns * passes:,}; less than {FRAME_LIMIT:,}"
        )


def feeds(network: Checked, layer: Layer) -> bool:
    """Whether FIFOs feed the layer."""
    return network.fifo and layer.index == 0


def fifo_channels(network: Checked, layer: Layer) -> Messages:
    """Four FIFOs of one channel (CHW) or four (HWC); the fast FIFO is one."""
    most = (1 if network.fast_fifo else 4) * (1 if layer.big_data else FIFO_LANES)
    if feeds(network, layer) and layer.in_channels > most:
        name = "the fast FIFO" if network.fast_fifo else "FIFOs"
        form = "CHW" if layer.big_data else "HWC"
        yield f"{name} for {layer.in_channels} channels of {form} input; at most {most}"


def fifo_processors(network: Checked, layer: Layer) -> Messages:
    """The lowest processors of each quadrant."""
    each = network.device.limits.processors_per_group
    lanes = 1 if layer.big_data else FIFO_LANES
    wrong = [bit for bit in set_bits(layer.processors) if bit % each >= lanes]
    if feeds(network, layer) and wrong:
        legal = "0, 16, 32, 48" if layer.big_data else "0-3, 16-19, 32-35, 48-51"
        yield (
            f"processors 0x{layer.processors:016x}: no FIFO feeds processor {wrong[0]}; "
            f"FIFOs feed {legal}"
        )


def fast_fifo_width(network: Checked, layer: Layer) -> Messages:
    """A first layer of 32-bit output."""
    if feeds(network, layer) and network.fast_fifo and layer.output_bits != 8:
        yield "output_width 32 of the first layer with the fast FIFO; it writes 8 bits"


def fast_fifo_operation(network: Checked, layer: Layer) -> Messages:
    """A first layer without kernels."""
    if feeds(network, layer) and network.fast_fifo and not layer.has_kernels:
        yield "a pass-through first layer with the fast FIFO; it has to be a convolution"


RULES = (
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
    Rule(
        "streaming-end", LIMITATIONS, "The last streaming layer is padded.", check=streaming_end,
        note="1x1 kernels are run as padded 3x3 kernels, which is enough; the generator takes a "
        "pass-through layer.",
    ),
    Rule(
        "streaming-size", LIMITATIONS,
        "Rows times columns times passes of a streamed input are less than 2^21.",
        check=streaming_size,
    ),
    Rule(
        "fifo-channels", LIMITATIONS,
        "FIFOs take 4 channels of CHW or 16 of HWC input; the fast FIFO takes 1 or 4.",
        check=fifo_channels,
    ),
    Rule(
        "fifo-processors", LIMITATIONS,
        "FIFOs feed processors 0, 16, 32 and 48 (CHW), with HWC input the next three as well.",
        check=fifo_processors,
        note="Stated in the chapter on FIFOs.",
    ),
    Rule(
        "fast-fifo-width", GENERATOR, "With the fast FIFO, the first layer writes 8 bits.",
        check=fast_fifo_width,
    ),
    Rule(
        "fast-fifo-operation", GENERATOR, "With the fast FIFO, the first layer is a convolution.",
        check=fast_fifo_operation,
    ),
)  # fmt: skip
