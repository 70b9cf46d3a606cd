"""Where a serial port's text goes: standard output, a file, or a pseudo-terminal."""

from __future__ import annotations

import os
import select
import sys
from contextlib import ExitStack
from pathlib import Path

from max78k_sim.errors import InputError

from .board import Board

POLL_SECONDS = 0.001  # on the chip, between looks at what was typed
EVENT = "terminal"


def connect(board: Board, where: str | None, opened: ExitStack) -> str | None:
    """Send the ports' text somewhere; gives the name of a pseudo-terminal that was made.

    ``opened`` closes what was opened.
    """
    if where is None:
        attach(board, _standard_output)
        return None
    if where == "pty":
        return _pseudo_terminal(board, opened)
    try:
        stream = opened.enter_context(Path(where).open("wb", buffering=0))  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=where) from None
    attach(board, stream.write)
    return None


def attach(board: Board, send) -> None:
    """Call ``send`` with everything that any port sends."""
    for port in board.devices.ports.values():
        port.listeners.append(send)


def _standard_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    if data == b"\n":
        sys.stdout.flush()


def _pseudo_terminal(board: Board, opened: ExitStack) -> str:
    """A new pseudo-terminal; what is typed there arrives at UART0."""
    ours, theirs = os.openpty()
    opened.callback(os.close, ours)
    opened.callback(os.close, theirs)
    attach(board, lambda data: os.write(ours, data))

    def look() -> None:
        if select.select([ours], [], [], 0)[0]:
            board.send(os.read(ours, 256))
        again = board.cycles + max(int(POLL_SECONDS * board.clock.hertz), 1)
        board.clock.schedule(EVENT, again, look)

    look()
    return os.ttyname(theirs)
