"""The map for programs: JSON and CSV of a network, of its elements, and of what lies at addresses.

Addresses are hexadecimal text: a spreadsheet and a JavaScript number leave them alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from .address_map import Run, runs
from .allocation import Plan
from .device import Device, Location
from .elements import Element, Selection, columns_of, coordinates, find_each
from .errors import NotEmulated
from .explain import (
    REGISTER_REGIONS,
    Found,
    phrase_bytes,
    plan_and_chip,
    planned_words,
    sentence,
)
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
    register = chip.register(place)
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


def addresses_json(source: Plan | Device, addresses: Sequence[int]) -> list[dict[str, Any]]:
    """What lies at each of some byte addresses.  Raises InputError for one in no memory."""
    plan, chip = plan_and_chip(source)
    planned = {} if plan is None else planned_words(plan)
    places = [chip.locate(address) for address in addresses]
    lengths = [phrase_bytes(place) for place in places]
    pairs = zip(addresses, lengths, strict=True)
    wanted = [address + n for address, length in pairs for n in range(length)]
    found = [()] * len(wanted) if plan is None else find_each(plan, np.array(wanted, np.int64))
    ends = np.cumsum(lengths).tolist()
    here = [found[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return [
        address_json(plan, chip, place, nearby, planned)
        for place, nearby in zip(places, here, strict=True)
    ]


def address_json(
    plan: Plan | None, chip: Device, place: Location, found: Found, planned: Mapping[int, int]
) -> dict[str, Any]:
    """One address: a sentence, and the register there or the place and its elements."""
    word_address = place.address - place.byte
    word = None if plan is None else planned.get(word_address, 0)
    answer: dict[str, Any] = {
        "address": f"0x{place.address:08x}",
        "memory": place.region.name,
        "text": sentence(plan, chip, place, found, word),
    }
    if place.region.name in REGISTER_REGIONS:
        return answer | {"register": register_json(plan, chip, word_address, planned)}
    elements = [element_json(one) for one in found[0]]
    return answer | {"place": place_json(place), "elements": elements}


def place_json(place: Location) -> dict[str, Any]:
    """Quadrant, processor or instance, entry and byte."""
    split = place.group, place.unit, place.entry, place.word, place.byte
    return as_text({name: int(one) for name, one in coordinates(place.region, *split).items()})


def element_json(one: Element) -> dict[str, Any]:
    """An element: what ``select`` calls it, and its parts; bits are of its first byte on."""
    return {
        "name": one.name,
        "layer": one.layer,
        "tensor": one.kind,
        "index": dict(zip(one.axes, one.index, strict=True)),
        "bits": [one.bit, one.bit + one.bits - 1],
    }


def selections_json(plan: Plan, chosen: Iterable[Selection]) -> list[dict[str, Any]]:
    """The rows of several selections, one after the other."""
    return [row for selection in chosen for row in element_rows(plan, selection)]


def selections_csv(plan: Plan, chosen: Iterable[Selection]) -> str:
    """The same as CSV; columns that a tensor does not have are empty."""
    rows = selections_json(plan, chosen)
    return csv_text(dict.fromkeys(name for row in rows for name in row), rows)
