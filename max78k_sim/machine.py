"""Machine: the accelerator, executed from registers and memories only.

It never sees a network: a wrong register or a wrongly placed kernel gives a wrong output, as on
the board.  Rules: registers.md sections 2 to 5, each proved against the golden cases.  How a
processor reaches registers and memories, and what an access does, is bus.py's.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np

from . import layer_config, placement
from .allocation import Plan
from .core import Core
from .device import Device
from .devices import find_device
from .errors import InputError, NotEmulated
from .fifo import fifo_words
from .memory import Memory
from .program import Program
from .routine import INSTANCES, Flow, LayerTrace, Routine, Stores

FIFOS = 4
FAST_FIFO = 4  # its number, after the four others
CONTROL_NOT_EMULATED = {  # while a run goes on
    "mlator": "mlator",
    "simple_1bit": "simple 1-bit weights",
    "global_pool": "global pooling",
    "global_big_data": "global CHW",
}


class Machine:
    """One accelerator: ``load`` a Program (or fill ``memory`` yourself), ``run``, read.

    ``memory`` is the store; writing kernels there takes effect at the next run.  ``fifos`` are the
    words that wait in each FIFO, as arrays in order of arrival.
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
        self._cores: dict[tuple[Routine, bool], Core] = {}
        self._controls: dict[int, dict[str, int]] = {}
        self._control = self.device.region("quadrant register")
        self.fifos: dict[int, list[np.ndarray]] = {
            n: [] for n in (*range(FIFOS), FAST_FIFO)
        }  # words
        units = {register.name: register.unit for register in self.device.layer_registers}
        self._stream_start = units["STRM0"]

    def load(self, program: Program) -> None:
        """Reset the chip and apply a Program's writes."""
        self.memory.reset()
        for write in program.writes:
            self.memory.write(write.address, write.words)
        self.program = program

    def run(self, sample: np.ndarray | None = None) -> np.ndarray:
        """One inference of the loaded Program.

        ``sample``: integers -128..127 [channel, row, column], or None for the data already in
        memory.  Returns the last layer's output, int8 or int32 [channel, row, column].
        """
        program = self.prepare(sample)
        for write in program.start:
            self.memory.write(write.address, write.words)
        for _ in self.steps():
            pass
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
        for number, words in fifo_words(plan.network, sample).items():
            self.fifos[FAST_FIFO if plan.network.fast_fifo else number] = [words]

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
        yield from self.execute()
        self.finish()

    def execute(self, layers: Container[int] | None = None) -> Iterator[LayerTrace]:
        """Like ``steps``, without the interrupt at the end, and only some layers if given."""
        self.check_control()
        if layers is None or 0 in layers:
            self.take_from_fifos()
        rounding = bool(self.control(self.master())["average_rounding"])
        for routine in self.routines(layers):
            yield self.core(routine, rounding).execute(self.stores)

    def check_control(self) -> None:
        """NotEmulated where CTRL asks for something that is not."""
        control = self.control(self.master())
        for field, name in CONTROL_NOT_EMULATED.items():
            if control[field]:
                raise NotEmulated(f"{name} (CTRL.{field}) is not emulated yet")

    def take_from_fifos(self) -> None:
        """A frame from each FIFO that is on into the stream."""
        master = self.master()
        if self.control(master)["fifo"]:
            for number, quadrant in self.fifos_on(master).items():
                self._take_from_fifo(master, number, quadrant)

    def core(self, routine: Routine, rounding: bool) -> Core:
        """A routine as steps of the engine; kept as long as the routine is."""
        if (routine, rounding) not in self._cores:
            self._cores[routine, rounding] = Core(routine, rounding)
        return self._cores[routine, rounding]

    def routines(self, layers: Container[int] | None = None) -> Iterator[Routine]:
        """Every layer that a run executes (or some of them), as its registers say now."""
        for layer in range(self.last_layer(self.master()) + 1):
            if layers is None or layer in layers:
                yield self.routine(layer)

    def routine(self, layer: int) -> Routine:
        """One layer as its registers say now; raises where they make no sense."""
        master = self.master()
        streaming = bool(self.control(master)["streaming"])
        flow = self._flow(layer, self.last_layer(master), master, streaming)
        return self._routine(layer, master, flow)

    def finish(self) -> None:
        """The end of a run: the interrupt is pending in every enabled quadrant."""
        for group in range(self._control.groups):
            if self.control(group)["enable"]:
                self._set_control(group, interrupt=1)
        self.runs += 1

    def last_layer(self, master: int) -> int:
        """Index of the last layer that a run executes."""
        word = int(self.memory.arrays["quadrant register"][master, 0, 2, 0])
        return self.device.global_registers[2].decode(word)["last_layer"]

    def frame_words(self, master: int) -> int:
        """Words of a frame: what every FIFO that is on has to get before a run can end."""
        registers = self.memory.arrays["layer register"][master, :, 0, 0]
        return layer_config.decode(self.device, registers).frame_words

    def fifos_on(self, master: int) -> dict[int, int]:
        """FIFOs that feed a run, and the quadrant that each feeds."""
        control = self.control(master)
        if control["fast_fifo"]:
            return {FAST_FIFO: 0}
        if control["fifo_group"]:
            raise NotEmulated("one FIFO for several quadrants (CTRL.fifo_group)")
        word = int(self.memory.read(self.device.address("fifo register"))[0])
        enabled = self.device.fifo_registers[0].decode(word)["enable"]
        return {number: number for number in range(FIFOS) if enabled >> number & 1}

    def _take_from_fifo(self, master: int, number: int, quadrant: int) -> None:
        """One frame into the stream, instance 0 of the FIFO's quadrant."""
        registers = self.memory.arrays["layer register"][master, :, 0, 0]
        config = layer_config.decode(self.device, registers)
        store = self.stores.bytes(True).view(np.uint32).reshape(INSTANCES, -1)
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

    def control(self, group: int) -> dict[str, int]:
        """Fields of a quadrant's CTRL; decodings are kept, because a run asks for the same few."""
        word = int(self.memory.arrays["quadrant register"][group, 0, 0, 0])
        if word not in self._controls:
            self._controls[word] = self.device.global_registers[0].decode(word)
        return self._controls[word]

    def master(self) -> int:
        """The quadrant that starts the others: the one that CTRL names, in an enabled quadrant."""
        for group in range(self._control.groups):
            control = self.control(group)
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
                self._cores.clear()
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
    return check_values(values, "sample")


def check_values(values: np.ndarray, what: str) -> np.ndarray:
    """Integers that are data of the chip, as int8; InputError, beginning with ``what``, else."""
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{what} of {values.dtype}: the network takes integers from -128 to 127")
    if values.dtype != np.int8 and values.size and not -128 <= values.min() <= values.max() <= 127:
        raise InputError(
            f"{what} with values from {values.min()} to {values.max()}: the network takes "
            "-128 to 127 (for pixels 0 to 255, subtract 128)"
        )
    return values.astype(np.int8, copy=False)
