"""The whole map as one C header of constants, and a C program that proves it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from max78k_sim import packing
from max78k_sim.address_map import KINDS, Run, runs
from max78k_sim.allocation import Plan
from max78k_sim.device import Region
from max78k_sim.report import map_rows

from .text import fill, prefixes

STORED_REGIONS = ("kernel", "bias", "data")  # memories that C reads and writes, as numbered there
MEMORY_OF = {"kernel": "kernel", "bias": "bias", "input": "data", "output": "data"}
SAMPLED = 8  # elements of each tensor in the check


def layout_header(plan: Plan) -> str:
    """cnn_layout.h: needs no other file."""
    device = plan.device
    stored = [device.region(name) for name in STORED_REGIONS]
    numbers = [f"#define CNN_{row.name.upper()}_REGION {n}u" for n, row in enumerate(stored)]
    rows = [
        f"    {{0x{row.base:08x}u, 0x{row.group_stride:x}u, 0x{row.unit_stride:x}u, "
        f"{row.entry_stride}u, {row.groups}u, {row.units}u, {row.entries}u, {row.words}u}}, \\\n"
        for row in stored
    ]
    images = {f"{row.name}_image_words": int(np.prod(row.shape)) for row in stored}
    used = list(tensor_runs(plan))
    return fill(
        "cnn_layout.h.in",
        network=plan.network.name,
        device=device.name,
        kernel_bytes=packing.KERNEL_BYTES,
        kernel_slot=packing.KERNEL_SLOT,
        kernel_byte=", ".join(map(str, packing.KERNEL_BYTE)),
        region_numbers="\n".join(numbers),
        regions="".join(rows),
        kernel_unit_stride=device.region("kernel").unit_stride,
        address_macros="".join(address_macro(row) for row in stored),
        layers="".join(layer_constants(plan)),
        run_count=len(used),
        runs="".join(run_row(plan, run) for run in used),
        **images,
    )


def address_macro(region: Region) -> str:
    """``Region.address`` as a C expression; a unit counts over the whole chip."""
    unit, inside = "quadrant", ""
    group = "(quadrant)"
    if region.units > 1:
        unit = region.unit_name
        group = f"({unit}) / {region.units}u"
        inside = f" + ({unit}) % {region.units}u * 0x{region.unit_stride:x}u"
    entry = region.entry_name.replace("kernel ", "")
    return (
        f"#define CNN_{region.name.upper()}_ADDRESS({unit}, {entry}) \\\n"
        f"    (0x{region.base:08x}u + {group} * 0x{region.group_stride:x}u{inside} \\\n"
        f"     + ({entry}) * {region.entry_stride}u)\n"
    )


def layer_constants(plan: Plan) -> Iterator[str]:
    """Numbers of each layer, for what it has: a summary of its runs."""
    names = prefixes(plan)
    for index, row in enumerate(map_rows(plan)):
        constants = {
            "layer": f"{index}u",
            "processors": f"0x{row.processors:016x}ull",
            "kernel_word": row.kernel_first,
            "kernel_words": row.kernel_words or None,
            "bias_address": row.bias_address,
            "bias_bytes": row.bias_bytes or None,
            "input_address": row.input and row.input.address,
            "input_bytes": row.input and row.input.end - row.input.start,
            "output_address": row.output and row.output.address,
            "output_bytes": row.output and row.output.end - row.output.start,
        }
        for name, value in constants.items():
            if isinstance(value, int):
                value = f"0x{value:08x}u" if name.endswith("address") else f"{value}u"
            if value is not None:
                yield f"#define {names[row.layer].upper()}_{name.upper()} {value}\n"


def tensor_runs(plan: Plan) -> Iterator[Run]:
    """Runs of tensors, without registers."""
    return (run for run in runs(plan) if run.kind in KINDS)


def run_row(plan: Plan, run: Run) -> str:
    """One RUN(...) of CNN_LAYOUT."""
    layer = plan.network.layer(str(run.layer)).index
    numbers = f"{layer}u, {run.unit}u, {run.entry}u, 0x{run.first:08x}u, {run.words}u, {run.step}u"
    return f"    RUN({run.kind.upper()}, {numbers}) \\\n"


# --- its test


def layout_check(plan: Plan, header: str) -> str:
    """A C program that compares the header named ``header`` with addresses word by word.

    First and last word of every run come from ``Device.address``, elements from the Placements:
    neither from what the header prints.  It prints PASS or FAIL, and exits with 0 or 1.
    """
    return fill(
        "cnn_layout_check.c.in",
        network=plan.network.name,
        device=plan.device.name,
        header=header,
        ends="".join(run_ends(plan, run) for run in tensor_runs(plan)),
        constants="".join(constant_checks(plan)),
        elements="".join(sampled_elements(plan)),
    )


def run_ends(plan: Plan, run: Run) -> str:
    """Addresses of the first and the last word of a run."""
    region = plan.device.region(MEMORY_OF[run.kind])
    place = divmod(run.unit, region.units)
    last = run.entry + (run.words - 1) * run.step // region.entry_stride
    first, end = (plan.device.address(region.name, *place, entry) for entry in (run.entry, last))
    return f"    {{0x{first:08x}u, 0x{end:08x}u}},\n"


def constant_checks(plan: Plan) -> Iterator[str]:
    """Constants of the layers that are addresses, and the address of the element that they name."""
    names = prefixes(plan)
    kernels: dict[str | None, Run] = {}
    for run in tensor_runs(plan):
        if run.kind == "kernel":
            kernels.setdefault(run.layer, run)
    for (layer, kind), place in plan.placements.items():
        prefix = names[layer].upper()
        if kind != "kernel":
            first = int(place.address.flat[0])
            yield f"    {{{prefix}_{kind.upper()}_ADDRESS, 0x{first:08x}u}},\n"
            continue
        run = kernels[layer]
        slot = f"CNN_KERNEL_ADDRESS({run.unit}u, {prefix}_KERNEL_WORD)"
        yield f"    {{{slot}, 0x{run.first:08x}u}},\n"


def sampled_elements(plan: Plan) -> Iterator[str]:
    """Some elements of every tensor, evenly over it, its first and its last among them."""
    for (layer, kind), place in plan.placements.items():
        index = plan.network.layer(layer).index
        count = min(SAMPLED, place.address.size)
        for flat in np.linspace(0, place.address.size - 1, count).astype(int):
            address = int(place.address.flat[flat])
            yield f"    {{{kind.upper()}, {index}u, 0x{address:08x}u}},\n"
