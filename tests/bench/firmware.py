"""``python -m tests.bench.firmware``: cycles of the kernels of firmware/runtime on a Cortex-M4.

Each runs on the emulated board, its numbers are compared, and cycles are counted by the board's
model.  Prints tables, ``--write`` puts them into docs/kernels.md; ends with 1 when a goal is
missed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import ROOT
from tests.firmware.kernels_on_board import Counted, run_linear, run_products
from tests.firmware.linear_case import LinearCase, linear_network
from tests.firmware.product_shapes import Shape

PAGE = ROOT / "docs" / "kernels.md"
BEGIN, END = "<!-- cycles: begin -->", "<!-- cycles: end -->"
STEPS = 8
WAIT = 1  # extra cycles of an access to the accelerator, with which the goals of a step are meant
WEIGHTS, DATA = "weight gradients", "data gradients"


@dataclass(frozen=True)
class Kernel:
    """A product to measure; ``goal``: cycles a MAC, without arranging the operands."""

    name: str
    kind: str
    shape: Shape
    goal: float | None = None


KERNELS = (
    Kernel("3x3, 8x8 map, 8 → 56", WEIGHTS, Shape((8, 8), 8, 56, (3, 3), (1, 1)), 1.1),
    Kernel("3x3, 8x8 map, 16 → 16", WEIGHTS, Shape((8, 8), 16, 16, (3, 3), (1, 1)), 1.1),
    Kernel("k6, 16 positions, 16 → 64", WEIGHTS, Shape((1, 21), 16, 64, (1, 6)), 1.1),
    Kernel("k6, 20 positions, 16 → 64", WEIGHTS, Shape((1, 25), 16, 64, (1, 6)), 1.1),
    Kernel("k6, 30 positions, 16 → 64", WEIGHTS, Shape((1, 35), 16, 64, (1, 6)), 1.1),
    Kernel("k3, 16 positions, 16 → 64", WEIGHTS, Shape((1, 16), 16, 64, (1, 3), (0, 1))),
    Kernel("k3, 30 positions, 16 → 64", WEIGHTS, Shape((1, 30), 16, 64, (1, 3), (0, 1))),
    Kernel("k6, 8 positions, 16 → 64", WEIGHTS, Shape((1, 13), 16, 64, (1, 6))),
    Kernel("k1, 30 positions, 16 → 64", WEIGHTS, Shape((1, 30), 16, 64, (1, 1))),
    Kernel("k6, 21 positions, 12 → 64", DATA, Shape((1, 21), 12, 64, (1, 6)), 1.15),
    Kernel("3x3, 8x8 map, 12 → 56", DATA, Shape((8, 8), 12, 56, (3, 3), (1, 1)), 1.15),
    Kernel("3x3, 8x8 map, 12 → 12", DATA, Shape((8, 8), 12, 12, (3, 3), (1, 1)), 1.15),
)
STEP_GOALS = {False: 20_000, True: 18_000}  # cycles, by whether there is a copy of the kernels
UPDATE_GOAL = 9.2  # cycles a weight
WHOLE = "all"  # the phase of a step that is counted as one
UPDATE_PHASES = ("read kernels", "update", "write kernels")


@dataclass(frozen=True)
class Row:
    """A row of a table; ``holds``: of a goal, where there is one."""

    cells: tuple[str, ...]
    holds: bool = True


def kernel_row(kernel: Kernel) -> Row:
    """Run one, and divide by its MACs."""
    of_weights = kernel.kind == WEIGHTS
    counted = run_products(kernel.shape, of_weights)
    macs = kernel.shape.macs if of_weights else kernel.shape.data_macs
    inner = counted.cycles["products"] / macs
    whole = counted.cycles.total() / macs
    holds = kernel.goal is None or inner <= kernel.goal
    goal = "" if kernel.goal is None else f"≤ {kernel.goal}"
    return Row((kernel.kind, kernel.name, f"{inner:.2f}", goal, f"{whole:.2f}"), holds)


def formula(counted: Counted, phase: str) -> str:
    """Cycles of a step, by the wait of an access to the accelerator and of an unaligned one."""
    parts = [f"{counted.cycles[phase] / STEPS:,.0f}"]
    for name, counts in (("w", counted.accesses), ("u", counted.unaligned)):
        if counts[phase]:
            parts.append(f"{counts[phase] / STEPS:,.0f} {name}")
    return " + ".join(parts)


def step_rows(copy: bool) -> list[Row]:
    """One training step of the linear layer: as it is, and by phase."""
    runs = []
    for phases in (False, True):
        with TemporaryDirectory() as folder:
            case = LinearCase(linear_network(12, (4, 4), 10))
            runs.append(run_linear(case, Path(folder), copy, STEPS, phases))
    whole, counted = runs
    name = "with a copy" if copy else "without"
    at_goal = (whole.cycles.total() + WAIT * whole.accesses.total()) / STEPS
    goal = f"{at_goal:,.0f} at w = {WAIT}, ≤ {STEP_GOALS[copy]:,}"
    rows = [Row((name, "**step**", formula(whole, WHOLE), goal), at_goal <= STEP_GOALS[copy])]
    rows += [Row((name, phase, formula(counted, phase), "")) for phase in counted.cycles]
    return [*rows, *update_rows(name, counted, copy)]


def update_rows(name: str, counted: Counted, copy: bool) -> list[Row]:
    """Cycles of a weight: read, step, written back."""
    if copy:
        return []
    weights = 12 * 16 * 10 * STEPS
    each = sum(counted.cycles[phase] for phase in UPDATE_PHASES) / weights
    accesses = sum(counted.accesses[phase] for phase in UPDATE_PHASES) / weights
    text = f"{each:.2f} + {accesses:.2f} w"
    goal = f"≤ {UPDATE_GOAL}"
    return [Row((name, "read, update, write: of a weight", text, goal), each <= UPDATE_GOAL)]


def table(head: tuple[str, ...], rows: list[Row]) -> list[str]:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row.cells)} |" for row in rows)]


def measure() -> tuple[str, list[Row]]:
    """The tables as text, and the rows that miss a goal."""
    kernels = [kernel_row(kernel) for kernel in KERNELS]
    steps = [row for copy in (False, True) for row in step_rows(copy)]
    head = ("products", "layer", "cycles a MAC", "goal", "with arranging the operands")
    step_head = ("192 x 10 linear, one sample", "phase", "cycles", "goal")
    lines = [*table(head, kernels), "", *table(step_head, steps)]
    return "\n".join(lines), [row for row in (*kernels, *steps) if not row.holds]


def write(text: str) -> None:
    """Put the tables into the page, between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Print, perhaps write; 1 when a goal was missed."""
    parser = ArgumentParser(prog="python -m tests.bench.firmware", description=__doc__)
    parser.add_argument("--write", action="store_true", help="the tables of docs/kernels.md")
    options = parser.parse_args()
    text, missed = measure()
    print(text)
    if options.write:
        write(text)
    for row in missed:
        print(f"MISSED: {', '.join(row.cells)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
