"""FLC: erases pages and programs words of flash at once; a bit can only go from 1 to 0.

``failing``, where it is set, is asked before each operation: (address, bytes before, bytes after)
-> bytes that are left there, for tests in which power fails in the middle of one.
"""

from collections.abc import Callable

from ...memories import FLASH, FLASH_PAGE
from ..result import FirmwareError
from .registers import Registers

ADDRESS, CONTROL, FLAGS, DATA = 0x00, 0x08, 0x24, 0x30
WRITE, ERASE_ALL, ERASE_PAGE, WIDTH_32, PENDING = 1, 1 << 1, 1 << 2, 1 << 4, 1 << 24
ERASE_CODE, ALL_CODE, PAGE_CODE = 0xFF00, 0xAA00, 0x5500
UNLOCK, UNLOCKED = 0xF << 28, 2 << 28
DONE, FAILED = 1, 2


class Model(Registers):
    """The flash controller."""

    failing: Callable[[int, bytes, bytes], bytes] | None = None

    def read(self, offset: int) -> int:
        """A register; never busy."""
        word = super().read(offset)
        return word & ~(WRITE | ERASE_ALL | ERASE_PAGE | PENDING) if offset == CONTROL else word

    def write(self, offset: int, value: int) -> None:
        """A register; CONTROL acts."""
        super().write(offset, value)
        if offset != CONTROL or not value & (WRITE | ERASE_ALL | ERASE_PAGE):
            return
        address = FLASH.base + self.words.get(ADDRESS, 0) % FLASH.size
        failed = value & UNLOCK != UNLOCKED
        if not failed and value & WRITE:
            words = 1 if value & WIDTH_32 else 4
            self._program(address & ~(4 * words - 1), words)
        elif not failed and value & ERASE_PAGE and value & ERASE_CODE == PAGE_CODE:
            self._store(address & ~(FLASH_PAGE - 1), b"\xff" * FLASH_PAGE)
        elif not failed and value & ERASE_ALL and value & ERASE_CODE == ALL_CODE:
            self._store(FLASH.base, b"\xff" * FLASH.size)
        else:
            failed = True
        self.words[CONTROL] = value & ~(WRITE | ERASE_ALL | ERASE_PAGE)
        self.words[FLAGS] = self.words.get(FLAGS, 0) | (FAILED if failed else DONE)

    def _program(self, address: int, words: int) -> None:
        """DATA into flash."""
        data = b"".join(self.words.get(DATA + 4 * n, 0).to_bytes(4, "little") for n in range(words))
        before = self.services.memory.read(address, len(data))
        if any(new & ~old for old, new in zip(before, data, strict=True)):
            raise FirmwareError(
                f"programs flash 0x{address:08x}, which holds {before.hex()}, with {data.hex()}: "
                "bits go from 1 to 0 only; erase the page first"
            )
        self._store(address, data)

    def _store(self, address: int, after: bytes) -> None:
        """What an operation leaves."""
        memory = self.services.memory
        if self.failing is not None:
            after = self.failing(address, memory.read(address, len(after)), after)
        memory.write(address, after)
