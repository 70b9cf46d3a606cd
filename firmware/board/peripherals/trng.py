"""TRNG: numbers that a run repeats: a xorshift generator, not random."""

from .registers import Registers

DATA = 0x08


class Model(Registers):
    """True random numbers, here the same in every run."""

    moving = frozenset({DATA})

    def __init__(self, row, services):
        super().__init__(row, services)
        self.state = 0x2545F491

    def read(self, offset: int) -> int:
        """A new number at DATA."""
        if offset != DATA:
            return super().read(offset)
        for shift in (13, -17, 5):
            moved = self.state << shift if shift > 0 else self.state >> -shift
            self.state ^= moved & 0xFFFFFFFF
        return self.state
