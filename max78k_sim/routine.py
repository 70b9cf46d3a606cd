"""Routine: one layer as the registers of four quadrants describe it, ready to execute.

Rules: registers.md sections 3 to 5, each proved against the golden cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import ops, packing
from .arithmetic import BIAS_SHIFT
from .device import Device
from .errors import InputError, NotEmulated
from .layer_config import LayerConfig
from .memory import Memory
from .ops import stages

INSTANCES = 16  # of data memory
INSTANCE_LANES = 4  # processors that share a data-memory instance
PROCESSORS = 16  # of a quadrant
STREAM_BYTES = 1 << 23  # of an instance of the stream: the largest frame that the chip counts


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did.  Arrays are [row, column, channel or output position].

    ``data`` int8: pooled and combined, what the convolution reads or a pass-through layer writes;
    ``accumulator`` int32 (bias included, before the shift), None without kernels; ``output`` int8
    or int32 as written.  Positions include gaps of the processor map.
    """

    layer: int
    data: np.ndarray
    accumulator: np.ndarray | None
    output: np.ndarray


@dataclass(frozen=True)
class Flow:
    """Where a layer's data come from and go to: data memory, or a stream past it.

    A stream stands for ring buffers and FIFOs: values are exact, their timing is not modelled.
    """

    streamed_in: bool = False
    streamed_out: bool = False
    skipped_bias: int = 0  # bytes; a streaming first layer skips one


class Stores:
    """Bytes that layers read and write: data memory, and the stream past it (16 instances each)."""

    def __init__(self, memory: Memory):
        self.memory = memory
        self._stream: np.ndarray | None = None

    def bytes(self, streamed: bool) -> np.ndarray:
        """int8, flat; the stream is made (zero) when first used."""
        if not streamed:
            return self.memory.arrays["data"].reshape(-1).view(np.int8)
        if self._stream is None:
            self._stream = np.zeros(INSTANCES * STREAM_BYTES, np.int8)
        return self._stream


class Routine:
    """One layer, decoded once: the places that it reads and writes, as index arrays.

    ``configs``: LayerConfig of each quadrant.  Scalars are read from the master quadrant; the
    others carry copies, except for enables, bias and (pass-through) write pointers.
    """

    def __init__(
        self,
        device: Device,
        layer: int,
        master: int,
        configs: tuple[LayerConfig, ...],
        flow: Flow,
    ):
        self.device, self.layer, self.master, self.configs = device, layer, master, configs
        self.config, self.flow = configs[master], flow
        kernels = sum(config.kernels.bit_count() for config in configs)
        self.operation = ops.select(LayerConfig(**vars(self.config) | {"kernels": kernels}))
        self.processors = [
            PROCESSORS * group + bit
            for group in sorted(self.quadrants)
            for bit in range(PROCESSORS)
            if configs[group].processors >> bit & 1
        ]
        self._kernel_version = -1
        self._kernels = np.zeros((0, 0, 0, 0), np.int8)
        self._kernel_words = np.zeros((0, 0, 0), np.uint32)
        if not self.processors:
            raise InputError("no processor is enabled (register EN is 0)")
        if self.config.eltwise and bool(self.config.eltwise_convolve) != bool(kernels):
            raise NotEmulated(
                "an element-wise result that is to be convolved without kernels, or that has "
                "kernels and is not (registers ONED, EN)"
            )
        for group in self.quadrants if kernels else ():
            readers, users = configs[group].processors, configs[group].kernels
            if readers != users:
                raise NotEmulated(
                    f"quadrant {group}: processors 0x{readers:04x} read data, but 0x{users:04x} "
                    "use kernels (register EN)"
                )

    @cached_property
    def quadrants(self) -> list[int]:
        """The master and those whose partial sums it adds; pass-through: all."""
        if not self.operation.convolves:
            return list(range(len(self.configs)))
        sources = self.config.sources
        others = [(self.master + step) % 4 for step in range(1, 4) if sources >> step & 1]
        return [self.master, *others]

    # --- reading

    @cached_property
    def in_size(self) -> tuple[int, int]:
        """(rows, columns) read; the registers of a transposed convolution count double."""
        half = 2 if self.config.transpose else 1
        rows, columns = self.config.rows // half, self.config.columns // half
        if rows < 1 or columns < 1:
            raise InputError(f"it reads {rows} x {columns} pixels")
        return rows, columns

    @cached_property
    def read_index(self) -> np.ndarray:
        """int32 [operand, row, column, channel]: byte index; channels ascend by pass."""
        config = self.config
        rows, columns = self.in_size
        passes, operands = config.passes, config.operand_count + 1 if config.eltwise else 1
        processor = np.array(self.processors)
        pixel = np.arange(rows * columns)[:, None, None]
        instance, lane = np.divmod(processor, INSTANCE_LANES)
        if config.big_data:
            if passes * operands > 1 or lane.any():
                raise NotEmulated("CHW input of several passes, or not on every fourth processor")
            byte = (4 * config.read_word + pixel)[None]
        else:
            part = (pixel * passes + np.arange(passes)[:, None]) * operands
            word = config.read_word + part + np.arange(operands)[:, None, None, None]
            byte = 4 * word + lane
        self._check_reach(byte, self.flow.streamed_in, "reads")
        index = instance * self._instance_bytes(self.flow.streamed_in) + byte
        shape = operands, rows, columns, passes * len(processor)
        return (
            np.broadcast_to(index, (operands, rows * columns, passes, len(processor)))
            .reshape(shape)
            .astype(np.int32)
        )

    def _instance_bytes(self, streamed: bool) -> int:
        return STREAM_BYTES if streamed else self.device.region("data").entries * 4

    def _check_reach(self, byte: np.ndarray, streamed: bool, verb: str) -> None:
        """What happens past the end of an instance is not known, so it is refused."""
        end = self._instance_bytes(streamed)
        if byte.max() >= end or byte.min() < 0:
            raise NotEmulated(
                f"layer {self.layer} {verb} up to byte 0x{int(byte.max()):x} of its data-memory "
                f"instances, which end at 0x{end:x}"
            )

    # --- kernels and biases

    @cached_property
    def outputs(self) -> int:
        """Output positions of all output passes; pass-through: channels."""
        if not self.operation.convolves:
            return self.read_index.shape[3]
        count, passes = self.config.kernel_count, self.config.passes
        if count < passes or count % passes:
            raise InputError(
                f"{count} kernels (register MCNT) for {passes} input passes are not a whole number "
                "of output channels"
            )
        return count // passes

    @cached_property
    def kernel_place(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [output, row tap, column tap, channel]: byte index into kernel memory, lowest bit.

        Kernel index = output position * passes + pass; see registers.md, 5.
        """
        config, passes = self.config, self.config.passes
        rows, columns = config.kernel_size
        taps = rows * columns
        kernel = np.arange(self.outputs * passes).reshape(self.outputs, 1, passes, 1)
        code = config.kernel_first + kernel * config.weight_bits
        tap = (taps - 1 - np.arange(taps))[:, None, None]
        stream = (code >> 3) * taps + config.tap_start + tap
        region = self.device.region("kernel")
        if stream.max() >= region.entries * packing.KERNEL_BYTES:
            raise NotEmulated(f"layer {self.layer} reads past the end of kernel memory")
        processor = np.array(self.processors)
        index = processor * region.entries * packing.KERNEL_SLOT + packing.slot_offset(stream)
        shape = self.outputs, rows, columns, passes * len(self.processors)
        bit = np.broadcast_to(code & 7, index.shape)
        return index.reshape(shape), bit.reshape(shape)

    @cached_property
    def kernel_entries(self) -> tuple[np.ndarray, slice]:
        """Processors, and the kernel words of each among which this layer's are."""
        entries = self.device.region("kernel").entries
        word = self.kernel_place[0] // packing.KERNEL_SLOT % entries
        return np.array(self.processors), slice(int(word.min()), int(word.max()) + 1)

    def kernels(self, memory: Memory) -> np.ndarray:
        """int8 [output, row tap, column tap, channel]; another array after its words changed."""
        version = memory.versions["kernel"]
        if version != self._kernel_version:
            processors, entries = self.kernel_entries
            region = self.device.region("kernel")
            words = memory.arrays["kernel"].reshape(-1, region.entries, packing.KERNEL_SLOT // 4)
            words = words[processors, entries]
            if not np.array_equal(words, self._kernel_words):
                index, bit = self.kernel_place
                stored = memory.arrays["kernel"].reshape(-1).view(np.uint8).take(index)
                bits = self.config.weight_bits
                self._kernels = (
                    stored.view(np.int8) if bits == 8 else packing.extract_bits(stored, bit, bits)
                )
                self._kernel_words = words
            self._kernel_version = version
        return self._kernels

    def bias(self, memory: Memory) -> np.ndarray:
        """int32 [output]: what every accumulator starts from."""
        total = np.zeros(self.outputs, np.int32)
        for group in self.quadrants:
            config = self.configs[group]
            if config.bias:
                start = config.bias_start + self.flow.skipped_bias
                stored = memory.arrays["bias"][group, 0, start:, 0][: self.outputs]
                values = stored.astype(np.uint8).view(np.int8).astype(np.int32)
                total[: len(values)] += values << BIAS_SHIFT
        return total

    # --- execution

    @cached_property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        return stages.output_size(self.config, self.operation, *self.in_size)

    @property
    def sum_limit(self) -> int:
        """Accumulators are below it, and not below its negative."""
        return 1 << self.device.limits.accumulator_bits - 1

    def overflow(self, accumulator: int | None = None) -> NotEmulated:
        """26 bits are documented; whether silicon saturates or wraps there is not known."""
        value = "" if accumulator is None else f" of {accumulator:,}"
        return NotEmulated(
            f"layer {self.layer}: an accumulator{value} does not fit "
            f"{self.device.limits.accumulator_bits} bits; what the chip does then is not known"
        )

    # --- writing

    @cached_property
    def write_place(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [output]: data-memory instance and lane; int64 [output]: word of pixel 0."""
        config = self.config
        if self.operation.convolves:
            each_pass, position = np.divmod(np.arange(self.outputs), config.span)
            slot = config.write_instance * INSTANCE_LANES + position
            return slot, config.write_word + each_pass * config.channel_step
        slots, words = [], []
        for group, quadrant in enumerate(self.configs):
            rank = np.arange(quadrant.processors.bit_count())  # packed densely in a quadrant
            slots.append(self.configs[group].write_instance * INSTANCE_LANES + rank)
            words.append(np.full(len(rank), quadrant.write_word))
        each_pass = np.repeat(np.arange(config.passes), len(self.processors))
        slot, word = np.concatenate(slots), np.concatenate(words)
        return np.tile(slot, config.passes), np.tile(word, config.passes) + each_pass * (
            1 + config.write_step
        )

    @cached_property
    def store_index(self) -> np.ndarray:
        """int32 [pixel, output]: index into data memory, in bytes or (32-bit output) words."""
        config, streamed = self.config, self.flow.streamed_out
        rows, columns = self.size
        slot, first = self.write_place
        instance, lane = np.divmod(slot, INSTANCE_LANES)
        if instance.max() >= INSTANCES:
            raise NotEmulated(f"layer {self.layer} writes past the last data-memory instance")
        step = 1 + config.write_step
        if not self.operation.convolves:
            step *= config.passes
        pixel = np.arange(rows * columns)[:, None] * step
        end = self._instance_bytes(streamed)
        if config.wide:
            word = first + lane + 4 * pixel
            self._check_reach(4 * word, streamed, "writes")
            return (instance * (end // 4) + word).astype(np.int32)
        byte = 4 * (first + pixel) + lane
        self._check_reach(byte, streamed, "writes")
        return (instance * end + byte).astype(np.int32)
