"""Allocation by hand on small networks, and what does not fit."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from max78k_sim import placement
from max78k_sim.allocation import FREE, LayerPlan, allocate, first_fit
from max78k_sim.devices import MAX78000
from max78k_sim.errors import HardwareLimit, InputError
from max78k_sim.memory import Memory
from max78k_sim.network import NETWORK_INPUT, Network, Parameters, passes_of
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


def test_every_word_of_a_kernel_is_owned():
    first = replace(FIRST, inputs=(NETWORK_INPUT,))
    second = replace(first, name="second", out_channels=6, output_processors=0b111111)
    owners = allocate(network_of(first, second)).kernel_map[1, :12].tolist()
    assert owners == [0] * 3 + [FREE] + [1] * 6 + [FREE] * 2


@pytest.mark.parametrize(
    ("option", "starts"),
    [(0, [0, 4]), (1, [4, 8]), (4, [4, 8]), (5, [8, 12]), (9, [12, 16]), (32, [32, 36])],
)
def test_kernels_start_at_the_word_that_is_asked_for_or_behind(option, starts):
    plan = allocate(network_of(*chain(2).layers, weight_start=option))
    assert [layer.kernel_start for layer in plan.layers] == starts


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
    """Equal in value: descriptions give each layer numbers and tuples of its own."""
    first = replace(SQUARE, processors=3 << 40, inputs=(NETWORK_INPUT,))
    second = replace(first, name="second", processors=int("3" + "0" * 10, 16))
    network = network_of(first, replace(second, kernel_shape=tuple([3, 3])))
    one = network.parameters[0]
    twins = Network("twins", network.device, network.layers, (one, one))
    plan = allocate(twins)
    assert [layer.shared_with for layer in plan.layers] == [None, 0]
    assert plan.layers[1].kernel_start == plan.layers[0].kernel_start
    np.testing.assert_array_equal(
        plan.placement(0, "kernel").address, plan.placement(1, "kernel").address
    )
    plan = allocate(replace(twins, no_deduplicate_weights=True))
    assert [layer.shared_with for layer in plan.layers] == [None, None]


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


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"weight_bits": 8}, {"weight_bits": 4}),
        ({"weight_bits": 4}, {"weight_bits": 8}),
        ({"processors": 3}, {"processors": 6}),
        ({"processors": 6}, {"processors": 3}),
        ({"dilation": 1}, {"dilation": 2}),
        ({"dilation": 2}, {"dilation": 1}),
    ],
)
def test_kernels_of_equal_numbers_are_two_where_the_hardware_reads_them_otherwise(earlier, later):
    line = {
        "op": "conv1d",
        "kernel_shape": (3, 1),
        "padding": 2,
        "in_size": (9, 1),
        "inputs": (NETWORK_INPUT,),
    }
    layers = network_of(*(replace(SQUARE, **line, **part) for part in (earlier, later))).layers
    ones = Parameters(np.ones((2, 2, 3), np.int8))
    plan = allocate(Network("twins", MAX78000, layers, (ones, ones)))
    assert [layer.shared_with for layer in plan.layers] == [None, None]


@pytest.mark.parametrize(
    ("taken", "words", "needed", "start"),  # words that are reserved; offsets that are written
    [
        ([(0, 4), (9, 10)], 2, [0, 1, 5], 12),  # 9 is free for 4 as a reserved word only
        ([(0, 4), (9, 10)], 6, [0], 12),
        ([(0, 4), (9, 10)], 5, [0, 4], 4),
        ([(0, 764)], 4, [0], 764),
        ([(0, 764)], 3, [0], 764),
        ([(0, 764)], 2, [0, 3], 764),
    ],
)
def test_first_fit(taken, words, needed, start):
    assert fit(taken, words, needed) == start


def test_free_words_are_counted_from_the_first_that_is_allowed():
    network, kernel_map = network_of(SQUARE, weight_start=5), np.full((64, 768), FREE, np.int16)
    kernel_map[0, 10:] = 0
    with pytest.raises(HardwareLimit, match="but of 768 only 2 are free in all of them"):
        first_fit(network, network.layers[0], kernel_map, 3, np.array([0]))


@pytest.mark.parametrize(("words", "needed"), [(5, [0]), (2, [0, 4]), (2, [0, 7])])
def test_first_fit_does_not_reach_past_the_end(words, needed):
    length = max(words, needed[-1] + 1)
    text = f"kernels take {length} kernel words in each of 2 processors, but of 768 only 4 are free"
    with pytest.raises(HardwareLimit) as caught:
        fit([(0, 764)], words, needed)
    assert text in str(caught.value)


def fit(taken: list[tuple[int, int]], words: int, needed: list[int]) -> int:
    network = chain(1)
    kernel_map = np.full((64, 768), FREE, np.int16)
    for first, end in taken:
        kernel_map[1, first:end] = 0
    return first_fit(network, network.layers[0], kernel_map, words, np.array(needed))


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


def biased(*lengths: int, **fields) -> Network:
    """Layers of the sample with biases of so many bytes, in quadrants 0 and 1; ``fields``: last."""
    first = replace(FIRST, processors=3 << 15, in_size=(1, 1), inputs=(NETWORK_INPUT,))
    first = replace(first, kernel_shape=(1, 1), padding=0)
    layers = []
    for number, length in enumerate(lengths):
        processors = (1 << passes_of(length)[1]) - 1
        layer = replace(first, name=f"l{number}", out_channels=length, output_processors=processors)
        layers.append(layer)
    return network_of(*layers[:-1], replace(layers[-1], **fields))


@pytest.mark.parametrize(
    ("lengths", "fields", "places"),  # (quadrant, first byte)
    [
        ((130, 150), {}, [(1, 0), (0, 0)]),  # the longer first
        ((300, 212), {"bias_groups": (0,)}, [(1, 0), (0, 0)]),  # the bound first
        ((511, 10), {"bias_groups": (0,)}, [(1, 0), (0, 0)]),
        ((212, 300, 300, 9), {}, [(0, 300), (0, 0), (1, 0), (1, 300)]),  # exactly full
    ],
)
def test_where_biases_go(lengths, fields, places):
    plan = allocate(biased(*lengths, **fields))
    assert [(layer.bias_group, layer.bias_start) for layer in plan.layers] == places


def test_a_bias_lies_behind_unused_lanes_of_every_pass():
    """67 channels are 2 passes of 36, on processors 3 to 38: 3 unused lanes in each."""
    fields = {"out_channels": 67, "output_processors": (1 << 36) - 1 << 3, "bias_groups": (0,)}
    layer = replace(FIRST, **fields, inputs=(NETWORK_INPUT,))
    network = network_of(*(replace(layer, name=name) for name in "abc"))
    plan = allocate(network)
    assert [part.bias_start for part in plan.layers] == [0, 73, 146]
    addresses = [int(plan.placement(index, "bias").address[0]) for index in range(3)]
    assert addresses == [0x50108000 + 4 * byte for byte in (6, 79, 152)]


@pytest.mark.parametrize("lanes", [1, 2, 3])  # that are unused
def test_a_streaming_first_layer_skips_a_byte_of_its_bias(lanes):
    streaming = replace(FIRST, output_processors=0b111 << lanes, streaming=True)
    following = replace(FIRST, name="b", in_channels=3, processors=0b111 << lanes)
    third = replace(FIRST, name="c", in_channels=3, processors=0b111)
    layers = streaming, replace(following, streaming=True), third
    plan = allocate(network_of(*layers, fifo=True, overlap_data=True))
    places = [(plan.layers[index].bias_start, plan.placement(index, "bias")) for index in (0, 1, 2)]
    assert [start for start, _ in places] == [0, lanes + 4, lanes + 7]
    firsts = [int(place.address[0]) for _, place in places]
    assert firsts == [0x50108000 + 4 * byte for byte in (lanes + 1, lanes + 4, lanes + 7)]


def test_what_comes_through_a_fifo_or_a_stream_lies_nowhere():
    pair = FIRST, replace(FIRST, name="second", in_channels=3, processors=0b111)
    kinds = [(layer, "input") for layer in ("first", "second")]
    stored = allocate(network_of(*pair)).placements
    assert [kind in stored for kind in kinds] == [True, True]
    stored = allocate(network_of(*pair, fifo=True)).placements
    assert [kind in stored for kind in kinds] == [False, True]
    pair = tuple(replace(layer, streaming=True) for layer in pair)
    stored = allocate(network_of(*pair, fifo=True, overlap_data=True)).placements
    assert [kind in stored for kind in kinds] == [False, False]


ONE_TO_ONE = {"kernel_shape": (1, 1), "padding": 0}
COPY = {"op": "passthrough", "out_channels": 2, "output_processors": 0b11} | ONE_TO_ONE


def test_a_layer_without_kernels_has_nothing():
    (layer,) = allocate(network_of(replace(FIRST, **COPY), bias=False)).layers
    assert layer == LayerPlan(0, None, None, None, 0)


@pytest.mark.parametrize(
    ("fields", "positions"),
    [
        ({}, [0, 1, 2]),
        ({"output_processors": 0b11001}, [0, 3, 4]),  # gaps count
        ({"output_processors": 0b1110}, [1, 2, 3]),
        (COPY, [0, 1]),
    ],
)
def test_positions_of_output_channels(fields, positions):
    network = network_of(replace(FIRST, **fields), bias=False)
    assert allocate(network).positions(network.layers[0]).tolist() == positions


def test_a_bias_of_zeros_is_dropped():
    network = one_layer()
    zeros = Parameters(np.ones((3, 2, 3, 3), np.int8), np.zeros(3, np.int8))
    plan = allocate(Network("zeros", network.device, network.layers, (zeros,)))
    assert (plan.layers[0].bias_group, plan.layers[0].bias_start) == (None, 0)
    with pytest.raises(InputError, match="layer first has no 'bias' placement; it has: input, ker"):
        plan.placement(0, "bias")


def test_layers_without_a_bias_are_passed_over():
    network = chain(2)
    first, second = network.parameters
    plan = allocate(replace(network, parameters=(Parameters(first.kernel), second)))
    assert [(layer.bias_group, layer.bias_start) for layer in plan.layers] == [(None, 0), (0, 0)]


def test_a_placement_that_is_not_there_says_what_is():
    plan = allocate(network_of(*chain(3).layers, bias=False))
    with pytest.raises(InputError) as caught:
        plan.placement("l1", "bias")
    assert str(caught.value).endswith("no 'bias' placement; it has: input, kernel, output")


def test_a_gap_with_a_bias_is_warned_of():
    (warning,) = allocate(one_layer(output_processors=0b1011)).warnings
    assert warning.startswith("layer 0 (first): vendor's sources disagree: a bias whose output_pr")
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
        (
            lambda: biased(250, 300, 300, 9),
            HardwareLimit,
            "layer 0 (l0): bias of 250 bytes: of 512 in quadrant 0, 212 are left",
        ),
        (
            lambda: biased(512, 1, bias_groups=(0,)),  # of one rank; matches the vendor's generator
            HardwareLimit,
            "layer 1 (l1): bias of 1 bytes: of 512 in quadrant 0, 0 are left",
        ),
        (
            lambda: biased(513, 1, flatten=True, op="linear", kernel_shape=(1, 1), padding=0),
            HardwareLimit,
            "layer 0 (l0): bias of 513 bytes: of 512 in quadrant 0, 512 are left",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(network, kind, message):
    with pytest.raises(kind) as caught:
        allocate(network())
    assert message in str(caught.value)
