"""The board's memory for people and for DMA: slices of bytes at bus addresses, without effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from max78k_sim.errors import InputError

from ..memories import MEMORIES

if TYPE_CHECKING:
    from .board import Board

WORD = 4


class BoardMemory:
    """``memory[address]`` is a byte, ``memory[first:end]`` bytes; both can be assigned.

    Plain memory, and the accelerator's kernel, bias and data memory as it holds them.  A peripheral
    is reached with ``load_word`` and ``store_word``, which have the effects of an access.
    """

    def __init__(self, board: Board):
        self._board = board

    def __getitem__(self, where: int | slice):
        if isinstance(where, slice):
            first, end = self._bounds(where)
            return self.read(first, end - first)
        return self.read(where, 1)[0]

    def __setitem__(self, where: int | slice, value: int | bytes) -> None:
        if isinstance(where, slice):
            first, end = self._bounds(where)
            data = bytes(value)
            if len(data) != end - first:
                raise InputError(f"{len(data)} bytes for {end - first} of memory")
            self.write(first, data)
        else:
            self.write(where, bytes([value]))  # type: ignore[list-item]

    @staticmethod
    def _bounds(where: slice) -> tuple[int, int]:
        if where.start is None or where.stop is None or where.step not in (None, 1):
            raise InputError("memory is sliced with both ends: board.memory[0x20000000:0x20000010]")
        return where.start, where.stop

    def read(self, address: int, size: int) -> bytes:
        """Bytes from an address on; InputError where there is no memory."""
        if plain(address, size):
            return self._board.cpu.read(address, size)
        first = address & ~(WORD - 1)
        count = -(-(address + size - first) // WORD)
        words = self._board.accelerator.bus.machine.memory.read(first, count)
        return words.astype("<u4").tobytes()[address - first :][:size]

    def write(self, address: int, data: bytes) -> None:
        """Store bytes from an address on."""
        if plain(address, len(data)):
            self._board.cpu.write(address, data)
            return
        memory = self._board.accelerator.bus.machine.memory
        if address % WORD or len(data) % WORD:
            raise InputError(f"0x{address:08x}: the accelerator's memory is written in words")
        words = [int.from_bytes(data[n : n + WORD], "little") for n in range(0, len(data), WORD)]
        memory.write(address, words)

    def load_word(self, address: int) -> int:
        """Read a word as the processor does."""
        if plain(address, WORD):
            return int.from_bytes(self._board.cpu.read(address, WORD), "little")
        devices = self._board.devices
        at = self._board.accelerator
        if at.base <= address < at.base + at.size:
            return devices.read_accelerator(address, WORD)
        return devices.read(address, WORD)

    def store_word(self, address: int, value: int) -> None:
        """Write a word as the processor does."""
        if plain(address, WORD):
            self._board.cpu.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))
            return
        devices, at = self._board.devices, self._board.accelerator
        inside = at.base <= address < at.base + at.size
        (devices.write_accelerator if inside else devices.write)(address, WORD, value)


def plain(address: int, size: int) -> bool:
    """Whether a range lies in one of the processor's memories."""
    return any(each.base <= address and address + size <= each.end for each in MEMORIES)
