"""What the vendor's generator and its programs print: logs, known answers, mismatches.

Only text is read here; which layer of a network an address belongs to is not known.  Formats: the
printing functions of ai8x-synthesis (commit ab4f4c01), logs and headers of the vendor's examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import InputError
from .golden import Run

LAYER = re.compile(r"LAYER (\d+)\b.*\.\.\.\s*$")
# title of a block of values: what it is; its sizes are the first group
BLOCKS = (
    ("input", re.compile(r"([\dx]+) INPUT DATA(?: \d+)?:\s*$")),
    ("accumulator", re.compile(r"([\dx]+) FULL-RES OUTPUT:\s*$")),
    ("output", re.compile(r"([\dx]+) (?:ACTIVATED )?OUTPUT\b.*:\s*$")),
    ("pooled", re.compile(r".*\bPOOL.*-> [\[(]([\d, ]+)[\])].*:\s*$")),
)
TITLE_LENGTH = 200  # characters; a longer line is no title
VALUES = re.compile(r"[\s\[\]\d-]*$")
CHANNEL = re.compile(r"Channels? #\d+")
MISMATCH = re.compile(
    r"Data mismatch \((\d+)/(\d+)\) at address (?:0x)?([0-9a-f]{1,8}):"
    r" Expected (?:0x)?([0-9a-f]{1,8}), read (?:0x)?([0-9a-f]{1,8})",
    re.IGNORECASE,
)
KNOWN_ANSWER = re.compile(r"SAMPLE_OUTPUT\s*\\?\s*\{([^}]*)\}")
PASSED = "*** PASS ***"
HEADER_WORDS = 3  # of a run in a known answer: address, mask, count


@dataclass(frozen=True, eq=False)
class Block:
    """Values that a log gives for a layer: ``kind`` is the first column of BLOCKS; int64."""

    layer: int
    kind: str
    values: np.ndarray
    line: int


@dataclass(frozen=True)
class Mismatch:
    """One line of a board: word ``number`` (from 1) of a run of ``count`` is wrong."""

    number: int
    count: int
    address: int
    expected: int
    read: int
    line: int


def mismatches(text: str) -> list[Mismatch]:
    """Every "Data mismatch" line that a generated program printed, in order."""
    return [
        Mismatch(
            int(found[1]),
            int(found[2]),
            address=int(found[3], 16),
            expected=int(found[4], 16),
            read=int(found[5], 16),
            line=number,
        )
        for number, line in enumerate(text.splitlines(), 1)
        for found in MISMATCH.finditer(line)
    ]


def known_answer(text: str) -> list[Run]:
    """The runs of a sampleoutput.h: address, mask, count, words, until an address of 0."""
    found = KNOWN_ANSWER.search(text)
    if found is None:
        return []
    try:
        numbers = [int(word, 0) for word in found[1].replace("\\", " ").replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"SAMPLE_OUTPUT: {error}") from None
    wide = [number for number in numbers if number >> 32]
    if wide:
        raise InputError(f"SAMPLE_OUTPUT: 0x{wide[0]:x} has more than 32 bits")
    runs, place = [], 0
    while place < len(numbers) and numbers[place]:
        address, mask, count = (*numbers[place : place + HEADER_WORDS], 0, 0)[:HEADER_WORDS]
        words = numbers[place + HEADER_WORDS : place + HEADER_WORDS + count]
        if not count or len(words) < count:
            raise InputError(f"SAMPLE_OUTPUT ends within the run at 0x{address:08x}")
        runs.append(Run("output", address, np.array(words, np.uint32), mask))
        place += HEADER_WORDS + count
    return runs


def blocks(text: str) -> list[Block]:
    """Every block of values in a log, in order; InputError for one that is cut off."""
    return list(_blocks(text.splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    layer = None
    for number, line in enumerate(lines):
        section = LAYER.match(line[:TITLE_LENGTH])
        if section:
            layer = int(section[1])
        forms = BLOCKS if len(line) <= TITLE_LENGTH else ()
        title = next(((kind, found) for kind, form in forms if (found := form.match(line))), None)
        if title and layer is not None:
            kind, found = title
            shape = tuple(int(size) for size in re.findall(r"\d+", found[1]))
            yield Block(layer, kind, read_values(lines, number + 1, shape), number + 1)


def read_values(lines: list[str], start: int, shape: tuple[int, ...]) -> np.ndarray:
    """int64 in ``shape``: the numbers in the lines from ``start`` to the first of another kind."""
    numbers: list[str] = []
    for line in lines[start:]:
        if CHANNEL.match(line):
            continue
        if not VALUES.match(line):
            break
        numbers += re.findall(r"-?\d+", line)
    if len(numbers) != prod(shape):
        raise InputError(
            f"{len(numbers)} values follow, but {'x'.join(map(str, shape))} are {prod(shape)}; "
            "is the log cut off?",
            line=start,
        )
    try:
        return np.array(numbers, np.int64).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise InputError(f"not integers of the chip: {error}", line=start) from None
