"""The accelerator on the processor's bus: accesses, its interrupt, and how long a run takes."""

from __future__ import annotations

from max78k_sim.bus import Bus
from max78k_sim.latency import OVERHEAD_CYCLES
from max78k_sim.machine import Machine

from .clock import Clock
from .interrupts import Interrupts

BASE, SIZE = 0x5000_0000, 0x120_0000
LINE = 101  # interrupt line: exception 117
INTERNAL_HERTZ = 60_000_000  # the oscillator that CNNCLKSEL 1 selects
EVENT = "accelerator"


class Accelerator:
    """``bus`` in time: a run ends, and interrupts, when its accelerator cycles have passed."""

    base, size = BASE, SIZE

    def __init__(self, clock: Clock, interrupts: Interrupts):
        self.clock, self.interrupts = clock, interrupts
        self.bus = Bus(Machine("MAX78000"), powered=False, timed=True)
        self.bus.on_interrupt = self._interrupt
        self.cycles = 0  # of the accelerator, in all runs
        self.runs = 0
        self._ends: int | None = None
        self._line = False
        self.read = self.bus.read
        self._owned: dict[int, bool] = {}

    def owns(self, address: int) -> bool:
        """Whether an address outside of the accelerator's window is the bus's too."""
        if address not in self._owned:
            self._owned[address] = self.bus.answers(address)
        return self._owned[address]

    def write(self, address: int, size: int, value: int) -> None:
        """A write; it may start a run, stop it, or clear the interrupt."""
        bus = self.bus
        bus.write(address, size, value)
        if bus.runner.running or self._ends is not None:
            self._follow()
        if self._line and not bus.interrupt:
            self._line = False
            self.interrupts.line(LINE, False)

    def _follow(self) -> None:
        """Set the event at which the present run ends."""
        runner = self.bus.runner
        if not runner.running or runner.stopped or runner.remaining is None:
            if self._ends is not None:
                self._ends = None
                self.clock.schedule(EVENT, None, self._end)
            return
        if self._ends is None:
            self.cycles += runner.remaining + OVERHEAD_CYCLES
            self.runs += 1
            source, divider = self.bus.power.clock
            hertz = (INTERNAL_HERTZ if source else self.clock.hertz // 2) // divider
            taken = (runner.remaining + OVERHEAD_CYCLES) * self.clock.hertz // hertz
            self._ends = self.clock.cycles() + taken
            self.clock.schedule(EVENT, self._ends, self._end)

    def _end(self) -> None:
        self._ends = None
        self.bus.runner.finish()

    def _interrupt(self) -> None:
        self._line = True
        self.interrupts.line(LINE, True)
