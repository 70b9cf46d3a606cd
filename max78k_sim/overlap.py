"""Data that is overwritten before it was read: found byte by byte, with both layers and the place.

Layers are walked in order with the layer that wrote each byte of data memory last.  A layer reads
an input pixel for the first output that needs it and writes outputs in raster order, so an output
may take the place of its own input where that was read already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .data_layout import input_placement, ring_words, written_bytes
from .kernel_layout import KernelShape
from .layer import DATA_BUFFER, NETWORK_INPUT, DataBuffer
from .network import Layer, Network
from .rules.memory import (
    Tenant,
    highest_offset,
    instance_bytes,
    instances,
    neighbours,
    output_tenant,
)

NOBODY = -3  # in the map of writers


@dataclass(frozen=True)
class Overlap:
    """A layer whose output takes the place of data, or that reads what others wrote.

    ``error``: data is lost that is certainly still to be read.  Otherwise the result may be what
    was meant, and ``unsure`` says whether that depends on what is not known of the chip.
    """

    layer: Layer
    rule: str
    message: str
    error: bool = False
    unsure: bool = True


def find_overlaps(network: Network, shapes: dict[int, KernelShape]) -> list[Overlap]:
    """Every overlap, in the order of the layers that write; ``shapes``: of kernels, by layer."""
    data = network.device.region("data")
    size = data.groups * data.units * data.entries * data.entry_stride
    writers = np.full(size, NOBODY, np.int16)
    written: dict[int, np.ndarray] = {}
    found = list(stream_overlaps(network))
    buffer = network.data_buffer
    if buffer is not None:
        written[DATA_BUFFER] = buffer_bytes(network, buffer)
        writers[written[DATA_BUFFER]] = DATA_BUFFER
    for layer in network.layers:
        read = None
        if not (layer.streaming or (network.fifo and layer.index == 0)):
            read = read_bytes(network, layer)
            if NETWORK_INPUT in layer.sources and NETWORK_INPUT not in written:
                written[NETWORK_INPUT] = read
                writers[read[writers[read] == NOBODY]] = NETWORK_INPUT
            found += lost_inputs(network, layer, read, writers, written)
        if not network.streams_into_next(layer):
            output = written_bytes(network, layer, shapes.get(layer.index))
            if read is not None:
                found += own_input(network, layer, read, output)
            rolls = layer.buffer_shift or layer.buffer_insert
            writers[output] = DATA_BUFFER if rolls else layer.index
            written[layer.index] = output
            if buffer is not None and not rolls:
                found += lost_buffer(network, layer, output, written[DATA_BUFFER])
    found += lost_outputs(network, writers, written)
    return sorted(found, key=lambda overlap: overlap.layer.index)


def read_bytes(network: Network, layer: Layer) -> np.ndarray:
    """int64 [channel, pixel]: bytes of data memory that hold the input, as written_bytes counts."""
    data = network.device.region("data")
    address = input_placement(network, layer).address.astype(np.int64) - data.base
    group, offset = np.divmod(address, data.group_stride)
    unit, byte = np.divmod(offset, data.unit_stride)
    place = (group * data.units + unit) * instance_bytes(network) + byte
    return place.reshape(len(address), -1)


def lost_inputs(
    network: Network,
    layer: Layer,
    read: np.ndarray,
    writers: np.ndarray,
    written: dict[int, np.ndarray],
) -> Iterator[Overlap]:
    """What a layer's sources wrote and others wrote over since, or what they never wrote."""
    last = writers[read]
    sources = {*layer.sources}
    if any(n >= 0 and network.layers[n].buffer_insert for n in sources):
        sources.add(DATA_BUFFER)
    foreign = ~np.isin(last, list(sources))
    if not foreign.any():
        return
    missing = foreign.copy()
    for source in layer.sources:
        mine = foreign & np.isin(read, written.get(source, ()))
        missing &= ~mine
        for writer in np.unique(last[mine]):
            lost = mine & (last == writer)
            by, name = network.layers[writer], source_name(network, source)
            channels = span_text(np.flatnonzero(lost.any(axis=1)))
            text = (
                f"its output overwrites {place_text(network, read[lost])}, where {name}, input "
                f"channels {channels} of layer {layer.index} ({layer.name}), is still to be read; "
            )
            yield Overlap(by, "overwritten-input", text + advice(network, by), error=True)
    for writer in np.unique(last[missing]):
        place = place_text(network, read[missing & (last == writer)])
        by_name = "nobody" if writer == NOBODY else source_name(network, int(writer), "layer")
        names = " and ".join(source_name(network, source) for source in layer.sources)
        text = f"reads {place}, which {by_name} wrote, not {names}; check in_offset, in_sequences"
        yield Overlap(layer, "foreign-input", text)


def buffer_bytes(network: Network, buffer: DataBuffer) -> np.ndarray:
    """int64 [byte]: the bytes of the rolling buffer, whole words."""
    size = instance_bytes(network)
    first = np.array(sorted(instances(network, buffer.processors))) * size
    return (first[:, None] + np.arange(buffer.offset, buffer.end)).reshape(-1)


def lost_buffer(
    network: Network, layer: Layer, output: np.ndarray, buffer: np.ndarray
) -> Iterator[Overlap]:
    """What a layer writes over the rolling buffer, whose contents the next inference needs."""
    taken = output[np.isin(output, buffer)]
    if len(taken) and network.data_buffer is not None:
        text = (
            f"its output overwrites {place_text(network, taken)}, where the rolling buffer "
            f"{network.data_buffer.name} is kept; "
        )
        yield Overlap(layer, "overwritten-buffer", text + advice(network, layer), error=True)


def lost_outputs(
    network: Network, writers: np.ndarray, written: dict[int, np.ndarray]
) -> Iterator[Overlap]:
    """Kept outputs that later layers wrote over."""
    for layer in network.layers:
        if not layer.keep or layer.index not in written:
            continue
        mine = written[layer.index]
        for writer in np.unique(writers[mine]):
            if writer == layer.index:
                continue
            by, place = network.layers[writer], place_text(network, mine[writers[mine] == writer])
            text = (
                f"its output overwrites {place}, where the output of layer {layer.index} "
                f"({layer.name}) is kept (output: true); "
            )
            yield Overlap(by, "overwritten-output", text + advice(network, by), error=True)


def own_input(
    network: Network, layer: Layer, read: np.ndarray, output: np.ndarray
) -> Iterator[Overlap]:
    """Where a layer's output takes the place of its own input.

    ``read``: bytes [channel, pixel], ``output``: bytes [pixel, byte].
    """
    if read.max() < output.min() or output.max() < read.min() or apart(network, read, output):
        return
    pixels = np.full(max(read.max(), output.max()) + 1, -1, np.int32)
    pixels[read] = np.arange(read.shape[1])
    there = pixels[output]
    taken = there >= 0
    if not taken.any():
        return
    first, last = needed(layer)
    number = np.arange(len(output))[:, None]
    early = taken & (number < first[there])
    place = place_text(network, output[early if early.any() else taken])
    name = " and ".join(source_name(network, source) for source in layer.sources)
    text = f"its output overwrites {place} of its own input ({name})"
    if early.any():
        row, column = (int(axis[0]) for axis in np.nonzero(early))
        text += f": output pixel {row} is written where input pixel {there[row, column]} is still"
        text += f" to be read; {advice(network, layer)}"
        yield Overlap(layer, "overwritten-input", text, error=True)
        return
    unsure = bool((taken & (number <= last[there])).any())
    if unsure:
        text += ", pixels that later outputs use again: right only if the chip has kept them"
    yield Overlap(layer, "overwritten-input", f"{text}; {advice(network, layer)}", unsure=unsure)


def apart(network: Network, read: np.ndarray, output: np.ndarray) -> bool:
    """Whether two tensors use different offsets of their instances."""
    size = instance_bytes(network)
    mine, other = read % size, output % size
    return bool(mine.max() < other.min() or other.max() < mine.min())


def needed(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """int64 [input pixel]: the first and the last output pixel that need it, in raster order.

    A pixel that no output needs has -1.
    """
    (row_first, row_last), (first, last) = (needed_along(layer, axis) for axis in (0, 1))
    columns = layer.hardware.out_size[1]
    used = (row_first[:, None] >= 0) & (first >= 0)
    return (
        np.where(used, row_first[:, None] * columns + first, -1).reshape(-1),
        np.where(used, row_last[:, None] * columns + last, -1).reshape(-1),
    )


def needed_along(layer: Layer, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [row or column of the input]: the first and the last of the output that need it."""
    hardware = layer.hardware
    index = np.arange(hardware.in_size[axis])
    if layer.flatten:
        return np.zeros_like(index), np.zeros_like(index)
    window, stride = layer.pool[axis], 1 if layer.op == "conv1d" and axis else layer.stride
    kernel = hardware.kernel_shape[axis] if layer.has_kernels else 1
    padding = hardware.padding[axis] if layer.has_kernels else 0
    spread = 2 if hardware.op == "convtranspose2d" else 1
    pooled_first = np.maximum(0, -(-(index - window + 1) // stride))
    pooled_last = np.minimum(index // stride, hardware.pooled_size[axis] - 1)
    first = np.maximum(0, pooled_first * spread + padding - (kernel - 1))
    last = np.minimum(hardware.out_size[axis] - 1, pooled_last * spread + padding)
    used = (pooled_first <= pooled_last) & (first <= last)
    return np.where(used, first, -1), np.where(used, last, -1)


def stream_overlaps(network: Network) -> Iterator[Overlap]:
    """Ring buffers, and the output at the end of the stream, are all in use at once."""
    rings: list[Tenant] = []
    size = instance_bytes(network)
    for layer in network.layers:
        if not (layer.streaming or (network.fifo and layer.index == 0)):
            continue
        ring = ring_tenant(network, layer)
        if ring.end > size:
            length = ring.end - ring.start
            text = (
                f"{ring} ends at 0x{ring.end:x}, past 0x{size:x}, the end of a data-memory "
                f"instance; highest legal in_offset 0x{size - length & ~3:x}"
            )
            yield Overlap(layer, "ring-fits", text, error=True)
        yield from shared_rings(network, layer, "in_offset", ring, rings)
        rings.append(ring)
        if not network.streams_into_next(layer):
            output = output_tenant(network, layer)
            yield from shared_rings(network, layer, "out_offset", output, rings)


def ring_tenant(network: Network, layer: Layer) -> Tenant:
    """The ring buffer of a streamed layer, or the frame that FIFOs bring."""
    length = 4 * ring_words(network, layer) if layer.streaming else layer.in_bytes
    start, where = layer.in_offset, instances(network, layer.processors)
    name = "ring buffer" if layer.streaming else "frame"
    return Tenant(f"{name} of layer {layer.index} ({layer.name})", start, start + length, where)


def shared_rings(
    network: Network, layer: Layer, field: str, mine: Tenant, rings: list[Tenant]
) -> Iterator[Overlap]:
    """Ring buffers whose place a tensor takes."""
    near = [ring for ring in rings if ring.instances & mine.instances]
    free = highest_offset(instance_bytes(network), mine.end - mine.start, near)
    legal = f"; {field} 0x{free:x} is free" if free is not None else f"; no {field} is free"
    for ring in near:
        if mine.start < ring.end and ring.start < mine.end:
            where = span_text(np.array(sorted(mine.instances & ring.instances)))
            text = (
                f"{mine} overlaps the {ring} in data-memory instances {where}, and both are in use "
                f"at the same time{legal}; --overlap-data accepts it"
            )
            yield Overlap(layer, "overwritten-stream", text, error=True)


def advice(network: Network, layer: Layer) -> str:
    """An offset at which the layer's output would overwrite nothing that is alive."""
    where = instances(network, layer.output_processors)
    alive = [other for other in neighbours(network, layer) if other.instances & where]
    free = highest_offset(instance_bytes(network), layer.out_bytes, alive)
    beside = "beside the " + ", the ".join(map(str, alive)) if alive else ""
    if free is None:
        return f"no out_offset is free {beside}; --overlap-data accepts it"
    return f"out_offset 0x{free:x} is free {beside}; --overlap-data accepts it"


def source_name(network: Network, source: int, what: str = "the output of layer") -> str:
    """What a layer reads, in words."""
    if source == NETWORK_INPUT:
        return "the network's input"
    if source == DATA_BUFFER and network.data_buffer is not None:
        return f"the rolling buffer {network.data_buffer.name}"
    return f"{what} {source} ({network.layers[source].name})"


def place_text(network: Network, bytes_: np.ndarray) -> str:
    """Offsets and instances of bytes of data memory."""
    number, offset = np.divmod(bytes_, instance_bytes(network))
    return (
        f"0x{int(offset.min()) & ~3:04x}-0x{int(offset.max()) | 3:04x} of data-memory instance "
        f"{span_text(np.unique(number))}"
    )


def span_text(numbers: np.ndarray) -> str:
    """Ascending numbers as 0-3, 5."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
