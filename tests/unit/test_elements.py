"""Names of elements: what they select, what is refused, and where it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim.allocation import allocate
from max78k_sim.elements import columns_of, find, select
from max78k_sim.errors import InputError
from tests.builders import FIRST, network_of, two_layers

PLAN = allocate(two_layers(weight_bits=4))
NAMES = (  # of the kernel of "first", [out 3, in 2, row 3, column 3]
    ("first.weight[2,1,0,2]", [[2, 1, 0, 2]]),
    ("first.kernel[-1, -1, -3, -1]", [[2, 1, 0, 2]]),
    ("layer0.op.weight[2,1,0,2]", [[2, 1, 0, 2]]),
    (" 0.weight[2,1,0,2]", [[2, 1, 0, 2]]),
    ("first.weight[:,1,0,::2]", [[n, 1, 0, column] for n in range(3) for column in (0, 2)]),
    ("first.weight[1:,*,0,1:2]", [[n, m, 0, 1] for n in (1, 2) for m in (0, 1)]),
    ("first.bias", [[0], [1], [2]]),
    ("first.bias[]", [[0], [1], [2]]),
    ("first.output[2,3]", [[2, 3, column] for column in range(5)]),
    ("second.input[0,-1,4]", [[0, 3, 4]]),
)


@pytest.mark.parametrize(("name", "index"), NAMES)
def test_select(name, index):
    chosen = select(PLAN, name)
    assert chosen.index.tolist() == index
    assert chosen.axes == tuple(
        piece.name for piece in PLAN.placement(chosen.layer, chosen.kind).pieces
    )


REFUSED = (
    ("third.bias", "test has no layer 'third'; its layers are: first, second"),
    ("layer2.bias", "test has no layer 'layer2'; its layers are: first, second"),
    ("first.kernel[3,0,0,0]", "first kernel has no element [3,0,0,0]; it has [out 0 to 2, "
     "in 0 to 1, row 0 to 2, column 0 to 2]"),
    ("first.bias[-4]", "first bias has no element [-4]; it has [out 0 to 2]"),
    ("first.bias[0,0]", "first bias has no element [0,0]; it has [out 0 to 2]"),
    ("first.bias[2:2]", "first bias has no element [2:2]; it has [out 0 to 2]"),
    ("first.bias[x]", "'x' is not an index; write 3, -1 (the last), 2:5 (2 to 4) or :"),
    ("first.gamma[0]", "'first.gamma[0]' is not the name of elements; write conv2.weight[3,5,1,2]"),
    ("first", "'first' is not the name of elements; write conv2.weight[3,5,1,2]"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_refused(name, message):
    with pytest.raises(InputError) as error:
        select(PLAN, name)
    assert message in str(error.value)


def test_a_tensor_that_lies_nowhere():
    plan = allocate(network_of(FIRST, bias=False))
    with pytest.raises(InputError, match="layer first has no 'bias' placement; it has: input"):
        select(plan, "first.bias[0]")


def test_pytorch_keeps_transposed_convolutions_otherwise():
    """[in, out, row, column], the window turned by half a turn, as the loader takes it."""
    layer = replace(FIRST, op="convtranspose2d", padding=1)
    plan = allocate(network_of(layer))
    assert select(plan, "first.weight[1,2,0,2]").index.tolist() == [[2, 1, 2, 0]]
    assert select(plan, "first.kernel[2,1,2,0]").index.tolist() == [[2, 1, 2, 0]]
    with pytest.raises(InputError, match="no element"):
        select(plan, "first.weight[2,1,0,0]")


def test_columns():
    """Weights of 4 bits: outputs 0 and 1 share a byte; b0 of a word is byte 0 of its slot."""
    table = columns_of(PLAN, select(PLAN, "second.weight[:2,21]"))
    place = PLAN.placement("second", "kernel")
    assert table["address"].tolist() == [int(place.address[n, 21]) for n in (0, 1)]
    assert table["processor"].tolist() == [1, 1] and table["quadrant"].tolist() == [0, 0]
    assert (table["last bit"] - table["bit"]).tolist() == [3, 3]
    words = table["kernel word"]
    assert table["packed address"].tolist() == (0x50184000 + 4 * words).tolist()
    assert (0x50184000 + 16 * words + table["slot byte"]).tolist() == table["address"].tolist()
    slot_byte = {0: 0, 4: 4, 3: 5, 2: 6, 1: 7, 8: 8, 7: 9, 6: 10, 5: 11}  # registers.md, section 5
    assert [slot_byte[byte] for byte in table["byte"].tolist()] == table["slot byte"].tolist()


def test_the_feature_behind_a_flattened_weight():
    """20 pixels of each channel: feature 47 is channel 2, pixel 7."""
    place = PLAN.placement("second", "kernel")
    found = find(PLAN, int(place.address[3, 47]))
    assert ((3, 47), (2, 1, 2)) in [(one.index, one.feature) for one in found]
    assert "second.kernel[3,47]" in [one.name for one in found]


def test_every_element_of_any_selection_is_found_again():
    for name in ("first.weight", "second.weight[1:3]", "first.output[::2]", "second.bias"):
        chosen = select(PLAN, name)
        addresses = columns_of(PLAN, chosen)["address"]
        for address, index in zip(addresses.tolist(), chosen.index.tolist(), strict=True):
            found = [one.index for one in find(PLAN, address)
                     if (one.layer, one.kind) == (chosen.layer, chosen.kind)]  # fmt: skip
            assert tuple(index) in found


def test_a_byte_of_a_wide_word():
    plan = allocate(network_of(replace(FIRST, output_bits=32)))
    address = int(plan.placement("first", "output").address[1, 2, 3])
    for byte in range(4):
        assert [one.index for one in find(plan, address + byte)] == [(1, 2, 3)]
    np.testing.assert_array_equal(plan.placement("first", "output").elements_at(
        np.array([address - 1, address + 4]))[0], [0, 1])  # the words beside  # fmt: skip
