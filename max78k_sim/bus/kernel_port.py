"""KernelPort: kernel memory as a processor writes it, word by word.

Unpacked: the fourth word of a slot commits the three before it.  Packed ("mexpress"): a byte 1
written to ``A | 1`` names a kernel word, and the words that follow are a stream of bytes, most
significant first, of which nine fill a kernel word.  Reads are always of the unpacked form, and
need no port.  (Matches the vendor's generator; eight programs that ran on silicon load so.)
"""

from __future__ import annotations

from ..device import WORD, WORD_MASK
from ..errors import NotEmulated
from ..memory import Memory
from ..packing import KERNEL_BYTES, KERNEL_SLOT

SLOT_WORDS = KERNEL_SLOT // WORD
SET_ADDRESS = 1  # the byte that names the first kernel word, and its byte address in a word
FIRST_BITS = 8 * (KERNEL_BYTES - 1)  # below the byte that a slot's first word holds


class KernelPort:
    """The half-written words of every processor's kernel memory."""

    def __init__(self, memory: Memory):
        self.region = memory.device.region("kernel")
        self.memory = memory
        self._words = memory.view("kernel")
        self._streams: dict[int, list[int]] = {}  # processor -> [kernel word, bytes, their value]
        self._slots: dict[int, tuple[int, dict[int, int]]] = {}  # processor -> slot, its words

    def forget(self, group: int | None = None) -> None:
        """Drop what is half-written, of one quadrant or of all."""
        for waiting in (self._streams, self._slots):
            for processor in list(waiting):
                if group is None or processor // self.region.units == group:
                    del waiting[processor]

    def begin(self, processor: int, offset: int, value: int) -> None:
        """A byte written at ``offset`` from the processor's first slot: where the stream begins."""
        if value != SET_ADDRESS or offset % WORD != SET_ADDRESS:
            raise NotEmulated(
                f"a byte 0x{value:02x} at byte {offset % WORD} of a kernel word: only a byte 1 at "
                "byte 1, which begins a packed stream, has a known meaning"
            )
        self._streams[processor] = [offset // WORD, 0, 0]

    def next_word(self, processor: int) -> int | None:
        """The kernel word that a processor's packed stream fills now; None without a stream."""
        stream = self._streams.get(processor)
        return None if stream is None else stream[0]

    def write_packed(self, processor: int, value: int) -> None:
        """The next four bytes of a stream; their address does not matter."""
        stream = self._streams.get(processor)
        if stream is None:
            raise NotEmulated(
                f"packed kernels for processor {processor} before a byte 1 says where they begin"
            )
        entry, count, waiting = stream
        waiting = waiting << 32 | value
        count += WORD
        if count >= KERNEL_BYTES:
            count -= KERNEL_BYTES
            left = 8 * count
            self._commit(processor, entry, waiting >> left)
            stream[0] = entry + 1
            waiting &= (1 << left) - 1
        stream[1], stream[2] = count, waiting

    def write_unpacked(self, processor: int, offset: int, value: int) -> None:
        """One of the four words of a slot; the fourth commits, whatever its value."""
        slot, word = divmod(offset // WORD, SLOT_WORDS)
        begun, words = self._slots.get(processor, (slot, {}))
        if begun != slot:
            raise NotEmulated(
                f"processor {processor}: kernel word {slot} is written before the fourth word "
                f"committed kernel word {begun}"
            )
        if word < SLOT_WORDS - 1:
            words[word] = value
            self._slots[processor] = slot, words
            return
        if len(words) < SLOT_WORDS - 1:
            raise NotEmulated(
                f"processor {processor}: kernel word {slot} is committed, but only "
                f"{len(words)} of its three words were written"
            )
        del self._slots[processor]
        self._commit(processor, slot, (words[0] & 0xFF) << FIRST_BITS | words[1] << 32 | words[2])

    def _commit(self, processor: int, entry: int, bits: int) -> None:
        """Store 72 bits, byte 0 the most significant."""
        if entry >= self.region.entries:
            raise NotEmulated(
                f"processor {processor}: kernel word {entry} is written; the last one is "
                f"{self.region.entries - 1}, and what lies past it is not known"
            )
        words, first = self._words, (processor * self.region.entries + entry) * SLOT_WORDS
        words[first] = bits >> FIRST_BITS
        words[first + 1] = bits >> 32 & WORD_MASK
        words[first + 2] = bits & WORD_MASK
        self.memory.versions["kernel"] += 1
