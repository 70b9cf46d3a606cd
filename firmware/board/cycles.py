"""What a basic block costs on a Cortex-M4: the cycle model, by disassembly, once a block.

1 cycle an instruction; a load 2, or 1 right after another load; push, pop, load and store multiple
1 + registers; division 7, float division and root 14; a taken branch 1.6 more (charged by the block
hook, which sees where control went).  Within about 1% of a board's timers over 40 training steps of
one program; wait states of the accelerator's memories and flash misses are not known, not counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from max78k_sim.errors import InputError

FIFTHS = 5  # of a cycle: the unit of the counters, because 1.6 is 8 fifths
TAKEN_BRANCH = 8  # fifths
DIVIDE, FLOAT_DIVIDE = 7, 14  # cycles
MULTIPLE = ("push", "pop", "ldm", "stm", "vpush", "vpop", "vldm", "vstm")
DOUBLE = ("ldrd", "strd")
ALIGNED = (*DOUBLE, "ldm", "stm", "vldm", "vstm", "vldr", "vstr", "ldrex", "strex")
SELF_BRANCH = b"\xfe\xe7"
LONG_SELF_CALL = b"\xff\xf7\xfe\xff"  # bl to itself: where the SDK's start-up code ends
ALIASES = {"fp": "r11", "ip": "r12", "sl": "r10", "sb": "r9"}
IT = re.compile(r"it[te]{0,3}")
NOT_BASES = ("sp", "pc")
MEMORY = 3  # capstone's kind of an operand in brackets


@dataclass(frozen=True)
class AlignedAccess:
    """An instruction that faults on a base register that is not a multiple of 4."""

    address: int
    mnemonic: str
    base: str  # register
    offset: int  # bytes


@dataclass(frozen=True)
class BlockCost:
    """A basic block: its cost in fifths of a cycle, and what to watch in it."""

    instructions: int
    fifths: int
    uses_float: bool
    endless: bool  # a branch to itself
    unmasks: bool  # changes what holds exceptions back; such an instruction ends its block
    aligned: tuple[AlignedAccess, ...]


class CostModel:
    """Capstone, opened once."""

    def __init__(self):
        try:
            import capstone
        except ImportError:
            raise InputError(
                "counting cycles needs capstone: pip install 'max78k[emulate]'"
            ) from None
        self._engine = capstone.Cs(
            capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS
        )
        self._engine.detail = True

    def block(self, address: int, code: bytes) -> BlockCost:
        """Cost of the instructions in ``code``."""
        count = cycles = 0
        after_load = uses_float = unmasks = False
        aligned = []
        for instruction in self._engine.disasm(code, address):
            name = instruction.mnemonic.split(".")[0]
            loads = name.startswith(("ldr", "vldr"))
            cycles += _cost(name, instruction, after_load)
            after_load = loads
            count += 1
            uses_float |= name.startswith("v")
            unmasks |= name.startswith(("cps", "msr"))
            access = _aligned(name, instruction)
            if access is not None:
                aligned.append(access)
        if not count:  # capstone does not know it; the processor may
            count = cycles = max(len(code) // 2, 1)
        endless = code in (SELF_BRANCH, LONG_SELF_CALL)
        return BlockCost(count, cycles * FIFTHS, uses_float, endless, unmasks, tuple(aligned))

    def left_of_condition(self, address: int, code: bytes, left: int) -> int:
        """Instructions after a block that an IT still covers; ``left``: of those in it."""
        for instruction in self._engine.disasm(code, address):
            name = instruction.mnemonic
            left = len(name) - 1 if IT.fullmatch(name) else max(left - 1, 0)
        return left

    def accessed(self, address: int, code: bytes, get: Callable[[str], int]) -> int | None:
        """The memory address that the first instruction accesses; ``get`` gives registers."""
        for instruction in self._engine.disasm(code, address, 1):
            for operand in instruction.operands:
                if operand.type == MEMORY:
                    base = _register(instruction, operand.mem.base)
                    start = address + 4 & ~3 if base == "pc" else get(base)
                    if operand.mem.index:
                        index = get(_register(instruction, operand.mem.index))
                        start += index << operand.shift.value
                    moved = 0 if instruction.post_index else operand.mem.disp
                    return start + moved & 0xFFFFFFFF
            return get(_register(instruction, instruction.operands[0].reg))
        return None

    def lines(self, address: int, code: bytes) -> list[tuple[int, str]]:
        """(address, text) of every instruction."""
        return [
            (found.address, f"{found.mnemonic} {found.op_str}".rstrip())
            for found in self._engine.disasm(code, address)
        ]


def _cost(name: str, instruction, after_load: bool) -> int:
    """Cycles of one instruction."""
    if name.startswith(MULTIPLE):
        return 1 + _registers(name, instruction)
    if name.startswith(DOUBLE):
        return 3
    if name.startswith(("ldr", "vldr")):
        return 1 if after_load else 2
    if name.startswith(("udiv", "sdiv")):
        return DIVIDE
    if name.startswith(("vdiv", "vsqrt")):
        return FLOAT_DIVIDE
    return 1


def _registers(name: str, instruction) -> int:
    """How many registers a multiple load or store names."""
    operands = len(instruction.operands)
    return operands if "push" in name or "pop" in name else max(operands - 1, 1)


def _aligned(name: str, instruction) -> AlignedAccess | None:
    """What must be a multiple of 4, or None; the stack pointer and literals always are."""
    if not name.startswith(ALIGNED):
        return None
    operands = instruction.operands
    for operand in operands:
        if operand.type == MEMORY:
            base = _register(instruction, operand.mem.base)
            if base in NOT_BASES or operand.mem.index:
                return None
            offset = 0 if instruction.post_index else operand.mem.disp
            return AlignedAccess(instruction.address, name, base, offset)
    base = _register(instruction, operands[0].reg)
    if base in NOT_BASES:
        return None
    return AlignedAccess(instruction.address, name, base, 0)


def _register(instruction, number: int) -> str:
    """A register's plain name."""
    name = instruction.reg_name(number)
    return ALIASES.get(name, name)
