"""Board: load a program, run it from reset, look at everything.

board = Board("build/mnist.elf")
result = board.run(seconds=5)
assert result.verdict == "pass"
board.memory[0x20000000:0x20000010]         # bytes
board.array("ml_data", "int32")              # a variable
board.on("cnn_start", lambda board: print(board.cycles))
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from max78k_sim.bus.faults import IllegalAccess
from max78k_sim.errors import InputError, Max78kError

from ..memories import FLASH, MEMORIES, SRAM
from . import hooks
from .accelerator import Accelerator
from .clock import NEVER, Clock
from .cpu import BREAKPOINT, EXCEPTION_EXIT, SUPERVISOR, Cpu, Stop
from .devices import Devices
from .elf import Image, read_elf
from .interrupts import SUPERVISOR_CALL, Interrupts
from .memory import BoardMemory
from .peripherals.registers import Services
from .result import FirmwareError, Result
from .system import SystemRegisters

UNLIMITED = 1 << 62
LONGEST = 30_000_000  # cycles before Python may look, for example at Ctrl-C


class Board:
    """A MAX78000 with a program in it; ``run`` goes on from where the last run stopped.

    ``warnings`` are sentences about what is not modelled, each once.  ``accelerator.bus`` is the
    accelerator, with the simulator's Machine in it.  Raises InputError for a file that is no Arm
    program.
    """

    def __init__(self, elf: str | Path):
        self.image: Image = read_elf(elf)
        self.cpu = Cpu()
        self.clock = Clock(lambda: self.cpu.cycles)
        self.clock.changed = self.cpu.attend
        self.interrupts = Interrupts(self.cpu)
        self.warnings: list[str] = []
        self.accelerator = Accelerator(self.clock, self.interrupts)
        self.memory = BoardMemory(self)
        services = Services(self.clock, self.interrupts, self.warn, self.memory)
        self.system = SystemRegisters(self.cpu, self.interrupts, self.clock)
        self.devices = Devices(self.cpu, services, self.system, self.accelerator)
        self.devices.limit = lambda: self._last_cycle
        self.sent = bytearray()  # by all serial ports
        for port in self.devices.ports.values():
            port.listeners.append(self._sent)
        self._until = ""
        self._last_cycle = NEVER
        self._asked = ""
        self._load()

    def _load(self) -> None:
        """Store the program's segments, and start as reset does."""
        for segment in self.image.segments:
            last = segment.address + len(segment.data)
            if not any(m.base <= segment.address and last <= m.end for m in MEMORIES):
                raise InputError(
                    f"a segment from 0x{segment.address:08x} to 0x{last:08x} fits no memory: flash "
                    f"is 0x{FLASH.base:x} to 0x{FLASH.end:x}, SRAM 0x{SRAM.base:x} to "
                    f"0x{SRAM.end:x}",
                    file=self.image.file,
                )
            self.cpu.write(segment.address, segment.data)
        vectors = FLASH.base
        if not any(s.address == FLASH.base for s in self.image.segments):
            vectors = min(s.address for s in self.image.segments)
        stack, reset = struct.unpack("<II", self.cpu.read(vectors, 8))
        if not reset & 1:
            raise InputError(
                f"no vector table at 0x{vectors:08x}: its second word, 0x{reset:08x}, is not the "
                "address of Thumb code",
                file=self.image.file,
            )
        self.interrupts.vectors = vectors
        self.cpu.set("sp", stack & ~3)
        self.cpu.jump(reset)

    # --- looking

    @property
    def uart(self) -> str:
        """Everything that the serial ports sent."""
        return self.sent.decode("utf-8", "replace")

    @property
    def cycles(self) -> int:
        """Processor cycles since reset."""
        return self.cpu.cycles

    @property
    def pc(self) -> int:
        """Address of the next instruction."""
        return self.cpu.pc

    @property
    def registers(self) -> dict[str, int]:
        """r0 to r12, sp, lr, pc, xpsr and more, by name."""
        names = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "xpsr", "msp", "psp", "control")
        return {name: self.cpu.get(name) for name in names}

    def symbol(self, name: str) -> int:
        """The address of a function or variable; InputError with similar names."""
        return self.image.symbol(name).address

    def __getitem__(self, name: str) -> bytes:
        """The bytes of a variable."""
        symbol = self.image.symbol(name)
        if not symbol.size:
            raise InputError(f"{name} has no size; slice board.memory from board.symbol({name!r})")
        return self.memory[symbol.address : symbol.address + symbol.size]

    def array(self, name: str, kind: str = "uint8") -> np.ndarray:
        """A variable as numbers of a numpy type."""
        return np.frombuffer(self[name], np.dtype(kind).newbyteorder("<"))

    def function(self) -> str:
        """The function that is running."""
        return self.image.function_at(self.pc)

    # --- changing

    def on(self, where: str | int, action: Callable[[Board], object]) -> Callable[[], None]:
        """Call ``action(board)`` whenever a function begins, or an address is reached.

        Gives a function that undoes it.  An action may change memory, or call ``stop``.
        """
        address = self.symbol(where) if isinstance(where, str) else where
        handle = self.cpu.hook(address, lambda: action(self))
        return lambda: self.cpu.unhook(handle)

    def stop(self, reason: str = "stopped") -> None:
        """End the present run; for actions."""
        self._asked = reason
        self.cpu.stop()

    def send(self, data: bytes, port: str = "UART0") -> None:
        """Let a serial port receive bytes."""
        self.devices.ports[port].receive(data)

    def warn(self, text: str) -> None:
        """Keep a sentence, with the place in the program, once."""
        if not any(known.startswith(text) for known in self.warnings):
            self.warnings.append(f"{text} (at {self.image.describe(self.pc)})")

    def _sent(self, data: bytes) -> None:
        self.sent += data
        if self._until and self._until.encode() in self.sent[-len(self._until) - 1 :]:
            self._asked = "uart"
            self.cpu.attend()

    # --- running

    def run(
        self,
        *,
        instructions: int | None = None,
        cycles: int | None = None,
        seconds: float | None = None,
        uart: str = "",
    ) -> Result:
        """Run until the program ends or a limit of this call is reached.

        ``uart``: a text; the run stops once it was sent.  Raises FirmwareError for what the chip
        does not allow, and NotEmulated for what is not known.
        """
        cpu = self.cpu
        limit = UNLIMITED if instructions is None else cpu.instructions + instructions
        cpu.ledger[hooks.LIMIT] = limit
        self._until, self._asked = uart, ""
        last = NEVER if cycles is None else self.cycles + cycles
        until = None if seconds is None else self.clock.seconds() + seconds
        while True:
            self._last_cycle = last
            if until is not None:
                left = max(int((until - self.clock.seconds()) * self.clock.hertz), 0)
                self._last_cycle = min(last, self.cycles + left)
            if self.cycles >= self._last_cycle:
                return self._result("cycles" if self.cycles >= last else "seconds")
            try:
                reason = self._go_on()
            except (FirmwareError, IllegalAccess) as error:
                raise FirmwareError(self._located(error.message)) from None
            except Max78kError as error:
                raise type(error)(self._located(error.message)) from None
            if reason:
                return self._result(reason)

    def step(self) -> str:
        """One instruction (with the exception that is due before it); why a run would stop."""
        self._asked, self._last_cycle = "", NEVER
        self.cpu.ledger[hooks.LIMIT] = UNLIMITED
        return self._go_on(1)

    def _located(self, message: str) -> str:
        """A message with the place in the program."""
        return f"{self.image.describe(self.pc)}: {message}"

    def _go_on(self, count: int = 0) -> str:
        """One stretch: due events, an exception, then instructions; why to stop, or ""."""
        self.clock.run_due()
        exception = self.interrupts.chosen()
        if exception is not None:
            self.interrupts.enter(exception)
        deadline = min(self.clock.next_event(), self._last_cycle, self.cycles + LONGEST)
        self.cpu.ledger[hooks.MASKED] = int(self.interrupts.masked())
        stop = self.cpu.run(deadline, count)
        if self._asked:
            return self._asked
        if self.system.reset_requested:
            return "reset"
        return getattr(self, f"_on_{stop.kind}")(stop)

    def _on_time(self, stop: Stop) -> str:
        return ""

    def _on_asked(self, stop: Stop) -> str:
        return ""

    def _on_instructions(self, stop: Stop) -> str:
        return "instructions"

    def _on_loop(self, stop: Stop) -> str:
        """A branch to itself: only an interrupt leads out."""
        return self._idle("loop")

    def _on_wait(self, stop: Stop) -> str:
        """WFI or WFE: sleep until something happens."""
        if self.cpu.read(stop.pc - 2, 1) == b"\x20" and self.interrupts.event:
            self.interrupts.event = False
            return ""
        if self.interrupts.wakes():
            return ""
        return self._idle("asleep")

    def _idle(self, reason: str) -> str:
        """Let time pass until an exception waits; the reason to stop when none will."""
        while not self.interrupts.wakes():
            event = min(self.clock.next_event(), self._last_cycle)
            if self.clock.next_event() >= NEVER:
                return reason
            self.cpu.spend(max(event - self.cycles, 0))
            if event == self._last_cycle:
                return ""
            self.clock.run_due()
        return reason if reason == "loop" and self.interrupts.masked() else ""

    def _on_exception(self, stop: Stop) -> str:
        """Supervisor calls, breakpoints, and returns from handlers."""
        if stop.number == EXCEPTION_EXIT:
            if not self.interrupts.leave(stop.pc | 1):
                raise FirmwareError(f"returns from an exception with 0x{stop.pc:08x}")
            if self.interrupts.sleep_on_exit and not self.interrupts.active:
                return self._idle("asleep")
            return ""
        if stop.number == SUPERVISOR:
            self.interrupts.pend(SUPERVISOR_CALL)
            return ""
        if stop.number == BREAKPOINT:
            return "breakpoint"
        raise FirmwareError(f"runs an instruction that the Cortex-M4 does not have{self._code()}")

    def _on_float(self, stop: Stop) -> str:
        raise FirmwareError(
            "a float instruction runs, but the FPU is off: set CPACR (0xE000ED88) bits 20 to 23 "
            "first, SCB->CPACR |= 0xF << 20, as SystemInit does"
        )

    def _on_unaligned(self, stop: Stop) -> str:
        raise FirmwareError(
            f"{stop.text} at 0x{stop.number & 0xFFFFFFFF:08x}, which is not a multiple of 4: the "
            "Cortex-M4 faults (UsageFault, UNALIGNED); a packed type makes the compiler avoid it"
        )

    def _on_fault(self, stop: Stop) -> str:
        raise FirmwareError(f"{stop.text}{self._code()}")

    def _code(self) -> str:
        """The next instruction in words, where there is one."""
        try:
            lines = self.cpu.costs.lines(self.pc, self.cpu.read(self.pc, 4))
        except Exception:
            return ""
        return f" ({lines[0][1]})" if lines else ""

    def _result(self, reason: str) -> Result:
        """What the run had come to."""
        return Result(
            reason,
            self.pc,
            self.function(),
            self.cpu.instructions,
            self.cycles,
            self.clock.seconds(),
            self.uart,
        )
