"""Places for blocks of memory that are alive at different times: first fit, the largest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """``size`` elements that are alive from time ``start`` to ``end``, both included."""

    name: str
    size: int
    start: int
    end: int

    def meets(self, other: Buffer) -> bool:
        """Whether both are alive at some time."""
        return self.start <= other.end and other.start <= self.end


def arrange(buffers: Iterable[Buffer]) -> tuple[dict[str, int], int]:
    """(first element of each by name, elements of the whole)."""
    placed: list[tuple[int, Buffer]] = []
    for buffer in sorted(buffers, key=lambda each: (-each.size, each.name)):
        taken = sorted(
            (first, first + other.size) for first, other in placed if buffer.meets(other)
        )
        start = 0
        for first, end in taken:
            if start + buffer.size <= first:
                break
            start = max(start, end)
        placed.append((start, buffer))
    size = max((first + buffer.size for first, buffer in placed), default=0)
    return {buffer.name: first for first, buffer in placed}, size
