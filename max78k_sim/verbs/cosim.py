"""``max78k cosim``: the training step in Python, in C and on the emulated Arm, in step."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firmware.cosim.phases import PHASES

from ..whole_files import make_directory
from .common import compiled, network_from, progress, recipe_from, seeds_from
from .cosim_run import Cost, Outcome, Task, prepare, run

EXIT_DIFFERENT = 1
SRAM_LIMITS = (96, 128)  # KB: what is wanted of a training program, and what there is


def main(options: Namespace) -> int:
    """Every seed; 1 at the first difference."""
    network = network_from(options)
    recipe = recipe_from(options, network)
    seeds = seeds_from(options, recipe.seed)
    console = Console(stderr=True)
    folder = TemporaryDirectory(prefix="max78k-cosim-") if not options.out else None
    outcomes = []
    with folder or nullcontext(options.out) as name:
        directory = make_directory(name)
        for seed in seeds:
            task = prepare(options, compiled(network), replace(recipe, seed=seed))
            outcomes.append(watched(task, directory / f"seed-{seed}", console))
            for warning in outcomes[-1].warnings:
                print(f"max78k: warning: {warning}", file=sys.stderr)
            if not options.json:
                report(outcomes[-1])
            if outcomes[-1].difference is not None:
                break
    if options.json:
        print(json.dumps([outcome.summary for outcome in outcomes], indent=2))
    return EXIT_DIFFERENT if outcomes[-1].difference is not None else 0


def watched(task: Task, directory: Path, console: Console) -> Outcome:
    """One run, with a bar."""
    with progress(console) as bar:
        shown = bar.add_task("steps compared", total=task.recipe.steps)
        return run(task, directory, lambda steps: bar.update(shown, completed=steps))


def report(outcome: Outcome) -> None:
    """What was compared, and what a step takes."""
    console = Console(highlight=False)
    recipe, sides = outcome.task.recipe, " = ".join(outcome.sides)
    text = f"{outcome.task.network.name}, {', '.join(outcome.layers)}, seed {recipe.seed}"
    console.print(f"[bold]{text}[/]: {outcome.steps:,} steps of {recipe.batch}")
    if outcome.difference is not None:
        console.print("[red]DIFFERENT[/]", escape(str(outcome.difference)), soft_wrap=True)
    else:
        console.print(
            f"[green]identical[/]: {sides}; all kernel and bias memory and every output, after "
            f"every step; {outcome.written['kernel']:,} kernel words and "
            f"{outcome.written['bias']:,} bias bytes written; SHA-256 {outcome.digest[:16]}",
            soft_wrap=True,
        )
    if outcome.cost is not None:
        print_cost(console, outcome.cost)


def print_cost(console: Console, cost: Cost) -> None:
    """Cycles by phase, time, energy, SRAM."""
    table = Table("phase", "cycles", "+ accesses x w", "ms", title="a step on the board", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for phase, cycles, accesses in zip(PHASES, cost.cycles, cost.accesses, strict=True):
        if cycles or accesses:
            table.add_row(phase, f"{cycles:,}", f"{accesses:,}", f"{cost.milliseconds(cycles):.3f}")
    waiting = cost.milliseconds(cost.waiting)
    table.add_row("asleep, forward", f"{cost.waiting:,}", "", f"{waiting:.3f}")
    console.print(table)
    print(f"processor: {cost.formula}; w: extra waits of an access to CNN memory, not known")
    for waits in (0, 1):
        print(
            f"  w = {waits}: {cost.processor(waits):,} cycles, {cost.total_milliseconds(waits):.3f}"
            f" ms with {cost.samples} inferences, {cost.millijoules(waits):.3f} mJ"
        )
    print(f"energy: {cost.constants}")
    sram = cost.sram
    wanted, there = SRAM_LIMITS
    print(
        f"SRAM: {sram.data:,} data + {sram.bss:,} bss + {sram.stack:,} stack (painted) = "
        f"{sram.total:,} bytes: {sram.total / wanted / 1024:.1%} of {wanted} KB, "
        f"{sram.total / there / 1024:.1%} of {there} KB"
    )
    print(f"emulated here: {cost.rate:.1f} steps and {cost.mips:.0f} million instructions a second")
