"""The generated C as an Arm program on the emulated board, a batch at a time, and what it takes.

The program is runtime/cosim/cnn_cosim.c with the generated files: it waits in ``cnn_cosim_wait``
for a command.  Samples are written to data memory, or to the FIFOs, as a camera would; inferences
go through the bus and take the accelerator's time.  Nothing else is done from outside.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from max78k_sim import placement
from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError
from max78k_sim.fifo import fifo_words
from max78k_sim.machine import FAST_FIFO

from ..board.board import Board
from ..board.cycles import FIFTHS
from ..board.hooks import PHASE
from ..board.result import FirmwareError
from ..board.trace import watch
from ..memories import SRAM
from ..text import DIRECTORY
from .phases import PHASES, READ, TRAINING, WRITE, Spent, Sram, phase_of_blocks

BEGIN, INFER, LEARN, APPLY = 1, 2, 4, 8  # of a command, as in cnn_cosim.c
WAIT, SAMPLE = "cnn_cosim_wait", "cnn_cosim_sample"
PAINT = b"\xc5"
LONGEST = 60.0  # seconds on the chip until a command is done
PROGRAM = "runtime/cosim/cnn_cosim.c"
PROJECT = "cosim"
ACCELERATOR = range(0x50, 0x52)  # upper byte of addresses of the accelerator


def build(directory: Path, plan: Plan) -> Path:
    """The ELF of generated files with the program of this side; InputError with make's words."""
    shutil.copyfile(DIRECTORY / PROGRAM, directory / Path(PROGRAM).name)
    (directory / "cnn_cosim.h").write_text(header(plan))
    command = ["make", "--silent", "-C", str(directory), "arm", f"PROJECT={PROJECT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError("building for Arm needs make") from None
    if done.returncode:
        raise InputError(f"the program does not build for Arm:\n{done.stderr}", file=directory)
    return directory / "arm" / "build" / f"{PROJECT}.elf"


def header(plan: Plan) -> str:
    """cnn_cosim.h: registers that say which layer is the last."""
    device = plan.device
    registers = device.registers["quadrant register"]
    entry = next(
        row.unit for row in registers if any(field.name == "last_layer" for field in row.fields)
    )
    addresses = (device.address("quadrant register", group, 0, entry) for group in plan.groups)
    rows = ", ".join(f"0x{address:08x}u" for address in addresses)
    return (
        f"/* Where the number of the last layer stands. */\n#define COSIM_LAST_LAYERS {{{rows}}}\n"
    )


class BoardSide:
    """A Side: the program from reset, the network loaded, and then step by step."""

    name = "C on the emulated Arm"

    def __init__(self, elf: Path, plan: Plan):
        self.plan = plan
        self.board = board = Board(elf)
        self.memory = board.accelerator.bus.machine.memory
        self.variables = read_variables(elf)
        self._paint()
        board.cpu.phase_of = phase_of_blocks(board.image)
        self._ledger = board.cpu.ledger.data
        self._accesses = [0] * (len(PHASES) + 1)  # the last: before any phase
        watch(board, self._accessed)
        self._going_on = False
        self._image = np.zeros(plan.network.input_shape, np.int8)
        board.on(WAIT, self._reached)
        if SAMPLE in board.image.symbols:
            board.on(SAMPLE, lambda board: self._put_sample())
        self._run()
        self.loaded = self.spent()

    # --- running

    def _reached(self, board: Board) -> None:
        """A command was done: stop; when run on from here, go on."""
        if not self._going_on:
            board.stop()
        self._going_on = False

    def _run(self) -> None:
        """Until the next command is awaited."""
        result = self.board.run(seconds=LONGEST)
        if result.reason != "stopped":
            raise FirmwareError(
                f"{self.board.image.describe(result.pc)}: the program does not come back from a "
                f"command ({result.reason})"
            )

    def _command(self, command: int, label: int = 0) -> None:
        cpu, symbol = self.board.cpu, self.board.symbol
        cpu.write(symbol("cnn_cosim_command"), command.to_bytes(4, "little"))
        cpu.write(symbol("cnn_cosim_label"), label.to_bytes(4, "little"))
        self._going_on = True
        self._run()

    def step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch; int64 [sample, class], what the accelerator put out."""
        logits = self.plan.placement(self.plan.network.layers[-1].name, "output")
        outputs = []
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            self._image = image
            self._put_sample()
            self._command(INFER | (BEGIN if number == 0 else 0))
            outputs.append(placement.read(self.memory, logits).reshape(-1))  # later, it may be lost
            self._command(LEARN | (APPLY if number == len(images) - 1 else 0), int(label))
        return np.array(outputs, np.int64)

    def _put_sample(self) -> None:
        """Into data memory, or the FIFOs (before the start: their depth is not modelled), as a
        camera would: the processor's cycles for it are not counted."""
        network = self.plan.network
        if network.fifo:
            push = self.board.accelerator.bus.runner.push
            for number, words in fifo_words(network, self._image).items():
                for word in words.tolist():
                    push(FAST_FIFO if network.fast_fifo else number, word)
            return
        source = self.plan.placement(0, "input")
        placement.write(self.memory, source, self._image.reshape(source.shape))

    @property
    def warnings(self) -> list[str]:
        """What the emulator does not model, or the chip would not like."""
        return [*self.board.warnings, *self.board.accelerator.bus.warnings]

    # --- measuring

    def _accessed(self, kind: str, address: int, size: int, value: int) -> None:
        if address >> 24 in ACCELERATOR:
            phase = self._ledger[PHASE] - 1
            if phase in TRAINING:
                phase = READ if kind == "read" else WRITE
            self._accesses[phase] += 1

    def spent(self) -> Spent:
        """Since reset."""
        board, count = self.board, len(PHASES)
        fifths = board.cpu.phases
        cycles = fifths[1 : 1 + count] // FIFTHS
        return Spent(
            cycles,
            np.array(self._accesses[:-1], np.int64),
            board.cycles - int(fifths.sum()) // FIFTHS,
            board.accelerator.cycles,
            board.cpu.instructions,
        )

    def _paint(self) -> None:
        """Fill what the stack may take."""
        first, top = self.variables.end, self.board.cpu.get("sp")
        self.board.cpu.write(first, PAINT * (top - first))
        self._stack = first, top

    @property
    def sram(self) -> Sram:
        """High-water mark so far: from the lowest byte that has lost its paint, up to the top."""
        first, top = self._stack
        left = self.board.cpu.read(first, top - first)
        return Sram(self.variables.data, self.variables.bss, len(left.lstrip(PAINT)))


@dataclass(frozen=True)
class Variables:
    """Bytes of variables in SRAM, with and without initial values, and the address behind them."""

    data: int
    bss: int
    end: int


def read_variables(elf: Path) -> Variables:
    """From the sections of an ELF file (that ``read_elf`` took)."""
    from elftools.elf.elffile import ELFFile

    sizes, end = {False: 0, True: 0}, SRAM.base
    with elf.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            address, size = section["sh_addr"], section["sh_size"]
            if SRAM.base <= address < SRAM.end and size:
                sizes[section["sh_type"] == "SHT_NOBITS"] += size
                end = max(end, address + size)
    return Variables(sizes[False], sizes[True], end)
