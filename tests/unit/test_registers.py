"""Register tables: sound, and encode beside decode."""

from __future__ import annotations

import pytest

from max78k_sim import layer_config
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError, NotEmulated

TABLES = {"layer": MAX78000.layer_registers, "global": MAX78000.global_registers}


@pytest.mark.parametrize("table", TABLES)
def test_fields_of_a_register_are_disjoint_and_named_once(table):
    names: list[str] = []
    for register in TABLES[table]:
        taken = 0
        for field in register.fields:
            bits = field.limit << field.low
            assert not taken & bits, f"{register.name}.{field.name} overlaps"
            assert field.low + field.width <= 32
            taken |= bits
            names.append(field.name)
        assert register.known_bits == taken
    assert len(names) == len(set(names))


@pytest.mark.parametrize("table", TABLES)
def test_units_are_the_register_index(table):
    assert [register.unit for register in TABLES[table]] == list(range(len(TABLES[table])))


def test_registers_and_region_agree():
    region = MAX78000.region("layer register")
    assert region.units == len(MAX78000.layer_registers)
    assert MAX78000.region("quadrant register").entries == len(MAX78000.global_registers)


WORDS = [  # from registers.md, section 3: register, fields, word
    ("RCNT", {"row_count": 33, "row_pad": 1}, 0x00010021),
    ("ONED", {"kernel_width": 1}, 0x00000100),
    ("WPTR_BASE", {"write_word": 0x1234, "write_instance": 15}, 0x0001F234),
    ("LCTL0", {"master": 1, "global_write": 1, "relu": 1, "pool": 1, "pool_max": 1}, 0x00000BA0),
    ("MCNT", {"kernel_first": 0x0120, "kernel_last": 0x0318}, 0x01200318),
    ("EN", {"processors": 0x000F, "kernels": 0x00F0}, 0x00F0000F),
    ("POST", {"bias": 1, "bias_start": 5, "shift": 3, "shift_right": 1}, 0x00027005),
    ("POST", {"weight_size": 3, "absolute": 1, "flatten": 1}, 0x0CC00000),
    ("LCTL1", {"pass_count": 1, "write_step": 2, "span_bits": 256}, 0x00010021),
]


@pytest.mark.parametrize(("name", "fields", "word"), WORDS)
def test_known_words(name, fields, word):
    (register,) = [row for row in MAX78000.layer_registers if row.name == name]
    assert register.encode(fields) == word
    decoded = register.decode(word)
    assert {field: value for field, value in decoded.items() if value} == fields


def test_a_value_that_does_not_fit():
    register = MAX78000.layer_registers[0]
    for value in (1024, -1):
        with pytest.raises(InputError, match=f"RCNT field row_count = {value}: 10 bits hold 0 to"):
            register.encode({"row_count": value})


def test_unknown_bits_are_not_guessed():
    with pytest.raises(NotEmulated, match="register RCNT = 0x80000001: bits 0x80000000 are set"):
        MAX78000.layer_registers[0].decode(0x80000001)


def test_a_field_that_no_register_has():
    with pytest.raises(
        ValueError, match=r"no layer register of MAX78000 has the fields \['rose'\]"
    ):
        layer_config.encode(MAX78000, {"rose": 1})
