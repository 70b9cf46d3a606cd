"""Bytes of data memory that layers write, and what streams wait for; values by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim.data_layout import ring_words, stream_start, written_bytes
from max78k_sim.kernel_layout import kernel_shape
from tests.builders import FIRST, network_of, one_layer

# A 1x1 convolution of two pixels; bytes are counted over all instances, of 0x8000 each.
PIXELS = {"kernel_shape": (1, 1), "padding": 0, "in_size": (1, 2)}
LINE = {"op": "conv1d", "kernel_shape": (3, 1), "padding": 5, "dilation": 5, "in_size": (7, 1)}
COPY = PIXELS | {"op": "passthrough", "out_channels": 2, "output_processors": 0b11}
THREE = [0x2000, 0x2001, 0x2002]


def after(count: int, pixel: list[int]) -> list[int]:
    """The bytes of a pixel, so many bytes on."""
    return [byte + count for byte in pixel]


def slots(number: int, *slots: int) -> list[int]:
    """Bytes of slots in a word, counted from that at 0x2000; a slot is a lane of an instance."""
    return [slot // 4 * 0x8000 + 0x2000 + 4 * number + slot % 4 for slot in slots]


@pytest.mark.parametrize(
    ("fields", "expected"),  # bytes of each pixel
    [
        ({}, [THREE, after(4, THREE)]),
        ({"output_processors": 0b1110}, [slots(0, 0, 1, 2, 3), slots(1, 0, 1, 2, 3)]),
        ({"output_processors": 0b11001}, [slots(0, 0, 1, 2, 3, 4), slots(1, 0, 1, 2, 3, 4)]),
        ({"output_processors": 0b111 << 6}, [slots(0, 4, 5, 6, 7, 8), slots(1, 4, 5, 6, 7, 8)]),
        ({"write_gap": 1}, [THREE, after(8, THREE)]),
        ({"write_gap": 2}, [THREE, after(12, THREE)]),
        (
            {"output_bits": 32, "out_channels": 2, "output_processors": 0b11000},
            [
                [*range(0x2000, 0x2010), *range(0xA000, 0xA004)],
                [*range(0x2010, 0x2020), *range(0xA010, 0xA014)],
            ],
        ),
        (
            {"output_bits": 32, "out_offset": 0x2004},
            [[*range(0x2004, 0x2010)], [*range(0x2014, 0x2020)]],
        ),
        ({"in_channels": 65}, [THREE, after(4, THREE)]),
        (
            {"out_channels": 130, "output_processors": (1 << 44) - 1},
            [[byte for n in (0, 1, 2) for byte in slots(m + n, *range(44))] for m in (0, 3)],
        ),
        (
            {"out_channels": 66, "output_processors": (1 << 36) - 1, "write_gap": 1},
            [slots(n, *range(36)) + slots(n + 2, *range(36)) for n in (0, 4)],
        ),
        ({"out_offset": 0x7FFC}, [[0x7FFC, 0x7FFD, 0x7FFE], [0x7FFF] * 3]),  # none lies past it
        (LINE | {"out_offset": 48}, [after(4 * n + 48 - 0x2000 - 20, THREE) for n in range(10)]),
        (
            LINE | {"out_channels": 1, "output_processors": 1, "out_offset": 8},
            [[0], [0], [0], *([4 * n] for n in range(7))],
        ),
        (
            LINE | {"out_channels": 65, "output_processors": (1 << 36) - 1},
            [
                slots(2 * n - 10, *range(36)) + slots(2 * n - 9, *range(36))
                for n in range(10)
            ],
        ),
    ],
)  # fmt: skip
def test_what_a_layer_writes(fields, expected):
    layer = replace(FIRST, **PIXELS | fields)
    network = one_layer()
    actual = written_bytes(network, layer, kernel_shape(network, layer))
    assert actual.tolist() == expected


@pytest.mark.parametrize(
    ("processors", "output_processors", "expected"),  # of the first pixel
    [
        (0b11, 0b11, slots(0, 0, 1)),
        (0b11, 0b11 << 6, slots(0, 4, 5)),  # from the first lane of its instance on
        (0b11 << 20, 0b11 << 16, slots(0, 16, 17)),
        (0b11 << 20, 0b11, slots(0, 0, 1)),
        (0b11 << 15, 0b11 << 15, slots(0, 12, 16)),
        (0xFF << 1, 0xFF << 4, slots(0, *range(4, 12))),
        (1 << 63 | 1, 1 << 62 | 1 << 9, slots(0, 8, 60)),
        (1 << 36 | 1 << 20, 1 << 52 | 1 << 38, slots(0, 0, 36)),
    ],
)
def test_where_a_copy_lies(processors, output_processors, expected):
    fields = {"processors": processors, "output_processors": output_processors}
    actual = written_bytes(one_layer(), replace(FIRST, **COPY | fields), None)
    assert actual.tolist() == [expected, after(4, expected)]


def test_a_copy_of_several_passes():
    everywhere = {"processors": (1 << 36) - 1, "output_processors": (1 << 36) - 1}
    layer = replace(FIRST, **COPY | everywhere | {"in_channels": 70, "out_channels": 70})
    first, second = written_bytes(one_layer(), layer, None).tolist()
    assert first == slots(0, *range(36)) + slots(1, *range(36))
    assert second == after(8, first)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 4 * 5),
        ({"pool": (2, 3)}, 4 * 5 * 2),
        ({"big_data": True, "in_size": (3, 3)}, 3),  # four pixels in a word
        ({"big_data": True, "in_size": (5, 7)}, 9),
        ({"streaming": True}, 1),
        ({"streaming": True, "pool": (3, 2)}, (2 * 5 + 2) * 3),
        ({"streaming": True, "pool": (2, 2)}, (5 + 2) * 2),
    ],
)
def test_words_that_the_first_layer_waits_for(fields, expected):
    assert stream_start(one_layer(), replace(FIRST, **fields)) == expected


@pytest.mark.parametrize(
    ("before", "fields", "start", "ring"),
    [
        ({}, {}, 7 * 2 + 3 + 2, 19 + 1),
        ({"pool": (3, 1)}, {}, 7 * 2 + 3 + 2, 19 + 1),
        ({"pool": (1, 3)}, {}, 5 * 2 + 3 + 2, 15 + 1),
        ({"padding": 0}, {}, 5 * 2 + 3 + 2, 15 + 1),
        ({"op": "conv1d", "kernel_shape": (5, 1), "padding": 2, "in_size": (9, 1)}, {}, 7, 8),
        ({}, {"pool": (3, 2)}, 7 * 4 + 4 + 2, 34 + 2 * 5 + 2),
        ({}, {"pool": (2, 1)}, 7 * 3 + 3 + 2, 26 + 5 + 1),
        ({}, {"pool": (1, 2)}, 7 * 2 + 4 + 2, 20 + 2),
        ({}, {"stride": 4}, 19, 19 + 4),
        ({}, {"in_channels": 130}, 19, 21),  # whole words of three passes
        ({}, {"big_data": True}, 19, 12),
    ],
)
def test_words_that_a_streamed_layer_waits_for(before, fields, start, ring):
    network, layer = one_layer(**before), replace(FIRST, index=1, **fields)
    assert (stream_start(network, layer), ring_words(network, layer)) == (start, ring)


def test_a_streamed_layer_waits_for_what_the_layer_before_makes():
    second = replace(FIRST, name="second", in_channels=3, processors=0b111)
    network = network_of(FIRST, second, replace(second, name="third", padding=0))
    starts = [stream_start(network, replace(FIRST, index=index)) for index in (1, 2, 3)]
    assert starts == [19, 19, 5 * 2 + 3 + 2]


def test_what_is_written_is_counted_in_integers():
    layer = one_layer().layers[0]
    written = written_bytes(one_layer(), layer, kernel_shape(one_layer(), layer))
    assert written.dtype == np.int64
