"""Machine: the accelerator, executed from registers and memories only.

It never sees a network: a wrong register or a wrongly placed kernel gives a wrong output, as on
the board.  Rules: registers.md sections 2 to 5, each proved against the golden cases.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import layer_config, placement
from .allocation import Plan
from .device import Device
from .devices import find_device
from .errors import InputError, NotEmulated
from .fifo import fifo_words
from .memory import Memory
from .program import Program
from .routine import INSTANCES, Flow, LayerTrace, Routine, Stores

FIFOS = 4
FAST_FIFO = 4  # its number, after the four others
FAST_PORT = 4  # entry of the fast FIFO's data register
FIRST_PORT = 2  # entry of FIFO 0's write port among the FIFO registers
CONTROL_NOT_EMULATED = {
    "one_shot": "one-shot mode",
    "mlator": "mlator",
    "packed_kernels": "packed kernel writes",
    "simple_1bit": "simple 1-bit weights",
    "global_pool": "global pooling",
    "global_big_data": "global CHW",
}


class Machine:
    """One accelerator: ``load`` a Program (or ``write`` registers yourself), ``run``, read.

    ``memory`` is the store; writing kernels there takes effect at the next run.
    """

    def __init__(self, device: str | Device = "MAX78000"):
        self.device = find_device(device)
        if not self.device.executes:
            raise NotEmulated(f"{self.device.name}: only its addresses are known yet; use MAX78000")
        self.memory = Memory(self.device)
        self.stores = Stores(self.memory)
        self.program: Program | None = None
        self.runs = 0  # since the chip was made
        self._routines: dict[tuple, Routine] = {}
        self._controls: dict[int, dict[str, int]] = {}
        self._control = self.device.region("quadrant register")
        fifo = self.device.region("fifo register")
        self._fifo_ports = {fifo.address(entry=FIRST_PORT + n): n for n in range(FIFOS)}
        fast = self.device.region("fast fifo register")
        self._fifo_ports[fast.address(entry=FAST_PORT)] = FAST_FIFO
        self.fifos: dict[int, list[np.ndarray]] = {
            n: [] for n in (*range(FIFOS), FAST_FIFO)
        }  # words
        self._starts = {self._control.address(group): group for group in range(4)}
        units = {register.name: register.unit for register in self.device.layer_registers}
        self._stream_start = units["STRM0"]

    def load(self, program: Program) -> None:
        """Reset the chip and apply a Program's writes."""
        self.memory.reset()
        for write in program.writes:
            self.memory.write(write.address, write.words)
        self.program = program

    def write(self, address: int, words) -> None:
        """A bus write: stores, and starts the accelerator when CTRL says so."""
        if address in self._fifo_ports:
            self.fifos[self._fifo_ports[address]].append(
                np.atleast_1d(np.asarray(words, np.uint32))
            )
            return
        group = self._starts.get(address)
        if group is None:
            self.memory.write(address, words)
            return
        before = self._decode_control(int(self.memory.read(address)[0]))
        self.memory.write(address, words)
        control = self._decode_control(int(self.memory.read(address)[0]))
        begins = control["enable"] and not before["enable"]
        if begins and control["master_quadrant"] == group:
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

    def traces(self, sample: np.ndarray | None) -> Iterator[LayerTrace]:
        """``run``, layer by layer: yields each after its output was written."""
        for write in self.prepare(sample).start:
            self.memory.write(write.address, write.words)
        yield from self.steps()

    def prepare(self, sample: np.ndarray | None) -> Program:
        """Write a sample where the loaded Program reads its input; InputError if it is wrong."""
        if self.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        plan = self.program.plan
        for group in plan.groups:  # what the interrupt handler does after a run
            self._set_control(group, enable=0, interrupt=0)
        if sample is not None:
            self._write_sample(plan, check_sample(sample, plan.network.input_shape))
        return self.program

    def _write_sample(self, plan: Plan, sample: np.ndarray) -> None:
        """To data memory, or to the FIFOs (before the start: their depth is not modelled)."""
        if not plan.network.fifo:
            placement.write(self.memory, plan.placement(0, "input"), sample)
            return
        ports = {number: address for address, number in self._fifo_ports.items()}
        for number, words in fifo_words(plan.network, sample).items():
            if plan.network.fast_fifo:
                number = FAST_FIFO
            self.fifos[number].clear()
            self.write(ports[number], words)

    def read_output(self, layer: int | str) -> np.ndarray:
        """A layer's output as it lies in data memory now: [channel, row, column]."""
        if self.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        return placement.read(self.memory, self.program.plan.placement(layer, "output"))

    def output_of(self, trace: LayerTrace) -> np.ndarray:
        """The output of a layer that just ran, [channel, row, column].

        From data memory, or (streamed to the next layer, so nowhere whole) from the trace.
        """
        if self.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        plan = self.program.plan
        layer = plan.network.layers[trace.layer]
        if (layer.name, "output") in plan.placements:
            return self.read_output(trace.layer)
        return trace.output[:, :, plan.positions(layer)].transpose(2, 0, 1)

    def steps(self) -> Iterator[LayerTrace]:
        """Execute layer by layer, yielding each after its output was written."""
        words = self.memory.arrays["quadrant register"][:, 0]
        master = self._master()
        control = self._decode_control(int(words[master, 0, 0]))
        for field, name in CONTROL_NOT_EMULATED.items():
            if control[field]:
                raise NotEmulated(f"{name} (CTRL.{field}) is not emulated yet")
        if control["fifo"]:
            if control["fifo_group"] and not control["fast_fifo"]:
                raise NotEmulated("one FIFO for several quadrants (CTRL.fifo_group)")
            self._take_from_fifos(master, bool(control["fast_fifo"]))
        last = self.device.global_registers[2].decode(int(words[master, 2, 0]))["last_layer"]
        for layer in range(last + 1):
            routine = self._routine(
                layer, master, self._flow(layer, last, master, bool(control["streaming"]))
            )
            yield routine.execute(self.stores, bool(control["average_rounding"]))
        for group, word in enumerate(words[:, 0, 0]):
            if self._decode_control(int(word))["enable"]:
                self._set_control(group, interrupt=1)
        self.runs += 1

    def _take_from_fifos(self, master: int, fast: bool) -> None:
        """One frame of every FIFO that is on: into the stream, instance 0 of its quadrant."""
        registers = self.memory.arrays["layer register"][master, :, 0, 0]
        config = layer_config.decode(self.device, registers)
        word = int(self.memory.read(self.device.address("fifo register"))[0])
        enabled = self.device.fifo_registers[0].decode(word)["enable"]
        on = {FAST_FIFO: 0} if fast else {n: n for n in range(FIFOS) if enabled >> n & 1}
        store = self.stores.bytes(True).view(np.uint32).reshape(INSTANCES, -1)
        for number, quadrant in on.items():
            waiting = np.concatenate([*self.fifos[number], np.zeros(0, np.uint32)])
            frame, rest = np.split(waiting, [config.frame_words])
            if len(frame) < config.frame_words:
                raise InputError(
                    f"FIFO {number} got {len(frame)} words; a frame has {config.frame_words}"
                )
            self.fifos[number] = [rest] if len(rest) else []
            place = slice(config.read_word, config.read_word + len(frame))
            store[quadrant * INSTANCES // FIFOS, place] = frame

    def _flow(self, layer: int, last: int, master: int, streaming: bool) -> Flow:
        """Where a layer's data come from and go to: a layer with a stream start is streamed."""
        starts = self.memory.arrays["layer register"][master, self._stream_start, :, 0]
        streamed_out = layer < last and bool(starts[layer + 1])
        return Flow(bool(starts[layer]), streamed_out, int(streaming and not layer))

    def _set_control(self, group: int, **fields: int) -> None:
        """Change some fields of a quadrant's CTRL register."""
        address = self._control.address(group)
        word = int(self.memory.read(address)[0])
        self.memory.write(address, self.device.global_registers[0].replace(word, **fields))

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

    def _routine(self, layer: int, master: int, flow: Flow) -> Routine:
        """The decoded layer; kept until its registers change."""
        words = self.memory.arrays["layer register"][:, :, layer, 0]
        key = (layer, master, flow, words.tobytes())
        if key not in self._routines:
            if len(self._routines) > 4 * self.device.limits.layers:
                self._routines.clear()
            configs = tuple(layer_config.decode(self.device, words[group]) for group in range(4))
            try:
                self._routines[key] = Routine(self.device, layer, master, configs, flow)
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
