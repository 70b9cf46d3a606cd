"""What a program takes of flash and SRAM: by section and by symbol, and whether it fits."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from .board.elf import Image, Section, Symbol
from .memories import FLASH, SRAM

SRAM_REGION_END = 0x4000_0000  # of the architecture; what does not fit SRAM lies below it too
STACK = "stack_bytes"  # symbol of a linker script: bytes that must be left for the stack
SAVES = "cnn_store_first"  # symbol of a program that saves: where its two slots begin, to the end
BIGGEST = 12  # symbols that are shown
ADVICE = {
    FLASH.name: "--mexpress, --max-verify-length 1000 and a smaller sample save flash",
    SRAM.name: "smaller static arrays save SRAM",
}


@dataclass(frozen=True)
class Use:
    """What one memory holds: sections, and symbols from the biggest down."""

    memory: str
    size: int  # bytes that there are
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    kept: int = 0  # bytes that must be left ...
    kept_for: str = ""  # ... for the stack, for saves

    @property
    def used(self) -> int:
        """Bytes of the sections."""
        return sum(section.size for section in self.sections)

    @property
    def left(self) -> int:
        """Bytes that are free; less than 0 when it does not fit."""
        return self.size - self.used - self.kept


def uses(image: Image) -> tuple[Use, Use]:
    """Flash and SRAM; what is copied from one to the other at the start counts in both."""
    in_sram = tuple(s for s in image.sections if SRAM.base <= s.address < SRAM_REGION_END)
    stored = tuple(s for s in image.sections if s.stored)
    stack = image.symbols[STACK].address if STACK in image.symbols else 0
    saves = FLASH.end - image.symbols[SAVES].address if SAVES in image.symbols else 0
    slots = (
        f"saves in two slots, from 0x{FLASH.end - saves:x} and from 0x{FLASH.end - saves // 2:x} on"
    )
    return (
        Use(FLASH.name, FLASH.size, stored, biggest(image, stored), saves, slots),
        Use(SRAM.name, SRAM.size, in_sram, biggest(image, in_sram), stack, "the stack"),
    )


def biggest(image: Image, sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    """Symbols with a size that lie in these sections, the biggest first; each address once."""
    starts = sorted((section.address, section.address + section.size) for section in sections)
    firsts = [first for first, _ in starts]
    found: dict[int, Symbol] = {}
    for symbol in image.symbols.values():
        place = bisect_right(firsts, symbol.address) - 1
        if symbol.size and place >= 0 and symbol.address < starts[place][1]:
            found.setdefault(symbol.address, symbol)
    return tuple(sorted(found.values(), key=lambda symbol: (-symbol.size, symbol.address)))


def lines(image: Image) -> list[str]:
    """The report for people."""
    text = []
    for use in uses(image):
        share = use.used / use.size
        head = f"{use.memory}: {use.used:,} of {use.size:,} bytes ({share:.0%}), "
        head += f"{use.left:,} left" if use.left >= 0 else f"{-use.left:,} too many"
        if use.kept:
            head += f" beside {use.kept:,} for {use.kept_for}"
        text += [head, *(f"  {s.size:>9,}  section {s.name}" for s in use.sections)]
        text += [f"  {s.size:>9,}  {s.name}" for s in use.symbols[:BIGGEST]]
    return text


def complaint(image: Image) -> str | None:
    """What does not fit, and its biggest symbols; None when all fits."""
    for use in uses(image):
        if use.left < 0:
            names = ", ".join(f"{s.name} ({s.size:,})" for s in use.symbols[:5])
            kept = f" with {use.kept:,} for {use.kept_for}" if use.kept else ""
            return (
                f"does not fit: {use.memory} has {use.size:,} bytes, the program takes "
                f"{use.size - use.left:,}{kept}; biggest: {names}; {ADVICE[use.memory]}"
            )
    return None
