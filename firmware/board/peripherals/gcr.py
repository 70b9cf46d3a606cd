"""GCR: the choice of the system clock; the rest is storage."""

from .. import clock
from .registers import Registers

CLOCK_CONTROL = 0x08
SELECT, SELECT_MASK = 9, 7
DIVIDER, DIVIDER_MASK = 6, 7


class Model(Registers):
    """Global control registers."""

    def write(self, offset: int, value: int) -> None:
        """Store; another clock changes how long a cycle is."""
        super().write(offset, value)
        if offset == CLOCK_CONTROL:
            source = clock.SOURCES.get(value >> SELECT & SELECT_MASK, 0)
            self.services.clock.select(source >> (value >> DIVIDER & DIVIDER_MASK))
