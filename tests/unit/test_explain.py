"""explain and where: sentences at known addresses, and that each undoes the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import InputError, load_network
from max78k_sim.allocation import allocate
from max78k_sim.devices import MAX78000, MAX78002
from max78k_sim.elements import find
from max78k_sim.explain import explain, explain_range, where
from max78k_sim.network import Parameters

DESCRIPTION = """
arch: small
dataset: none
layers:
  - {name: first, op: conv2d, in_channels: 1, in_dim: [8, 8], data_format: CHW, processors: 0x1,
     out_channels: 6, output_processors: 0x3f0000, out_offset: 0x2000, activate: ReLU}
  - {name: second, op: conv2d, processors: 0x3f0000, out_channels: 8, output_processors: 0xff,
     max_pool: 2, pool_stride: 2, quantization: 4, activate: ReLU}
  - {name: last, op: linear, flatten: true, processors: 0xff, out_channels: 3, output_width: 32,
     out_offset: 0x2000}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    file = tmp_path_factory.mktemp("small") / "network.yaml"
    file.write_text(DESCRIPTION)
    network = load_network(file)
    parameters = tuple(
        Parameters(
            np.full(layer.kernel_tensor_shape, layer.index, np.int8),
            np.ones(layer.out_channels, np.int8),
        )
        for layer in network.layers
    )
    return allocate(replace(network, parameters=parameters))


SENTENCES = [
    (
        0x50180008,
        "0x50180008: first kernel [out 0, in 0, row 2, column 2], processor 0, "
        "kernel word 0, b8, byte 8 of the slot",
    ),
    (
        0x5018000C,
        "0x5018000c: kernel memory of first, but no weight, processor 0, kernel word 0, "
        "byte 12 of the slot; the chip stores no bits there",
    ),
    (
        0x50580008,
        "0x50580008: second kernel [out 0, in 0, row 2, column 2] in bits 0 to 3; "
        "also second kernel [out 1, in 0, row 2, column 2] in bits 4 to 7, processor 16, "
        "kernel word 0, b8, byte 8 of the slot",
    ),
    (
        0x50186BC0,
        "0x50186bc0: kernel memory that no layer uses, processor 1, kernel word 700, b0, "
        "byte 0 of the slot",
    ),
    (0x5080A002, "0x5080a002: data memory that no layer uses, instance 5 (quadrant 1), "
     "word 2048 (byte 2)"),
    (0x50108000, "0x50108000: last bias [out 0], quadrant 0, byte 0"),
    (
        0x50400000,
        "0x50400000: first input [channel 0, row 0, column 0; the word up to column 3]; also "
        "second output and last input [channel 0, row 0, column 0; the word up to channel 3], "
        "instance 0 (quadrant 0), word 0 (byte 0)",
    ),
    (
        0x50400005,
        "0x50400005: first input [channel 0, row 0, column 5]; also second output and last input "
        "[channel 1, row 0, column 1], instance 0 (quadrant 0), word 1 (byte 1)",
    ),
    (
        0x5080A004,
        "0x5080a004: first output and second input [channel 4, row 0, column 1; the word up to "
        "channel 5], instance 5 (quadrant 1), word 2049 (byte 0)",
    ),
    (
        0x50402008,
        "0x50402008: last output [channel 2, row 0, column 0], instance 0 (quadrant 0), "
        "word 2050 (byte 0)",
    ),
    (
        0x50100594,
        "0x50100594: layer register LCTL0 (layer control) of second in quadrant 0: master, pool, "
        "pool_max, relu, global_write, sources 2, 0x00002ba0",
    ),
    (
        0x50100010 + 4 * 9,
        "0x50100034: layer register RCNT (rows) of layer 9, which small does not have, in "
        "quadrant 0: 0x00000000",
    ),
    (
        0x50100008,
        "0x50100008: quadrant register LCNT_MAX (layer count) in quadrant 0: last_layer 2, "
        "0x00000002",
    ),
    (0x50000008, "0x50000008: fifo register 2 (FIFO control, status and four write ports)"),
    (0x50110004, "0x50110004: line buffer, processor 0, word 1 (byte 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "sentence"), SENTENCES)
def test_sentences(plan, address, sentence):
    assert explain(plan, address) == sentence


def test_without_a_plan():
    assert explain(MAX78000, 0x50584048) == (
        "0x50584048: kernel memory, processor 17, kernel word 4, b8, byte 8 of the slot"
    )
    assert explain(MAX78000, 0x50100594) == (
        "0x50100594: layer register LCTL0 (layer control) of layer 1 in quadrant 0"
    )
    assert explain(MAX78002, 0x51100104) == (
        "0x51100104: layer register 1 (configuration of one layer in one quadrant) of layer 1 in "
        "quadrant 0"
    )


def test_a_given_register_word():
    assert explain(MAX78000, 0x50100594, word=0x200).endswith(": relu, 0x00000200")
    assert "bits 0x80000000 are set" in explain(MAX78000, 0x50100594, word=0x80000000)


def test_address_of_nothing(plan):
    with pytest.raises(InputError, match="0x60000000 is in no memory of MAX78000; the accelerator"):
        explain(plan, 0x60000000)


def test_a_range(plan):
    """A line for each byte that may hold something; neighbours that hold nothing are joined."""
    lines = explain_range(plan, 0x50180008, 12)
    assert [line.split(",")[0] for line in lines] == [
        "0x50180008: first kernel [out 0",
        "0x50180009: first kernel [out 0",
        "0x5018000a: first kernel [out 0",
        "0x5018000b: first kernel [out 0",
        "0x5018000c to 0x5018000f: the chip stores no bits there",
        "0x50180010: first kernel [out 1",
        "0x50180011 to 0x50180013: the chip stores no bits there",
    ]
    assert [line[:10] for line in explain_range(plan, 0x50400001, 12)] == [
        "0x50400001", "0x50400004", "0x50400008", "0x5040000c",
    ]  # fmt: skip
    assert explain_range(plan, 0x50405000, 0x1000) == [
        "0x50405000 to 0x50405fff: data memory that no layer uses"
    ]
    assert explain_range(plan, 0x50100590, 8)[1] == explain(plan, 0x50100594)
    assert explain_range(MAX78000, 0x50C1FFF8, 16) == [
        "0x50c1fff8 to 0x50c1ffff: data memory",
        "0x50c20000 to 0x50c20007: no memory",
    ]
    with pytest.raises(InputError, match="0x60000000 is in no memory of MAX78000"):
        explain_range(plan, 0x60000000, 4)


def test_fifo_registers(plan):
    fifo = allocate(replace(plan.network, fifo=True, layers=plan.network.layers))
    assert explain(fifo, 0x50000000) == (
        "0x50000000: fifo register FIFO_CTRL (FIFO control): almost_full 2, almost_empty 2, "
        "couple, enable 1, 0x00001908"
    )
    assert explain(MAX78000, 0x400C0400).startswith(
        "0x400c0400: fast fifo register FAST_FIFO_CR (fast FIFO control)"
    )


def test_where(plan):
    assert where(plan, "second", "kernel", (1, 3, 0, 2)) == (
        "second kernel [out 1, in 3, row 0, column 2] in bits 4 to 7: 0x5058c006, processor 19, "
        "kernel word 0, b2, byte 6 of the slot; packed address 0x5058c000 (strobe 0x5058c001)"
    )
    assert where(plan, "last", "kernel", (2, 21)).startswith(
        "last kernel [out 2, in 21] (in is channel 1, row 1, column 1): 0x50184"
    )
    assert where(plan, "last", "output", (2, 0, 0)) == (
        "last output [channel 2, row 0, column 0]: 0x50402008, instance 0 (quadrant 0), "
        "word 2050 (byte 0)"
    )


def test_where_of_nothing(plan):
    with pytest.raises(InputError, match=r"second kernel has no element \[8, 0, 0, 0\]; it has "
                       r"\[out 0 to 7, in 0 to 5, row 0 to 2, column 0 to 2\]"):  # fmt: skip
        where(plan, "second", "kernel", (8, 0, 0, 0))
    with pytest.raises(InputError, match="last bias has no element"):
        where(plan, "last", "bias", (0, 0))
    with pytest.raises(InputError, match="no layer 'third'; its layers are: first, second, last"):
        where(plan, "third", "kernel", (0, 0))


def test_every_element_is_found_at_its_address(plan):
    generator = np.random.default_rng(1)
    for (layer, kind), place in plan.placements.items():
        for flat in generator.choice(np.prod(place.shape), min(20, np.prod(place.shape)), False):
            index = tuple(int(number) for number in np.unravel_index(flat, place.shape))
            found = find(plan, int(place.address[index]))
            mine = [element for element in found if (element.layer, element.kind) == (layer, kind)]
            hits = [element for element in mine if element.index == index]
            assert [element.bit for element in hits] == [place.bit[index]]
            assert len(mine) == 8 // place.bits or place.bits in (8, 32)
