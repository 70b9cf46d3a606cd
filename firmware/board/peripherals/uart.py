"""UART: what is sent is kept as text; what is received comes from ``receive``.

A character takes no time: the transmit FIFO is always empty.
"""

from collections import deque
from collections.abc import Callable

from .registers import Registers

CONTROL, STATUS, ENABLE, FLAGS, FIFO, PEEK = 0x00, 0x04, 0x08, 0x0C, 0x20, 0x18
RECEIVE_EMPTY, TRANSMIT_EMPTY, RECEIVE_FULL = 1 << 4, 1 << 6, 1 << 5
RECEIVE_LEVEL = 8
RECEIVE_THRESHOLD, TRANSMIT_HALF_EMPTY = 1 << 4, 1 << 6
FLUSHES = 1 << 8 | 1 << 9
DEPTH = 8


class Model(Registers):
    """A serial port."""

    def __init__(self, row, services):
        super().__init__(row, services)
        self.sent = bytearray()
        self.listeners: list[Callable[[bytes], None]] = []
        self.received: deque[int] = deque()

    def read(self, offset: int) -> int:
        """A register; STATUS and FIFO follow what waits."""
        waiting = min(len(self.received), DEPTH)
        if offset == STATUS:
            state = TRANSMIT_EMPTY | waiting << RECEIVE_LEVEL
            return state | RECEIVE_EMPTY * (not waiting) | RECEIVE_FULL * (waiting == DEPTH)
        if offset == FIFO:
            byte = self.received.popleft() if self.received else 0
            self._interrupt()
            return byte
        if offset == CONTROL:
            return super().read(offset) & ~FLUSHES
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        """A register; FIFO sends."""
        if offset == FIFO:
            self.sent.append(value & 0xFF)
            for listener in self.listeners:
                listener(bytes([value & 0xFF]))
            self._flag(TRANSMIT_HALF_EMPTY)
        elif offset == FLAGS:
            self.words[FLAGS] = self.words.get(FLAGS, 0) & ~value
        else:
            super().write(offset, value)
            if offset == CONTROL and value & 1 << 9:
                self.received.clear()
        self._interrupt()

    def receive(self, data: bytes) -> None:
        """Let bytes arrive."""
        self.received.extend(data)
        self._flag(RECEIVE_THRESHOLD)
        self._interrupt()

    def _flag(self, flag: int) -> None:
        self.words[FLAGS] = self.words.get(FLAGS, 0) | flag

    def _interrupt(self) -> None:
        threshold = max(self.words.get(CONTROL, 0) & 0xF, 1)
        if len(self.received) >= threshold:
            self._flag(RECEIVE_THRESHOLD)
        self.line(bool(self.words.get(FLAGS, 0) & self.words.get(ENABLE, 0)))
