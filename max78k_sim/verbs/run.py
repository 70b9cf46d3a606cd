"""``max78k run``: one inference through the simulated chip."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from ..allocation import Plan
from ..latency import latency
from ..loading import read_sample
from ..validation.recording import Record, dump, records, stretches
from .common import compiled, network_from, write_whole

SHOWN = 16  # values of an output that are printed
SHOWN_STRETCHES = 8


def main(options: Namespace) -> None:
    """Run a sample and print the final output and where it lies."""
    program = compiled(network_from(options))
    run = list(records(program, read_sample(options.sample_input)))
    if options.dump:
        arrays: dict[str, Any] = dump(program.plan, run)
        write_whole(Path(options.dump), lambda name: save(name, arrays))
    if options.json:
        print(json.dumps(result_json(program.plan, run)))
    else:
        print("\n".join(result_lines(program.plan, run)))


def save(file: Path, arrays: dict[str, Any]) -> None:
    """An .npz file of exactly this name: numpy adds .npz to a name without, not to a stream."""
    with file.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def result_json(plan: Plan, run: list[Record]) -> dict[str, Any]:
    """The result for programs; ``addresses``: of each channel's first value."""
    last = run[-1]
    final = last.output
    starts = plan.placement(last.layer.index, "output").address[:, 0, 0]
    return {
        "network": plan.network.name,
        "layer": last.layer.name,
        "shape": list(final.shape),
        "bits": last.layer.output_bits,
        "final": final.reshape(-1).tolist(),
        "argmax": int(final.reshape(-1).argmax()),
        "addresses": [f"0x{int(address):08x}" for address in starts],
        "cycles": latency(plan).total,
    }


def result_lines(plan: Plan, run: list[Record]) -> list[str]:
    """The result for people."""
    layer, final = run[-1].layer, run[-1].output
    values = final.reshape(-1)
    more = f" ... ({len(values):,} values)" if len(values) > SHOWN else ""
    shape = "x".join(map(str, final.shape))
    return [
        f"{plan.network.name}: output {shape} (CHW), {final.dtype}, of {layer.name}",
        " ".join(map(str, values[:SHOWN])) + more,
        *address_lines(plan, run[-1]),
        f"largest: {int(values.argmax())}; {latency(plan).total:,} accelerator cycles",
    ]


def address_lines(plan: Plan, last: Record) -> list[str]:
    """Where the output lies: the first address of its channels in each data-memory instance."""
    found = stretches(plan, last.layer)
    lines = [
        f"at 0x{part.address:08x}: channel"
        + (f"s {part.first}-{part.last}" if part.last > part.first else f" {part.first}")
        for part in found[:SHOWN_STRETCHES]
    ]
    left = len(found) - SHOWN_STRETCHES
    return [*lines, f"... and {left} more (--json lists all)"] if left > 0 else lines
