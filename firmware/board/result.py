"""How a run ended: a Result, or a FirmwareError that names what the program did wrong."""

from __future__ import annotations

from dataclasses import dataclass

from max78k_sim.errors import Max78kError

from ..verdict import verdict_of


class FirmwareError(Max78kError):
    """The program did what the chip forbids: the message says what, where and in which function."""


@dataclass(frozen=True)
class Result:
    """Why a run stopped, and what it had come to.

    ``reason``: "loop" (a branch to itself that nothing can end; also after main returned), "asleep"
    (WFI that no modelled source can end), "breakpoint", "stopped" (a hook asked), or the limit
    that was reached: "instructions", "cycles", "seconds", "uart".
    """

    reason: str
    pc: int  # address of the next instruction
    function: str  # that it stands in
    instructions: int
    cycles: int  # of the processor: a model, see docs/emulator.md
    seconds: float  # on the chip, by the clocks that the program chose
    uart: str

    @property
    def verdict(self) -> str:
        """The program's own: "pass", "fail" (wins), or "none" when it printed neither."""
        if self.function in ("fail", "abort", "mxc_assert"):
            return "fail"
        return verdict_of(self.uart)

    @property
    def ended(self) -> bool:
        """It came to its end by itself: no limit, no breakpoint."""
        return self.reason in ("loop", "asleep")
