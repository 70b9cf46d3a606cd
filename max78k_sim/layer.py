"""Layer: what the user asked of one layer, in the user's units, and how the hardware runs it.

A Layer says nothing about registers; what it may be, rules.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

ELTWISE = ("sub", "add", "or", "xor")  # in the order of the register's code
NETWORK_INPUT = -1  # in Layer.inputs: the sample
DATA_BUFFER = -2  # in Layer.inputs: the rolling buffer
STRETCHED_TAPS = 9  # a dilated conv1d that spans fewer taps is a conv1d with zeros between them


def set_bits(mask: int) -> tuple[int, ...]:
    """Numbers of the bits set in a processor map, ascending."""
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def passes_of(channels: int, processors: int = 64, share: int = 4) -> tuple[int, int]:
    """(passes, channels of one pass): beyond 64 channels a pass is rounded up to a multiple of 4.

    65 channels are 2 passes of 36, not of 33.  Matches the vendor's generator.
    """
    passes = -(-channels // processors)
    each = -(-channels // passes)
    if channels > processors:
        each = min(-(-each // share) * share, processors)
    return passes, each


@dataclass(frozen=True)
class DataBuffer:
    """A rolling buffer: data memory that keeps its contents from one inference to the next.

    Layers shift it (``Layer.buffer_shift``), append to it (``buffer_insert``) and read it
    (DATA_BUFFER in ``inputs``).  ``size`` is (rows, columns); ``offset`` counts bytes in each
    data-memory instance.
    """

    name: str
    processors: int
    channels: int
    size: tuple[int, int]
    offset: int
    line: int | None = None  # of the description file

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes in each data-memory instance."""
        return 4 * passes_of(self.channels)[0] * self.size[1]

    @property
    def end(self) -> int:
        """Byte offset past the last row."""
        return self.offset + self.row_bytes * self.size[0]


@dataclass(frozen=True)
class Lowering:
    """A layer as the hardware runs it, where that differs from what the user asked for.

    ``taps``: for each of the user's taps, row major, its tap of the hardware's kernel.
    ``skipped``: output pixels that are written before ``out_offset`` and mean nothing.
    """

    op: str
    in_size: tuple[int, int]
    pooled_size: tuple[int, int]
    out_size: tuple[int, int]
    kernel_shape: tuple[int, int]
    padding: tuple[int, int]
    taps: tuple[int, ...]
    skipped: int = 0


class Hexadecimal(int):
    """An integer that shows itself in hexadecimal."""

    def __repr__(self) -> str:
        return hex(self)


@dataclass(frozen=True, repr=False)
class Layer:
    """One layer as the user described it.

    Sizes are (rows, columns), a 1-D length is (length, 1); ``in_size`` is before pooling; offsets
    are bytes within each data-memory instance; ``processors`` and ``output_processors`` are 64-bit
    maps; ``output_shift`` is the total shift (a checkpoint's value plus 8 - weight_bits).
    ``in_channels`` of a flattening layer counts channels before flattening, of an element-wise one
    the channels of one operand.  ``inputs`` are layer indices, NETWORK_INPUT for the sample,
    DATA_BUFFER for the rolling buffer; ``buffer_shift`` and ``buffer_insert`` count its rows.
    """

    index: int
    name: str
    op: str
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    processors: int
    output_processors: int
    kernel_shape: tuple[int, int] = (3, 3)
    padding: int = 0
    pool: tuple[int, int] = (1, 1)
    pool_average: bool = False
    stride: int = 1
    activation: str | None = None
    output_shift: int = 0
    weight_bits: int = 8
    output_bits: int = 8
    in_offset: int = 0
    out_offset: int = 0
    big_data: bool = False
    flatten: bool = False
    inputs: tuple[int, ...] = ()
    operands: int = 1
    eltwise: str | None = None
    pool_first: bool = True
    write_gap: int = 0
    dilation: int = 1
    streaming: bool = False
    after_streaming: bool = False  # the layer before streams
    bias_groups: tuple[int, ...] | None = None
    buffer_shift: int = 0
    buffer_insert: int = 0
    keep: bool = False  # an output of the network, though not its last layer
    line: int | None = None  # of the description file

    def __repr__(self) -> str:
        """Fields that are not the defaults; maps in hexadecimal."""
        shown = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        for name in ("processors", "output_processors", "in_offset", "out_offset"):
            if name in shown:
                shown[name] = Hexadecimal(shown[name])
        return f"Layer({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        """What hypothesis shows of a failing example."""
        printer.text(repr(self))

    @property
    def pooled_size(self) -> tuple[int, int]:
        """(rows, columns) after pooling; a stride without pooling subsamples.  1-D: rows only."""
        if self.op == "conv1d":
            return (self.in_size[0] + self.stride - self.pool[0]) // self.stride, 1
        rows, columns = (
            (size + self.stride - window) // self.stride
            for size, window in zip(self.in_size, self.pool, strict=True)
        )
        return rows, columns

    @property
    def out_size(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        rows, columns = self.pooled_size
        if self.flatten:
            return 1, 1
        if self.op == "conv1d":
            return rows + 2 * self.padding - self.dilation * (self.kernel_shape[0] - 1), 1
        if self.op == "convtranspose2d":
            return 2 * rows - 2 * self.padding + 2, 2 * columns - 2 * self.padding + 2
        kernel_rows, kernel_columns = self.kernel_shape
        padding = 2 * self.padding
        return rows + padding - kernel_rows + 1, columns + padding - kernel_columns + 1

    @cached_property
    def hardware(self) -> Lowering:
        """The layer as the hardware runs it.  Matches the vendor's generator."""
        span = self.dilation * (self.kernel_shape[0] - 1)
        taps = tuple(range(self.kernel_shape[0] * self.kernel_shape[1]))
        sizes = self.in_size, self.pooled_size, self.out_size
        if self.op == "conv1d" and self.dilation > 1 and span < STRETCHED_TAPS:
            stretched = tuple(self.dilation * tap for tap in taps)
            return Lowering("conv1d", *sizes, (span + 1, 1), (self.padding, 0), stretched)
        if self.op == "conv1d" and self.dilation > 1:  # a column of a 3x3 over a folded image
            folded = -(-self.in_size[0] // self.dilation), self.dilation
            skipped = self.dilation if len(taps) == 3 else 0
            column = tuple(3 * (row + (len(taps) == 2)) + 1 for row in taps)
            return Lowering("conv2d", folded, folded, folded, (3, 3), (1, 1), column, skipped)
        if self.op == "convtranspose2d":
            around = 2 - self.padding
            return Lowering(self.op, *sizes, self.kernel_shape, (around, around), taps)
        streams = self.streaming or self.after_streaming
        if streams and self.op == "conv2d" and self.kernel_shape == (1, 1):  # the centre of a 3x3
            return Lowering("conv2d", *sizes, (3, 3), (1, 1), (4,))
        padding = self.padding, 0 if self.op == "conv1d" else self.padding
        return Lowering(self.op, *sizes, self.kernel_shape, padding, taps)

    @property
    def sources(self) -> tuple[int, ...]:
        """Layers that are read (or NETWORK_INPUT, DATA_BUFFER); by default the one before."""
        return self.inputs or (self.index - 1,)

    @property
    def has_kernels(self) -> bool:
        """Whether the layer has weights; a pass-through layer has none."""
        return self.op != "passthrough"

    @property
    def pixels(self) -> int:
        """Pixels that a flattening layer turns into input passes; 1 for any other layer."""
        return self.pooled_size[0] * self.pooled_size[1] if self.flatten else 1

    @property
    def features(self) -> int:
        """Inputs of one output: channels, times pixels when flattening."""
        return self.in_channels * self.pixels

    @property
    def in_passes(self) -> tuple[int, int]:
        """(input passes, channels of one pass), not counting the pixels of a flattening layer."""
        return passes_of(self.in_channels)

    @property
    def out_passes(self) -> tuple[int, int]:
        """(output passes, channels of one pass)."""
        return passes_of(self.out_channels)

    @property
    def kernel_tensor_shape(self) -> tuple[int, ...]:
        """[out, in, row, column]; [out, feature] of a linear or flattening layer."""
        if self.op == "linear" or self.flatten:
            return self.out_channels, self.features
        if self.op == "conv1d":
            return self.out_channels, self.in_channels, self.kernel_shape[0]
        return self.out_channels, self.in_channels, *self.kernel_shape

    @property
    def multiplications(self) -> int:
        """Multiply-accumulate operations of one inference."""
        rows, columns = self.out_size
        if not self.has_kernels:
            return 0
        taps = self.kernel_shape[0] * self.kernel_shape[1]
        return self.out_channels * self.features * taps * rows * columns

    @property
    def in_bytes(self) -> int:
        """Bytes that the input takes in each data-memory instance."""
        rows, columns = self.in_size
        if self.big_data:
            return -(-rows * columns // 4) * 4
        return rows * columns * self.in_passes[0] * self.operands * 4

    @property
    def out_words(self) -> tuple[int, int]:
        """(pixels, bytes of a pixel) that the output takes in each data-memory instance."""
        rows, columns = self.hardware.out_size
        pixels = rows * columns - self.hardware.skipped
        return pixels, self.out_passes[0] * 4 * self.output_bits // 8

    @property
    def out_bytes(self) -> int:
        """Bytes from the first to the last word of the output, gaps between them included."""
        pixels, each = self.out_words
        last = self.output_bits // 2  # of a pass: a word, or four of 32-bit output
        return (pixels * each - last) * (self.write_gap + 1) + last
