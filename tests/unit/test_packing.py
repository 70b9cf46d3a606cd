"""Bits inside words, against hand-made examples."""

from __future__ import annotations

import numpy as np
import pytest

from max78k_sim import packing
from max78k_sim.packing import KERNEL_BYTE, KERNEL_BYTES


def test_a_kernel_word_by_hand():
    """registers.md, 5: word 0 = b0, word 1 = b1..b4 (b1 is the MSB), word 2 = b5..b8.

    Stream byte s is byte b[8 - s], so a 3x3 kernel streamed last tap first has b0..b8 = taps.
    """
    taps = np.arange(1, 10, dtype=np.uint8)
    words = packing.pack_kernel_stream(taps[::-1])
    assert [f"{word:08x}" for word in words[0]] == ["00000001", "02030405", "06070809", "00000000"]
    np.testing.assert_array_equal(packing.unpack_kernel_stream(words), taps[::-1])


def test_the_order_of_stream_bytes_is_that_of_the_slot():
    assert sorted(KERNEL_BYTE) == [0, 4, 5, 6, 7, 8, 9, 10, 11]
    tap_offsets = [KERNEL_BYTE[8 - tap] for tap in range(9)]
    assert tap_offsets == [0, 7, 6, 5, 4, 11, 10, 9, 8]  # golden case 106, first kernel


def test_slot_offset():
    stream = np.arange(3 * KERNEL_BYTES)
    slots = np.zeros(48, np.uint8)
    slots[packing.slot_offset(stream)] = stream + 1
    words = packing.pack_kernel_stream((stream + 1).astype(np.uint8))
    np.testing.assert_array_equal(slots.view("<u4").reshape(3, 4), words)
    np.testing.assert_array_equal(packing.unpack_kernel_stream(words), stream + 1)


def test_the_byte_of_the_word_that_each_byte_of_a_slot_holds():
    """The same words 0 to 2, in memory: least significant byte first."""
    none = (-1,) * 3
    assert [*packing.WORD_BYTE] == [0, *none, 4, 3, 2, 1, 8, 7, 6, 5, *none, -1]


@pytest.mark.parametrize(
    ("count", "express"),  # kernel words of b0 to b8 = 1 to 9, 11 to 19, ... (hexadecimal)
    [
        (1, "01020304 05060708 09000000"),
        (2, "01020304 05060708 09111213 14151617 18190000"),
        (3, "01020304 05060708 09111213 14151617 18192122 23242526 27282900"),
        (4, "01020304 05060708 09111213 14151617 18192122 23242526 27282931 32333435 36373839"),
    ],
)
def test_the_packed_stream_by_hand(count, express):
    """b0 first, in the most significant byte of a word; the last word is filled up with zeros."""
    rows = [f"000000{n}1 {n}2{n}3{n}4{n}5 {n}6{n}7{n}8{n}9 00000000".split() for n in range(count)]
    words = np.array([[int(word, 16) for word in row] for row in rows], np.uint32)
    stream = packing.pack_express(words)
    assert stream.dtype == np.uint32 and " ".join(f"{word:08x}" for word in stream) == express
    np.testing.assert_array_equal(packing.unpack_express(stream), words)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_sub_byte_weights(bits):
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    for bit in range(0, 8, bits):
        for value in {low, -1, 0, high}:
            old = np.array([0, 0xFF, 0xA5], np.uint8)
            new = packing.insert_bits(old, np.full(3, value), np.int64(bit), bits)
            read = packing.extract_bits(new, np.int64(bit), bits)
            assert read.dtype == np.int8 and (read == (value if low <= value else -1)).all()
            mask = (1 << bits) - 1 << bit
            assert ((new ^ old) & (0xFF ^ mask) == 0).all(), "a neighbour changed"


def test_the_lowest_index_is_in_the_low_bits():
    byte = np.zeros(1, np.uint8)
    for index, value in enumerate([1, -2, 0, -1]):
        byte = packing.insert_bits(byte, np.array([value]), np.int64(2 * index), 2)
    assert byte[0] == 0b11_00_10_01


def test_four_channels_in_a_word():
    values = np.array([[1, -1, 2, -128], [0, 0, 127, 3]], np.int8)
    words = packing.pack_bytes(values)
    assert words.tolist() == [0x8002FF01, 0x037F0000]
    np.testing.assert_array_equal(packing.unpack_bytes(words), values)


def test_weight_sizes():
    assert packing.WEIGHT_SIZES == {8: 0, 1: 1, 2: 2, 4: 3}
    assert {packing.WEIGHT_BITS[code] for code in range(4)} == {1, 2, 4, 8}
