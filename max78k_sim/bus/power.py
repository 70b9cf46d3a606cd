"""Power: which quadrants answer, and what a quadrant forgets when it is switched off or reset.

Registers: GCFR (power, memory power, isolation, reset), two of GCR (clock gate, reset), and the
always-on register.  The order that silicon needs is not checked.  That a reset clears registers and
keeps memories, and that switching off loses both, is inferred.
"""

from __future__ import annotations

from ..device import WORD_MASK, Device
from ..memory import Memory
from .kernel_port import KernelPort

CLOCK_GATE = 25  # bit of GCR.pclkdis0, and of GCR.rst0
CLOCK_DIVIDER, CLOCK_SOURCE = 14, 17  # bits of GCR.pclkdiv: three of CNNCLKDIV, one of CNNCLKSEL
ASLEEP, POWER_DOWN = 8, 12  # bits of quadrant 0 in the always-on register
DIVIDERS = (2, 4, 8, 16, 1)  # by CNNCLKDIV
DIVIDER_REGISTER, GATE_REGISTER = 0, 1  # entries among the clock registers
POWERED = (0xF, 0xF, 0, 0)  # GCFR registers as the vendor's cnn_enable() leaves them
OFF = (0, 0, 0xF, 0)
STORED = ("kernel", "bias", "data", "line buffer")
REGISTERS = ("quadrant register", "layer register")
SHARED_REGISTERS = ("fifo register", "fast fifo register")


class Power:
    """The power, clock and reset registers of the accelerator, and what follows from them.

    They are kept here, not in Memory: ``Machine.load`` resets a Memory, and touches no switch.
    ``lost`` is the byte that memories hold after they had no power (silicon promises nothing; 0
    hides a program that relies on them, another value shows it).
    """

    def __init__(self, memory: Memory, kernels: KernelPort, on: bool, lost: int = 0):
        self.memory, self.kernels, self.lost = memory, kernels, lost
        self.device: Device = memory.device
        self._gcfr = list(POWERED if on else OFF)
        self._clock = [0, 0 if on else 1 << CLOCK_GATE]
        self._always_on = [0]
        self.words = {
            "power register": self._gcfr,
            "clock register": self._clock,
            "always-on register": self._always_on,
            "reset register": [0],  # resets end by themselves
        }

    @property
    def clocked(self) -> bool:
        """Whether the clock gate is open."""
        return not self._clock[GATE_REGISTER] >> CLOCK_GATE & 1

    @property
    def clock(self) -> tuple[int, int]:
        """(CNNCLKSEL: 0 the peripheral clock, 1 the internal oscillator; divider)."""
        word = self._clock[DIVIDER_REGISTER]
        code = word >> CLOCK_DIVIDER & 7
        return word >> CLOCK_SOURCE & 1, DIVIDERS[min(code, len(DIVIDERS) - 1)]

    def obstacle(self, region: str, group: int) -> str | None:
        """Why a region of a quadrant does not answer, a key of faults.KINDS; None when it does."""
        power, memory, isolate, reset = (
            self._gcfr[entry] >> group & 1 for entry in range(len(POWERED))
        )
        always_on = self._always_on[0] >> group
        for kind, holds in (
            ("unpowered", not power),
            ("isolated", isolate),
            ("reset", reset),
            ("unclocked", not self.clocked),
            ("memory off", region in STORED and not memory),
            ("asleep", region == "kernel" and (always_on >> ASLEEP | always_on >> POWER_DOWN) & 1),
        ):
            if holds:
                return kind
        return None

    def write(self, region: str, entry: int, value: int) -> bool:
        """Store a power, clock, reset or always-on register; whether a quadrant was cleared."""
        if region == "reset register":
            return self._reset_all() if value >> CLOCK_GATE & 1 else False
        words = self.words[region]
        before, words[entry] = words[entry], value
        risen, fallen = value & ~before, before & ~value
        if region == "always-on register":
            for group in range(4):
                if risen >> POWER_DOWN + group & 1:
                    self._lose(("kernel",), group)
        return region == "power register" and self._switch(entry, fallen, risen)

    def _reset_all(self) -> bool:
        """The accelerator's reset in GCR."""
        for group in range(4):
            self.reset(group)
        self._reset_shared()
        return True

    def _switch(self, entry: int, fallen: int, risen: int) -> bool:
        """A change of GCFR power (0), memory power (1) or reset (3) bits."""
        for group in range(4):
            if entry == 0 and fallen >> group & 1:
                self.reset(group)
                self._lose(STORED, group)
            elif entry == 1 and fallen >> group & 1:
                self._lose(STORED, group)
            elif entry == 3 and risen >> group & 1:
                self.reset(group)
        if (entry, self._gcfr[entry]) in ((0, 0), (3, 0xF)):  # every quadrant
            self._reset_shared()
        return bool((fallen, 0, 0, risen)[entry])

    def reset(self, group: int) -> None:
        """A quadrant's registers to 0; its memories keep their contents."""
        for region in REGISTERS:
            self.memory.arrays[region][group] = 0
        self.kernels.forget(group)

    def _reset_shared(self) -> None:
        """The FIFOs' registers to 0."""
        for region in SHARED_REGISTERS:
            self.memory.arrays[region][:] = 0

    def _lose(self, regions: tuple[str, ...], group: int) -> None:
        """Memories of a quadrant that had no power."""
        word = self.lost * (WORD_MASK // 0xFF)
        for name in regions:
            masks = self.device.region(name).word_masks
            for index, mask in enumerate(masks):
                self.memory.arrays[name][group, :, :, index] = word & mask
            self.memory.versions[name] += 1
