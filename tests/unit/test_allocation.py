"""Allocation by hand on small networks, and what does not fit."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from max78k_sim import placement
from max78k_sim.allocation import FREE, allocate
from max78k_sim.errors import HardwareLimit, InputError
from max78k_sim.memory import Memory
from max78k_sim.network import Network, Parameters
from max78k_sim.program import compile_network
from tests.builders import FIRST, network_of, one_layer, two_layers

SQUARE = replace(FIRST, out_channels=2, output_processors=3)  # reads what it writes


def chain(count: int, **fields) -> Network:
    return network_of(*(replace(SQUARE, **fields, name=f"l{index}") for index in range(count)))


def test_kernels_start_at_multiples_of_four():
    plan = allocate(chain(3))
    assert [layer.kernel_start for layer in plan.layers] == [0, 4, 8]
    assert plan.kernel_map[0, :12].tolist() == [0, 0, -1, -1, 1, 1, -1, -1, 2, 2, -1, -1]
    assert plan.kernel_words_used == 2 * 3 * 2
    assert (plan.kernel_map[2:] == FREE).all()


def test_a_plan_does_not_change():
    plan = allocate(chain(1))
    for part, field in (
        (plan, "groups"),
        (plan.layers[0], "kernel"),
        (plan.layers[0].kernel, "bits"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(part, field, None)
    assert {plan: 1}[plan] == 1 and plan != replace(plan)  # compared by identity


def test_layers_on_all_processors_come_first():
    everywhere = (1 << 64) - 1
    wide = replace(FIRST, name="wide", in_channels=64, processors=everywhere, out_channels=2)
    wide = replace(wide, output_processors=3)
    narrow = replace(SQUARE, out_channels=64, output_processors=everywhere)
    plan = allocate(network_of(narrow, wide))
    assert [layer.kernel_start for layer in plan.layers] == [4, 0]


def test_equal_kernels_are_stored_once():
    network = chain(2)
    one = network.parameters[0]
    twins = Network("twins", network.device, network.layers, (one, one))
    plan = allocate(twins)
    assert [layer.shared_with for layer in plan.layers] == [None, 0]
    assert plan.layers[1].kernel_start == plan.layers[0].kernel_start
    np.testing.assert_array_equal(
        plan.placement(0, "kernel").address, plan.placement(1, "kernel").address
    )


@pytest.mark.parametrize(
    ("fields", "expected"),  # (taps, passes, lanes before, span, count, words)
    [
        ({}, (9, 1, 0, 3, 3, 3)),
        ({"output_processors": 0b1110}, (9, 1, 1, 4, 4, 3)),  # an unused lane, not reserved
        ({"output_processors": 0b11001}, (9, 1, 0, 5, 5, 5)),  # gaps are kernels
        ({"weight_bits": 4}, (9, 1, 0, 3, 3, 2)),
        ({"kernel_shape": (1, 1), "padding": 0}, (1, 1, 0, 3, 3, 1)),
        ({"in_channels": 65, "processors": (1 << 36) - 1}, (9, 2, 0, 3, 6, 6)),
        ({"out_channels": 65, "output_processors": (1 << 36) - 1}, (9, 1, 0, 36, 72, 72)),
    ],
)
def test_kernel_shapes(fields, expected):
    shape = allocate(one_layer(**fields)).layers[0].kernel
    assert shape is not None
    actual = (shape.taps, shape.passes, shape.lanes_before, shape.span, shape.count, shape.words)
    assert actual == expected


def test_kernels_do_not_lie_in_words_that_unused_lanes_push_another_into():
    """Found at random: reserved words were free, the words behind them were not."""
    first = replace(FIRST, out_channels=2, output_processors=1 << 24 | 1 << 15)
    second = replace(first, name="second", processors=1 << 24 | 1 << 15, out_channels=1)
    second = replace(second, output_processors=1 << 15)
    network = network_of(replace(first, in_channels=1, processors=1 << 24), second)
    plan = allocate(network)
    memory = Memory(network.device)
    for write in compile_network(network).writes:
        memory.write(write.address, write.words)
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        assert parameters is not None
        kernel = placement.read(memory, plan.placement(layer.index, "kernel"))
        np.testing.assert_array_equal(kernel, parameters.kernel)


def test_biases_go_where_the_least_is():
    """Flattening layers first, then by length; each to the quadrant with the least in use."""
    seventeen = (1 << 17) - 1
    first = replace(FIRST, out_channels=17, output_processors=seventeen)
    second = replace(FIRST, name="second", in_channels=17, processors=seventeen)
    plan = allocate(network_of(first, second))
    assert plan.groups == (0, 1)
    assert [(layer.bias_group, layer.bias_start) for layer in plan.layers] == [(0, 0), (1, 0)]
    plan = allocate(two_layers())
    assert [(layer.bias_group, layer.bias_start) for layer in plan.layers] == [(0, 5), (0, 0)]


def test_a_bias_of_zeros_is_dropped():
    network = one_layer()
    zeros = Parameters(np.ones((3, 2, 3, 3), np.int8), np.zeros(3, np.int8))
    plan = allocate(Network("zeros", network.device, network.layers, (zeros,)))
    assert plan.layers[0].bias_group is None
    with pytest.raises(InputError, match="layer first has no 'bias' placement; it has: input, ker"):
        plan.placement(0, "bias")


def test_a_gap_with_a_bias_is_warned_of():
    (warning,) = allocate(one_layer(output_processors=0b1011)).warnings
    assert warning.startswith("layer 0 (first): vendor's sources disagree: its bias lies densely")
    assert not allocate(one_layer(output_processors=0b1110)).warnings
    assert not allocate(network_of(replace(FIRST, output_processors=0b1011), bias=False)).warnings


@pytest.mark.parametrize(
    ("network", "kind", "message"),
    [
        (
            lambda: chain(32, out_channels=64, output_processors=(1 << 64) - 1,
                          in_channels=64, processors=(1 << 64) - 1),
            HardwareLimit,
            "layer 12 (l12): kernels take 64 kernel words in each of 64 processors, but of 768 onl",
        ),
        (
            lambda: one_layer(processors=3 << 16, output_processors=7 << 16),
            HardwareLimit,
            "quadrant 0 is not used; give some layer a processor from 0 to 15",
        ),
        (
            lambda: one_layer(bias_groups=(2,)),
            InputError,
            "layer 0 (first): bias_group 2 is not in use; the quadrants in use are [0]",
        ),
        (
            lambda: one_layer(out_channels=516, output_processors=(1 << 60) - 1, in_size=(1, 1),
                              bias_groups=(0,)),
            HardwareLimit,
            "layer 0 (first): bias of 516 bytes: of 512 in quadrant 0, 512 are left",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(network, kind, message):
    with pytest.raises(kind) as caught:
        allocate(network())
    assert message in str(caught.value)
