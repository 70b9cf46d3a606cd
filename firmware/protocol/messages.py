"""What computer and board say to each other: one table, of which the C header is printed.

docs/protocol.md explains it.  A frame is  type (1 byte), sequence (2), session (4), payload, CRC-32
of all of it (4), little-endian, encoded by COBS between bytes of zero.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from max78k_sim.errors import Max78kError

VERSION = 1
MAX_PAYLOAD = 1024  # bytes
DIGEST_BYTES = 8
ANSWER = 0x80  # added to a request's number
ERROR = 0xFF
DELIMITER = 0
NOBODY = 0  # session of an answer to a frame that could not be read
HEADER = struct.Struct("<BHI")
CRC = struct.Struct("<I")
LONGEST_FRAME = HEADER.size + MAX_PAYLOAD + CRC.size  # before COBS

SIZES = {"u8": 1, "u16": 2, "u32": 4, "digest": DIGEST_BYTES}
CODES = {"u8": "B", "u16": "H", "u32": "I", "digest": f"{DIGEST_BYTES}s"}
OPEN = ("bytes", "text")  # the rest of the payload


@dataclass(frozen=True)
class Field:
    """A part of a payload; ``kind``: one of SIZES, or, as the last one, of OPEN."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Message:
    """A request and its answer."""

    name: str
    number: int
    meaning: str
    request: tuple[Field, ...] = ()
    answer: tuple[Field, ...] = ()


SAMPLE_PART = (
    Field("offset", "u32", "where in the sample these bytes belong"),
    Field("data", "bytes", "part of the sample's words, as the accelerator's memory takes them"),
)
MESSAGES = (
    Message(
        "hello",
        1,
        "who is there; begins the session that its header names",
        (
            Field("version", "u8", "of this protocol"),
            Field("digest", "digest", "of the network that is expected; zeros: of any"),
        ),
        (
            Field("version", "u8", "of this protocol"),
            Field("features", "u8", "bit 0: trains; bit 1: saves to flash; bit 2: keeps examples"),
            Field("digest", "digest", "of the network"),
            Field("classes", "u16", "of the network"),
            Field("sample_bytes", "u32", "of a sample"),
            Field("trained", "u32", "bit n: layer n is trained"),
            Field("hertz", "u32", "ticks a second"),
            Field("saved", "u32", "number of the save that was loaded at start-up; 0: none"),
            Field("name", "text", "of the network"),
        ),
    ),
    Message("input", 2, "part of a sample that no frame holds whole", SAMPLE_PART),
    Message(
        "example",
        3,
        "run a sample, and learn it where the flags say so: (x, y, flag)",
        (
            Field("label", "u16", "its class"),
            Field("flags", "u8", "FLAGS"),
            Field("check", "u32", "CRC-32 of the whole sample"),
            *SAMPLE_PART,
        ),
        (
            Field("predicted", "u16", "class, before learning"),
            Field("flags", "u8", "as asked"),
            Field("loss", "u32", "cross-entropy before learning, units of 1/65536"),
            Field("inference", "u32", "ticks: loading, the accelerator, its scores"),
            Field("learning", "u32", "ticks: gradients, and the step where there was one"),
            Field("learnt", "u32", "examples learnt since the last restart"),
        ),
    ),
    Message(
        "restart",
        4,
        "forget velocities, kept examples and counts; what kernels hold stays",
        (Field("seed", "u32", "of rounding and of kept examples"),),
    ),
    Message(
        "read",
        5,
        "dump kernel or bias memory",
        (Field("address", "u32", "of the first word"), Field("words", "u16", "how many")),
        (Field("address", "u32", "as asked"), Field("data", "bytes", "the words")),
    ),
    Message(
        "write",
        6,
        "load kernel or bias memory; kernels in whole slots of 16 bytes",
        (Field("address", "u32", "of the first word"), Field("data", "bytes", "the words")),
    ),
    Message(
        "save",
        7,
        "keep what the trained layers hold in flash",
        (),
        (Field("slot", "u8", "0 or 1"), Field("saved", "u32", "number of the save, from 1")),
    ),
    Message("forget", 8, "erase both slots: the next start-up has the flashed network"),
    Message(
        "status",
        9,
        "counts since start-up",
        (),
        (
            Field("examples", "u32", "run"),
            Field("learnt", "u32", "learnt since the last restart"),
            Field("steps", "u32", "since the last restart"),
            Field("frames", "u32", "that could be read"),
            Field("faulty", "u32", "that could not"),
            Field("repeated", "u32", "answered with the remembered answer"),
        ),
    ),
    Message(
        "rehearse",
        10,
        "learn examples that were kept, drawn by the board",
        (Field("count", "u8", "how many"), Field("flags", "u8", "FLAGS, of all of them together")),
        (
            Field("kept", "u16", "examples that are"),
            Field("learnt", "u32", "examples learnt since the last restart"),
            Field("ticks", "u32", "inferences, gradients, and the step where there was one"),
        ),
    ),
)
BY_NAME = {message.name: message for message in MESSAGES}
BY_NUMBER = {message.number: message for message in MESSAGES}
ERROR_FIELDS = (
    Field("code", "u8", "ERRORS"),
    Field("detail", "u32", "a number that belongs to it"),
    Field("text", "text", "in words"),
)
# of an example: see cnn_train.h and cnn_replay.h
FLAGS = {"learn": 1, "begin": 2, "apply": 4, "keep": 8}
FEATURES = {"train": 1, "save": 2, "keep": 4}
# name -> code, and what the board says
ERRORS: dict[str, tuple[int, str]] = {
    "faulty": (1, "a frame could not be read"),
    "unknown": (2, "no such message"),
    "length": (3, "wrong length of a message"),
    "session": (4, "no such session: the board was reset, or somebody else talks to it"),
    "sequence": (5, "not the next sequence number"),
    "version": (6, "another version of the protocol"),
    "network": (7, "another network"),
    "label": (8, "no such class"),
    "sample": (9, "the sample is not complete"),
    "flags": (10, "flags that do not go together"),
    "address": (11, "no kernel or bias memory, or not in whole slots"),
    "flash": (12, "the flash could not be written"),
    "unsupported": (13, "this program cannot do that"),
    "batch": (14, "a larger batch than this program was generated for"),
    "empty": (15, "nothing is kept that could be learnt again"),
}
ERROR_NAMES = {code: name for name, (code, _) in ERRORS.items()}


class FrameError(Max78kError):
    """Bytes that are no frame, or a payload that is not its message's."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    number: int
    sequence: int
    session: int
    payload: bytes = b""


# --- payloads


def fixed_bytes(fields: tuple[Field, ...]) -> int:
    """Bytes of a payload without its open end."""
    return sum(SIZES.get(field.kind, 0) for field in fields)


def is_open(fields: tuple[Field, ...]) -> bool:
    """Whether a payload ends in bytes or text."""
    return bool(fields) and fields[-1].kind in OPEN


def encode_fields(fields: tuple[Field, ...], values: Mapping[str, Any]) -> bytes:
    """A payload; a missing value is a KeyError, one that does not fit a FrameError."""
    data = b""
    for field in fields:
        value = values[field.name]
        if field.kind in OPEN:
            data += value.encode() if isinstance(value, str) else bytes(value)
            continue
        try:
            data += struct.pack(f"<{CODES[field.kind]}", value)
        except struct.error:
            raise FrameError(f"{field.name} {value!r} does not fit {field.kind}") from None
    if len(data) > MAX_PAYLOAD:
        raise FrameError(f"{len(data)} bytes of payload; at most {MAX_PAYLOAD}")
    return data


def decode_fields(fields: tuple[Field, ...], payload: bytes) -> dict[str, Any]:
    """The inverse of ``encode_fields``; FrameError for a wrong length."""
    fixed, ends_open = fixed_bytes(fields), is_open(fields)
    if len(payload) < fixed or (len(payload) > fixed and not ends_open):
        raise FrameError(f"{len(payload)} bytes of payload; {fixed} were expected")
    values: dict[str, Any] = {}
    for field in fields:
        if field.kind in OPEN:
            text = field.kind == "text"
            values[field.name] = payload.decode("utf-8", "replace") if text else payload
            break
        size = SIZES[field.kind]
        (values[field.name],) = struct.unpack(f"<{CODES[field.kind]}", payload[:size])
        payload = payload[size:]
    return values


# --- frames


def encode_frame(frame: Frame) -> bytes:
    """Bytes for the line, with a delimiter on both sides."""
    data = HEADER.pack(frame.number, frame.sequence, frame.session) + frame.payload
    return b"\0" + encode_cobs(data + CRC.pack(zlib.crc32(data))) + b"\0"


def decode_frame(encoded: bytes) -> Frame:
    """What lies between two delimiters; FrameError when it is no frame."""
    data = decode_cobs(encoded)
    if not HEADER.size + CRC.size <= len(data) <= LONGEST_FRAME:
        raise FrameError(f"{len(data)} bytes are no frame")
    body, check = data[: -CRC.size], data[-CRC.size :]
    if CRC.pack(zlib.crc32(body)) != check:
        raise FrameError("CRC error")
    number, sequence, session = HEADER.unpack_from(body)
    return Frame(number, sequence, session, body[HEADER.size :])


class FrameReader:
    """Bytes of a line, cut into frames; ``faulty`` counts what was none."""

    def __init__(self) -> None:
        self.faulty = 0
        self._open = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        frames = []
        *complete, rest = bytes(self._open + data).split(b"\0")
        self._open = bytearray(rest[: 2 * LONGEST_FRAME])
        for encoded in filter(None, complete):
            try:
                frames.append(decode_frame(encoded))
            except FrameError:
                self.faulty += 1
        return frames


BLOCK = 254  # most bytes behind one code byte of COBS


def encode_cobs(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: the same bytes without a zero among them."""
    encoded = bytearray()
    for part in data.split(b"\0"):
        while len(part) >= BLOCK:
            encoded += bytes([BLOCK + 1]) + part[:BLOCK]
            part = part[BLOCK:]
        encoded += bytes([len(part) + 1]) + part
    return bytes(encoded)


def decode_cobs(encoded: bytes) -> bytes:
    """The inverse; FrameError for what ends too early or holds a zero."""
    data, place = bytearray(), 0
    while place < len(encoded):
        code = encoded[place]
        block = encoded[place + 1 : place + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            raise FrameError("no COBS")
        data += block
        place += code
        if code <= BLOCK and place < len(encoded):
            data.append(0)
    return bytes(data)


# --- errors


def error_of(payload: bytes) -> tuple[str, int, str]:
    """(name, detail, text) of an error answer."""
    values = decode_fields(ERROR_FIELDS, payload)
    return ERROR_NAMES.get(values["code"], str(values["code"])), values["detail"], values["text"]
