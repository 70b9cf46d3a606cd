"""Everything at a bus address that is not plain memory: who answers, narrow accesses, polling."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from .accelerator import Accelerator
from .clock import NEVER
from .cpu import Cpu
from .peripherals import uart
from .peripherals.registers import Registers, Row, Services
from .peripherals.table import ROWS
from .result import FirmwareError
from .system import BASE as SYSTEM
from .system import SystemRegisters

PERIPHERALS, PERIPHERALS_SIZE = 0x4000_0000, 0x10_0000
WORD = 4
POLLS = 64  # reads of one register, and of nothing else, after which a program waits
POLL_STEP = 1_000  # cycles that pass at a read of a register that moves by itself
HOPELESS = 200_000  # reads of a register that nothing will ever change
PACKAGE = "firmware.board.peripherals"


class Unknown(Registers):
    """An address without a peripheral: storage, with one warning."""


def build(row: Row, services: Services) -> Registers:
    """The model of a row of the table."""
    model = import_module(f"{PACKAGE}.{row.model}").Model if row.model else Registers
    return model(row, services)


class Devices:
    """Dispatch by address; a program that polls is moved on in time.

    A loop that reads one register again and again waits for it.  If the register changes at events
    only, time jumps to the next event; if it counts by itself, 1,000 cycles pass at a read.
    """

    def __init__(
        self,
        cpu: Cpu,
        services: Services,
        system: SystemRegisters,
        accelerator: Accelerator,
    ):
        self.cpu, self.services, self.system = cpu, services, system
        self.accelerator = accelerator
        self.peripherals = {row.name: build(row, services) for row in ROWS}
        self.ports = {
            name: device
            for name, device in self.peripherals.items()
            if isinstance(device, uart.Model)
        }
        self._unknown = Unknown(Row("unknown", 0, 0), services)
        self._found: dict[int, tuple[Registers, int]] = {}
        self._last, self._value, self._polls = -1, 0, 0
        self.limit: Callable[[], int] = lambda: NEVER  # cycle to which polling may jump
        self.watch: Callable[[str, int, int, int], None] | None = None
        cpu.map_device(PERIPHERALS, PERIPHERALS_SIZE, self.read, self.write)
        cpu.map_device(SYSTEM, 0x10_0000, self.read, self.write)
        cpu.map_device(
            accelerator.base, accelerator.size, self.read_accelerator, self.write_accelerator
        )

    def read_accelerator(self, address: int, size: int) -> int:
        """A read of the accelerator; it is no poll that may be moved on."""
        value = self.accelerator.read(address, size)
        if self.watch is not None:
            self.watch("read", address, size, value)
        self._last = -1
        return value

    def write_accelerator(self, address: int, size: int, value: int) -> None:
        """A write to the accelerator."""
        if self.watch is not None:
            self.watch("write", address, size, value)
        self._last = -1
        self.accelerator.write(address, size, value)

    def read(self, address: int, size: int) -> int:
        """A read of 1, 2 or 4 bytes; of less than a word, the part of it."""
        word = address & ~3
        device, offset = self._find(word)
        if device is self._unknown and self.accelerator.owns(word):
            value = self.accelerator.read(address, size)
            return self._polled(address, size, value, False)
        value = device.read(offset) >> 8 * (address & 3) & (1 << 8 * size) - 1
        return self._polled(address, size, value, offset in device.moving)

    def write(self, address: int, size: int, value: int) -> None:
        """A write; of less than a word, into what is stored."""
        word, self._last = address & ~3, -1
        if self.watch is not None:
            self.watch("write", address, size, value)
        if PERIPHERALS <= word < SYSTEM and self.accelerator.owns(word):
            self.accelerator.write(address, size, value)
        device, offset = self._find(word)
        if size < WORD:
            shift, mask = 8 * (address & 3), (1 << 8 * size) - 1
            kept = 0 if isinstance(device, uart.Model) else device.stored(offset)
            value = kept & ~(mask << shift) | (value & mask) << shift
        device.write(offset, value & 0xFFFFFFFF)

    def _find(self, address: int):
        """(who answers, offset there)."""
        if address not in self._found:
            self._found[address] = self._search(address)
        return self._found[address]

    def _search(self, address: int):
        if address >= SYSTEM:
            return self.system, address - SYSTEM
        for device in self.peripherals.values():
            if device.row.base <= address < device.row.base + device.row.size:
                return device, address - device.row.base
        if not self.accelerator.owns(address):
            self.services.warn(
                f"0x{address:08x} belongs to no peripheral that is known; it is plain storage"
            )
        return self._unknown, address

    def _polled(self, address: int, size: int, value: int, moves: bool) -> int:
        """Count reads of one register in a row; let time pass where a program waits."""
        if self.watch is not None:
            self.watch("read", address, size, value)
        if address != self._last or (value != self._value and not moves):
            self._last, self._value, self._polls = address, value, 0
            return value
        self._polls += 1
        if self._polls < POLLS:
            return value
        clock = self.services.clock
        target = clock.next_event()
        if moves:
            target = min(target, clock.cycles() + POLL_STEP)
        if target < NEVER:
            self.cpu.spend(max(min(target, self.limit()) - clock.cycles(), 0))
            self.cpu.attend()
        elif self._polls >= HOPELESS:
            raise FirmwareError(
                f"waits for {self.name(address)}, which reads 0x{value:x} and which nothing that "
                "is modelled will change"
            )
        return value

    def name(self, address: int) -> str:
        """``UART0 + 0x4`` for people."""
        device, offset = self._find(address & ~3)
        name = "the processor's register" if device is self.system else device.row.name
        return f"{name} + 0x{offset:x}"
