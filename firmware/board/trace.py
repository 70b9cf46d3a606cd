"""Accesses as they happen: as lines with names, and as a recording that can be replayed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError
from max78k_sim.explain import explain
from max78k_sim.programs.replay import INTERRUPT, READ, WRITE, Trace, save_trace

from .accelerator import LINE
from .board import Board
from .interrupts import FIRST_LINE

SLOT = 16  # bytes of a kernel word
PLANNED = re.compile(r": [^:]*0x[0-9a-f]{8}$")  # what the network has a register hold
Watch = Callable[[str, int, int, int], None]


def watch(board: Board, action: Watch) -> None:
    """Call ``action("read" or "write", address, size, value)`` at every access to a device."""
    before = board.devices.watch

    def both(kind: str, address: int, size: int, value: int) -> None:
        assert before is not None
        before(kind, address, size, value)
        action(kind, address, size, value)

    board.devices.watch = action if before is None else both


class Tracer:
    """Writes a line for every access to the accelerator and to peripherals.

    With a plan, elements have their names: ``conv2 kernel [3,5], row 1``; without, regions do.
    """

    def __init__(self, board: Board, stream: IO[str], plan: Plan | None = None):
        self.board, self.stream = board, stream
        self.source = plan or board.accelerator.bus.device
        self._names: dict[int, str] = {}
        watch(board, self._access)

    def _access(self, kind: str, address: int, size: int, value: int) -> None:
        board = self.board
        line = (
            f"{board.cycles:>12} {board.function() or hex(board.pc):<24} {kind:<5} "
            f"0x{address:08x} = 0x{value:0{2 * size}x}  {self.name(kind, address)}\n"
        )
        self.stream.write(line)

    def name(self, kind: str, address: int) -> str:
        """What lies at an address; of a packed stream, what it writes now."""
        accelerator = self.board.accelerator
        inside = accelerator.base <= address < accelerator.base + accelerator.size
        if not inside and not accelerator.owns(address & ~3):
            return self.board.devices.name(address)
        if kind == "write":
            address = self._streamed(address)
        if address not in self._names:
            try:
                text = explain(self.source, address).partition(": ")[2]
                self._names[address] = PLANNED.sub("", text)
            except InputError:
                self._names[address] = "nothing"
        return self._names[address]

    def _streamed(self, address: int) -> int:
        """Address of the kernel word that a packed write goes to; other addresses unchanged."""
        bus = self.board.accelerator.bus
        place = bus.memory.find(address & ~3)
        if place is None or place[0] != "kernel":
            return address
        where = bus.device.locate(address)
        if not bus.machine.control(where.group)["packed_kernels"]:
            return address
        region = bus.device.region("kernel")
        word = bus.kernels.next_word(where.group * region.units + where.unit)
        return address if word is None else region.address(where.group, where.unit) + SLOT * word


class Recorder:
    """Keeps every access to the accelerator; ``save`` writes a trace that can be replayed.

    Reads of its power and clock registers are left out: what they give depends on the rest of GCR.
    """

    def __init__(self, board: Board):
        self.board = board
        self.rows: list[tuple[int, int, int, int]] = []  # kind, size, address, value
        watch(board, self._access)
        board.interrupts.on_enter = self._entered

    def _access(self, kind: str, address: int, size: int, value: int) -> None:
        at = self.board.accelerator
        inside = at.base <= address < at.base + at.size
        if inside or (kind == "write" and at.owns(address & ~3)):
            self.rows.append((WRITE if kind == "write" else READ, size, address, value))

    def _entered(self, exception: int) -> None:
        if exception == LINE + FIRST_LINE:
            self.rows.append((INTERRUPT, 0, 0, 0))

    def save(self, file: Path) -> None:
        """Write the trace."""
        kind, size, address, value = np.array(self.rows, np.int64).reshape(-1, 4).T
        narrow = kind.astype(np.uint8), size.astype(np.uint8)
        wide = address.astype(np.uint32), value.astype(np.uint32)
        save_trace(Trace(file.stem, *narrow, *wide), file)
