"""Addresses: known ones from the reference, locate as the inverse of address, and error texts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from max78k_sim.device import Region
from max78k_sim.devices import DEVICES, MAX78000, MAX78002, find_device
from max78k_sim.errors import InputError

KNOWN = [  # device, region, (group, unit, entry, word), address
    (MAX78000, "fifo register", (0, 0, 0, 0), 0x50000000),
    (MAX78000, "fifo register", (0, 0, 2 + 3, 0), 0x50000014),
    (MAX78000, "always-on register", (0, 0, 0, 0), 0x50001000),
    (MAX78000, "quadrant register", (0, 0, 0, 0), 0x50100000),
    (MAX78000, "quadrant register", (3, 0, 2, 0), 0x50D00008),
    (MAX78000, "layer register", (0, 0, 0, 0), 0x50100010),  # RCNT
    (MAX78000, "layer register", (0, 15, 31, 0), 0x5010080C),  # POST, last layer
    (MAX78000, "layer register", (1, 16, 7, 0), 0x5050082C),  # stream start
    (MAX78000, "layer register", (0, 19, 0, 0), 0x50100990),  # IFRM
    (MAX78000, "layer register", (2, 20, 1, 0), 0x50900A14),  # LCTL1
    (MAX78000, "mlator", (1, 0, 0, 0), 0x50501000),
    (MAX78000, "bias", (0, 0, 511, 0), 0x501087FC),
    (MAX78000, "line buffer", (0, 15, 0, 0), 0x5014C000),
    (MAX78000, "kernel", (0, 0, 0, 0), 0x50180000),
    (MAX78000, "kernel", (3, 15, 767, 2), 0x50DBEFF8),
    (MAX78000, "data", (0, 0, 0, 0), 0x50400000),
    (MAX78000, "data", (3, 3, 8191, 0), 0x5101FFFC),
    (MAX78002, "layer register", (0, 0, 1, 0), 0x51100100),
    (MAX78002, "kernel", (1, 0, 0, 0), 0x52400000),
    (MAX78002, "data", (0, 1, 0, 0), 0x51820000),
]


@pytest.mark.parametrize(("device", "region", "place", "address"), KNOWN)
def test_known_address(device, region, place, address):
    assert device.address(region, *place) == address
    found = device.locate(address)
    assert (found.region.name, found.group, found.unit, found.entry, found.word) == (region, *place)
    assert found.byte == 0 and found.address == address


def strided(count: int, step: int) -> list[int]:
    return sorted({*range(0, count, step), count - 1})


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_locate_is_the_inverse_of_address_everywhere(device):
    for region in device.regions:
        steps = (1, 5, max(1, region.entries // 40), 1)
        axes = [strided(*pair) for pair in zip(region.shape, steps, strict=True)]
        for place in itertools.product(*axes):
            address = device.address(region.name, *place)
            for byte in (0, 3):
                found = device.locate(address + byte)
                assert found.region is region
                assert (found.group, found.unit, found.entry, found.word) == place
                assert (found.byte, found.address) == (byte, address + byte)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_no_two_regions_overlap(device):
    assert device.overlaps() == []
    spans = sorted(run for region in device.regions for run in region.runs())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_an_overlap_is_found():
    row: dict[str, Any] = dict(
        meaning="", groups=1, group_stride=0, units=1, unit_stride=0, unit_name="block"
    )
    left = Region("left", base=0, entries=4, entry_stride=4, entry_name="word", **row)
    right = Region("right", base=12, entries=4, entry_stride=4, entry_name="word", **row)
    device = type(MAX78000)("both", (left, right), (), (), (), MAX78000.limits, False)
    assert device.overlaps() == [("left", "right", 12)]


def test_the_processor_of_a_kernel_location():
    assert MAX78000.locate(MAX78000.address("kernel", 2, 5, 7)).processor == 37


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MAX78000.address("data", 4), "MAX78000 data: quadrant 4 is not in 0..3"),
        (lambda: MAX78000.address("data", 0, 4), "MAX78000 data: instance 4 is not in 0..3"),
        (lambda: MAX78000.address("kernel", 0, 16), "processor 16 is not in 0..15"),
        (lambda: MAX78000.address("kernel", 0, 0, 768), "kernel word 768 is not in 0..767"),
        (lambda: MAX78000.address("kernel", 0, 0, 0, 4), "word 4 is not in 0..3"),
        (lambda: MAX78000.address("bias", entry=-1), "byte -1 is not in 0..511"),
        (lambda: MAX78000.address("flash"), "MAX78000 has no region 'flash'; there are: fifo reg"),
        (lambda: MAX78000.locate(0x20000000), "0x20000000 is in no memory of MAX78000; the acc"),
        (lambda: MAX78000.locate(0x50108800), "0x50108800 is in no memory"),  # behind the biases
        (lambda: MAX78000.locate(0x50000018), "0x50000018 is in no memory"),
        (lambda: MAX78000.locate(0x50408000 + 0x18000), "is in no memory"),  # behind instance 3
        (lambda: find_device("max78001"), "device 'max78001' is not known; the devices are: MAX7"),
    ],
)
def test_error_texts(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)


def test_find_device():
    assert find_device("max78000") is MAX78000
    assert find_device(MAX78002) is MAX78002
