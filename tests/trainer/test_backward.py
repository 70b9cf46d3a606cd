"""Every gradient by name: against PyTorch's autograd in float64, and against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from max78k_sim import Machine, compile_network
from max78k_sim.batch import Batch
from max78k_sim.errors import InputError
from max78k_sim.layer import Layer
from max78k_sim.network import Network
from max78k_sim.testing import networks
from tests import fashion
from tests.strategies import examples
from trainer import forward, gradients, operands
from trainer.backward import Backward, Scale, channels_last
from trainer.blocks import Block

SAMPLES = 2
FINE = 28  # bits that the largest gradient keeps
LIMIT = 1 << FINE + 1


def trainable(network: Network) -> tuple[str, ...]:
    return tuple(layer.name for layer in network.layers if layer.has_kernels)


def maps_of(network: Network, samples: np.ndarray) -> dict[int, np.ndarray]:
    """What the chip computes, by layer."""
    chip = Machine()
    chip.load(compile_network(network))
    outputs = Batch(chip).run_layers(samples, range(len(network.layers)))
    found = {layer.index: channels_last(outputs[layer.name]) for layer in network.layers}
    return found | {-1: channels_last(samples)}


def weights_of(network: Network) -> dict[int, tuple]:
    pairs = zip(network.layers, network.parameters, strict=True)
    return {layer.index: (p.kernel, p.bias) for layer, p in pairs if p is not None}


def drawn(network: Network, seed: int):
    """Samples, their maps, and the error of the output: block floating, and real."""
    random = np.random.default_rng(seed)
    samples = random.integers(-128, 128, (SAMPLES, *network.input_shape)).astype(np.int8)
    maps = maps_of(network, samples)
    mantissas = random.integers(-32767, 32768, maps[network.layers[-1].index].shape)
    exponents = np.full(SAMPLES, -15)
    error = Block(mantissas.astype(np.int16), exponents)
    return maps, error, mantissas.transpose(0, 3, 1, 2) / 2.0**15


@given(
    networks(most_layers=4, weight_bits=(8, 4, 2, 1)).filter(
        lambda network: not any(layer.eltwise in ("or", "xor") for layer in network.layers)
    ),
    st.integers(0, 2**20),
)
@examples(120)
def test_gradients_are_those_of_pytorch(network, seed):
    from . import autograd

    names = trainable(network)
    assume(names)
    try:
        backward = Backward(network, names)
    except InputError as error:
        assert "does not depend on" in error.message
        assume(False)
    maps, error, real = drawn(network, seed)
    weights = weights_of(network)
    tops = backward.largest(error, maps, weights)
    scales = {index: Scale(top - FINE, LIMIT) for index, top in tops.items()}
    found = backward.gradients(error, maps, weights, scales)
    wanted: dict = {index: [0.0, 0.0] for index in found}
    for n in range(SAMPLES):
        one = {index: each[n] for index, each in maps.items()}
        for index, pair in autograd.gradients(network, one, weights, real[n]).items():
            wanted[index] = [a + b for a, b in zip(wanted[index], pair, strict=True)]
    for index, gradient in found.items():
        name, unit = network.layers[index].name, 2.0 ** scales[index].exponent
        close(gradient.kernel * unit, wanted[index][0], f"{name} kernel")
        close(gradient.bias * unit, wanted[index][1], f"{name} bias")


def close(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    """The same direction and length, within what 10 to 15 bits of mantissa lose."""
    lengths = [np.linalg.norm(each) for each in (found, wanted, found - wanted)]
    assert lengths[2] <= 2e-3 * lengths[1] + 1e-12, (name, lengths)


def test_gradients_are_finite_differences():
    """Of a smooth network: one layer after another, nothing clipped, a loss that is linear."""
    random = np.random.default_rng(5)
    network = fashion.network()
    last = network.layers[-1]
    maps = maps_of(network, fashion.pool().images[:2])
    weights, data = weights_of(network), maps[last.index - 1]
    mantissas = random.integers(-1000, 1000, (2, 1, 1, last.out_channels))
    error = Block(mantissas.astype(np.int16), np.full(2, -15))
    found = Backward(network, (last.name,)).gradients(
        error, maps, weights, {last.index: Scale(-22, 1 << 30)}
    )[last.index]
    kernel, bias = weights[last.index]
    for place in ((0, 3), (4, 100), (9, 255)):
        moved = kernel.copy()
        moved[place] += 1
        outputs = [
            forward.layer_output(last, [data], each, bias, False) for each in (kernel, moved)
        ]
        difference = ((outputs[1] - outputs[0]).astype(np.int64) * mantissas).sum()
        assert difference == found.kernel[place]  # both count 2**-15 of 2**-7
    assert np.array_equal(found.bias, 128 * mantissas.sum(axis=(0, 1, 2)))


@given(networks(most_layers=3, weight_bits=(8, 4, 2, 1)), st.integers(0, 2**20))
@examples(60)
def test_layers_by_the_processor_are_those_of_the_accelerator(network, seed):
    assume(not any(layer.eltwise in ("or", "xor") for layer in network.layers))
    random = np.random.default_rng(seed)
    samples = random.integers(-128, 128, (SAMPLES, *network.input_shape)).astype(np.int8)
    maps = maps_of(network, samples)
    layers = tuple(range(len(network.layers)))
    found = forward.complete(network, layers, {-1: maps[-1]}, weights_of(network))
    for index in layers:
        assert np.array_equal(found[index], maps[index]), network.layers[index]
        assert found[index].dtype == maps[index].dtype


def layer(**fields) -> Layer:
    whole = dict(index=1, name="one", op="conv2d", in_channels=1, out_channels=1,
                 in_size=(4, 4), processors=1, output_processors=1)  # fmt: skip
    return Layer(**(whole | fields))


def test_the_first_of_several_largest_values_gets_the_error():
    data = np.array([[5, 5], [5, 2]], np.int8).reshape(1, 2, 2, 1)
    pooled = layer(in_size=(2, 2), pool=(2, 2), stride=2)
    error = Block(np.array([7], np.int32).reshape(1, 1, 1, 1), np.zeros(1, np.int64))
    spread = operands.spread_error(error, data, pooled)
    assert spread.values.reshape(-1).tolist() == [7, 0, 0, 0] and spread.exponent == 0


def test_a_subsampled_map_gets_the_error_where_it_was_read():
    data = np.zeros((1, 3, 3, 1), np.int8)
    error = Block(np.arange(1, 5, dtype=np.int32).reshape(1, 2, 2, 1), np.zeros(1, np.int64))
    spread = operands.spread_error(error, data, layer(in_size=(3, 3), stride=2))
    assert spread.values.reshape(3, 3).tolist() == [[1, 0, 2], [0, 0, 0], [3, 0, 4]]


MASKS = (  # activation, output, sum before it -> what passes
    ("relu", 0, -5, 0),
    ("relu", 1, 3, 1),
    ("relu", 126, 900, 1),
    ("relu", 127, 4000, 0),
    (None, -128, -9000, 0),
    (None, -127, -9000, 1),
    (None, 127, 9000, 0),
    ("abs", 5, -40, -1),
    ("abs", 5, 40, 1),
    ("abs", 127, -9000, 0),
    ("abs", 0, 0, 0),
)


@pytest.mark.parametrize("activation, output, total, passes", MASKS)
def test_what_passes_an_activation(activation, output, total, passes):
    shape = 1, 1, 1, 1
    block = gradients.error_of_sums(
        layer(activation=activation, in_size=(1, 1), kernel_shape=(1, 1)),
        Block(np.full(shape, 9, np.int32), np.zeros(1, np.int64)),
        np.full(shape, output, np.int8),
        np.full(shape, total, np.int32),
    )
    assert block.values.item() == 9 * passes


REFUSED = (
    (("pool",), "has no layer 'pool'; its layers are: conv1"),
    ((), "no layer is trained; name at least one"),
)


@pytest.mark.parametrize("names, message", REFUSED)
def test_what_is_refused(names, message):
    with pytest.raises(InputError) as error:
        Backward(fashion.network(), names)
    assert message in str(error.value)


def test_bits_have_no_gradient():
    either = layer(eltwise="xor", operands=2, in_size=(1, 1))
    with pytest.raises(InputError, match="one: xor of bits has no gradient; add and sub have one"):
        operands.combine([np.zeros((1, 1, 1, 1), np.int8)] * 2, either)


def test_a_layer_without_kernels_has_nothing_to_train():
    with pytest.raises(InputError, match="one is a passthrough layer and has no kernels to train"):
        gradients.correlation_of(replace(layer(), op="passthrough"))
