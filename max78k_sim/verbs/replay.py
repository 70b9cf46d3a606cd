"""``max78k replay``: traces of programs, access by access, against the simulated chip."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import asdict

from ..bus import Bus
from ..machine import Machine
from ..map_text import table
from ..programs.negative_control import KINDS, OUTCOMES, control
from ..programs.replay import Result, Trace, finish, load_trace, replay

DIFFERENT = 1  # exit code


def main(options: Namespace) -> int:
    """Print a row for each trace; 1 when anything differs."""
    traces = [load_trace(file) for file in options.trace]
    results = [replayed(trace) for trace in traces]
    controls = {}
    if options.control:
        controls = {trace.name: control(trace, options.control, options.seed) for trace in traces}
    if options.json:
        print(json.dumps(as_json(results, controls), indent=2))
    else:
        show(results, controls)
    return DIFFERENT if any(result.differences for result in results) else 0


def replayed(trace: Trace) -> Result:
    """One trace on a fresh chip that is on, as the traces begin."""
    bus = Bus(Machine(), timed=True)
    return finish(trace, bus, replay(trace, bus))


def show(results: list[Result], controls: dict[str, dict[str, Counter[str]]]) -> None:
    """The tables, and every first difference."""
    from rich.console import Console

    console = Console()
    columns: tuple[str, ...] = (
        "program",
        "accesses",
        "reads",
        "interrupts",
        "words checked",
        "differences",
    )
    rows = [
        (
            result.name,
            f"{result.accesses:,}",
            f"{result.reads:,}",
            str(result.interrupts),
            f"{result.words:,}",
            str(result.differences),
        )
        for result in results
    ]
    console.print(table(columns, rows, columns[1:]))
    for result in results:
        if result.first:
            console.print(f"{result.name}: {result.first[0]}", highlight=False, soft_wrap=True)
        for warning in result.warnings:
            print(f"max78k: warning: {result.name}: {warning}", file=sys.stderr)
    if controls:
        columns = ("program", "corrupted", "trials", *OUTCOMES)
        console.print(table(columns, control_rows(controls), columns[2:]))


def control_rows(controls: dict[str, dict[str, Counter[str]]]) -> list[tuple[str, ...]]:
    """A row for each program and kind, and the sums."""
    total = {kind: sum((found[kind] for found in controls.values()), Counter()) for kind in KINDS}
    return [
        (name, kind, str(found[kind].total()), *(str(found[kind][each]) for each in OUTCOMES))
        for name, found in (*controls.items(), ("all", total))
        for kind in KINDS
    ]


def as_json(results: list[Result], controls: dict[str, dict[str, Counter[str]]]) -> dict:
    """The same for programs."""
    return {
        "programs": [
            asdict(result) | {"first": [str(difference) for difference in result.first]}
            for result in results
        ],
        "control": {
            name: {kind: dict(found) for kind, found in kinds.items()}
            for name, kinds in controls.items()
        },
    }
