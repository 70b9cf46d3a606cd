"""What a run records has the golden layout's names and values, and the addresses of memory."""

from __future__ import annotations

import numpy as np
import pytest

from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from max78k_sim.validation import recording
from tests.builders import FIRST, one_layer
from tests.conformance.cases import Case
from tests.conftest import CASES

# cases whose golden arrays are all of them equal; together they have every kind of array
EQUAL = ("8", "48", "100", "118", "136", "134", "156", "178", "554")
KINDS = {"layer", "pool", "elt", "acc", "final", "order"}


def dump_of(case: Case) -> dict[str, np.ndarray]:
    program = compile_network(case.network())
    return recording.dump(program.plan, list(recording.records(program, case.sample)))


def test_golden_arrays():
    seen = set()
    for case in (Case(CASES / name) for name in EQUAL):
        mine, golden = dump_of(case), case.array("expected")
        for name in set(golden.files) & set(mine):
            array = mine[name].reshape(golden[name].shape)  # 1-D: some lack the column
            np.testing.assert_array_equal(array, golden[name], err_msg=f"{case.name} {name}")
            assert mine[name].ndim == (1 if name == "order" else 4 if name[0] == "p" else 3)
            seen.add(name.rstrip("0123456789"))
    assert seen == KINDS


def test_addresses_are_where_memory_holds_the_values():
    program = compile_network(one_layer(output_bits=32))
    sample = np.arange(40).reshape(2, 4, 5).astype(np.int8)
    arrays = recording.dump(program.plan, list(recording.records(program, sample)))
    machine = Machine()
    machine.load(program)
    machine.run(sample)
    for address, value in zip(arrays["address0"].flat, arrays["layer0"].flat, strict=True):
        assert machine.memory.read(int(address))[0].view(np.int32) == value


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({}, [(0, 2, 0x50402000)]),
        ({"output_bits": 32}, [(0, 2, 0x50402000)]),
        (
            {"out_channels": 6, "output_processors": 0b111111},
            [(0, 3, 0x50402000), (4, 5, 0x5040A000)],
        ),
    ],
)
def test_stretches(fields, expected):
    plan = compile_network(one_layer(**fields)).plan
    found = recording.stretches(plan, plan.network.layers[0])
    assert [(part.first, part.last, part.address) for part in found] == expected
    assert plan.network.layers[0].name == FIRST.name
