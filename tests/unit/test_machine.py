"""The machine follows registers and memories, and refuses what it does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import placement
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.machine import CONTROL_NOT_EMULATED, Machine
from max78k_sim.network import Network, Parameters
from max78k_sim.program import compile_network
from tests.builders import FIRST, network_of, one_layer, two_layers

CONTROL = MAX78000.address("quadrant register")
SAMPLE = (np.arange(40).reshape(2, 4, 5) * 7 % 256 - 128).astype(np.int8)


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.load(compile_network(two_layers(output_bits=32)))
    return machine


def register(name: str, layer: int = 0, group: int = 0) -> int:
    (row,) = [row for row in MAX78000.layer_registers if row.name == name]
    return MAX78000.address("layer register", group, row.unit, layer)


def change(machine: Machine, name: str, layer: int = 0, **fields: int) -> None:
    """Set fields of a layer register behind the Program's back."""
    (row,) = [row for row in MAX78000.layer_registers if row.name == name]
    address = register(name, layer)
    old = row.decode(int(machine.memory.read(address)[0]))
    machine.memory.write(address, row.encode(old | fields))


def test_one_convolution_by_hand():
    """A kernel with one tap of 64 moves the picture by one pixel and halves it."""
    layer = replace(FIRST, in_channels=1, out_channels=1, processors=1, output_processors=1)
    kernel = np.zeros((1, 1, 3, 3), np.int8)
    kernel[0, 0, 0, 1] = 64  # the pixel above
    machine = Machine()
    parameters = (Parameters(kernel, np.array([1], np.int8)),)
    machine.load(compile_network(Network("n", MAX78000, (layer,), parameters)))
    sample = np.arange(-60, 120, 9, dtype=np.int16).reshape(1, 4, 5)
    expected = np.zeros((4, 5), np.int64)
    expected[1:] = np.floor(sample[0, :3] / 2 + 0.5)
    np.testing.assert_array_equal(machine.run(sample)[0], expected + 1)


def test_steps_yield_what_each_layer_did(machine):
    program = machine.prepare(SAMPLE)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    first, second = list(machine.steps())
    assert (first.layer, second.layer) == (0, 1)
    np.testing.assert_array_equal(first.data, SAMPLE.transpose(1, 2, 0))
    assert first.accumulator.shape == first.output.shape == (4, 5, 3)
    assert first.output.dtype == np.int8 and second.output.dtype == np.int32
    np.testing.assert_array_equal(machine.read_output("second").ravel(), second.output.ravel())


def test_a_run_leaves_the_interrupt_pending(machine):
    machine.run(SAMPLE)
    assert machine.runs == 1
    assert machine.memory.read(CONTROL)[0] >> 12 & 1


def test_some_layers_alone(machine):
    """And without the interrupt: that is the whole run's."""
    expected = machine.run(SAMPLE).copy()
    for write in machine.prepare(SAMPLE).start:
        machine.memory.write(write.address, write.words)
    assert [trace.layer for trace in machine.execute({0})] == [0]
    assert [trace.layer for trace in machine.execute({1})] == [1]
    np.testing.assert_array_equal(machine.read_output(1), expected)
    assert machine.runs == 1 and not machine.memory.read(CONTROL)[0] >> 12 & 1


def test_writing_kernels_takes_effect(machine):
    before = machine.run(SAMPLE).copy()
    place = machine.program.plan.placement(1, "kernel")
    kernel = placement.read(machine.memory, place)
    kernel[2, 17] ^= 0x55
    placement.write(machine.memory, place, kernel)
    after = machine.run(SAMPLE)
    assert (after != before).ravel().tolist() == [False, False, True, False, False]
    data = machine.read_output(0).ravel().astype(np.int64)
    bias = machine.program.plan.network.parameters[1].bias.astype(np.int64)
    np.testing.assert_array_equal(after.ravel(), kernel.astype(np.int64) @ data + (bias << 7))


def test_writing_a_bias_takes_effect(machine):
    before = machine.run(SAMPLE).copy()
    place = machine.program.plan.placement("second", "bias")
    bias = placement.read(machine.memory, place)
    placement.write(machine.memory, place, np.where(bias == 5, 6, 5))
    assert (machine.run(SAMPLE) - before != 0).any()


def test_registers_are_what_is_executed(machine):
    """Not the network: another shift, and a smaller last layer number."""
    change(machine, "POST", shift=1)
    machine.run(SAMPLE)
    halved = machine.read_output(0).copy()
    change(machine, "POST", shift=0)
    machine.run(SAMPLE)
    assert (machine.read_output(0) != halved).any()
    machine.memory.write(MAX78000.address("quadrant register", 0, 0, 2), 0)
    machine.prepare(SAMPLE)
    for write in machine.program.start:
        machine.memory.write(write.address, write.words)
    assert [trace.layer for trace in machine.steps()] == [0]


def test_loading_again_forgets(machine):
    first = machine.run(SAMPLE).copy()
    change(machine, "POST", shift=3)
    machine.load(machine.program)
    np.testing.assert_array_equal(machine.run(SAMPLE), first)


def test_the_sample_stays_for_the_next_run():
    machine = Machine()
    machine.load(compile_network(one_layer()))
    first = machine.run(SAMPLE).copy()
    np.testing.assert_array_equal(machine.run(), first)


@pytest.mark.parametrize("field", CONTROL_NOT_EMULATED)
def test_modes_that_are_not_emulated(machine, field):
    machine.prepare(SAMPLE)
    word = MAX78000.global_registers[0].encode({"enable": 1, "clock": 1, field: 1})
    machine.memory.write(CONTROL, word)
    with pytest.raises(NotEmulated, match=rf"\(CTRL\.{field}\) is not emulated yet"):
        list(machine.steps())


REFUSED = [  # register, fields, message
    ("LCTL0", {"slave": 1}, "slave mode (register field slave) is not emulated yet"),
    ("LCTL0", {"column_pad_only": 1}, "column-only padding (register field column_pad_only) is no"),
    ("ONED", {"kernel_width": 5}, "no known operation has these registers"),
    ("RPTR_BASE", {"read_word": 8190}, "layer 0 reads up to byte 0x8"),
    ("WPTR_BASE", {"write_word": 8190}, "layer 0 writes up to byte 0x8046 of its data-memory"),
    ("WPTR_BASE", {"write_instance": 15, "write_word": 8190}, "layer 0 writes"),
    ("ONED", {"eltwise": 1}, "layer 0: an element-wise result that is to be convolved without ker"),
    ("EN", {"kernels": 1}, "quadrant 0: processors 0x0003 read data, but 0x0001 use kernels"),
    ("MCNT", {"kernel_first": 0xFFF0, "kernel_last": 0xFFF8}, "layer 0 reads past the end of ker"),
]


@pytest.mark.parametrize(("name", "fields", "message"), REFUSED)
def test_registers_that_are_not_emulated(machine, name, fields, message):
    change(machine, name, **fields)
    with pytest.raises(NotEmulated) as caught:
        machine.run(SAMPLE)
    assert message in str(caught.value)


def test_registers_that_are_wrong(machine):
    change(machine, "EN", processors=0)
    with pytest.raises(InputError, match="layer 0: no processor is enabled"):
        machine.run(SAMPLE)
    machine.load(machine.program)
    change(machine, "MCNT", kernel_first=16, kernel_last=0)
    with pytest.raises(InputError, match=r"-1 kernels \(register MCNT\) for 1 input pass"):
        machine.run(SAMPLE)
    machine.load(machine.program)
    machine.memory.write(register("RCNT"), 0x80000000)
    with pytest.raises(NotEmulated, match="register RCNT = 0x80000000: bits 0x80000000 are set"):
        machine.run(SAMPLE)
    machine.load(machine.program)
    with pytest.raises(InputError, match="no master quadrant is enabled"):
        list(machine.steps())


def test_an_accumulator_beyond_26_bits():
    layer = replace(FIRST, in_channels=1024, processors=(1 << 64) - 1, in_size=(3, 3))
    network = network_of(layer)
    full = Parameters(np.full(layer.kernel_tensor_shape, -128, np.int8))
    machine = Machine()
    machine.load(compile_network(Network("n", MAX78000, network.layers, (full,))))
    with pytest.raises(NotEmulated, match=r"an accumulator of 150,994,944 does not fit 26 bits"):
        machine.run(np.full((1024, 3, 3), -128, np.int8))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            np.zeros((2, 4, 4), np.int8),
            r"sample of shape \(2, 4, 4\): the network takes \(2, 4, 5\)",
        ),
        (np.zeros((2, 4, 5)), "sample of float64: the network takes integers from -128 to 127"),
        (np.full((2, 4, 5), 128), r"sample with values from 128 to 128: the network takes -128 to"),
        (np.zeros((4, 5), np.int8), r"sample of shape \(4, 5\)"),
    ],
)
def test_samples_that_are_wrong(machine, sample, message):
    with pytest.raises(InputError, match=message):
        machine.run(sample)


def test_without_a_program():
    for call in (lambda: Machine().run(SAMPLE), lambda: Machine().read_output(0)):
        with pytest.raises(InputError, match="the machine has no program; call load"):
            call()
    with pytest.raises(NotEmulated, match="MAX78002: only its addresses are known yet"):
        Machine("MAX78002")
