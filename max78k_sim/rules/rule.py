"""What a rule is: a row with a name, where it comes from, what it says, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..device import Device
from ..errors import HardwareLimit, Max78kError
from ..layer import DataBuffer, Layer

LIMITATIONS = "Limitations of MAX78000 Networks"
DESCRIPTION = "YAML Network Description"
GENERATOR = "the vendor's generator"
REGISTERS = "the registers"
PROJECT = "this project"


class Checked(Protocol):
    """What the rules look at: a network, checked already or not."""

    @property
    def device(self) -> Device:
        """The chip."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """In order of execution."""

    @property
    def file(self) -> str | None:
        """The description."""

    @property
    def fifo(self) -> bool:
        """Whether the input comes through FIFOs."""

    @property
    def fast_fifo(self) -> bool:
        """Whether that is the one of the RISC-V core."""

    @property
    def data_buffer(self) -> DataBuffer | None:
        """The rolling buffer."""

    def streams_into_next(self, layer: Layer) -> bool:
        """Whether a layer's output is read as it appears."""


Check = Callable[[Checked, Layer], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """One limit.

    ``source``: the chapter that states it; ``statement``: one sentence with the limit; ``check``:
    yields a message for each way in which a layer breaks it, None for a rule that is enforced
    where the values are made (``where``: that file).  Where a ``basic`` rule is broken, the rules
    after it say nothing useful of that layer.  ``note``: what other sources say instead.
    """

    name: str
    source: str
    statement: str
    kind: type[Max78kError] = HardwareLimit
    check: Check | None = None
    basic: bool = False
    note: str = ""
    where: str = ""


def layer_error(network: Checked, layer: Layer, rule: Rule, message: str) -> Max78kError:
    """The error for one layer, with its place in the description file."""
    message = f"layer {layer.index} ({layer.name}): {message}"
    return rule.kind(message, file=network.file, line=layer.line, rule=rule.name)
