"""Mlator: data memory read one lane at a time, four bytes in a word."""

from __future__ import annotations

from ..errors import NotEmulated
from ..memory import Memory

WORDS = 4  # of data memory behind one read of MLAT


class Mlator:
    """A read pointer for each quadrant.  (The vendor's cnn_unload uses it; never on silicon.)"""

    def __init__(self, memory: Memory):
        self.memory = memory
        self.units = {row.name: row for row in memory.device.layer_registers}
        self._data = memory.view("data")
        self._next = [0] * memory.device.region("mlator").groups  # word of data memory

    def load(self, group: int) -> None:
        """CTRL.mlator went from 0 to 1: reads begin at the write pointer of layer 0."""
        words = self.memory.arrays["layer register"][group, :, 0, 0]
        if words[self.units["LCTL1"].unit]:
            raise NotEmulated("mlator with an increment (LCTL1 of layer 0 is not 0)")
        row = self.units["WPTR_BASE"]
        place = row.decode(int(words[row.unit]))
        entries = self.memory.device.region("data").entries
        self._next[group] = place["write_instance"] * entries + place["write_word"]

    def read(self, group: int, control: dict[str, int]) -> int:
        """Four successive bytes of the lane that CTRL names, the first one the lowest."""
        if not control["mlator"]:
            raise NotEmulated(f"MLAT of quadrant {group} is read while CTRL.mlator is 0")
        first = self._next[group]
        words = self._data[first : first + WORDS]
        if len(words) < WORDS:
            raise NotEmulated("mlator reads past the end of data memory")
        self._next[group] = first + WORDS
        shift = 8 * control["mlator_lane"]
        return sum((word >> shift & 0xFF) << 8 * place for place, word in enumerate(words))
