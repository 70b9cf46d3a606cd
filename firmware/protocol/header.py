"""cnn_protocol.h: the tables of messages.py as C."""

from __future__ import annotations

from collections.abc import Iterator

from ..text import fill
from . import messages as protocol
from .messages import Field


def protocol_header() -> str:
    """The whole header; needs no other file."""
    rows = [
        f"    ROW({m.name}, {m.number}u, {protocol.fixed_bytes(m.request)}u, "
        f"{int(protocol.is_open(m.request))})"
        for m in protocol.MESSAGES
    ]
    errors = [f'    ROW({name}, {code}u, "{text}")' for name, (code, text) in ERRORS]
    codes = [f"#define CNN_ERROR_{name.upper()} {code}u\n" for name, (code, _) in ERRORS]
    flags = [f"#define CNN_FLAG_{name.upper()} {bit}u\n" for name, bit in protocol.FLAGS.items()]
    flags += [f"#define CNN_CAN_{name.upper()} {bit}u\n" for name, bit in FEATURES]
    return fill(
        "cnn_protocol.h.in",
        version=protocol.VERSION,
        max_payload=protocol.MAX_PAYLOAD,
        header=protocol.HEADER.size,
        crc=protocol.CRC.size,
        digest=protocol.DIGEST_BYTES,
        answer=protocol.ANSWER,
        error=protocol.ERROR,
        nobody=protocol.NOBODY,
        requests=" \\\n".join(rows),
        fields="".join(field_lines()),
        flags="".join(flags),
        errors=" \\\n".join(errors),
        error_codes="".join(codes),
    )


ERRORS = protocol.ERRORS.items()
FEATURES = protocol.FEATURES.items()


def message_table() -> str:
    """The messages for docs/protocol.md: a row each."""
    rows = ["| message | request | answer | meaning |", "| --- | --- | --- | --- |"]
    for message in protocol.MESSAGES:
        request, answer = (
            ", ".join(f"{field.name} {field.kind}" for field in fields) or "-"
            for fields in (message.request, message.answer)
        )
        rows.append(
            f"| {message.number} {message.name} | {request} | {answer} | {message.meaning} |"
        )
    return "\n".join(rows)


def error_table() -> str:
    """The errors for docs/protocol.md."""
    rows = [f"| {code} {name} | {text} |" for name, (code, text) in ERRORS]
    return "\n".join(["| error | meaning |", "| --- | --- |", *rows])


def field_lines() -> Iterator[str]:
    """Offsets of every field of every payload."""
    for message in protocol.MESSAGES:
        yield f"/* {message.name}: {message.meaning} */\n"
        name = message.name.upper()
        yield f"#define CNN_{name} {message.number}u\n"
        yield from offsets(f"CNN_{name}", message.request)
        yield from offsets(f"CNN_{name}_ANSWER", message.answer)
    yield "/* error */\n"
    yield from offsets("CNN_ERROR_ANSWER", protocol.ERROR_FIELDS)


def offsets(prefix: str, fields: tuple[Field, ...]) -> Iterator[str]:
    """A payload's fields and its length."""
    place = 0
    for field in fields:
        yield f"#define {prefix}_{field.name.upper()}_AT {place}u /* {field.kind} */\n"
        place += protocol.SIZES.get(field.kind, 0)
    if fields:
        yield f"#define {prefix}_BYTES {place}u\n"
