"""``python -m tests.firmware.third_party --folder DIR``: firmware that trains on the chip.

DIR is a clone of Gio200023/Continual-Learning-on-Max78000: a prebuilt ELF that trains the last
layer for 1,000 iterations, and what its board printed.  Every block of results that the emulated
board prints has to be the board's, number for number; its timers are compared, as a measure of the
cycle model.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ELF = Path("build/Continual-Learning-on-Max78000.elf")
LOG = Path("output_example_1000_iterations.log")
CLASS = r"\[ *(-?\d+)\] -> Class (\d+): ([\d.]+)%"
BLOCK = re.compile(rf"([^\n]*):\n((?:{CLASS}\n?)+)")
STEP = re.compile(r"step: +(\d+), timer = (\d+)")
MOST_SECONDS = 300  # on the chip; the board took about 36


@dataclass(frozen=True)
class Printed:
    """What a program printed: blocks by their heading, and microseconds of each step."""

    blocks: dict[str, list[tuple[str, ...]]]
    steps: dict[int, int]


def parse(text: str) -> Printed:
    """Blocks of results (output, class, percent) and timers."""
    text = text.replace("\r", "")
    blocks = {found[1]: re.findall(CLASS, found[2]) for found in BLOCK.finditer(text)}
    return Printed(blocks, {int(step): int(timer) for step, timer in STEP.findall(text)})


def compare(board: Printed, here: Printed) -> list[str]:
    """Differences between the blocks, as lines."""
    lines = [f"missing: {name}" for name in board.blocks if name not in here.blocks]
    lines += [f"more than the board's: {name}" for name in here.blocks if name not in board.blocks]
    for name, rows in board.blocks.items():
        for row, other in zip(rows, here.blocks.get(name, rows), strict=False):
            if row != other:
                lines.append(f"{name}: the board {row}, here {other}")
    return lines


def main() -> int:
    """0 when every block is equal."""
    from firmware.board import Board

    parser = argparse.ArgumentParser(prog="python -m tests.firmware.third_party")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    board = Board(folder / ELF)
    started = time.perf_counter()
    result = board.run(seconds=MOST_SECONDS)
    seconds = time.perf_counter() - started
    expected = parse((folder / LOG).read_text(encoding="utf-8", errors="replace"))
    printed = parse(result.uart)
    differences = compare(expected, printed)
    print("\n".join(differences))
    steps = [step for step in expected.steps if step in printed.steps]
    ratios = [printed.steps[step] / expected.steps[step] - 1 for step in steps]
    print(
        f"{len(expected.blocks)} blocks, {len(differences)} differences; stopped: {result.reason}"
    )
    if ratios:
        print(
            f"{len(steps)} timed steps: {100 * min(ratios):+.2f}% to {100 * max(ratios):+.2f}% of "
            f"the board's, {100 * sum(ratios) / len(ratios):+.2f}% on average"
        )
    print(
        f"{result.instructions:,} instructions in {seconds:.0f} s; {result.seconds:.2f} s on the "
        f"chip; {board.accelerator.runs:,} runs of the accelerator"
    )
    return int(bool(differences) or not expected.blocks)


if __name__ == "__main__":
    sys.exit(main())
