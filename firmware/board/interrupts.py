"""Exceptions of the Cortex-M4: which is taken when, stacking, and return (ARMv7-M, B1.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from . import hooks
from .cpu import CONDITION, Cpu

HARD_FAULT, SUPERVISOR_CALL, PEND_SERVICE, SYSTEM_TICK = 3, 11, 14, 15
FIRST_LINE = 16  # exception number of interrupt line 0
LINES = 120
PRIORITY_BITS = 0xE0  # three bits are built
FIXED = {1: -3, 2: -2, HARD_FAULT: -1}
ALWAYS_ENABLED = frozenset({2, HARD_FAULT, SUPERVISOR_CALL, PEND_SERVICE, SYSTEM_TICK})
NO_PRIORITY = 256  # of thread mode
BASIC, EXTENDED = 0x20, 0x68  # bytes of a frame, without and with float registers
ENTRY_CYCLES, EXIT_CYCLES = 12, 10
ALIGNED = 1 << 9  # xPSR: the frame was moved by 4
THUMB = 1 << 24
STACKED = ("r0", "r1", "r2", "r3", "r12", "lr")
FLOATS = tuple(f"s{n}" for n in range(16))


@dataclass
class Interrupts:
    """Pending, enabled and active exceptions of one processor."""

    cpu: Cpu
    vectors: int = 0  # VTOR
    priority_group: int = 0  # AIRCR.PRIGROUP
    sleep_on_exit: bool = False
    event: bool = False  # what WFE waits for
    pending: set[int] = field(default_factory=set)
    enabled: set[int] = field(default_factory=lambda: set(ALWAYS_ENABLED))
    active: list[int] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)  # exceptions whose source is asserted
    priorities: dict[int, int] = field(default_factory=dict)
    on_enter: Callable[[int], object] = lambda exception: None

    def line(self, number: int, asserted: bool) -> None:
        """A peripheral's interrupt line (its number there, without the 16) goes up or down."""
        exception = number + FIRST_LINE
        if asserted and exception not in self.lines:
            self.lines.add(exception)
            self.pend(exception)
        elif not asserted:
            self.lines.discard(exception)

    def pend(self, exception: int) -> None:
        """Make an exception wait for its turn."""
        self.pending.add(exception)
        self.event = True
        self.cpu.attend()

    def priority(self, exception: int) -> int:
        """Smaller goes first."""
        return FIXED.get(exception, self.priorities.get(exception, 0) & PRIORITY_BITS)

    def _group(self, exception: int) -> int:
        """The part of a priority that decides on preemption."""
        value = self.priority(exception)
        return value if value < 0 else value >> self.priority_group + 1 << self.priority_group + 1

    def _running(self) -> int:
        """Priority that an exception must beat now."""
        running = min((self._group(number) for number in self.active), default=NO_PRIORITY)
        base = self.cpu.get("basepri") & PRIORITY_BITS
        if base:
            running = min(running, base)
        if self.cpu.get("primask") & 1:
            running = min(running, 0)
        return min(running, -1) if self.cpu.get("faultmask") & 1 else running

    def chosen(self) -> int | None:
        """The exception to take now, or None."""
        waiting = self.pending & self.enabled
        if not waiting:
            return None
        best = min(waiting, key=lambda number: (self.priority(number), number))
        return best if self._group(best) < self._running() else None

    def masked(self) -> bool:
        """An enabled exception waits, but may not be taken now."""
        return bool(self.pending & self.enabled) and self.chosen() is None

    def wakes(self) -> bool:
        """WFI ends: an exception waits that PRIMASK alone may hold back."""
        return bool(self.pending & self.enabled)

    def enter(self, exception: int) -> None:
        """Stack the frame and continue in the handler."""
        cpu = self.cpu
        extended = bool(cpu.ledger[hooks.FLOAT_USED])
        handler = bool(cpu.get("ipsr"))
        on_process = not handler and bool(cpu.get("control") & 2)
        status = cpu.get("xpsr")
        top = cpu.get("sp")
        frame = top - (EXTENDED if extended else BASIC)
        moved = frame & 4
        frame &= ~7
        words = [cpu.get(name) for name in STACKED]
        words += [cpu.pc, status & ~ALIGNED | (ALIGNED if moved else 0)]
        if extended:
            words += [cpu.get(name) for name in FLOATS] + [cpu.get("fpscr"), 0]
        cpu.write(frame, struct.pack(f"<{len(words)}I", *words))
        cpu.set("sp", frame)
        link = 0xFFFFFFE1 if extended else 0xFFFFFFF1
        if not handler:
            link |= 0xC if on_process else 0x8
        cpu.set("xpsr", status & ~CONDITION)
        cpu.set("ipsr", exception)
        cpu.set("control", cpu.get("control") & ~2)
        if on_process:
            cpu.set("psp", frame)
        cpu.set("lr", link)
        self.pending.discard(exception)
        self.active.append(exception)
        self.on_enter(exception)
        cpu.ledger[hooks.FLOAT_USED] = 0
        cpu.spend(ENTRY_CYCLES)
        cpu.jump(struct.unpack("<I", cpu.read(self.vectors + 4 * exception, 4))[0])

    def leave(self, link: int) -> bool:
        """Unstack after a branch to an EXC_RETURN value; False when that is malformed."""
        cpu = self.cpu
        exception = cpu.get("ipsr")
        if exception not in self.active or link & 0xFFFFFFE0 != 0xFFFFFFE0:
            return False
        extended, thread, process = not link & 0x10, bool(link & 8), bool(link & 4)
        self.active.remove(exception)
        frame = cpu.get("psp" if process else "msp")
        size = EXTENDED if extended else BASIC
        words = struct.unpack(f"<{size // 4}I", cpu.read(frame, size))
        status = words[7]
        cpu.set("ipsr", 0 if thread else status & 0x1FF)
        if exception != 2:
            cpu.set("faultmask", 0)
        if thread:
            cpu.set("control", cpu.get("control") & ~2 | 2 * process)
        for name, word in zip(STACKED, words, strict=False):
            cpu.set(name, word)
        if extended:
            for name, word in zip((*FLOATS, "fpscr"), words[8:], strict=False):
                cpu.set(name, word)
        cpu.ledger[hooks.FLOAT_USED] = int(extended)
        cpu.set("xpsr", status & ~ALIGNED | THUMB)
        cpu.set("sp", frame + size + (4 if status & ALIGNED else 0))
        cpu.spend(EXIT_CYCLES)
        cpu.jump(words[6])
        if exception in self.lines:
            self.pending.add(exception)
        return True
