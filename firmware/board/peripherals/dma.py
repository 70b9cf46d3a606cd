"""DMA: four channels; memory to memory, and memory to a UART, done at once when enabled."""

from .registers import Registers

INTERRUPT_ENABLE, INTERRUPT_FLAGS, FIRST, STRIDE, CHANNELS = 0x000, 0x004, 0x100, 0x20, 4
CONTROL, STATUS, SOURCE, DESTINATION, COUNT, SOURCE_RELOAD, DESTINATION_RELOAD, COUNT_RELOAD = (
    range(0x00, 0x20, 4)
)
ENABLED, RELOADS, REQUEST, REQUEST_MASK = 1, 2, 4, 0x3F
SOURCE_MOVES, DESTINATION_MOVES = 1 << 18, 1 << 22
DISABLED_INTERRUPT, DONE_INTERRUPT = 1 << 30, 1 << 31
RUNS, PENDING, DONE, RELOADED = 1, 2, 4, 8
MEMORY_TO_MEMORY = 0
FIRST_LINE = 28  # interrupt line of channel 0
# request -> address of the FIFO that it feeds
FIFOS = {0x24: 0x40042020, 0x25: 0x40043020, 0x2E: 0x40044020}


class Model(Registers):
    """The DMA controller."""

    def read(self, offset: int) -> int:
        """A register."""
        if offset == INTERRUPT_FLAGS:
            return sum(self._asks(channel) << channel for channel in range(CHANNELS))
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        """A register; enabling a channel does its whole transfer."""
        channel, register = divmod(offset - FIRST, STRIDE)
        if register == STATUS and channel >= 0:
            self.words[offset] = self.words.get(offset, 0) & ~value
        else:
            super().write(offset, value)
        if 0 <= channel < CHANNELS and register == CONTROL and value & ENABLED:
            self._transfer(channel, value)
        for number in range(CHANNELS):
            self._line(number)

    def _transfer(self, channel: int, control: int) -> None:
        """Move COUNT bytes; then the reload registers, when asked, once."""
        base = FIRST + STRIDE * channel
        request = control >> REQUEST & REQUEST_MASK
        if request != MEMORY_TO_MEMORY and request not in FIFOS:
            self.services.warn(f"DMA request 0x{request:x} is not modelled: nothing is moved")
            return
        count = self.words.get(base + COUNT, 0)
        data = self.services.memory.read(self.words.get(base + SOURCE, 0), count)
        if request == MEMORY_TO_MEMORY:
            self.services.memory.write(self.words.get(base + DESTINATION, 0), data)
        else:
            for byte in data:
                self.services.memory.store_word(FIFOS[request], byte)
        status = self.words.get(base + STATUS, 0) | DONE
        if control & RELOADS and self.words.get(base + COUNT_RELOAD, 0) >> 31:
            for register, reload in (
                (SOURCE, SOURCE_RELOAD),
                (DESTINATION, DESTINATION_RELOAD),
                (COUNT, COUNT_RELOAD),
            ):
                self.words[base + register] = self.words.get(base + reload, 0) & 0x7FFFFFFF
            self.words[base + COUNT_RELOAD] &= 0x7FFFFFFF
            self.words[base + STATUS] = status | RELOADED
            self._transfer(channel, control)
            return
        self.words[base + COUNT] = 0
        self.words[base + CONTROL] = control & ~ENABLED
        self.words[base + STATUS] = status & ~RUNS | PENDING

    def _asks(self, channel: int) -> bool:
        """A channel has something to say."""
        base = FIRST + STRIDE * channel
        control, status = self.words.get(base + CONTROL, 0), self.words.get(base + STATUS, 0)
        done = control & DONE_INTERRUPT and status & DONE
        return bool(done or (control & DISABLED_INTERRUPT and not control & ENABLED and status))

    def _line(self, channel: int) -> None:
        enabled = self.words.get(INTERRUPT_ENABLE, 0) >> channel & 1
        self.services.interrupts.line(FIRST_LINE + channel, bool(enabled and self._asks(channel)))
