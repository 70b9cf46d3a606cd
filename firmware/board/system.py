"""The processor's own registers at 0xE0000000: SysTick, NVIC, SCB, and the cycle counter."""

from __future__ import annotations

from .clock import Clock
from .cpu import Cpu
from .hooks import FLOAT_ON
from .interrupts import FIRST_LINE, LINES, PEND_SERVICE, SYSTEM_TICK, Interrupts

BASE, SIZE = 0xE000_0000, 0x10_0000
TICK_CONTROL, TICK_LOAD, TICK_VALUE, TICK_CALIBRATION = 0xE010, 0xE014, 0xE018, 0xE01C
COUNTS, INTERRUPTS, FLAG = 1, 2, 1 << 16  # SysTick CTRL
ENABLE, DISABLE, SET_PENDING, CLEAR_PENDING, ACTIVE, PRIORITY = (
    0xE100,
    0xE180,
    0xE200,
    0xE280,
    0xE300,
    0xE400,
)
BANK = 0x40  # bytes of a bank of one bit an interrupt
CPU_ID, CONTROL_STATE, VECTORS, RESET_CONTROL = 0xED00, 0xED04, 0xED08, 0xED0C
SYSTEM_CONTROL, CONFIGURATION, HANDLER_PRIORITY = 0xED10, 0xED14, 0xED18
COPROCESSORS, TRIGGER = 0xED88, 0xEF00
FLOAT_CONTEXT = 0xEF34
CYCLE_CONTROL, CYCLE_COUNT, DEBUG_CONTROL = 0x1000, 0x1004, 0xEDFC
RESET_VALUES = {
    CPU_ID: 0x410FC241,
    RESET_CONTROL: 0xFA050000,
    CONFIGURATION: 0x200,
    FLOAT_CONTEXT: 0xC0000000,
    TICK_CALIBRATION: 0xC0000000,
    CYCLE_CONTROL: 0x40000000,
}
FULL_ACCESS = 0xF << 20  # CPACR: coprocessors 10 and 11
RESET_KEY, RESET_REQUEST = 0x05FA, 4


class SystemRegisters:
    """Registers of the private peripheral bus, by offset from its base."""

    moving = frozenset({TICK_VALUE, CYCLE_COUNT})  # change by themselves

    def __init__(self, cpu: Cpu, interrupts: Interrupts, clock: Clock):
        self.cpu, self.interrupts, self.clock = cpu, interrupts, clock
        self.words = dict(RESET_VALUES)
        self.reset_requested = False
        self._tick_start = self._tick_first = 0  # cycle at which VAL was _tick_first
        self._flag = False
        self._count_start = 0

    def read(self, offset: int) -> int:
        """A word."""
        if offset == TICK_CONTROL:
            flag, self._flag = self._flag, False
            return self.words.get(offset, 0) | FLAG * flag
        if offset == TICK_VALUE:
            return self._tick_value()
        if offset == CYCLE_COUNT:
            return self.clock.cycles() - self._count_start & 0xFFFFFFFF
        bank = offset & ~(BANK - 1)
        if ENABLE <= offset < ACTIVE + BANK:
            return self._bits(bank, offset - bank)
        if PRIORITY <= offset < PRIORITY + LINES:
            return self._priorities(FIRST_LINE + offset - PRIORITY)
        if HANDLER_PRIORITY <= offset < HANDLER_PRIORITY + 12:
            return self._priorities(4 + offset - HANDLER_PRIORITY)
        if offset == CONTROL_STATE:
            return self._state()
        return self.words.get(offset, 0)

    def stored(self, offset: int) -> int:
        """What a write of less than a word leaves as it is."""
        return self.words.get(offset, 0) if offset == TICK_CONTROL else self.read(offset)

    def write(self, offset: int, value: int) -> None:
        """Store a word and do what it asks for."""
        bank = offset & ~(BANK - 1)
        if offset in (TICK_CONTROL, TICK_LOAD, TICK_VALUE):
            self._write_tick(offset, value)
        elif offset == CYCLE_COUNT:
            self._count_start = self.clock.cycles() - value
        elif ENABLE <= offset < ACTIVE:
            self._change(bank, offset - bank, value)
        elif PRIORITY <= offset < PRIORITY + LINES:
            self._set_priorities(FIRST_LINE + offset - PRIORITY, value)
        elif HANDLER_PRIORITY <= offset < HANDLER_PRIORITY + 12:
            self._set_priorities(4 + offset - HANDLER_PRIORITY, value)
        else:
            self._write_control(offset, value)

    def _write_control(self, offset: int, value: int) -> None:
        """The system control block."""
        interrupts = self.interrupts
        if offset == TRIGGER:
            interrupts.pend(FIRST_LINE + (value & 0x1FF))
            return
        if offset == CONTROL_STATE:
            for bit, exception in ((28, PEND_SERVICE), (26, SYSTEM_TICK), (31, 2)):
                if value >> bit & 1:
                    interrupts.pend(exception)
            for bit, exception in ((27, PEND_SERVICE), (25, SYSTEM_TICK)):
                if value >> bit & 1:
                    interrupts.pending.discard(exception)
            return
        if offset == RESET_CONTROL:
            if value >> 16 == RESET_KEY:
                interrupts.priority_group = value >> 8 & 7
                self.words[offset] = 0xFA050000 | value & 0x700
                self.reset_requested |= bool(value & RESET_REQUEST)
                self.cpu.attend()
            return
        self.words[offset] = value
        if offset == VECTORS:
            interrupts.vectors = value & 0x3FFFFF80
        elif offset == SYSTEM_CONTROL:
            interrupts.sleep_on_exit = bool(value & 2)
        elif offset == COPROCESSORS:
            self.cpu.ledger[FLOAT_ON] = int(value & FULL_ACCESS == FULL_ACCESS)

    def _bits(self, bank: int, byte: int) -> int:
        """A word of one bit an interrupt."""
        interrupts = self.interrupts
        chosen = {
            ENABLE: interrupts.enabled,
            DISABLE: interrupts.enabled,
            SET_PENDING: interrupts.pending,
            CLEAR_PENDING: interrupts.pending,
            ACTIVE: interrupts.active,
        }.get(bank, ())
        first = FIRST_LINE + 8 * byte
        return sum(1 << bit for bit in range(32) if first + bit in chosen)

    def _change(self, bank: int, byte: int, value: int) -> None:
        """Ones enable, disable, pend or clear."""
        interrupts = self.interrupts
        for bit in range(32):
            if not value >> bit & 1:
                continue
            exception = FIRST_LINE + 8 * byte + bit
            if bank == ENABLE:
                interrupts.enabled.add(exception)
                self.cpu.attend()
            elif bank == DISABLE:
                interrupts.enabled.discard(exception)
            elif bank == SET_PENDING:
                interrupts.pend(exception)
            elif bank == CLEAR_PENDING and exception not in interrupts.lines:
                interrupts.pending.discard(exception)

    def _priorities(self, first: int) -> int:
        """Four priorities, a byte each."""
        values = [self.interrupts.priorities.get(first + n, 0) for n in range(4)]
        return int.from_bytes(bytes(values), "little")

    def _set_priorities(self, first: int, value: int) -> None:
        for n, byte in enumerate(value.to_bytes(4, "little")):
            self.interrupts.priorities[first + n] = byte & 0xE0

    def _state(self) -> int:
        """ICSR: what is active and what waits."""
        interrupts = self.interrupts
        active = interrupts.active[-1] if interrupts.active else 0
        waiting = interrupts.pending & interrupts.enabled
        best = min(waiting, key=lambda n: (interrupts.priority(n), n)) if waiting else 0
        pending = {PEND_SERVICE: 28, SYSTEM_TICK: 26}
        bits = sum(1 << bit for number, bit in pending.items() if number in interrupts.pending)
        return bits | active | best << 12 | (len(interrupts.active) <= 1) << 11

    def _tick_value(self) -> int:
        """SysTick VAL now."""
        if not self.words.get(TICK_CONTROL, 0) & COUNTS:
            return self._tick_first
        elapsed = self.clock.cycles() - self._tick_start
        if elapsed <= self._tick_first:
            return self._tick_first - elapsed
        load = self.words.get(TICK_LOAD, 0)
        return load - (elapsed - self._tick_first - 1) % (load + 1)

    def _write_tick(self, offset: int, value: int) -> None:
        now = self._tick_value()
        if offset == TICK_VALUE:
            now, self._flag = 0, False
        else:
            self.words[offset] = value & 0xFFFFFF
        self._tick_first, self._tick_start = now, self.clock.cycles()
        self._schedule_tick()

    def _schedule_tick(self) -> None:
        """Set the event at which VAL reaches 0."""
        cycle = None
        load = self.words.get(TICK_LOAD, 0)
        if self.words.get(TICK_CONTROL, 0) & COUNTS and load:
            value = self._tick_value()
            cycle = self.clock.cycles() + (value or load + 1)
        self.clock.schedule("SysTick", cycle, self._tick)

    def _tick(self) -> None:
        """VAL reached 0."""
        self._flag = True
        if self.words.get(TICK_CONTROL, 0) & INTERRUPTS:
            self.interrupts.pend(SYSTEM_TICK)
        self._schedule_tick()
