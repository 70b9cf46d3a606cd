"""The compute core's code for 64-bit Arm, run by an emulator on this process' own memory.

LLVM compiles for Arm here too; Unicorn executes what it gives, and sees every page of this process
at the page's own address, so that a job needs no translation.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from io import BytesIO

from llvmlite import binding

from max78k_sim.engine import native
from max78k_sim.engine.path import PATHS as TABLE

try:
    import unicorn
    from elftools.elf.elffile import ELFFile
    from unicorn import arm64_const
except ImportError:
    unicorn = None  # type: ignore[assignment]

CODE, STACK, STACK_BYTES, END = (
    0x1_0000,
    0x20_0000,
    0x1_0000,
    0x30_0000,
)  # below what is mapped here
CHUNK = 1 << 16  # bytes of this process that become visible at once
FLOATS_ON = 3 << 20  # CPACR_EL1: the vector registers may be used
# Relocations of "ELF for the Arm 64-bit Architecture": what they change of an instruction.
CALL, JUMP, PAGE, LOW_BITS = 283, 282, 275, 299


def relocated(word: int, kind: int, place: int, target: int) -> int:
    """An instruction at ``place`` that names ``target``."""
    if kind in (CALL, JUMP):
        return word | (target - place) >> 2 & (1 << 26) - 1
    if kind == PAGE:
        pages = (target >> 12) - (place >> 12)
        return word | (pages & 3) << 29 | (pages >> 2 & (1 << 19) - 1) << 5
    assert kind == LOW_BITS, kind
    return word | (target & 0xFFF) >> 4 << 10


def linked(code: bytes) -> tuple[bytes, int]:
    """An object file's sections as they lie at CODE; and the address of its ``max78k_run``."""
    elf, image, base = ELFFile(BytesIO(code)), bytearray(), {}
    for number, section in enumerate(elf.iter_sections()):
        if section["sh_flags"] & 2:  # SHF_ALLOC
            image += bytes(-len(image) % section["sh_addralign"])
            base[number] = CODE + len(image)
            image += section.data()
    symbols = elf.get_section_by_name(".symtab")
    for section in elf.iter_sections():
        if section["sh_type"] != "SHT_RELA":
            continue
        for entry in section.iter_relocations():
            symbol = symbols.get_symbol(entry["r_info_sym"])
            target = base[symbol["st_shndx"]] + symbol["st_value"] + entry["r_addend"]
            place = base[section["sh_info"]] + entry["r_offset"]
            at = slice(place - CODE, place - CODE + 4)
            word = int.from_bytes(image[at], "little")
            image[at] = relocated(word, entry["r_info_type"], place, target).to_bytes(4, "little")
    (run,) = symbols.get_symbol_by_name("max78k_run")
    return bytes(image), base[run["st_shndx"]] + run["st_value"]


@cache
def loaded(path: str, name: str = native.FORWARD):
    """As ``native.loaded``, for an emulated processor with the dot products of Armv8.4."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple("aarch64-linux-gnu").create_target_machine(
        features="+dotprod", opt=3, reloc="static", codemodel="small"
    )
    module = import_module(f"max78k_sim.engine.{name}").module_of(TABLE[path])
    image, entry = linked(native.compiled(module, machine))
    processor = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    processor.ctl_set_cpu_model(arm64_const.UC_CPU_ARM64_MAX)
    processor.reg_write(arm64_const.UC_ARM64_REG_CPACR_EL1, FLOATS_ON)
    processor.mem_map(CODE, -(-len(image) // CHUNK) * CHUNK)
    processor.mem_write(CODE, image)
    processor.mem_map(STACK, STACK_BYTES)

    def show(engine, access, address, size, value, data) -> bool:
        for first in {address & -CHUNK, address + size - 1 & -CHUNK}:
            engine.mem_map_ptr(first, CHUNK, unicorn.UC_PROT_ALL, first)
        return True

    processor.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, show)

    def run(job: int) -> None:
        processor.reg_write(arm64_const.UC_ARM64_REG_X0, job)
        processor.reg_write(arm64_const.UC_ARM64_REG_X30, END)
        processor.reg_write(arm64_const.UC_ARM64_REG_SP, STACK + STACK_BYTES)
        processor.emu_start(entry, END)

    return run
