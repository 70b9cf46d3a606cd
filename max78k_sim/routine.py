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

INSTANCE_LANES = 4  # processors that share a data-memory instance


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did.  Arrays are [row, column, channel or output position].

    ``pooled`` int8 (what the convolution read), ``accumulator`` int32 (bias included, before the
    shift), ``output`` int8 or int32 as written.  Positions include gaps of the processor map.
    """

    layer: int
    pooled: np.ndarray
    accumulator: np.ndarray
    output: np.ndarray


class Routine:
    """One layer, decoded once: the places that it reads and writes, as index arrays.

    ``configs``: LayerConfig of each quadrant.  Scalars are read from the master quadrant; the
    others carry copies, except for enables and bias.
    """

    def __init__(self, device: Device, layer: int, master: int, configs: tuple[LayerConfig, ...]):
        self.device, self.layer, self.master, self.configs = device, layer, master, configs
        self.config = configs[master]
        self.operation = ops.select(self.config)
        if not any(config.kernels for config in configs):
            raise NotEmulated("pass-through layers (no kernels enabled) are not emulated yet")
        sources = self.config.sources
        self.quadrants = [master] + [
            group for group in range(4) if group != master and sources >> group & 1
        ]
        self.processors = [
            16 * group + bit
            for group in sorted(self.quadrants)
            for bit in range(16)
            if configs[group].processors >> bit & 1
        ]
        self._kernel_version = -1
        self._kernels = np.zeros((0, 0, 0, 0), np.int16)
        if not self.processors:
            raise InputError("no processor is enabled (register EN is 0)")

    @cached_property
    def read_index(self) -> np.ndarray:
        """int32 [row, column, channel]: byte index into data memory; channels ascend by pass."""
        config = self.config
        rows, columns, passes = config.rows, config.columns, config.passes
        if rows < 1 or columns < 1:
            raise InputError(f"layer {self.layer} reads {rows} x {columns} pixels")
        processor = np.array(self.processors)
        pixel = np.arange(rows * columns)[:, None, None]
        instance, lane = np.divmod(processor, INSTANCE_LANES)
        if config.big_data:
            if passes > 1 or lane.any():
                raise NotEmulated("CHW input with several passes, or not on every fourth processor")
            byte = 4 * config.read_word + pixel
        else:
            word = config.read_word + pixel * passes + np.arange(passes)[:, None]
            byte = 4 * word + lane
        self._check_reach(byte, "reads")
        index = instance * self._instance_bytes + byte
        return index.reshape(rows, columns, passes * len(processor)).astype(np.int32)

    @property
    def _instance_bytes(self) -> int:
        return self.device.region("data").entries * 4

    def _check_reach(self, byte: np.ndarray, verb: str) -> None:
        """What happens past the end of an instance is not known, so it is refused."""
        if byte.max() >= self._instance_bytes:
            raise NotEmulated(
                f"layer {self.layer} {verb} up to byte 0x{int(byte.max()):x} of its data-memory "
                f"instances, which end at 0x{self._instance_bytes:x}"
            )

    @cached_property
    def outputs(self) -> int:
        """Output positions of all output passes."""
        return self.config.kernel_count // self.config.passes

    @cached_property
    def write_index(self) -> np.ndarray:
        """int64 [output]: index of pixel 0 in data memory, in bytes or (32-bit output) words."""
        config = self.config
        each_pass, position = np.divmod(np.arange(self.outputs), config.span)
        instance = config.write_instance + position // INSTANCE_LANES
        lane = position % INSTANCE_LANES
        if instance.max() >= 16:
            raise NotEmulated(f"layer {self.layer} writes past the last data-memory instance")
        word = config.write_word + each_pass * config.channel_step
        if config.wide:
            return instance * (self._instance_bytes // 4) + word + lane
        return instance * self._instance_bytes + 4 * word + lane

    @cached_property
    def kernel_index(self) -> np.ndarray:
        """int64 [output, row tap, column tap, channel]: byte index into kernel memory.

        Kernel index = output position * passes + pass; see registers.md, 5.
        """
        config, passes = self.config, self.config.passes
        if config.weight_bits != 8:
            raise NotEmulated(f"{config.weight_bits}-bit weights are not emulated yet")
        rows, columns = config.kernel_size
        taps = rows * columns
        kernel = np.arange(self.outputs * passes).reshape(self.outputs, 1, passes, 1)
        first = (config.kernel_first + kernel * config.weight_bits >> 3) * taps + config.tap_start
        stream = first + (taps - 1 - np.arange(taps))[:, None, None]
        region = self.device.region("kernel")
        if stream.max() >= region.entries * packing.KERNEL_BYTES:
            raise NotEmulated(f"layer {self.layer} reads past the end of kernel memory")
        processor = np.array(self.processors)
        index = processor * region.entries * packing.KERNEL_SLOT + packing.slot_offset(stream)
        return index.reshape(self.outputs, rows, columns, passes * len(self.processors))

    def kernels(self, memory: Memory) -> np.ndarray:
        """int16 [output, row tap, column tap, channel], decoded again after kernel writes."""
        version = memory.versions["kernel"]
        if version != self._kernel_version:
            stored = memory.arrays["kernel"].reshape(-1).view(np.int8)
            self._kernels = stored[self.kernel_index].astype(np.int16)
            self._kernel_version = version
        return self._kernels

    def bias(self, memory: Memory) -> np.ndarray:
        """int32 [output]: what every accumulator starts from."""
        total = np.zeros(self.outputs, np.int32)
        for group in self.quadrants:
            config = self.configs[group]
            if config.bias:
                stored = memory.arrays["bias"][group, 0, config.bias_start :, 0][: self.outputs]
                values = stored.astype(np.uint8).view(np.int8).astype(np.int32)
                total[: len(values)] += values << BIAS_SHIFT
        return total

    def execute(self, memory: Memory, rounding: bool) -> LayerTrace:
        """Read, pool, pad, convolve, shift, write."""
        config = self.config
        pooled = stages.pool(self._read(memory), config, rounding)
        padded = stages.pad(pooled, config)
        accumulator = np.empty((*self.size, self.outputs), np.int32)
        accumulator[:] = self.bias(memory)
        self.operation.accumulate(padded, self.kernels(memory), accumulator)
        self._check_accumulator(accumulator)
        output = accumulator if config.wide else stages.finish(accumulator, config)
        self._store(memory, output)
        return LayerTrace(self.layer, pooled, accumulator, output)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        config = self.config
        sizes = []
        for length, window, padding, kernel in zip(
            (config.rows, config.columns),
            config.pool_window if config.pool else (1, 1),
            (config.row_pad, config.column_pad),
            config.kernel_size,
            strict=True,
        ):
            pooled = (length - window) // config.stride + 1
            sizes.append(pooled + 2 * padding - kernel + 1)
            if pooled < 1 or sizes[-1] < 1:
                raise InputError(
                    f"{length} pixels, pooled by {window} and padded by {padding}, are fewer than "
                    f"the kernel's {kernel}"
                )
        return sizes[0], sizes[1]

    def _check_accumulator(self, accumulator: np.ndarray) -> None:
        """26 bits are documented; whether silicon saturates or wraps there is not known."""
        limit = 1 << self.device.limits.accumulator_bits - 1
        if accumulator.max() >= limit or accumulator.min() < -limit:
            largest = int(abs(accumulator.astype(np.int64)).max())
            raise NotEmulated(
                f"layer {self.layer}: an accumulator of {largest:,} does not fit "
                f"{self.device.limits.accumulator_bits} bits; what the chip does then is not known"
            )

    @cached_property
    def store_index(self) -> np.ndarray:
        """int32 [pixel, output]: index into data memory, in bytes or (32-bit output) words."""
        config = self.config
        rows, columns = self.size
        step = (1 + config.write_step) * 4
        index = self.write_index + np.arange(rows * columns)[:, None] * step
        per_instance = self._instance_bytes // (4 if config.wide else 1)
        if (index // per_instance != self.write_index // per_instance).any():
            self._check_reach(np.array([self._instance_bytes]), "writes")
        return index.astype(np.int32)

    def _read(self, memory: Memory) -> np.ndarray:
        """int8 [row, column, channel] from data memory."""
        from .engine import kernels as engine

        data = np.empty(self.read_index.shape, np.int8)
        stored = memory.arrays["data"].reshape(-1).view(np.int8)
        engine.gather(stored, self.read_index.reshape(-1), data.reshape(-1))
        return data

    def _store(self, memory: Memory, output: np.ndarray) -> None:
        """Write every pixel of every output position, gaps included."""
        from .engine import kernels as engine

        store = memory.arrays["data"].reshape(-1)
        if self.config.wide:
            store[self.store_index] = output.reshape(-1, self.outputs).view(np.uint32)
        else:
            index = self.store_index.reshape(-1)
            engine.scatter(output.reshape(-1), index, store.view(np.int8))
        memory.versions["data"] += 1
