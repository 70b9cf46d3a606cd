"""Machine: the accelerator, executed from registers and memories only.

It never sees a network: a wrong register or a wrongly placed kernel gives a wrong output, as on
the board.  Rules: registers.md sections 2 to 5, each proved against the golden cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import layer_config, ops, packing, placement
from .arithmetic import BIAS_SHIFT
from .device import Device
from .devices import find_device
from .errors import InputError, NotEmulated
from .layer_config import LayerConfig
from .memory import Memory
from .ops import stages
from .program import Program

INSTANCE_LANES = 4  # processors that share a data-memory instance
CONTROL_NOT_EMULATED = {
    "one_shot": "one-shot mode",
    "streaming": "streaming",
    "fifo": "FIFO input",
    "mlator": "mlator",
    "packed_kernels": "packed kernel writes",
    "simple_1bit": "simple 1-bit weights",
    "fast_fifo": "the fast FIFO",
    "global_pool": "global pooling",
    "global_big_data": "global CHW",
}


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


class Machine:
    """One accelerator: ``load`` a Program (or ``write`` registers yourself), ``run``, read.

    ``memory`` is the store; writing kernels there takes effect at the next run.
    """

    def __init__(self, device: str | Device = "MAX78000"):
        self.device = find_device(device)
        if not self.device.executes:
            raise NotEmulated(f"{self.device.name}: only its addresses are known yet; use MAX78000")
        self.memory = Memory(self.device)
        self.program: Program | None = None
        self.runs = 0  # since the chip was made
        self._routines: dict[tuple, Routine] = {}
        self._controls: dict[int, dict[str, int]] = {}
        self._control = self.device.region("quadrant register")

    def load(self, program: Program) -> None:
        """Reset the chip and apply a Program's writes."""
        self.memory.reset()
        for write in program.writes:
            self.memory.write(write.address, write.words)
        self.program = program

    def write(self, address: int, words) -> None:
        """A bus write: stores, and starts the accelerator when CTRL says so."""
        values = np.atleast_1d(np.asarray(words, np.uint32))
        place = self._control.locate(address)
        if place is None or place.entry != 0 or len(values) != 1:
            self.memory.write(address, values)
            return
        before = int(self.memory.read(address)[0]) & 1
        self.memory.write(address, values)
        control = self._decode_control(int(values[0]))
        if control["enable"] and not before and control["master_quadrant"] == place.group:
            for _ in self.steps():
                pass

    def run(self, sample: np.ndarray | None = None) -> np.ndarray:
        """One inference of the loaded Program.

        ``sample``: integers -128..127 [channel, row, column], or None for the data already in
        memory.  Returns the last layer's output, int8 or int32 [channel, row, column].
        """
        program = self.prepare(sample)
        for write in program.start:
            self.write(write.address, write.words)
        return self.read_output(len(program.plan.layers) - 1)

    def prepare(self, sample: np.ndarray | None) -> Program:
        """Write a sample where the loaded Program reads its input; InputError if it is wrong."""
        if self.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        plan = self.program.plan
        for group in plan.groups:  # what the interrupt handler does after a run
            address = self._control.address(group)
            self.memory.write(address, self.memory.read(address) & ~np.uint32(1 << 12 | 1))
        if sample is not None:
            place = plan.placement(0, "input")
            placement.write(self.memory, place, check_sample(sample, place.shape))
        return self.program

    def read_output(self, layer: int | str) -> np.ndarray:
        """A layer's output as it lies in data memory now: [channel, row, column]."""
        if self.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        return placement.read(self.memory, self.program.plan.placement(layer, "output"))

    def steps(self) -> Iterator[LayerTrace]:
        """Execute layer by layer, yielding each after its output was written."""
        words = self.memory.arrays["quadrant register"][:, 0]
        master = self._master()
        control = self._decode_control(int(words[master, 0, 0]))
        for field, name in CONTROL_NOT_EMULATED.items():
            if control[field]:
                raise NotEmulated(f"{name} (CTRL.{field}) is not emulated yet")
        last = self.device.global_registers[2].decode(int(words[master, 2, 0]))["last_layer"]
        for layer in range(last + 1):
            routine = self._routine(layer, master)
            yield routine.execute(self.memory, bool(control["average_rounding"]))
        self.runs += 1

    def _decode_control(self, word: int) -> dict[str, int]:
        """Fields of a CTRL word; kept, because a run asks for the same few words."""
        if word not in self._controls:
            self._controls[word] = self.device.global_registers[0].decode(word)
        return self._controls[word]

    def _master(self) -> int:
        """The quadrant that starts the others: the one that CTRL names, in an enabled quadrant."""
        controls = self.memory.arrays["quadrant register"][:, 0, 0, 0]
        for group, word in enumerate(controls):
            control = self._decode_control(int(word))
            if control["enable"] and control["master_quadrant"] == group:
                return group
        raise InputError("no master quadrant is enabled: CTRL bit 0 set in quadrant CTRL[10:9]")

    def _routine(self, layer: int, master: int) -> Routine:
        """The decoded layer; kept until its registers change."""
        words = self.memory.arrays["layer register"][:, :, layer, 0]
        key = (layer, master, words.tobytes())
        if key not in self._routines:
            if len(self._routines) > 4 * self.device.limits.layers:
                self._routines.clear()
            configs = tuple(layer_config.decode(self.device, words[group]) for group in range(4))
            try:
                self._routines[key] = Routine(self.device, layer, master, configs)
            except (InputError, NotEmulated) as error:
                raise type(error)(f"layer {layer}: {error.message}") from error
        return self._routines[key]


def check_sample(sample: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A sample as int8 in the network's input shape; InputError with what is wrong."""
    values = np.asarray(sample)
    if values.ndim == 2 and shape[0] == 1:
        values = values[None]
    if values.shape != shape:
        raise InputError(f"sample of shape {values.shape}: the network takes {shape} (CHW)")
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"sample of {values.dtype}: the network takes integers from -128 to 127")
    if values.size and not -128 <= values.min() <= values.max() <= 127:
        raise InputError(
            f"sample with values from {values.min()} to {values.max()}: the network takes "
            "-128 to 127 (for pixels 0 to 255, subtract 128)"
        )
    return values.astype(np.int8)


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
        self._kernels = np.zeros((0, 0, 0, 0), np.int32)
        if not self.processors:
            raise InputError("no processor is enabled (register EN is 0)")

    @cached_property
    def read_index(self) -> np.ndarray:
        """int64 [row, column, channel]: byte index into data memory; channels ascend by pass."""
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
        return index.reshape(rows, columns, passes * len(processor))

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

    def _kernel_index(self) -> np.ndarray:
        """int64 [row tap, column tap, channel, output]: byte index into kernel memory.

        Kernel index = output position * passes + pass; see registers.md, 5.
        """
        config, passes = self.config, self.config.passes
        if config.weight_bits != 8:
            raise NotEmulated(f"{config.weight_bits}-bit weights are not emulated yet")
        rows, columns = config.kernel_size
        taps = rows * columns
        kernel = np.arange(self.outputs) * passes + np.arange(passes)[:, None, None]
        first = (config.kernel_first + kernel * config.weight_bits >> 3) * taps + config.tap_start
        stream = first + (taps - 1 - np.arange(taps))[:, None, None, None]
        region = self.device.region("kernel")
        if stream.max() >= region.entries * packing.KERNEL_BYTES:
            raise NotEmulated(f"layer {self.layer} reads past the end of kernel memory")
        processor = np.array(self.processors)[:, None]
        index = processor * region.entries * packing.KERNEL_SLOT + packing.slot_offset(stream)
        return index.reshape(rows, columns, passes * len(self.processors), self.outputs)

    @cached_property
    def kernel_index(self) -> np.ndarray:
        """See ``_kernel_index``; computed once."""
        return self._kernel_index()

    def kernels(self, memory: Memory) -> np.ndarray:
        """int32 [row tap, column tap, channel, output], decoded again after kernel writes."""
        version = memory.versions["kernel"]
        if version != self._kernel_version:
            stored = memory.arrays["kernel"].reshape(-1).view(np.int8)
            self._kernels = stored[self.kernel_index].astype(np.int32)
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
        data = memory.arrays["data"].reshape(-1).view(np.int8)[self.read_index]
        pooled = stages.pool(data, config, rounding)
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
            raise NotEmulated(
                f"layer {self.layer}: an accumulator of {int(abs(accumulator.astype(np.int64)).max()):,} "
                f"does not fit {self.device.limits.accumulator_bits} bits; what the chip does then "
                "is not known"
            )

    @cached_property
    def store_index(self) -> np.ndarray:
        """int64 [pixel, output]: index into data memory, in bytes or (32-bit output) words."""
        config = self.config
        rows, columns = self.size
        step = (1 + config.write_step) * 4
        index = self.write_index + np.arange(rows * columns)[:, None] * step
        per_instance = self._instance_bytes // (4 if config.wide else 1)
        if (index // per_instance != self.write_index // per_instance).any():
            self._check_reach(np.array([self._instance_bytes]), "writes")
        return index

    def _store(self, memory: Memory, output: np.ndarray) -> None:
        """Write every pixel of every output position, gaps included."""
        store = memory.arrays["data"].reshape(-1)
        values = output.reshape(-1, self.outputs)
        if self.config.wide:
            store[self.store_index] = values.view(np.uint32)
        else:
            store.view(np.int8)[self.store_index] = values
        memory.versions["data"] += 1
