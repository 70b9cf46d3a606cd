"""What peripherals have in common: words that are stored, and the few bits that are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..clock import Clock
from ..interrupts import Interrupts


@dataclass(frozen=True)
class Row:
    """A peripheral in the table.  The dicts are by register offset; values are bit masks."""

    name: str
    base: int
    size: int
    model: str = ""  # module of this package whose ``Model`` behaves; "": plain storage
    line: int | None = None  # interrupt line
    reset: dict[int, int] = field(default_factory=dict)  # contents after reset
    ready: dict[int, int] = field(default_factory=dict)  # read as 1: "is ready", "is done"
    clears: dict[int, int] = field(default_factory=dict)  # read as 0: clear themselves
    flags: dict[int, int] = field(default_factory=dict)  # writing 1 clears


class Master(Protocol):
    """The board's memory for what reads and writes it beside the processor."""

    def read(self, address: int, size: int) -> bytes:
        """Bytes of a memory."""

    def write(self, address: int, data: bytes) -> None:
        """Store bytes."""

    def store_word(self, address: int, value: int) -> None:
        """Write a word as the processor does."""


@dataclass
class Services:
    """What a peripheral may use of the board."""

    clock: Clock
    interrupts: Interrupts
    warn: Callable[[str], None]
    memory: Master


class Registers:
    """Plain storage with a Row's special bits; models override ``read`` and ``write``."""

    moving: frozenset[int] = frozenset()  # offsets whose value changes by itself, all the time

    def __init__(self, row: Row, services: Services):
        self.row, self.services = row, services
        self.words = dict(row.reset)

    def read(self, offset: int) -> int:
        """A word; ``offset`` is a multiple of 4."""
        word = self.words.get(offset, 0) | self.row.ready.get(offset, 0)
        return word & ~self.row.clears.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Store a word."""
        flags = self.row.flags.get(offset, 0)
        kept = self.words.get(offset, 0) & flags & ~value
        self.words[offset] = value & ~flags & 0xFFFFFFFF | kept

    def stored(self, offset: int) -> int:
        """What ``read`` would give, without effects: for writes of less than a word."""
        return self.words.get(offset, 0)

    def line(self, asserted: bool) -> None:
        """Set the peripheral's interrupt line."""
        if self.row.line is not None:
            self.services.interrupts.line(self.row.line, asserted)
