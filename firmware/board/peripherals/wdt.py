"""WDT: counts and is fed, but never resets: a run that would be reset is told so by a warning."""

from .registers import Registers

CONTROL, FEED = 0x00, 0x04
ENABLED, RESETS = 1 << 8, 1 << 11


class Model(Registers):
    """A watchdog."""

    def write(self, offset: int, value: int) -> None:
        """Store; enabling a reset is not modelled."""
        super().write(offset, value)
        if offset == CONTROL and value & ENABLED and value & RESETS:
            self.services.warn(f"{self.row.name} is on: its reset is not modelled")
