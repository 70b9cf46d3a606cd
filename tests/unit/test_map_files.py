"""The map for programs: JSON and CSV of a small network, by hand."""

from __future__ import annotations

import csv
import io
import json

from max78k_sim.address_map import runs
from max78k_sim.allocation import allocate
from max78k_sim.devices import MAX78000
from max78k_sim.elements import select
from max78k_sim.map_files import addresses_json, map_csv, map_json, selections_csv, selections_json
from tests.builders import one_layer, two_layers

PLAN = allocate(two_layers())


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_for_each_run():
    rows = rows_of(map_csv(PLAN))
    assert len(rows) == len(list(runs(PLAN)))
    shown = [(row["kind"], row["unit"], row["entry"], row["first"], row["end"], row["words"])
             for row in rows if row["layer"] == "first"]  # fmt: skip
    assert shown == [
        ("kernel", "0", "0", "0x50180000", "0x50180030", "3"),
        ("kernel", "1", "0", "0x50184000", "0x50184030", "3"),
        ("bias", "0", "5", "0x50108014", "0x50108020", "3"),
        ("input", "0", "0", "0x50400000", "0x50400050", "20"),
        ("output", "0", "2048", "0x50402000", "0x50402050", "20"),
        ("layer register", "0", "0", "0x50100010", "0x50100a14", "21"),
    ]
    assert {(row["kind"], row["bits"], row["step"]) for row in rows} == {
        ("kernel", "72", "16"), ("bias", "8", "4"), ("input", "32", "4"), ("output", "32", "4"),
        ("layer register", "32", "128"), ("quadrant register", "32", "4"),
    }  # fmt: skip
    assert (rows[-1]["kind"], rows[-1]["layer"]) == ("quadrant register", "")


def test_a_gap_after_every_word_is_one_run():
    plan = allocate(one_layer(write_gap=1))
    (output,) = [run for run in runs(plan) if run.kind == "output"]
    assert (output.words, output.step, output.end - output.first) == (20, 8, 39 * 4)


def test_json_has_runs_and_registers_of_each_layer():
    read = json.loads(json.dumps(map_json(PLAN)))
    second = read["layers"][1]
    kinds = [run["kind"] for run in second["runs"]]
    assert kinds == ["kernel"] * 3 + ["bias", "input", "output", "output", "layer register"]
    registers = {word["name"]: word for word in second["registers"]}
    assert registers["LCTL0"]["address"] == "0x50100594"
    assert registers["LCTL0"]["fields"]["master"] == 1
    assert registers["RPTR_BASE"]["fields"] == {"read_word": 0x2000 // 4}
    whole = {word["name"] for word in read["quadrants"]["registers"]}
    assert whole == {"AON_CTRL", "CTRL", "SRAM", "LCNT_MAX"}


def test_elements():
    (row,) = selections_json(PLAN, [select(PLAN, "first.weight[2,1,0,2]")])
    assert row == {
        "layer": "first", "tensor": "kernel", "out": 2, "in": 1, "row": 0, "column": 2,
        "address": "0x50184026", "quadrant": 0, "processor": 1, "kernel_word": 2, "byte": 2,
        "slot_byte": 6, "bit": 0, "last_bit": 7, "packed_address": "0x50184008",
    }  # fmt: skip
    chosen = [select(PLAN, "first.bias"), select(PLAN, "first.output[1,0,0]")]
    rows = rows_of(selections_csv(PLAN, chosen))
    assert [row["out"] for row in rows] == ["0", "1", "2", ""]
    assert (rows[3]["instance"], rows[3]["word"], rows[3]["byte"]) == ("0", "2048", "1")


def test_addresses():
    answer = addresses_json(PLAN, [0x50184026])[0]
    assert answer["place"] == {
        "quadrant": 0, "processor": 1, "kernel_word": 2, "byte": 2, "slot_byte": 6,
    }  # fmt: skip
    (element,) = answer["elements"]
    assert element == {
        "name": "first.kernel[2,1,0,2]", "layer": "first", "tensor": "kernel",
        "index": {"out": 2, "in": 1, "row": 0, "column": 2}, "bits": [0, 7],
    }  # fmt: skip
    names = [one["name"] for one in addresses_json(PLAN, [0x50402001])[0]["elements"]]
    assert names == ["first.output[1,0,0]", "second.input[1,0,0]"]
    register = addresses_json(PLAN, [0x50100596])[0]["register"]
    assert (register["name"], register["layer"], register["address"]) == (
        "LCTL0", "second", "0x50100594",
    )  # fmt: skip
    assert addresses_json(MAX78000, [0x50100594])[0]["register"]["fields"] is None
    assert addresses_json(MAX78000, [0x50184001])[0]["elements"] == []
