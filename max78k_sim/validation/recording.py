"""What every layer of one inference did, as a user counts: [channel, row, column].

The names of ``dump`` are those of the golden layout, so that one simulation is compared with
another, with the vendor's, and with PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..allocation import Plan
from ..machine import Machine
from ..network import Layer
from ..program import Program
from ..routine import LayerTrace


@dataclass(frozen=True, eq=False)
class Record:
    """One layer's values, [channel, row, column]; None where it has none.

    ``output`` int8 (int32 for 32-bit output); ``pooled`` int8, of the one operand that there is;
    ``combined`` int8, after the element-wise operation; ``accumulator`` int32, with the bias,
    before the shift.
    """

    layer: Layer
    output: np.ndarray
    pooled: np.ndarray | None
    combined: np.ndarray | None
    accumulator: np.ndarray | None


def record(machine: Machine, trace: LayerTrace) -> Record:
    """What the layer did that ``machine`` has just run."""
    assert machine.program is not None
    plan = machine.program.plan
    layer = plan.network.layers[trace.layer]
    data = trace.data[:, :, : layer.in_channels].transpose(2, 0, 1)
    whole = data.shape == (layer.in_channels, *layer.pooled_size)  # not folded, not in passes
    in_order = layer.pool_first or layer.pool == (1, 1)
    return Record(
        layer,
        machine.output_of(trace),
        data if whole and layer.operands == 1 and not layer.flatten else None,
        data if whole and layer.eltwise and in_order else None,
        None if trace.accumulator is None else accumulator(plan, layer, trace.accumulator),
    )


def accumulator(plan: Plan, layer: Layer, values: np.ndarray) -> np.ndarray:
    """[row, column, output position] of the hardware -> [channel, row, column] of the user."""
    rows, columns = layer.out_size
    skipped = layer.hardware.skipped
    pixels = values[:, :, plan.positions(layer)].reshape(-1, layer.out_channels)
    return pixels[skipped : skipped + rows * columns].T.reshape(-1, rows, columns)


def records(program: Program, sample: np.ndarray) -> Iterator[Record]:
    """One inference, layer by layer."""
    machine = Machine(program.device)
    machine.load(program)
    for trace in machine.traces(sample):
        yield record(machine, trace)


def dump(plan: Plan, run: list[Record]) -> dict[str, np.ndarray]:
    """The arrays of a run by name.

    ``layer<l>``, ``pool<l>`` [operand, channel, row, column], ``elt<l>``, ``acc<l>``, ``final`` and
    ``order`` are those of the golden layout; ``address<l>`` uint32 holds the byte address of every
    value of ``layer<l>`` (not of a streamed layer, whose output lies nowhere whole).
    """
    arrays: dict[str, np.ndarray] = {}
    for item in run:
        number = item.layer.index
        arrays[f"layer{number}"] = item.output
        if item.pooled is not None:
            arrays[f"pool{number}"] = item.pooled[None]
        if item.combined is not None:
            arrays[f"elt{number}"] = item.combined
        if item.accumulator is not None:
            arrays[f"acc{number}"] = item.accumulator
        if (item.layer.name, "output") in plan.placements:
            arrays[f"address{number}"] = plan.placement(number, "output").address
    arrays["final"] = run[-1].output
    arrays["order"] = np.array([item.layer.index for item in run])
    return arrays


@dataclass(frozen=True)
class Stretch:
    """Channels ``first`` to ``last`` of an output, whose first element lies at ``address``."""

    first: int
    last: int
    address: int


def stretches(plan: Plan, layer: Layer) -> list[Stretch]:
    """Where an output lies: its channels by data-memory instance and pass, with the addresses.

    Empty for a streamed layer.
    """
    if (layer.name, "output") not in plan.placements:
        return []
    starts = plan.placement(layer.index, "output").address[:, 0, 0].astype(np.int64)
    step = 4 if layer.output_bits == 32 else 1
    begins = [0, *(np.flatnonzero(np.diff(starts) != step) + 1), len(starts)]
    return [
        Stretch(int(first), int(end) - 1, int(starts[first])) for first, end in pairwise(begins)
    ]
