"""An Arm ELF file: what to load where, and the names of its addresses."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from max78k_sim.errors import InputError

INSTALL = "reading ELF files needs pyelftools: pip install 'max78k[emulate]'"
ARM = "EM_ARM"
ALLOCATED = 2  # SHF_ALLOC: a section that takes memory


@dataclass(frozen=True)
class Segment:
    """Bytes that a loader stores at a physical address."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Section:
    """A part of a program that takes memory; ``stored``: its bytes are in the file."""

    name: str
    address: int  # where it is used
    size: int  # bytes
    stored: bool


@dataclass(frozen=True)
class Symbol:
    """A name, its address (of a function: without the Thumb bit) and its size in bytes."""

    name: str
    address: int
    size: int
    function: bool


@dataclass(frozen=True)
class Image:
    """A program: its segments and symbols."""

    file: Path
    entry: int
    segments: tuple[Segment, ...]
    symbols: dict[str, Symbol]
    functions: tuple[Symbol, ...]  # by address
    starts: tuple[int, ...]  # their addresses
    sections: tuple[Section, ...] = ()

    def symbol(self, name: str) -> Symbol:
        """The symbol of a name; InputError with the nearest names when there is none."""
        if name not in self.symbols:
            from difflib import get_close_matches

            near = ", ".join(get_close_matches(name, self.symbols, 3)) or "none is similar"
            raise InputError(f"no symbol {name!r}; nearest: {near}", file=self.file)
        return self.symbols[name]

    def function_at(self, address: int) -> str:
        """The function that an address stands in, or "" where the file names none."""
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return ""
        found = self.functions[index]
        if found.size and address >= found.address + found.size:
            return ""
        return found.name if address < found.address + max(found.size, 0x10000) else ""

    def describe(self, address: int) -> str:
        """``0x10000a42 in main (+0x12)``."""
        name = self.function_at(address)
        if not name:
            return f"0x{address:08x}"
        return f"0x{address:08x} in {name} (+0x{address - self.symbols[name].address:x})"


def read_elf(file: str | Path) -> Image:
    """Read a 32-bit Arm ELF; InputError when the file is something else."""
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise InputError(INSTALL) from None
    path = Path(file)
    try:
        with path.open("rb") as stream:
            return _image(path, ELFFile(stream))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    except (ELFError, UnicodeDecodeError) as error:
        raise InputError(f"not an ELF file: {error}", file=file) from None


def _image(path: Path, elf) -> Image:
    """Segments and symbols of an open file."""
    if elf["e_machine"] != ARM or elf.elfclass != 32 or not elf.little_endian:
        raise InputError(
            f"a program for {elf['e_machine']}, {elf.elfclass} bits; the MAX78000's Cortex-M4 "
            "runs 32-bit little-endian Arm (arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb)",
            file=path,
        )
    segments = tuple(
        Segment(part["p_paddr"], part.data())
        for part in elf.iter_segments("PT_LOAD")
        if part["p_filesz"]
    )
    if not segments:
        raise InputError("nothing to load: no PT_LOAD segment (an object file? link it)", file=path)
    symbols = _symbols(elf)
    functions = {s.address: s for s in symbols.values() if s.function}
    ordered = tuple(functions[address] for address in sorted(functions))
    starts = tuple(symbol.address for symbol in ordered)
    return Image(path, elf["e_entry"], segments, symbols, ordered, starts, _sections(elf))


def _sections(elf) -> tuple[Section, ...]:
    """Those that a loader makes room for."""
    return tuple(
        Section(part.name, part["sh_addr"], part["sh_size"], part["sh_type"] != "SHT_NOBITS")
        for part in elf.iter_sections()
        if part["sh_flags"] & ALLOCATED and part["sh_size"]
    )


def _symbols(elf) -> dict[str, Symbol]:
    """Named functions, objects and labels; a global wins over a local of the same name."""
    table = elf.get_section_by_name(".symtab")
    found: dict[str, Symbol] = {}
    ranks: dict[str, bool] = {}
    for entry in table.iter_symbols() if table is not None else ():
        kind, binding = entry["st_info"]["type"], entry["st_info"]["bind"]
        if not entry.name or entry.name.startswith("$") or entry["st_shndx"] == "SHN_UNDEF":
            continue
        if kind not in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE") or ranks.get(entry.name):
            continue
        function = kind == "STT_FUNC"
        address = entry["st_value"] & ~1 if function else entry["st_value"]
        found[entry.name] = Symbol(entry.name, address, entry["st_size"], function)
        ranks[entry.name] = binding != "STB_LOCAL"
    return found
