"""The rolling buffer: read within it, shifted by whole rows, appended at its end."""

from __future__ import annotations

from ..errors import InputError
from ..layer import DATA_BUFFER, Layer
from .rule import DESCRIPTION, GENERATOR, Checked, Rule
from .sizes import Messages


def buffer_declared(network: Checked, layer: Layer) -> Messages:
    """There is one."""
    if network.data_buffer is None and (layer.buffer_shift or layer.buffer_insert):
        yield "buffer_shift and buffer_insert need a data_buffer"


def buffer_read(network: Checked, layer: Layer) -> Messages:
    """Its processors, and offsets within it."""
    buffer = network.data_buffer
    if buffer is None or DATA_BUFFER not in layer.sources:
        return
    if layer.processors != buffer.processors:
        yield (
            f"processors 0x{layer.processors:016x}; {buffer.name} has 0x{buffer.processors:016x}"
        )
    if layer.in_offset < buffer.offset or layer.in_offset + layer.in_bytes > buffer.end:
        yield (
            f"in_offset 0x{layer.in_offset:x} and 0x{layer.in_bytes:x} bytes; {buffer.name} is "
            f"0x{buffer.offset:x} to 0x{buffer.end:x}"
        )


def buffer_shift(network: Checked, layer: Layer) -> Messages:
    """A pass-through layer that reads the buffer and writes it some rows lower."""
    buffer, shift = network.data_buffer, layer.buffer_shift
    if buffer is None or not shift:
        return
    if layer.has_kernels or DATA_BUFFER not in layer.sources:
        yield f"buffer_shift is for a pass-through layer with in_sequences: {buffer.name}"
    target = layer.in_offset - shift * buffer.row_bytes
    if layer.out_offset != target:
        yield (
            f"out_offset 0x{layer.out_offset:x}; buffer_shift {shift} of in_offset "
            f"0x{layer.in_offset:x} takes out_offset: 0x{max(target, 0):x}"
        )


def buffer_insert(network: Checked, layer: Layer) -> Messages:
    """The last rows are written."""
    buffer, rows = network.data_buffer, layer.buffer_insert
    if buffer is None or not rows:
        return
    first, end = buffer.end - rows * buffer.row_bytes, layer.out_offset + layer.out_bytes
    if layer.out_offset != first or end != buffer.end:
        yield (
            f"output 0x{layer.out_offset:x} to 0x{end:x}; {buffer.name} is 0x{buffer.offset:x} to "
            f"0x{buffer.end:x}, and buffer_insert {rows} writes its last rows, from out_offset: "
            f"0x{max(first, 0):x}"
        )


RULES = (
    Rule(
        "buffer-declared", f"{DESCRIPTION}: data_buffer",
        "buffer_shift and buffer_insert need a data_buffer.",
        InputError, buffer_declared, True,
    ),
    Rule(
        "buffer-read", GENERATOR,
        "A layer that reads the rolling buffer uses its processors, and offsets within it.",
        InputError, buffer_read,
    ),
    Rule(
        "buffer-shift", GENERATOR,
        "buffer_shift: a pass-through layer writes the buffer so many rows lower.",
        InputError, buffer_shift,
    ),
    Rule(
        "buffer-insert", GENERATOR, "buffer_insert: the output is the last rows of the buffer.",
        InputError, buffer_insert,
    ),
)  # fmt: skip
