"""The map for programs: JSON and CSV of a network, of its elements, and of what lies at addresses.

Addresses are hexadecimal text: a spreadsheet and a JavaScript number leave them alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from .address_map import Run, runs
from .allocation import Plan
from .device import Device
from .elements import Selection, columns_of, coordinates, find
from .errors import NotEmulated
from .explain import REGISTER_REGIONS, explain, find_register, plan_and_chip, planned_words
from .latency import latency, milliseconds
from .report import MapRow, has_weights, map_rows, memory_use

HEXADECIMAL = ("address", "packed address", "first", "end")  # columns of addresses


# --- the whole map


def map_json(plan: Plan) -> dict[str, Any]:
    """The map: a summary of each layer, with its runs and registers.  A map has 64 bits: text."""
    cycles, use = latency(plan), memory_use(plan)
    rows = [run_row(run) for run in runs(plan)]
    words = registers_json(plan)
    return {
        "network": plan.network.name,
        "device": plan.device.name,
        "has_weights": has_weights(plan),
        "layers": [
            row_json(row)
            | {
                "runs": [run for run in rows if run["layer"] == row.layer],
                "registers": [word for word in words if word["layer"] == row.layer],
            }
            for row in map_rows(plan)
        ],
        "quadrants": {
            "runs": [run for run in rows if run["layer"] is None],
            "registers": [word for word in words if word["layer"] is None],
        },
        "memory": {**asdict(use), "kernel_bytes": use.kernel_bytes},
        "cycles": {
            "layers": list(cycles.layers),
            "total": cycles.total,
            "on_silicon_estimate": cycles.on_silicon,
            "milliseconds_estimate": round(milliseconds(cycles.on_silicon), 4),
        },
        "warnings": list(plan.warnings),
    }


def row_json(row: MapRow) -> dict[str, Any]:
    """One row with its addresses as text."""
    values = asdict(row)
    values["processors"] = f"0x{row.processors:016x}"
    for part in (values, values["input"], values["output"]):
        for key in part or ():
            if key.endswith("address") and part[key] is not None:
                part[key] = f"0x{part[key]:08x}"
    return values


def registers_json(plan: Plan) -> list[dict[str, Any]]:
    """Every register that the network writes, with its fields, when a run has started."""
    planned = planned_words(plan)
    return [register_json(plan, plan.device, address, planned) for address in planned]


def register_json(
    plan: Plan | None, chip: Device, address: int, planned: Mapping[int, int]
) -> dict[str, Any]:
    """The register at a word's address; ``word`` and ``fields`` are None where not known."""
    place = chip.locate(address)
    register = find_register(chip, place)
    layers = plan.network.layers if plan is not None else ()
    of_layer = place.region.entry_name == "layer"
    word = planned.get(address, 0) if plan is not None and register is not None else None
    return {
        "address": f"0x{address:08x}",
        "memory": place.region.name,
        "name": None if register is None else register.name,
        "quadrant": place.group if place.region.groups > 1 else None,
        "layer": layers[place.entry].name if of_layer and place.entry < len(layers) else None,
        "word": None if word is None else f"0x{word:08x}",
        "fields": None if register is None or word is None else fields_of(register, word),
    }


def fields_of(register, word: int) -> dict[str, int] | None:
    """Fields by name; None where bits are set that no field describes."""
    try:
        return register.decode(word)
    except NotEmulated:
        return None


def run_row(run: Run) -> dict[str, Any]:
    """A run with its addresses as text."""
    return as_text(asdict(run))


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose addresses are hexadecimal, and whose names are one word each."""
    return {
        name.replace(" ", "_"): f"0x{value:08x}" if name in HEXADECIMAL else value
        for name, value in row.items()
    }


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a heading; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def map_csv(plan: Plan) -> str:
    """A row for each run."""
    return csv_text([field.name for field in fields(Run)], map(run_row, runs(plan)))


# --- elements and addresses


def element_rows(plan: Plan, chosen: Selection) -> list[dict[str, Any]]:
    """Where each of some elements lies: a row for each."""
    table = columns_of(plan, chosen)
    numbers = zip(*(column.tolist() for column in table.values()), strict=True)
    owner = {"layer": chosen.layer, "tensor": chosen.kind}
    return [owner | as_text(dict(zip(table, row, strict=True))) for row in numbers]


def address_json(source: Plan | Device, address: int) -> dict[str, Any]:
    """What lies at a byte address: its place, and the elements or the register there."""
    plan, chip = plan_and_chip(source)
    place = chip.locate(address)
    split = place.group, place.unit, place.entry, place.word, place.byte
    answer = {
        "address": f"0x{address:08x}",
        "memory": place.region.name,
        "text": explain(source, address),
    }
    if place.region.name in REGISTER_REGIONS:
        planned = planned_words(plan) if plan is not None else {}
        return answer | {"register": register_json(plan, chip, address - place.byte, planned)}
    at = as_text({name: int(one) for name, one in coordinates(place.region, *split).items()})
    found = find(plan, address) if plan is not None else ()
    elements = [
        {
            "name": one.name,
            "layer": one.layer,
            "tensor": one.kind,
            "index": dict(zip(one.axes, one.index, strict=True)),
            "bits": [one.bit, one.bit + one.bits - 1],
        }
        for one in found
    ]
    return answer | {"place": at, "elements": elements}


def selections_json(plan: Plan, chosen: Iterable[Selection]) -> list[dict[str, Any]]:
    """The rows of several selections, one after the other."""
    return [row for selection in chosen for row in element_rows(plan, selection)]


def selections_csv(plan: Plan, chosen: Iterable[Selection]) -> str:
    """The same as CSV; columns that a tensor does not have are empty."""
    rows = selections_json(plan, chosen)
    return csv_text(dict.fromkeys(name for row in rows for name in row), rows)
