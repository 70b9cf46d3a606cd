"""What the strategies draw: legal, in range, of every kind, and small when shrunk."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from max78k_sim import testing
from max78k_sim.allocation import allocate
from max78k_sim.devices import MAX78000
from max78k_sim.errors import HardwareLimit
from max78k_sim.machine import Machine
from max78k_sim.network import Network
from max78k_sim.program import compile_network
from tests.conftest import ROOT
from tests.strategies import examples

REGISTERS = (*MAX78000.layer_registers, *MAX78000.global_registers)


def smallest(strategy, wanted=lambda drawn: True):
    """The simplest thing drawn for which ``wanted`` holds."""
    phases = (Phase.generate, Phase.shrink)
    limits = settings(max_examples=2000, database=None, derandomize=True, phases=phases)
    return find(strategy, wanted, settings=limits)


NUMBERS = (  # strategy, lowest, highest
    (testing.q7_values(), -128, 127),
    (testing.q17_14_values(), -(1 << 31), (1 << 31) - 1),
    (testing.accumulators(), -(1 << 25), (1 << 25) - 1),
)


@pytest.mark.parametrize(("strategy", "low", "high"), NUMBERS, ids=["Q7", "Q17.14", "accumulator"])
def test_numbers(strategy, low, high):
    assert smallest(strategy) == 0
    assert smallest(strategy, lambda value: value <= low) == low
    assert smallest(strategy, lambda value: value >= high) == high


SHAPES = ((), (0,), (7,), (3, 0, 2), (2, 3, 4))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@examples(50)
@given(data=st.data())
def test_arrays(shape, data):
    array = data.draw(testing.q7_arrays(shape))
    assert array.dtype == np.int8 and array.shape == shape


@examples(100)
@given(data=st.data(), bits=st.sampled_from((1, 2, 4, 8)))
def test_kernels(data, bits):
    kernel = data.draw(testing.kernels(5, 3, (1, 2), bits))
    assert kernel.dtype == np.int8 and kernel.shape == (5, 3, 1, 2)
    assert -(1 << bits - 1) <= kernel.min() <= kernel.max() < 1 << bits - 1


def test_kernels_reach_both_ends_of_their_range():
    for bits in (1, 2, 4, 8):
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        strategy = testing.kernels(4, 4, (3, 3), bits)
        found = smallest(strategy, lambda kernel, ends=(low, high): {*ends} <= {*kernel.flat})
        assert found.shape == (4, 4, 3, 3)


def test_tensors_shrink_to_one_value():
    assert not smallest(testing.q7_arrays((8, 8))).any()
    assert set(smallest(testing.q7_arrays(64), lambda array: (array > 100).any())) <= {0, 101}


@examples(200)
@given(layer=testing.layers(weight_bits=(1, 2, 4, 8)))
def test_a_layer_makes_a_network(layer):
    network = Network("one", MAX78000, (layer,), (None,))
    assert allocate(network).placement(layer.name, "output").shape == network.output_shape


@examples(100)
@given(network=testing.networks(), data=st.data())
def test_networks_are_accepted_and_run(network, data):
    machine = Machine(network.device)
    machine.load(compile_network(network))
    sample = data.draw(testing.samples(network))
    assert sample.dtype == np.int8 and sample.shape == network.input_shape
    assert machine.run(sample).shape == network.output_shape


@examples(50)
@given(network=testing.networks(most_layers=2, weight_bits=(2, 4)))
def test_networks_have_the_widths_and_layers_asked_for(network):
    assert 1 <= len(network.layers) <= 2
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        if not layer.has_kernels:
            continue
        assert layer.weight_bits in (2, 4)
        limit = 1 << layer.weight_bits - 1
        assert -limit <= parameters.kernel.min() <= parameters.kernel.max() < limit


def test_networks_shrink_to_one_small_layer():
    network = smallest(testing.networks())
    (layer,) = network.layers
    assert (layer.in_channels, layer.out_channels, layer.in_size) == (1, 1, (1, 1))
    assert not network.parameters[0].kernel.any()
    network = smallest(testing.networks(), lambda network: len(network.layers) == 2)
    assert [layer.out_channels for layer in network.layers] == [1, 1]


def has_gaps(processors):
    """Whether a map has unused processors between used ones."""
    return bool(processors & processors + (processors & -processors))


KINDS = {  # of layers that networks have
    "linear": lambda layer: layer.op == "linear" and not layer.flatten,
    "flatten": lambda layer: layer.flatten,
    "3x3": lambda layer: layer.kernel_shape == (3, 3) and layer.padding == 2,
    "1x1": lambda layer: layer.op == "conv2d" and layer.kernel_shape == (1, 1),
    "max pooling": lambda layer: layer.pool[0] > 1 and not layer.pool_average,
    "average pooling": lambda layer: layer.pool_average and layer.stride > 1,
    "CHW": lambda layer: layer.big_data and layer.in_channels > 1,
    "multi-pass": lambda layer: layer.in_passes[0] == 3 or layer.out_passes[0] == 3,
    "32-bit output": lambda layer: layer.output_bits == 32,
    "ReLU": lambda layer: layer.activation == "relu",
    "Abs": lambda layer: layer.activation == "abs",
    "left shift": lambda layer: layer.output_shift > 4,
    "scattered": lambda layer: not layer.big_data and has_gaps(layer.processors),
    "conv1d": lambda layer: layer.op == "conv1d" and layer.padding > 0 and layer.pool != (1, 1),
    "dilated": lambda layer: layer.dilation > 1 and layer.hardware.op == "conv1d",
    "folded": lambda layer: layer.dilation > 1 and layer.hardware.op == "conv2d",
    "upsampling": lambda layer: layer.op == "convtranspose2d",
    "pass-through": lambda layer: layer.op == "passthrough" and layer.pool != (1, 1),
    "element-wise": lambda layer: layer.op == "passthrough" and layer.operands > 1,
    "in flight": lambda layer: layer.op == "conv2d" and layer.operands > 1,
    "pooled after": lambda layer: not layer.pool_first,
}
CHAINED = {  # of layers behind others
    "added": lambda layer: layer.operands > 1 and len(layer.inputs) == 2,
    "concatenated": lambda layer: layer.operands == 1 and len(layer.inputs) == 2,
    "interleaved": lambda layer: layer.write_gap == 1,
    "reshaped": lambda layer: layer.index > 0 and layer.op == "conv1d" and layer.in_size[0] > 9,
}


def drawn(strategy, count: int) -> list:
    """So many examples of a strategy."""
    made = []

    @examples(count)
    @given(example=strategy)
    def collect(example):
        made.append(example)

    collect()
    return made


def first_drawn(strategy, wanted):
    """The first thing drawn for which ``wanted`` holds, of a few thousand."""
    limits = settings(
        max_examples=5000, database=None, derandomize=True, phases=(Phase.generate,), deadline=None
    )
    return find(strategy, wanted, settings=limits)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_drawn(kind):
    assert KINDS[kind](first_drawn(testing.layers(), KINDS[kind]))


@pytest.mark.parametrize("kind", CHAINED)
def test_every_kind_of_chain_is_drawn(kind):
    network = first_drawn(
        testing.networks(most_layers=4), lambda network: any(map(CHAINED[kind], network.layers))
    )
    assert any(map(CHAINED[kind], network.layers))


def test_networks_whose_kernels_do_not_fit_are_not_drawn(monkeypatch):
    def full(network):
        if len(network.layers) > 1:
            raise HardwareLimit("no kernel words are left")

    @examples(30)
    @given(network=testing.networks())
    def check(network):
        assert len(network.layers) == 1

    monkeypatch.setattr(testing.chains, "allocate", full)
    check()


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
@examples(20)
@given(data=st.data())
def test_register_words(register, data):
    word = data.draw(testing.register_words(register))
    assert 0 <= word <= register.known_bits and register.encode(register.decode(word)) == word


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
def test_register_words_have_every_bit(register):
    words = drawn(testing.register_words(register), 200)
    assert np.bitwise_or.reduce(words) == register.known_bits and 0 in words


def test_without_hypothesis_the_extra_is_named():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from max78k_sim.errors import InputError\n"
        "try:\n    import max78k_sim.testing\n"
        "except InputError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == 'max78k_sim.testing needs hypothesis: pip install "max78k[test]"\n'
