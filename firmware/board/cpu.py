"""The Cortex-M4F: unicorn's engine, its memories, and the loop hooks that count and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import unicorn
from unicorn import arm_const

from ..memories import MEMORIES, SRAM
from . import hooks
from .cycles import FIFTHS, AlignedAccess, CostModel

WRITABLE = (SRAM.name,)
PAGE = 1 << 10  # bytes: of unicorn's Cortex-M
ERASED = b"\xff"
NAMES = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "xpsr", "msp", "psp", "control")
MASKS = ("primask", "basepri", "faultmask", "ipsr")
FLOATS = (*(f"s{n}" for n in range(32)), "fpscr")
REGISTERS = {
    name: getattr(arm_const, f"UC_ARM_REG_{name.upper()}") for name in (*NAMES, *MASKS, *FLOATS)
}
# unicorn's numbers of exceptions that reach its interrupt hook
UNDEFINED, SUPERVISOR, BREAKPOINT, EXCEPTION_EXIT, NO_COPROCESSOR = 1, 2, 7, 8, 17
WFI, WFE = b"\x30\xbf", b"\x20\xbf"
CONDITION = 0x0600_FC00  # xPSR: what remains of an IT instruction
NOWHERE = 0xFFFF_FFFE  # no program runs there


@dataclass
class Stop:
    """Why ``Cpu.run`` came back.

    ``kind``: "time", "loop", "float", "instructions", "unaligned", "exception", "wait" (WFI or
    WFE), "fault" or "asked".
    """

    kind: str
    pc: int
    number: int = 0  # of an exception
    text: str = ""  # of a fault


class Cpu:
    """Registers and memories of one processor, and ``run`` until something wants attention."""

    def __init__(self):
        self.engine = new_engine()
        self.costs = CostModel()
        self.ledger = np.zeros(hooks.LENGTH, np.int64)
        self.ledger[hooks.LIMIT] = np.iinfo(np.int64).max
        self._aligned: dict[int, tuple[AlignedAccess, np.ndarray]] = {}
        self._exception = 0
        self._fault = ""
        self._asked = False
        self.callbacks: dict[int, Any] = {}
        self.phase_of: Callable[[int, int], int] = lambda address, size: 0  # of a block that is new
        for name, base, size in MEMORIES:
            self.engine.mem_map(base, size, protection(name))
            if name not in WRITABLE:
                self.engine.mem_write(base, ERASED * size)
        self._code_pages: set[int] = set()
        # address where a run stopped -> instructions from there on that an IT instruction covers
        self._covered: dict[int, int] = {}
        self.engine.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self.engine.hook_add(unicorn.UC_HOOK_TLB_FILL, self._on_page)
        hooks.install(self.engine, unicorn.UC_HOOK_BLOCK, hooks.on_block, self.ledger)
        self.engine.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)

    # registers and memory

    def get(self, name: str) -> int:
        """A register."""
        return self.engine.reg_read(REGISTERS[name])

    def set(self, name: str, value: int) -> None:
        """Change a register; the Thumb bit of pc is set here."""
        self.engine.reg_write(REGISTERS[name], value | 1 if name == "pc" else value)

    @property
    def pc(self) -> int:
        """Address of the next instruction; inside of a device access: of its block or itself."""
        return self.engine.reg_read(REGISTERS["pc"])

    def read(self, address: int, size: int) -> bytes:
        """Bytes of plain memory."""
        return bytes(self.engine.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Store bytes to plain memory, flash too; code there is translated again."""
        self.engine.mem_write(address, data)
        self.forget(address, len(data))

    def forget(self, address: int, size: int) -> None:
        """Drop what is kept about code that changed."""
        first = hooks.TABLE + hooks.slot_of(address)
        self.ledger[first : first + (size + 1) // 2] = 0
        for place in [place for place in self._covered if address <= place < address + size]:
            del self._covered[place]
        self.engine.ctl_remove_cache(address, address + size)

    def map_device(
        self,
        base: int,
        size: int,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None],
    ) -> None:
        """Let ``read(address, size)`` and ``write(address, size, value)`` serve a range."""

        def on_read(engine, offset, size, _):
            try:
                return read(base + offset, size)
            except BaseException as error:
                self._raised(error)
                return 0

        def on_write(engine, offset, size, value, _):
            try:
                write(base + offset, size, value)
            except BaseException as error:
                self._raised(error)

        self.engine.mmio_map(base, size, on_read, None, on_write, None)

    def _raised(self, error: BaseException) -> None:
        """An error inside of a callback: unicorn cannot carry it, so ``run`` raises it."""
        if self.error is None:
            self.error = error
        self.engine.emu_stop()

    error: BaseException | None = None

    # running

    @property
    def cycles(self) -> int:
        """Processor cycles since reset, by the model; of blocks that began."""
        return int(self.ledger[hooks.FIFTHS]) // FIFTHS

    @property
    def instructions(self) -> int:
        """Instructions since reset; of blocks that began."""
        return int(self.ledger[hooks.INSTRUCTIONS])

    @property
    def phases(self) -> np.ndarray:
        """int64 [phase]: fifths of a cycle that blocks of each phase took; a copy."""
        return self.ledger[hooks.PHASES : hooks.PHASES + hooks.MOST_PHASES].copy()

    def spend(self, cycles: int) -> None:
        """Let time pass in which no instruction ran."""
        self.ledger[hooks.FIFTHS] += cycles * FIFTHS

    def jump(self, address: int) -> None:
        """Continue elsewhere, not by a branch: nothing is charged for it."""
        self.set("pc", address)
        self.ledger[hooks.END] = address & ~1

    def attend(self) -> None:
        """Come back from ``run`` at the next block, for example to take an interrupt."""
        self.ledger[hooks.DEADLINE] = 0

    def stop(self) -> None:
        """Come back from ``run`` now; from inside of a hook on an address."""
        self._asked = True
        self.engine.emu_stop()

    def run(self, deadline: int, count: int = 0) -> Stop:
        """Run until a cycle count is reached, or something happens; ``count``: instructions."""
        ledger = self.ledger
        ledger[hooks.DEADLINE] = deadline * FIFTHS
        while True:
            pc = self.pc
            begin, size = int(ledger[hooks.WHERE]), int(ledger[hooks.SIZE])
            counted = ledger[hooks.WHY] == 0 and begin < pc < begin + size
            ledger[hooks.RESUMING] = int(counted)
            ledger[hooks.WHY] = 0
            self._exception, self._asked, self._fault = 0, False, ""
            try:
                self.engine.emu_start(pc | 1, NOWHERE, count=count)
            except unicorn.UcError as error:
                self._fault = self._describe(error)
            if self.error is not None:
                raised, self.error = self.error, None
                raise raised
            self._leave_condition()
            if ledger[hooks.WHY] == hooks.NEW_BLOCK:
                self._learn(int(ledger[hooks.WHERE]), int(ledger[hooks.SIZE]))
                continue
            return self._why()

    def _leave_condition(self) -> None:
        """Clear what unicorn keeps of an IT instruction when it stops right after its last one.

        It would skip what comes next.  Only a stop within an IT's reach goes on with it; a block
        can begin there, and the next one too, where the instructions lie across a page's end.
        """
        status = self.get("xpsr")
        if not status & CONDITION:
            return
        begin, end, pc = int(self.ledger[hooks.BEGIN]), int(self.ledger[hooks.END]), self.pc
        if begin <= pc <= end:
            ran, left = self.read(begin, pc - begin), self._covered.get(begin, 0)
            self._covered[pc] = self.costs.left_of_condition(begin, ran, left)
        if not self._covered.get(pc):
            self.set("xpsr", status & ~CONDITION)

    def _why(self) -> Stop:
        """What stopped the engine."""
        pc, why = self.pc, int(self.ledger[hooks.WHY])
        kinds = {
            hooks.TIME: "time",
            hooks.LOOP: "loop",
            hooks.NO_FLOAT: "float",
            hooks.TOO_MANY: "instructions",
        }
        if why:
            return Stop(kinds[why], pc)
        for access, row in self._aligned.values():
            if row[hooks.ALIGNED_FAULT]:
                row[hooks.ALIGNED_FAULT] = 0
                address = int(row[hooks.ALIGNED_VALUE]) + access.offset
                return Stop("unaligned", pc, address, access.mnemonic)
        if self._asked:
            return Stop("asked", pc)
        if self._exception:
            return Stop("exception", pc, self._exception)
        if self._opcode_before(pc) in (WFI, WFE):
            return Stop("wait", pc)
        if self._fault:
            return Stop("fault", pc, text=self._fault)
        return Stop("asked", pc)

    def _opcode_before(self, pc: int) -> bytes:
        """The two bytes before an address, where there is memory."""
        try:
            return self.read(pc - 2, 2)
        except unicorn.UcError:
            return b""

    def _learn(self, address: int, size: int) -> None:
        """Decode a block that runs for the first time."""
        cost = self.costs.block(address, self.read(address, size))
        entry = hooks.KNOWN | cost.fifths | cost.instructions << hooks.COST_BITS
        entry |= hooks.USES_FLOAT * cost.uses_float | hooks.ENDLESS * cost.endless
        entry |= hooks.UNMASKS * cost.unmasks | self.phase_of(address, size) << hooks.PHASE_BITS
        self.ledger[hooks.TABLE + hooks.slot_of(address)] = entry
        new = [access for access in cost.aligned if access.address not in self._aligned]
        for access in new:
            row = np.zeros(hooks.ALIGNED_LENGTH, np.int64)
            row[hooks.ALIGNED_REGISTER] = REGISTERS[access.base]
            row[hooks.ALIGNED_OFFSET] = access.offset
            self._aligned[access.address] = (access, row)
            begin = access.address
            hooks.install(self.engine, unicorn.UC_HOOK_CODE, hooks.on_aligned, row, begin, begin)
        if new:
            self.engine.ctl_remove_cache(address, address + size)

    def _on_exception(self, engine, number: int, _) -> None:
        self._exception = number
        engine.emu_stop()

    def _describe(self, error: unicorn.UcError) -> str:
        """What an error of the engine means.

        The address is worked out from the instruction: a hook that gets it makes every access slow.
        """
        what = ERRORS.get(error.errno)
        if what is None or "{}" not in what:
            return what or str(error)
        pc = self.pc
        if error.errno in FETCHES:
            return what.format(f"0x{pc:08x}")
        address = self.costs.accessed(pc, self.read(pc, 4), self.get)
        return what.format("memory" if address is None else f"0x{address:08x}")

    def _on_page(self, engine, address: int, access: int, entry, _) -> bool:
        """Let unicorn reach a page; SRAM without code as data only: stores are then 10 times faster
        (unicorn looks for code to translate again at every store to a page that may hold some).
        """
        page = address & ~(PAGE - 1)
        if access != unicorn.UC_MEM_FETCH and self.get("xpsr") & CONDITION:
            self.attend()  # unicorn would go on with the IT instruction in the next block
        if access == unicorn.UC_MEM_FETCH:
            self._code_pages.add(page)
        data = SRAM.base <= page < SRAM.end and page not in self._code_pages
        entry.paddr = page
        entry.perms = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE if data else unicorn.UC_PROT_ALL
        return True

    def hook(self, address: int, action: Callable[[], object]) -> int:
        """Call ``action`` whenever the instruction at an address is about to run."""

        def called(engine, address, size, _):
            try:
                action()
            except BaseException as error:
                self._raised(error)

        begin = address & ~1
        self.engine.ctl_remove_cache(begin, begin + 2)
        handle = self.engine.hook_add(unicorn.UC_HOOK_CODE, called, begin=begin, end=begin)
        self.callbacks[handle] = called
        return handle

    def unhook(self, handle: int) -> None:
        """Undo ``hook``."""
        self.engine.hook_del(handle)
        del self.callbacks[handle]

    def hits(self) -> dict[int, tuple[int, int, int]]:
        """Block address -> (times it ran, instructions, fifths of cycles), all that ran."""
        table = self.ledger[hooks.TABLE : hooks.TABLE + hooks.SLOTS]
        counts = self.ledger[hooks.TABLE + hooks.SLOTS : hooks.PHASES]
        found = {}
        for slot in np.flatnonzero(counts):
            count, entry = int(counts[slot]), int(table[slot])
            fifths = entry & ((1 << hooks.COST_BITS) - 1)
            instructions = entry >> hooks.COST_BITS & ((1 << hooks.COUNT_BITS) - 1)
            found[hooks.address_of(int(slot))] = (count, count * instructions, count * fifths)
        return found


ERRORS = {
    unicorn.UC_ERR_INSN_INVALID: "runs an instruction that the Cortex-M4 does not have",
    unicorn.UC_ERR_READ_UNMAPPED: "reads {}, where nothing is",
    unicorn.UC_ERR_WRITE_UNMAPPED: "writes {}, where nothing is",
    unicorn.UC_ERR_FETCH_UNMAPPED: "runs on at {}, where nothing is",
    unicorn.UC_ERR_WRITE_PROT: "writes {}, which is flash or ROM: only the flash controller may",
    unicorn.UC_ERR_FETCH_PROT: "runs on at {}, which holds no code",
}
FETCHES = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)


def new_engine() -> Any:
    """A Cortex-M4 without memory."""
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    engine.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
    return engine


def protection(name: str) -> int:
    """Flash and ROM cannot be stored to; programming flash goes through its controller."""
    executable = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
    return executable | unicorn.UC_PROT_WRITE if name in WRITABLE else executable
