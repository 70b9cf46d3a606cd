"""A known answer for the C training step: small, because activations are drawn, not listed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..text import fill, number_lines

Run = tuple[int, np.ndarray]  # address in bytes, uint32 words


@dataclass(frozen=True)
class TrainingCheck:
    """A known answer.

    ``before``: words that kernels and biases begin with; ``labels``: of the examples; ``drawn``:
    (address, words, right shift) of the data memory that is drawn for each example; ``after``:
    (address, words, CRC-32) of what is trained.
    """

    steps: int
    batch: int
    before: tuple[Run, ...]
    labels: tuple[int, ...]
    drawn: tuple[tuple[int, int, int], ...]
    after: tuple[tuple[int, int, int], ...]


def digest(words: np.ndarray) -> int:
    """CRC-32 (of Ethernet, ZIP and zlib) of words, little-endian."""
    return zlib.crc32(words.astype("<u4").tobytes())


def check_header(check: TrainingCheck) -> str:
    """train_check.h."""
    before: list[int] = []
    for address, words in check.before:
        before += [address, len(words), *map(int, words)]
    return fill(
        "train_check.h.in",
        steps=check.steps,
        batch=check.batch,
        before=number_lines([*before, 0], " \\"),
        labels=number_lines(check.labels, " \\"),
        drawn=number_lines(flat(check.drawn), " \\"),
        after=number_lines(flat(check.after), " \\"),
    )


def flat(rows: Iterable[tuple[int, ...]]) -> list[int]:
    """All numbers of some rows, then 0."""
    return [*(number for row in rows for number in row), 0]
