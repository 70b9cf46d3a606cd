"""Where the processor's time went, by function."""

from __future__ import annotations

from dataclasses import dataclass

from .board import Board
from .cycles import FIFTHS

ELSEWHERE = "(no function)"


@dataclass(frozen=True)
class Spent:
    """What one function cost, without the functions that it called."""

    function: str
    calls: int  # times its first block ran
    instructions: int
    cycles: int  # by the model, without taken branches and without waiting


def profile(board: Board) -> list[Spent]:
    """Every function that ran, the dearest first."""
    found: dict[str, list[int]] = {}
    for address, (count, instructions, fifths) in board.cpu.hits().items():
        name = board.image.function_at(address) or ELSEWHERE
        row = found.setdefault(name, [0, 0, 0])
        first = name in board.image.symbols and board.image.symbols[name].address == address
        row[0] += count if first else 0
        row[1] += instructions
        row[2] += fifths
    rows = [Spent(name, row[0], row[1], row[2] // FIFTHS) for name, row in found.items()]
    return sorted(rows, key=lambda spent: -spent.cycles)


def profile_lines(board: Board, most: int = 25) -> list[str]:
    """The dearest functions as a table for people."""
    rows = profile(board)
    total = max(sum(row.cycles for row in rows), 1)
    lines = [f"{'cycles':>14}  {'share':>6}  {'calls':>9}  function"]
    for row in rows[:most]:
        share = f"{100 * row.cycles / total:.1f}%"
        lines.append(f"{row.cycles:>14,}  {share:>6}  {row.calls:>9,}  {row.function}")
    waiting = board.cycles - total
    lines.append(f"{waiting:>14,}  {'':6}  {'':9}  (taken branches, exceptions, waiting)")
    return lines
