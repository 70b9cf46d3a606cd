"""The processor's memories: where each begins, and how big it is (user guide, chapter 3)."""

from __future__ import annotations

from typing import NamedTuple


class Memory(NamedTuple):
    """A run of addresses; ``base`` and ``size`` in bytes."""

    name: str
    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size


ROM = Memory("ROM", 0x0000_0000, 64 << 10)
FLASH = Memory("flash", 0x1000_0000, 512 << 10)
INFORMATION = Memory("information block", 0x1080_0000, 16 << 10)
SRAM = Memory("SRAM", 0x2000_0000, 128 << 10)
MEMORIES = (ROM, FLASH, INFORMATION, SRAM)
FLASH_PAGE = 8 << 10  # bytes that are erased at once
FLASH_LINE = 16  # bytes that are written at once
