"""The laws of addresses, registers, packing and placements."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from max78k_sim import packing, placement
from max78k_sim.allocation import allocate
from max78k_sim.arithmetic import average, requantise
from max78k_sim.device import Device, Region
from max78k_sim.devices import DEVICES, MAX78000
from max78k_sim.errors import HardwareLimit, InputError
from max78k_sim.memory import Memory
from max78k_sim.network import Network
from max78k_sim.program import compile_network
from max78k_sim.registers import Register
from tests.conformance.cases import Case, cases_in
from tests.conftest import CASES, corpus
from tests.strategies import examples, generator, networks


@st.composite
def places(draw: st.DrawFn) -> tuple[Device, Region, tuple[int, ...]]:
    """Any word of any region of any device."""
    device = draw(st.sampled_from(DEVICES))
    region = draw(st.sampled_from(device.regions))
    return device, region, tuple(draw(st.integers(0, size - 1)) for size in region.shape)


@examples(300)
@given(place=places(), byte=st.integers(0, 3))
def test_locate_is_the_inverse_of_address(place, byte):
    device, region, (group, unit, entry, word) = place
    address = region.address(group, unit, entry, word) + byte
    found = device.locate(address)
    assert (found.region, found.group, found.unit, found.entry) == (region, group, unit, entry)
    assert (found.word, found.byte, found.address) == (word, byte, address)


@examples(100)
@given(device=st.sampled_from(DEVICES), address=st.integers(0x4FFFFF00, 0x54000000))
def test_address_is_the_inverse_of_locate(device, address):
    try:
        found = device.locate(address)
    except InputError:
        assert not any(
            first <= address < end for region in device.regions for first, end in region.runs()
        )
    else:
        place = found.group, found.unit, found.entry, found.word
        assert device.address(found.region.name, *place) + found.byte == found.address == address


ALL_REGISTERS = (*MAX78000.layer_registers, *MAX78000.global_registers)


@examples(300)
@given(data=st.data(), register=st.sampled_from(ALL_REGISTERS))
def test_decode_is_the_inverse_of_encode(data, register: Register):
    values = {row.name: data.draw(st.integers(0, row.limit)) for row in register.fields}
    word = register.encode(values)
    assert 0 <= word < 1 << 32 and register.decode(word) == values
    some = word & data.draw(st.integers(0, (1 << 32) - 1))
    assert register.encode(register.decode(some)) == some


FAST_FIFO = range(0x400C0400, 0x400C0418)  # of the RISC-V core, beside the accelerator


def check_vendor_words(case: Case) -> int:
    """encode(decode(w)) = w for every register word that the vendor's program writes."""
    functions = json.loads((case.folder / "registers.json").read_text())
    count = 0
    for operations in functions.values():
        for operation, address, *rest in operations:
            if operation != "w" or int(address, 16) in FAST_FIFO:
                continue
            found = MAX78000.locate(int(address, 16))
            if found.region.name not in ("layer register", "quadrant register"):
                continue
            is_layer = found.region.name == "layer register"
            table = MAX78000.layer_registers if is_layer else MAX78000.global_registers
            register = table[found.unit if is_layer else found.entry]
            word = int(rest[0], 16)
            assert register.encode(register.decode(word)) == word, f"{register.name} 0x{word:08x}"
            count += 1
    return count


@pytest.mark.parametrize("case", cases_in(CASES), ids=lambda case: case.name)
def test_every_vendor_register_word_of_the_committed_cases(case):
    assert check_vendor_words(case) > 10


@pytest.mark.corpus
def test_every_vendor_register_word_of_the_corpus():
    """Also of the cases whose features are not executed yet."""
    count = sum(
        check_vendor_words(case)
        for folder in ("corpus", "fuzz")
        for case in cases_in(corpus() / folder)
    )
    assert count > 50_000


@examples(100)
@given(words=st.integers(1, 40), data=st.data())
def test_unpacking_is_the_inverse_of_packing(words, data):
    random = generator(data.draw)
    stream = random.integers(0, 256, words * packing.KERNEL_BYTES).astype(np.uint8)
    packed = packing.pack_kernel_stream(stream)
    assert not packed[:, 3].any() and (packed[:, 0] < 256).all()
    np.testing.assert_array_equal(packing.unpack_kernel_stream(packed), stream)
    pixels = random.integers(-128, 128, (words, 4)).astype(np.int8)
    np.testing.assert_array_equal(packing.unpack_bytes(packing.pack_bytes(pixels)), pixels)


@examples(100)
@given(bits=st.sampled_from((1, 2, 4, 8)), data=st.data())
def test_a_sub_byte_weight_reads_what_was_inserted(bits, data):
    random = generator(data.draw)
    old = random.integers(0, 256, 50).astype(np.uint8)
    bit = random.integers(0, 8 // bits, 50) * bits
    values = random.integers(-(1 << bits - 1), 1 << bits - 1, 50)
    new = packing.insert_bits(old, values, bit, bits)
    np.testing.assert_array_equal(packing.extract_bits(new, bit, bits), values)
    again = packing.insert_bits(new, packing.extract_bits(old, bit, bits), bit, bits)
    np.testing.assert_array_equal(again, old)


@examples(300)
@given(value=st.integers(-(1 << 25), (1 << 25) - 1), shift=st.integers(-15, 15))
def test_arrays_and_integers_requantise_alike(value, shift):
    array = np.array([value], np.int32)
    assert int(requantise(array, shift)[0]) == requantise(value, shift)
    half = 1 << max(0, 6 - shift)  # adding 1 before the division adds 1 after it
    assert requantise(value + 2 * half, shift) - requantise(value, shift) >= 1 or shift > 6


@examples(100)
@given(values=st.lists(st.integers(-128, 127), min_size=1, max_size=256), rounding=st.booleans())
def test_an_average_is_odd_and_near(values, rounding):
    total, count = sum(values), len(values)
    mean = int(average(total, count, rounding))
    assert mean == -int(average(-total, count, rounding))
    assert abs(mean - total / count) <= (0.5 if rounding else 1) and abs(mean) <= 128


def plan_of(network: Network):
    try:
        return allocate(network)
    except HardwareLimit as error:
        assert "kernel words" in str(error)
        reject()


def extents(place: placement.Placement) -> np.ndarray:
    """int64 [2, element]: first bit address of every element, and the bit past its last."""
    first = place.address.astype(np.int64).reshape(-1) * 8 + place.bit.reshape(-1)
    return np.stack([first, first + place.bits])


def assert_disjoint(parts: list[np.ndarray]) -> None:
    first, end = np.concatenate(parts, axis=1)
    order = np.argsort(first)
    assert (end[order][:-1] <= first[order][1:]).all()


@examples(60)
@given(network=networks(weight_bits=(1, 2, 4, 8)))
def test_live_placements_are_disjoint(network):
    """All kernels and biases at once; of the data, a layer's input and its output."""
    plan = plan_of(network)
    stored = [
        extents(plan.placement(layer.index, kind))
        for layer, mine in zip(network.layers, plan.layers, strict=True)
        for kind in ("kernel", "bias")
        if (layer.name, kind) in plan.placements and (kind == "bias" or mine.shared_with is None)
    ]
    if stored:
        assert_disjoint(stored)
    for layer in network.layers:
        assert_disjoint(
            [extents(plan.placement(layer.index, kind)) for kind in ("input", "output")]
        )
    for place in plan.placements.values():
        for address in (int(place.address.min()), int(place.address.max())):
            region = network.device.locate(address).region.name
            assert region == place.kind


@examples(40)
@given(network=networks(weight_bits=(1, 2, 4, 8)), data=st.data())
def test_a_placement_reads_what_it_wrote_and_changes_nothing_else(network, data):
    plan = plan_of(network)
    random = generator(data.draw)
    memory = Memory(network.device)
    for name in ("kernel", "bias", "data"):
        array = memory.arrays[name]
        array[:] = random.integers(0, 1 << 32, array.shape, np.uint64).astype(np.uint32)
    place = plan.placements[data.draw(st.sampled_from(sorted(plan.placements)))]
    before = {name: array.copy() for name, array in memory.arrays.items()}
    original = placement.read(memory, place)
    limit = 1 << place.bits - 1
    values = random.integers(-limit, limit, place.shape)
    placement.write(memory, place, values)
    np.testing.assert_array_equal(placement.read(memory, place), values)
    placement.write(memory, place, original)
    for name, array in memory.arrays.items():
        mask = np.array(network.device.region(name).word_masks, np.uint32)
        np.testing.assert_array_equal(array & mask, before[name] & mask, name)


@examples(40)
@given(network=networks(weight_bits=(1, 2, 4, 8)))
def test_a_program_stores_every_weight_where_its_placement_says(network):
    plan_of(network)
    program = compile_network(network)
    memory = Memory(network.device)
    for write in program.writes:
        memory.write(write.address, write.words)
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        if not layer.has_kernels:
            continue
        kernel = placement.read(memory, program.plan.placement(layer.index, "kernel"))
        np.testing.assert_array_equal(kernel, parameters.kernel)
        if (layer.name, "bias") in program.plan.placements:
            bias = placement.read(memory, program.plan.placement(layer.index, "bias"))
            np.testing.assert_array_equal(bias, parameters.bias)
