"""The computer's end of the line: a port, and requests that are answered exactly once.

Lost, doubled and broken frames are asked for again under the same sequence number; the board
carries a number out once, so what it learns it learns once.
"""

from __future__ import annotations

import os
import secrets
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from max78k_sim.errors import InputError, Max78kError

from . import messages as protocol
from .messages import Frame, FrameReader

BAUD = 115_200
BITS_A_BYTE = 10  # start, eight, stop
ANSWER_SECONDS = 2.0  # that a board may take for an answer, beside the time of the bytes
SAVE_SECONDS = 10.0  # ... for erasing and writing flash
SLOW = ("save", "forget")
TRIES = 20  # of one request
SEQUENCES = 1 << 16


class LinkError(Max78kError):
    """The board does not answer, or refuses."""


class Refused(LinkError):
    """The board's error; ``name`` is one of protocol.ERRORS."""

    def __init__(self, message: str, name: str, detail: int):
        super().__init__(message)
        self.name, self.detail = name, detail


class Line(Protocol):
    """Bytes in both directions."""

    def write(self, data: bytes) -> None:
        """Send."""

    def read(self, seconds: float) -> bytes:
        """What has come, at once; nothing when nothing comes in that time."""


# --- ports


def open_port(name: str, baud: int = BAUD) -> Line:
    """A serial port or pseudo-terminal by its file name; COM3 or a URL (socket://...) by pyserial.

    InputError when there is none, or it cannot be opened.
    """
    if "://" in name or name.upper().startswith("COM"):
        return _pyserial(name, baud)
    if not Path(name).exists():
        raise InputError(f"no such port{_ports_there()}", file=name)
    return FilePort(name, baud)


def _ports_there() -> str:
    """Which there are, for the message."""
    folder = Path("/dev")
    names = [str(file) for kind in ("ttyACM*", "ttyUSB*", "cu.*") for file in folder.glob(kind)]
    return "; there are: " + ", ".join(sorted(names)) if names else "; none is connected"


class FilePort:
    """A terminal device: no echo, no translation, eight bits, no flow control."""

    def __init__(self, name: str, baud: int):
        import termios
        import tty

        self.name = name
        try:
            self.file = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"cannot be opened: {error.strerror}", file=name) from None
        try:
            tty.setraw(self.file)
            settings = termios.tcgetattr(self.file)
            settings[2] |= termios.CLOCAL | termios.CREAD
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self.file, termios.TCSANOW, settings)
            termios.tcflush(self.file, termios.TCIFLUSH)
        except (termios.error, AttributeError):
            os.close(self.file)
            raise InputError(f"is no serial port, or not one of {baud:,} baud", file=name) from None

    def write(self, data: bytes) -> None:
        """Send all."""
        try:
            while data:
                select.select([], [self.file], [])
                data = data[os.write(self.file, data) :]
        except OSError as error:
            raise LinkError(f"{self.name}: {error.strerror}; was it unplugged?") from None

    def read(self, seconds: float) -> bytes:
        """What has come."""
        try:
            if not select.select([self.file], [], [], max(seconds, 0))[0]:
                return b""
            return os.read(self.file, 4096)
        except OSError as error:
            raise LinkError(f"{self.name}: {error.strerror}; was it unplugged?") from None

    def close(self) -> None:
        """Give the port back."""
        os.close(self.file)


def _pyserial(name: str, baud: int) -> Line:
    try:
        import serial
    except ImportError:
        raise InputError(
            "this kind of port needs pyserial: pip install 'max78k[board]'", file=name
        ) from None
    try:
        port = serial.serial_for_url(name, baudrate=baud, timeout=0)
    except (serial.SerialException, ValueError) as error:
        raise InputError(f"cannot be opened: {error}", file=name) from None
    return _SerialPort(port)


class _SerialPort:
    """A port of pyserial."""

    def __init__(self, port):
        self.port = port

    def write(self, data: bytes) -> None:
        """Send all."""
        self.port.write(data)

    def read(self, seconds: float) -> bytes:
        """What has come."""
        self.port.timeout = max(seconds, 0)
        first = self.port.read(1)
        self.port.timeout = 0
        return first + self.port.read(4096) if first else b""


# --- requests


@dataclass
class Counts:
    """What it took."""

    requests: int = 0
    repeated: int = 0  # sent once more
    silent: int = 0  # ... because no answer came in time
    faulty: int = 0  # frames from the board that could not be read
    refused: int = 0  # frames that the board could not read


class Link:
    """A session: ``request`` gives the fields of an answer.

    ``session``: a number that is not 0; by default a random one.  ``seconds``: to wait for an
    answer.  ``clock``: seconds, as time.monotonic.
    """

    def __init__(
        self,
        line: Line,
        *,
        session: int | None = None,
        seconds: float = ANSWER_SECONDS,
        baud: int = BAUD,
        clock=time.monotonic,
    ):
        self.line, self.seconds, self.baud, self.clock = line, seconds, baud, clock
        self.session = session or secrets.randbelow((1 << 32) - 1) + 1
        self.sequence = -1
        self.counts = Counts()
        self._reader = FrameReader()

    def hello(self, digest: bytes | None = None) -> dict[str, Any]:
        """Begin a session; Refused when the board has another network."""
        if self.sequence >= 0:  # answers of the one before must not be taken for ours
            self.session = self.session % ((1 << 32) - 1) + 1
        self.sequence = -1
        return self.request(
            "hello", version=protocol.VERSION, digest=digest or bytes(protocol.DIGEST_BYTES)
        )

    def request(self, name: str, **values: Any) -> dict[str, Any]:
        """The answer's fields; asked again until it comes, TRIES times at most.

        Raises Refused for the board's errors, LinkError when it stays silent.
        """
        message = protocol.BY_NAME[name]
        self.sequence = (self.sequence + 1) % SEQUENCES
        payload = protocol.encode_fields(message.request, values)
        frame = Frame(message.number, self.sequence, self.session, payload)
        encoded = protocol.encode_frame(frame)
        self.counts.requests += 1
        for attempt in range(TRIES):
            self.counts.repeated += attempt > 0
            self.line.write(encoded)
            answer = self._answer(frame, self._patience(name, encoded))
            if answer is not None:
                return self._fields(message, answer)
        raise LinkError(
            f"no answer to {name!r} in {self._patience(name, encoded):.1f} s, {TRIES} times"
            f"{self._heard()}; is it the right port, at {self.baud:,} baud, and does the board run "
            "a program of max78k generate --train --protocol?"
        )

    def _patience(self, name: str, encoded: bytes) -> float:
        """Seconds to wait."""
        line = (len(encoded) + 2 * protocol.LONGEST_FRAME) * BITS_A_BYTE / self.baud
        return (SAVE_SECONDS if name in SLOW else self.seconds) + line

    def _heard(self) -> str:
        """What came instead, for the message."""
        counts = self.counts
        broken = counts.faulty + counts.refused
        return f" ({broken} frames with CRC errors)" if broken else ""

    def _answer(self, asked: Frame, seconds: float) -> Frame | None:
        """The answer of this number; None when it is time to ask again."""
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0:
            data = self.line.read(left)
            before = self._reader.faulty
            frames = self._reader.feed(data)
            broken = self._reader.faulty - before
            self.counts.faulty += broken
            for frame in frames:
                if (frame.session, frame.sequence) == (asked.session, asked.sequence):
                    return frame
                if frame.session == protocol.NOBODY and frame.number == protocol.ERROR:
                    self.counts.refused += 1
                    broken += 1
            if broken:
                return None
        self.counts.silent += 1
        return None

    def _fields(self, message: protocol.Message, answer: Frame) -> dict[str, Any]:
        if answer.number == message.number | protocol.ANSWER:
            return protocol.decode_fields(message.answer, answer.payload)
        if answer.number != protocol.ERROR:
            raise LinkError(f"answer {answer.number} to {message.name!r}: another protocol?")
        name, detail, text = protocol.error_of(answer.payload)
        raise Refused(f"the board refuses {message.name!r}: {text} ({detail:#x})", name, detail)
