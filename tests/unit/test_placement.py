"""Where elements live, against addresses worked out by hand from registers.md, sections 5 and 6."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import placement
from max78k_sim.allocation import allocate
from max78k_sim.devices import MAX78000
from max78k_sim.memory import Memory
from tests.builders import FIRST, network_of, one_layer, two_layers


def test_data_of_one_pass():
    """HWC: a word holds four channels of a pixel; processor 16 is in the next quadrant."""
    place = allocate(
        one_layer(in_channels=18, processors=(1 << 18) - 1, in_offset=0x100)
    ).placement(0, "input")
    assert place.shape == (18, 4, 5) and (place.bits, place.kind) == (8, "data")
    assert place.address[0, 0, 0] == 0x50400100
    assert place.address[3, 0, 0] == 0x50400103
    assert place.address[4, 0, 0] == 0x50408100  # next instance
    assert place.address[16, 0, 0] == 0x50800100  # next quadrant
    assert place.address[17, 1, 2] == 0x50800101 + 4 * 7


def test_data_of_several_passes():
    place = allocate(one_layer(in_channels=130, processors=(1 << 44) - 1)).placement(0, "input")
    assert place.address[44, 0, 0] == 0x50400004  # second pass: the next word
    assert place.address[88, 0, 1] == 0x50400008 + 12
    assert place.address[0, 1, 0] == 0x50400000 + 12 * 5  # a row of five pixels
    assert place.address[129, 0, 0] == 0x50C00000 + 2 * 0x8000 + 8 + 1  # processor 41


@pytest.mark.parametrize("gap", [1, 2])
def test_data_of_several_passes_with_a_gap(gap):
    """Every word that is written is followed by some that are not: those of each pass too."""
    fields = {"out_channels": 130, "output_processors": (1 << 44) - 1, "write_gap": gap}
    place, step = allocate(one_layer(**fields)).placement(0, "output"), 4 * (gap + 1)
    assert place.address[44, 0, 0] == 0x50402000 + step  # second pass
    assert place.address[88, 0, 1] == 0x50402000 + step * (2 + 3)  # three passes a pixel


def test_data_of_several_operands():
    """registers.md, 4: interleaved in each pass of each pixel, the operand last."""
    map44 = {"processors": (1 << 44) - 1, "output_processors": (1 << 44) - 1}
    layer = {"op": "passthrough", "kernel_shape": (1, 1), "padding": 0, "in_size": (2, 2)}
    fields = {"in_channels": 130, "out_channels": 130, "eltwise": "add", "operands": 3}
    network = network_of(replace(FIRST, **layer, **map44, **fields), bias=False)
    place = allocate(network).placement(0, "input")
    assert place.shape == (3 * 130, 2, 2)
    assert place.address[0, 0, 1] == 0x50400000 + 4 * 9
    assert place.address[130 + 44, 0, 1] == 0x50400000 + 4 * (9 + 3 + 1)
    assert place.address[260 + 129, 0, 0] == 0x50C00000 + 2 * 0x8000 + 4 * (6 + 2) + 1


def test_chw_data():
    place = allocate(one_layer(big_data=True, processors=0x10001)).placement(0, "input")
    assert place.bits == 8
    assert place.address[0].ravel().tolist() == list(range(0x50400000, 0x50400000 + 20))
    assert place.address[1, 0, 0] == 0x50800000


def test_wide_data():
    plan = allocate(one_layer(output_bits=32, out_channels=5, output_processors=0b11111))
    place = plan.placement(0, "output")
    assert (place.bits, plan.placement(0, "input").bits) == (32, 8)
    words = [0x50402000, 0x50402004, 0x50402008, 0x5040200C, 0x5040A000]
    assert place.address[:, 0, 0].tolist() == words
    assert place.address[2, 1, 1] == 0x50402008 + 6 * 16


def test_kernels():
    """8-bit 3x3: taps at (0, 7, 6, 5, 4, 11, 10, 9, 8) of a slot; a processor for each input."""
    place = allocate(one_layer()).placement(0, "kernel")
    assert place.shape == (3, 2, 3, 3)
    offsets = [0, 7, 6, 5, 4, 11, 10, 9, 8]
    assert (place.address[0, 0].ravel() - 0x50180000).tolist() == offsets
    assert (place.address[2, 1].ravel() - 0x50184020).tolist() == offsets
    assert not place.bit.any()


def test_kernels_of_a_flattening_layer():
    """Weight of output n, channel c, pixel i: processor of c, kernel n * pixels + i, 9 a word."""
    plan = allocate(two_layers())
    place, start = plan.placement(1, "kernel"), plan.layers[1].kernel_start
    assert place.shape == (5, 60) and start == 4  # a multiple of four words, behind the first's
    for output, channel, pixel in ((0, 0, 0), (0, 2, 19), (4, 1, 7)):
        stream = output * 20 + pixel
        slot, byte = divmod(stream, 9)
        expected = 0x50180000 + channel * 0x4000 + 16 * (start + slot)
        expected += (8, 9, 10, 11, 4, 5, 6, 7, 0)[byte]
        assert place.address[output, channel * 20 + pixel] == expected


def test_kernels_of_a_flattening_layer_of_several_passes():
    """Kernel (n * pixels + pixel) * passes + pass; channel 90 is the third of the third pass."""
    fields = {"in_channels": 132, "processors": (1 << 44) - 1, "in_size": (2, 2), "flatten": True}
    network = one_layer(op="linear", kernel_shape=(1, 1), padding=0, **fields)
    place = allocate(network).placement(0, "kernel")
    for pixel in range(4):
        slot, byte = divmod((1 * 4 + pixel) * 3 + 2, 9)
        expected = 0x50180000 + 2 * 0x4000 + 16 * slot + (8, 9, 10, 11, 4, 5, 6, 7, 0)[byte]
        assert place.address[1, 90 * 4 + pixel] == expected


def test_narrow_kernels_share_bytes():
    place = allocate(one_layer(weight_bits=2)).placement(0, "kernel")
    assert place.bit[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert len(set(place.address[:, 0, 0, 0].tolist())) == 1


def test_bias():
    place = allocate(one_layer(output_processors=0b1110)).placement(0, "bias")
    assert place.address.tolist() == [0x50108004, 0x50108008, 0x5010800C]  # behind one unused lane
    assert place.bits == 8


@pytest.mark.parametrize("kind", ["input", "output", "kernel", "bias"])
def test_index_of_is_the_inverse(kind):
    place = allocate(one_layer(weight_bits=4)).placement(0, kind)
    for index in list(np.ndindex(place.shape))[::7]:
        assert index in place.index_of(int(place.address[index]))
    assert place.index_of(0x50401000) == []


def test_runs_cover_the_words():
    place = allocate(one_layer()).placement(0, "kernel")
    words = [address + 4 * n for address, count in place.runs for n in range(count)]
    assert words == place.words.tolist() == sorted(set(words))


def test_writing_keeps_what_lies_beside():
    memory = Memory(MAX78000)
    place = allocate(one_layer(weight_bits=4)).placement(0, "kernel")
    for address, count in place.runs:
        memory.write(address, [0xFFFFFFFF] * count)
    placement.write(memory, place, np.zeros(place.shape, np.int8))
    byte = int(place.address[2, 0, 0, 0])  # kernel 2: low half of its byte; nobody has the high
    word = int(memory.read(byte & ~3)[0])
    assert word >> 8 * (byte & 3) & 0xFF == 0xF0
    assert not placement.read(memory, place).any()


def test_first_is_what_the_addresses_above_assume():
    assert (FIRST.in_size, FIRST.in_channels, FIRST.out_channels) == ((4, 5), 2, 3)
    assert FIRST.out_offset == 0x2000
