"""RTC: seconds and 1/4096 seconds since it was set; always ready, never busy."""

from functools import partial

from .registers import Registers

SECONDS, SUBSECONDS, ALARM, SUBSECOND_ALARM, CONTROL = 0x00, 0x04, 0x08, 0x0C, 0x10
ENABLED, ALARM_ENABLE, SUBSECOND_ENABLE = 1, 2, 4
BUSY, READY, ALARM_FLAG, SUBSECOND_FLAG = 1 << 3, 1 << 4, 1 << 6, 1 << 7
TICKS = 4096  # a second
SUBSECOND_TOP = 1 << 32


class Model(Registers):
    """The real-time clock."""

    moving = frozenset({SECONDS, SUBSECONDS})

    def __init__(self, row, services):
        super().__init__(row, services)
        self._base, self._since = 0, 0.0  # ticks, and the second at which there were so many

    def read(self, offset: int) -> int:
        """A register."""
        if offset == SECONDS:
            return self._ticks() // TICKS & 0xFFFFFFFF
        if offset == SUBSECONDS:
            return self._ticks() % TICKS
        if offset == CONTROL:
            return super().read(offset) & ~BUSY | READY
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        """A register; alarms are set when they are written, or the clock is started."""
        self._base, self._since = self._ticks(), self.services.clock.seconds()
        if offset == SECONDS:
            self._base = value * TICKS + self._base % TICKS
        elif offset == SUBSECONDS:
            self._base = self._base // TICKS * TICKS + value % TICKS
        else:
            super().write(offset, value)
        self._schedule()
        self._interrupt()

    def _ticks(self) -> int:
        if not self.words.get(CONTROL, 0) & ENABLED:
            return self._base
        return self._base + int((self.services.clock.seconds() - self._since) * TICKS)

    def _schedule(self) -> None:
        """Set the events of both alarms."""
        control, clock = self.words.get(CONTROL, 0), self.services.clock
        waits: dict[str, int] = {}
        if control & ENABLED and control & ALARM_ENABLE:
            waits["alarm"] = self.words.get(ALARM, 0) * TICKS - self._ticks()
        if control & ENABLED and control & SUBSECOND_ENABLE:
            waits["subsecond"] = SUBSECOND_TOP - self.words.get(SUBSECOND_ALARM, 0)
        for key, flag in (("alarm", ALARM_FLAG), ("subsecond", SUBSECOND_FLAG)):
            ticks, cycle = waits.get(key, 0), None
            if ticks > 0:
                cycle = clock.cycles() + ticks * clock.hertz // TICKS
            clock.schedule((self.row.name, key), cycle, partial(self._alarm, flag))

    def _alarm(self, flag: int) -> None:
        self.words[CONTROL] = self.words.get(CONTROL, 0) | flag
        self._interrupt()
        self._schedule()

    def _interrupt(self) -> None:
        control = self.words.get(CONTROL, 0)
        alarm = control & ALARM_ENABLE and control & ALARM_FLAG
        self.line(bool(alarm or (control & SUBSECOND_ENABLE and control & SUBSECOND_FLAG)))
