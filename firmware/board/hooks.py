"""The two compiled functions that unicorn calls: at every basic block, and before instructions that
must be aligned.  They see one int64 array, the Ledger; everything rarer is Python's.
"""

from __future__ import annotations

import ctypes

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, types

from max78k_sim.errors import InputError

try:
    from unicorn.unicorn_py3 import unicorn as binding
except ImportError:
    raise InputError("emulating needs unicorn: pip install 'max78k[emulate]'") from None

from ..memories import FLASH, ROM, SRAM
from .cycles import TAKEN_BRANCH

# Places in the Ledger.
FIFTHS = 0  # fifths of a processor cycle so far
INSTRUCTIONS = 1
DEADLINE = 2  # in fifths: the block after it does not start
END = 3  # address past the block before, to see whether a branch was taken
WHY = 4  # why the hook stopped the processor
WHERE = 5  # address of that block
SIZE = 6  # its bytes
FLOAT_ON = 7  # CPACR gives access to the FPU
FLOAT_USED = 8  # a block with float instructions ran: the frame of an exception is the long one
RESUMING = 9  # the next block is the rest of one that was counted
LIMIT = 10  # instructions
BEGIN = 12  # address of the last block that ran
MASKED = 11  # an exception waits that PRIMASK, BASEPRI or FAULTMASK holds back
PHASE = 13  # of the program, by the last block that belongs to one
TABLE = 16  # then: one entry a slot (a halfword of code), then how often each ran
# Where code may lie: (top bits of the address, mask of the rest, first slot).
FLASH_SLOTS, SRAM_SLOTS, ROM_SLOTS = (memory.size // 2 for memory in (FLASH, SRAM, ROM))
SLOTS = FLASH_SLOTS + SRAM_SLOTS + ROM_SLOTS
PHASES = TABLE + 2 * SLOTS  # fifths of a cycle in each phase; phase 0: before any
MOST_PHASES = 16
LENGTH = PHASES + MOST_PHASES
# An entry of the table.
COST_BITS, COUNT_BITS = 20, 12
USES_FLOAT, ENDLESS, KNOWN, UNMASKS = 1 << 32, 1 << 33, 1 << 34, 1 << 35
PHASE_BITS = 36  # and up: the block's phase; 0: that of the block before it
# Reasons.
TIME, NEW_BLOCK, NO_FLOAT, LOOP, TOO_MANY, UNALIGNED = range(1, 7)

STOP = types.ExternalFunction("uc_emu_stop", types.int32(types.voidptr))
READ = types.ExternalFunction(
    "uc_reg_read", types.int32(types.voidptr, types.int32, types.CPointer(types.int64))
)
SIGNATURE = types.void(types.voidptr, types.uint64, types.uint32, types.CPointer(types.int64))
llvmlite.binding.load_library_permanently(binding.uclib._name)


def slot_of(address: int) -> int:
    """Index of a code address in the Ledger's tables (the compiled hook has the same line)."""
    if address >> 28 == 1:
        return (address & 0x7FFFF) >> 1
    if address >> 28 == 2:
        return FLASH_SLOTS + ((address & 0x1FFFF) >> 1)
    return FLASH_SLOTS + SRAM_SLOTS + ((address & 0xFFFF) >> 1)


@cfunc(SIGNATURE, cache=True)
def on_block(engine, address, size, data):  # noqa: C901 - compiled: no calls
    """Count a block that is about to run, or stop before it."""
    ledger = carray(data, (LENGTH,), dtype=np.int64)
    place = np.int64(address)
    if place >> 28 == 1:
        slot = (place & 0x7FFFF) >> 1
    elif place >> 28 == 2:
        slot = FLASH_SLOTS + ((place & 0x1FFFF) >> 1)
    else:
        slot = FLASH_SLOTS + SRAM_SLOTS + ((place & 0xFFFF) >> 1)
    entry = ledger[TABLE + slot]
    why = 0
    if ledger[FIFTHS] >= ledger[DEADLINE]:
        why = TIME
    elif entry == 0:
        why = NEW_BLOCK
    elif entry >= USES_FLOAT and (entry & USES_FLOAT) != 0 and ledger[FLOAT_ON] == 0:
        why = NO_FLOAT
    elif (entry & ENDLESS) != 0 and ledger[RESUMING] == 0 and ledger[END] == place + size:
        why = LOOP  # the second time round
    elif ledger[INSTRUCTIONS] >= ledger[LIMIT]:
        why = TOO_MANY
    ledger[WHERE] = place
    ledger[SIZE] = size
    if why:
        ledger[WHY] = why
        STOP(engine)
        return
    ledger[BEGIN] = place
    phase = entry >> PHASE_BITS
    if phase != 0:
        ledger[PHASE] = phase
    if ledger[RESUMING]:
        ledger[RESUMING] = 0
        ledger[END] = place + size
        return
    taken = TAKEN_BRANCH if place != ledger[END] else 0
    cost = taken + (entry & ((1 << COST_BITS) - 1))
    ledger[FIFTHS] += cost
    ledger[PHASES + (ledger[PHASE] & (MOST_PHASES - 1))] += cost
    ledger[INSTRUCTIONS] += (entry >> COST_BITS) & ((1 << COUNT_BITS) - 1)
    if (entry & USES_FLOAT) != 0:
        ledger[FLOAT_USED] = 1
    if (entry & UNMASKS) != 0 and ledger[MASKED] != 0:
        ledger[DEADLINE] = 0
    ledger[TABLE + SLOTS + slot] += 1
    ledger[END] = place + size


# A row of on_aligned: the register's contents (read there), its number, the offset, what was found.
ALIGNED_VALUE, ALIGNED_REGISTER, ALIGNED_OFFSET, ALIGNED_FAULT, ALIGNED_LENGTH = range(5)


@cfunc(SIGNATURE, cache=True)
def on_aligned(engine, address, size, data):
    """Stop before an instruction whose base is not a multiple of 4; ``data``: one of its rows."""
    row = carray(data, (ALIGNED_LENGTH,), dtype=np.int64)
    READ(engine, types.int32(row[ALIGNED_REGISTER]), data)
    if (row[ALIGNED_VALUE] + row[ALIGNED_OFFSET]) & 3:
        row[ALIGNED_FAULT] = 1
        STOP(engine)


def install(engine, kind: int, hook, data: np.ndarray, begin: int = 1, end: int = 0) -> None:
    """Register a compiled hook with unicorn, which its Python interface cannot."""
    handle = ctypes.c_size_t()
    status = binding.uclib.uc_hook_add(
        engine._uch,
        ctypes.byref(handle),
        ctypes.c_int(kind),
        ctypes.c_void_p(hook.address),
        ctypes.c_void_p(data.ctypes.data),
        ctypes.c_uint64(begin),
        ctypes.c_uint64(end),
    )
    if status:
        raise RuntimeError(f"unicorn: uc_hook_add gave {status}")


def address_of(slot: int) -> int:
    """Address of a slot: the inverse of ``slot_of``."""
    if slot < FLASH_SLOTS:
        return FLASH.base + 2 * slot
    if slot < FLASH_SLOTS + SRAM_SLOTS:
        return SRAM.base + 2 * (slot - FLASH_SLOTS)
    return 2 * (slot - FLASH_SLOTS - SRAM_SLOTS)
