"""The three kinds of error a person can meet; raised, never printed, never guessed around."""

from __future__ import annotations


class Max78kError(Exception):
    """Base of every error with a message for a person.

    The command line prints ``str(error)`` and exits with 2.  ``file``, ``line`` and ``column``
    (1-based) say where the cause stands, when it stands in a file; ``rule`` names the row of
    ``rules.RULES`` that was broken, when there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        line: int | None = None,
        column: int | None = None,
        rule: str | None = None,
    ):
        self.message, self.rule = message, rule
        self.file, self.line, self.column = file, line, column
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)

    def at(
        self,
        file: object,
        line: int | None = None,
        column: int | None = None,
        owner: str = "",
        rule: str | None = None,
    ):
        """The same error with its place in a file, what there it is about, and a rule's name."""
        message = f"{owner}: {self.message}" if owner else self.message
        return type(self)(message, file=file, line=line, column=column, rule=self.rule or rule)


class InputError(Max78kError):
    """What the user asked for is wrong: names the layer, field, value, limit and a legal value."""


class HardwareLimit(Max78kError):
    """The network is well formed, but the chip cannot do it."""


class NotEmulated(Max78kError):
    """The chip may do it, but its behaviour is not known or not built here; it is never guessed."""


def printable(text: object) -> str:
    """Text of a file in a message: one line, no control characters, not endless."""
    line = str(text)[:120]
    return line if line.isprintable() else ascii(line)
