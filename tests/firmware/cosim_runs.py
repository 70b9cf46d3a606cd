"""The runs of train_steps.py on the emulated board too: ``python -m tests.firmware.cosim_runs``.

Arguments choose networks or widths (``digits``, ``4``), or ``one-sample``, the rows of
cnn_linear.c.  ``--steps N``: so many instead of 10,000 or
500; ``--write``: the table goes into docs/firmware.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from max78k_sim.errors import InputError
from max78k_sim.verbs.cosim_run import Task, run
from tests.conftest import ROOT
from tests.firmware.train_steps import CASES, EXAMPLES, Case, task_of
from trainer.loop import Pool

DOCUMENT = ROOT / "docs" / "firmware.md"
BEGIN, END = "<!-- co-simulation: begin -->", "<!-- co-simulation: end -->"
HEADER = (
    "| network | layers | bits | steps | kernel words written | three ways | cycles a step | "
    "ms, w = 0 | mJ | SRAM, bytes | stack |"
)


def row(case: Case, folder: Path) -> str:
    """A row of the table; where the program does not fit the SRAM, with a layer less."""
    try:
        program, recipe, images, labels = task_of(case)
        task = Task(program, recipe, Pool(images, labels, EXAMPLES // 2), arm=True)
        outcome = run(task, folder, lambda steps: None)
    except InputError as error:
        if "too little is left for the stack" not in str(error) or len(case.layers) == 1:
            raise
        return row(replace(case, layers=case.layers[1:]), folder / "less")
    start = f"| {case.network} | {case.trained} | {case.bits} |"
    cost, equal = outcome.cost, outcome.difference is None
    assert cost is not None
    return (
        f"{start} {outcome.steps:,} | {outcome.written['kernel']:,} | "
        f"{'equal' if equal else outcome.difference} | {cost.formula.removesuffix(' cycles')} | "
        f"{cost.total_milliseconds(0):.2f} | {cost.millijoules(0):.3f} | {cost.sram.total:,} | "
        f"{cost.sram.stack} |"
    )


def table(names: list[str], steps: int | None) -> Iterator[str]:
    """Rows, as they come."""
    yield from (HEADER, "|" + " --- |" * HEADER.count(" |"))
    for case in CASES:
        if not case.named(names):
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            yield row(replace(case, steps=steps or case.steps), Path(folder))
        print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


def main() -> None:
    """Print the table, or put it in its place."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware.cosim_runs")
    parser.add_argument("names", nargs="*", metavar="NETWORK|BITS|one-sample")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = []
    for line in table(options.names, options.steps):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        DOCUMENT.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]), "utf-8")


if __name__ == "__main__":
    main()
