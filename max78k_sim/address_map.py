"""The whole map as rows: which words of which memory every layer has.

A Run is a stretch of words, equally far apart, of one processor's kernel memory, one quadrant's
bias memory or one data-memory instance.  CSV, JSON and the C header print these rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .allocation import Plan
from .device import WORD
from .network import Layer, set_bits
from .packing import KERNEL_BYTES

KINDS = ("kernel", "bias", "input", "output")  # of runs of tensors, in the order of a layer's rows


@dataclass(frozen=True)
class Run:
    """``words`` words of a memory, ``step`` bytes apart, that belong to one layer.

    ``unit`` counts over the whole chip what ``unit_name`` says (processor, quadrant, instance);
    ``entry`` is the first word's number there.  ``end`` is past the last word's last byte.
    ``bits``: of one word that the chip stores (72 of a kernel word, 8 of a bias).
    """

    kind: str  # one of KINDS, "layer register" or "quadrant register"
    layer: str | None  # None: of the whole network
    unit_name: str
    unit: int
    entry: int
    first: int
    end: int
    words: int
    step: int
    bits: int
    what: str


def runs(plan: Plan) -> Iterator[Run]:
    """Every run of a network, layer by layer, then the quadrants' own registers."""
    for layer in plan.network.layers:
        yield from kernel_runs(plan, layer)
        for kind in KINDS[1:]:
            yield from tensor_runs(plan, layer, kind)
        yield from register_runs(plan, layer)
    quadrant = plan.device.region("quadrant register")
    for group in plan.groups:
        first = quadrant.address(group)
        end, step = first + quadrant.entries * quadrant.entry_stride, quadrant.entry_stride
        yield Run(
            quadrant.name, None, "quadrant", group, 0, first, end, quadrant.entries, step, 32,
            quadrant.meaning,
        )  # fmt: skip


def kernel_runs(plan: Plan, layer: Layer) -> Iterator[Run]:
    """Kernel words that a layer reserves in each of its processors, those without weights too."""
    if not layer.has_kernels:
        return
    kernel, twin = plan.device.region("kernel"), plan.layers[layer.index].shared_with
    owner = layer.index if twin is None else twin
    shared = "" if twin is None else f", those of {plan.network.layers[twin].name}"
    for processor in set_bits(layer.processors):
        place = divmod(processor, kernel.units)
        for start, count, step in stretches(np.flatnonzero(plan.kernel_map[processor] == owner)):
            first, bytes_apart = kernel.address(*place, start), step * kernel.entry_stride
            end = first + (count - 1) * bytes_apart + kernel.entry_stride
            what = f"{layer.weight_bits}-bit weights{shared}"
            yield Run(
                "kernel", layer.name, "processor", processor, start, first, end, count,
                bytes_apart, 8 * KERNEL_BYTES, what,
            )  # fmt: skip


def tensor_runs(plan: Plan, layer: Layer, kind: str) -> Iterator[Run]:
    """Words of a layer's "bias", "input" or "output", unit by unit; none where it has none."""
    if (layer.name, kind) not in plan.placements:
        return
    place = plan.placement(layer.index, kind)
    region = plan.device.region(place.kind)
    groups, units, entry, _, _ = region.split(place.words.astype(np.int64))
    units = np.broadcast_to(groups * region.units + units, entry.shape)
    what = f"{'x'.join(map(str, place.shape))}, {place.bits} bits each"
    name = region.unit_name if region.units > 1 else "quadrant"
    stored = sum(mask.bit_count() for mask in region.word_masks)
    for number in np.unique(units).tolist():
        for start, count, step in stretches(entry[units == number]):
            group, unit = divmod(number, region.units)
            first = region.address(group, unit, start)
            bytes_apart = step * region.entry_stride
            end = first + (count - 1) * bytes_apart + WORD
            yield Run(
                kind, layer.name, name, number, start, first, end, count, bytes_apart, stored, what
            )


def register_runs(plan: Plan, layer: Layer) -> Iterator[Run]:
    """A layer's registers in each quadrant in use."""
    region = plan.device.region("layer register")
    for group in plan.groups:
        first = region.address(group, 0, layer.index)
        end = region.address(group, region.units - 1, layer.index) + WORD
        yield Run(
            region.name, layer.name, "quadrant", group, layer.index, first, end, region.units,
            region.unit_stride, 32, region.meaning,
        )  # fmt: skip


def stretches(entries: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first, count, step) of ascending numbers: one where all are equally far apart, else runs."""
    steps = np.diff(entries)
    if len(steps) and (steps == steps[0]).all():
        yield int(entries[0]), len(entries), int(steps[0])
        return
    for run in np.split(entries, np.flatnonzero(steps != 1) + 1):
        if len(run):
            yield int(run[0]), len(run), 1
