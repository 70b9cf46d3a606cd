"""Fault: an access that the chip does not allow, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError, Max78kError

# Kind -> what is wrong; {group} is the quadrant of the address.
KINDS = {
    "unmapped": "nothing answers there",
    "width": "the accelerator takes accesses of 32 bits only",
    "misaligned": "it is not the address of a 32-bit word",
    "running": "the accelerator is running",
    "unclocked": "the accelerator has no clock (GCR.pclkdis0, 0x40000024: bit 25 is 1)",
    "unpowered": "quadrant {group} has no power (GCFR.reg0, 0x40005800: bit {group} is 0)",
    "reset": "quadrant {group} is held in reset (GCFR.reg3, 0x4000580c: bit {group} is 1)",
    "isolated": "quadrant {group} is isolated (GCFR.reg2, 0x40005808: bit {group} is 1)",
    "memory off": "the memories of quadrant {group} have no power (GCFR.reg1, 0x40005804: bit "
    "{group} is 0)",
    "asleep": "the kernel memory of quadrant {group} is off or asleep (always-on register, "
    "0x50001000)",
    "not started": "CTRL.clock, bit 3, is 0 in quadrant {group}: it cannot run",
}


@dataclass(frozen=True)
class Fault:
    """One illegal access.

    ``kind`` is a key of KINDS; ``value`` is None for a read; ``meaning`` is what lies at the
    address, in words; ``program_counter`` is None where the caller has none.
    """

    kind: str
    address: int
    size: int  # bytes
    value: int | None
    reason: str
    meaning: str
    program_counter: int | None = None

    def __str__(self):
        count = "1 byte" if self.size == 1 else f"{self.size} bytes"
        what = f"read of {count}"
        if self.value is not None:
            what = f"write of 0x{self.value:x} ({count})"
        at = f"; program counter 0x{self.program_counter:08x}" if self.program_counter else ""
        return f"{what} at 0x{self.address:08x}: {self.reason} ({self.meaning}){at}"


class IllegalAccess(Max78kError):
    """The program did what the chip does not allow; ``fault`` says what and where."""

    def __init__(self, fault: Fault):
        super().__init__(str(fault))
        self.fault = fault


Policy = Callable[[Fault], object]


def stop(fault: Fault) -> None:
    """The policy "stop": raise IllegalAccess."""
    raise IllegalAccess(fault)


def ignore(fault: Fault) -> None:
    """The policy "report": the bus keeps the fault, and goes on."""


POLICIES: dict[str, Policy] = {"stop": stop, "report": ignore}


def find_policy(policy: str | Policy) -> Policy:
    """A policy by its name, or the callable given; InputError for another name."""
    if callable(policy):
        return policy
    if policy not in POLICIES:
        raise InputError(f"policy {policy!r}: there are {', '.join(POLICIES)}, or a function")
    return POLICIES[policy]
