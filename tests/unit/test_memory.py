"""Memory: words in, words out, at the chip's addresses."""

from __future__ import annotations

import numpy as np
import pytest

from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError
from max78k_sim.memory import Memory

DATA = MAX78000.address("data")
KERNEL = MAX78000.address("kernel")
BIAS = MAX78000.address("bias")


@pytest.fixture
def memory() -> Memory:
    return Memory(MAX78000)


def test_everything_is_zero_at_first(memory):
    assert not any(array.any() for array in memory.arrays.values())


@pytest.mark.parametrize("region", [row.name for row in MAX78000.regions])
def test_the_last_word_of_every_region(memory, region):
    row = MAX78000.region(region)
    entry = [size - 1 for size in row.shape[:3]]
    address = MAX78000.address(region, *entry)
    memory.write(address, 0xFFFFFFFF)
    assert memory.read(address)[0] == row.word_masks[0]
    assert sum(int(np.count_nonzero(array)) for array in memory.arrays.values()) == 1
    assert memory.arrays[region][(*entry, 0)] == row.word_masks[0]


def test_a_run_crosses_entries_and_instances(memory):
    words = np.arange(1, 8193 + 4, dtype=np.uint32)
    memory.write(DATA, words[:8192])
    np.testing.assert_array_equal(memory.read(DATA, 8192), words[:8192])
    memory.write(KERNEL, words[:8])
    expected = [1 & 0xFF, 2, 3, 0, 5, 6, 7, 0]
    assert memory.read(KERNEL, 8).tolist() == expected


def test_bits_that_a_word_does_not_keep(memory):
    memory.write(BIAS + 4, 0x12345678)
    assert memory.read(BIAS, 3).tolist() == [0, 0x78, 0]
    memory.write(KERNEL + 4, [0xFFFFFFFF] * 5)
    assert memory.read(KERNEL, 8).tolist() == [
        0, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0xFF, 0xFFFFFFFF, 0, 0,
    ]  # fmt: skip


def test_negative_words_are_their_bits(memory):
    memory.write(DATA, np.array([-1, -2], np.int32))
    assert memory.read(DATA, 2).tolist() == [0xFFFFFFFF, 0xFFFFFFFE]


def test_a_read_is_a_copy(memory):
    memory.read(DATA, 4)[:] = 7
    assert not memory.read(DATA, 4).any()


def test_versions_count_writes(memory):
    before = dict(memory.versions)
    memory.write(KERNEL, 1)
    assert memory.versions["kernel"] == before["kernel"] + 1
    assert memory.versions["data"] == before["data"]


def test_reset(memory):
    memory.write(DATA, 5)
    version = memory.versions["data"]
    memory.reset()
    assert not memory.read(DATA)[0] and memory.versions["data"] > version


@pytest.mark.parametrize(
    ("address", "words", "message"),
    [
        (DATA + 2, 1, "0x50400002 is not the address of a 32-bit word"),
        (0x20000000, 1, "0x20000000 is in no memory of MAX78000"),
        (0x60000000, 1, "0x60000000 is in no memory of MAX78000"),
        (BIAS + 2044, 2, "2 words from 0x501087fc run past 0x50108800, the end of bias there"),
        (KERNEL + 768 * 16, 1, "0x50183000 is in no memory of MAX78000"),
    ],
)
def test_error_texts(memory, address, words, message):
    for call in (lambda: memory.read(address, words), lambda: memory.write(address, [1] * words)):
        with pytest.raises(InputError) as caught:
            call()
        assert message in str(caught.value)


def test_find_and_view_address_the_same_words():
    memory = Memory(MAX78000)
    for region in MAX78000.regions:
        address = region.address(region.groups - 1, region.units - 1, region.entries - 1)
        found = memory.find(address + 3)
        assert found is not None and found[0] == region.name
        memory.view(region.name)[found[1]] = 5
        assert memory.read(address)[0] == 5
    assert memory.find(0x20000000) is None and memory.find(0x50000018) is None
