"""TMR0 to TMR5: the 32-bit timer (cascade) and its lower half A; compare, one-shot, continuous.

The upper 16-bit half (B) as a timer of its own and the capture modes are not built: they warn.
"""

from .registers import Registers

COUNT, COMPARE, FLAGS, CONTROL0, CONTROL1 = 0x00, 0x04, 0x0C, 0x10, 0x18
INTERRUPT_A, WRITTEN = 1, 1 << 8 | 1 << 24
MODE, PRESCALER, CLOCK_ON, RUNS = 0xF, 4, 1 << 14, 1 << 15
CLOCK_B, RUNS_B = 1 << 30, 1 << 31
ENABLED, READY, ENABLED_B, READY_B = 1 << 2, 1 << 3, 1 << 18, 1 << 19
INTERRUPT_ENABLE = 1 << 8
ONE_SHOT, CONTINUOUS, COMPARES = 0, 1, 5
MODES = (ONE_SHOT, CONTINUOUS, COMPARES)
# Frequencies by CTRL1.CLKSEL in Hz, 0: half of the system clock (user guide, tables 20-1, 20-2).
SOURCES = {0: 0, 1: 60_000_000, 2: 7_372_800, 3: 32_768}
LOW_POWER_SOURCES = {0: 7_372_800, 1: 32_768, 2: 8_000, 3: 0}
LOW_POWER = ("TMR4", "TMR5")


class Model(Registers):
    """A timer; its count is computed when it is asked for."""

    moving = frozenset({COUNT})

    def __init__(self, row, services):
        super().__init__(row, services)
        self._base = self._since = 0  # the count, and the cycle at which it was that

    def read(self, offset: int) -> int:
        """A register; the clock is ready as soon as it is on."""
        if offset == COUNT:
            return self._count()
        word = super().read(offset)
        if offset == CONTROL1:
            control = self.words.get(CONTROL0, 0)
            for needed, bits in (
                (CLOCK_ON, READY),
                (RUNS, ENABLED),
                (CLOCK_B, READY_B),
                (RUNS_B, ENABLED_B),
            ):
                word = word | bits if control & needed else word & ~bits
        return word | WRITTEN if offset == FLAGS else word

    def write(self, offset: int, value: int) -> None:
        """A register; counting goes on from the present count with what changed."""
        self._base, self._since = self._count(), self.services.clock.cycles()
        if offset == COUNT:
            self._base = value & 0xFFFFFFFF
        elif offset == FLAGS:
            self.words[FLAGS] = self.words.get(FLAGS, 0) & ~value
            self._interrupt()
        else:
            super().write(offset, value)
        if offset == CONTROL0 and value & RUNS and value & MODE not in MODES:
            self.services.warn(f"{self.row.name} in mode {value & MODE}: only counts")
        if offset == CONTROL0 and value & RUNS_B:
            self.services.warn(f"{self.row.name}: its half B is not modelled")
        self._schedule()

    def _running(self) -> bool:
        needed = RUNS | CLOCK_ON
        return self.words.get(CONTROL0, 0) & needed == needed

    def _rate(self) -> tuple[int, int]:
        """Ticks a processor cycle, as a fraction."""
        hertz = self.services.clock.hertz
        select = self.words.get(CONTROL1, 0) & 3
        sources = LOW_POWER_SOURCES if self.row.name in LOW_POWER else SOURCES
        source = sources[select] or hertz // 2
        return source, hertz << (self.words.get(CONTROL0, 0) >> PRESCALER & 0xF)

    def _count(self) -> int:
        """COUNT now."""
        if not self._running():
            return self._base
        up, down = self._rate()
        count = self._base + (self.services.clock.cycles() - self._since) * up // down
        top = self.words.get(COMPARE, 0)
        if self.words.get(CONTROL0, 0) & MODE == CONTINUOUS and top and count > top:
            return 1 + (count - top - 1) % top
        return count & 0xFFFFFFFF

    def _schedule(self) -> None:
        """Set the event at which COUNT reaches COMPARE."""
        cycle = None
        top = self.words.get(COMPARE, 0)
        if self._running() and top:
            up, down = self._rate()
            ticks = (top - self._count()) & 0xFFFFFFFF or top
            cycle = self.services.clock.cycles() + -(-ticks * down // up)
        self.services.clock.schedule(self.row.name, cycle, self._match)

    def _match(self) -> None:
        """COUNT reached COMPARE."""
        self.words[FLAGS] = self.words.get(FLAGS, 0) | INTERRUPT_A
        mode = self.words.get(CONTROL0, 0) & MODE
        if mode == ONE_SHOT:
            self._base, self._since = 1, self.services.clock.cycles()
            self.words[CONTROL0] &= ~RUNS
        elif mode == CONTINUOUS:
            self._base, self._since = 1, self.services.clock.cycles()
        self._interrupt()
        self._schedule()

    def _interrupt(self) -> None:
        enabled = self.words.get(CONTROL1, 0) & INTERRUPT_ENABLE
        self.line(bool(enabled and self.words.get(FLAGS, 0) & INTERRUPT_A))
