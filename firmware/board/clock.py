"""Time: processor cycles, seconds, and what is to happen when."""

from __future__ import annotations

from collections.abc import Callable

# Frequencies of the clock sources by GCR.CLKCTRL.SYSCLK_SEL, in Hz (user guide, chapter 4).
SOURCES = {
    0: 60_000_000,  # ISO
    3: 8_000,  # INRO
    4: 100_000_000,  # IPO
    5: 7_372_800,  # IBRO
    6: 32_768,  # ERTCO
    7: 0,  # external
}
NEVER = 1 << 58  # cycles


class Clock:
    """Counts processor cycles and turns them into seconds; ``schedule`` sets what comes when.

    ``cycles`` is called for the number of cycles so far, so that the processor's own counter is
    the only one.
    """

    def __init__(self, cycles: Callable[[], int]):
        self.cycles = cycles
        self.hertz = SOURCES[0]
        self._seconds = 0.0  # up to the last change of frequency
        self._since = 0  # cycles at that change
        self._events: dict[object, tuple[int, Callable[[], None]]] = {}
        self.changed: Callable[[], None] = lambda: None  # called when the next event is nearer

    def select(self, hertz: int) -> None:
        """Run on another frequency from now on."""
        if hertz and hertz != self.hertz:
            self._seconds, self._since = self.seconds(), self.cycles()
            self.hertz = hertz

    def seconds(self) -> float:
        """Since reset."""
        return self._seconds + (self.cycles() - self._since) / self.hertz

    def schedule(self, key: object, cycle: int | None, action: Callable[[], None]) -> None:
        """Call ``action`` when ``cycle`` has come (None: not at all); a key has one event."""
        self._events.pop(key, None)
        if cycle is not None:
            self._events[key] = (cycle, action)
            self.changed()

    def next_event(self) -> int:
        """Cycle of the next event; NEVER when nothing is to come."""
        return min((cycle for cycle, _ in self._events.values()), default=NEVER)

    def run_due(self) -> None:
        """Do everything that is due, in its order."""
        while self.next_event() <= self.cycles():
            key, (_, action) = min(self._events.items(), key=lambda item: item[1][0])
            del self._events[key]
            action()
