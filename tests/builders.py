"""Small networks by hand, for tests that look at one thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from max78k_sim.devices import MAX78000
from max78k_sim.network import Layer, Network, Parameters

FIRST = Layer(
    index=0,
    name="first",
    op="conv2d",
    in_channels=2,
    out_channels=3,
    in_size=(4, 5),
    processors=0b11,
    output_processors=0b111,
    padding=1,
    out_offset=0x2000,
    line=7,
)


def parameters_of(layer: Layer, seed: int = 0, bias: bool = True) -> Parameters:
    """Random weights in the layer's shape and range."""
    random = np.random.default_rng([seed, layer.index])
    limit = 1 << layer.weight_bits - 1
    kernel = random.integers(-limit, limit, layer.kernel_tensor_shape).astype(np.int8)
    values = random.integers(-128, 128, layer.out_channels).astype(np.int8)
    return Parameters(kernel, values if bias else None)


def network_of(*layers: Layer, bias: bool = True, **options) -> Network:
    """A network of these layers with random weights; their indices are counted here."""
    numbered = tuple(replace(layer, index=index) for index, layer in enumerate(layers))
    parameters = tuple(parameters_of(layer, bias=bias) for layer in numbered)
    return Network("test", MAX78000, numbered, parameters, **options)


def one_layer(**fields) -> Network:
    """A network of FIRST with some fields changed."""
    return network_of(replace(FIRST, **fields))


def two_layers(**fields) -> Network:
    """FIRST, and a fully connected layer behind it with some fields changed."""
    second = Layer(
        index=1,
        name="second",
        op="linear",
        in_channels=FIRST.out_channels,
        out_channels=5,
        in_size=FIRST.out_size,
        processors=FIRST.output_processors,
        output_processors=0b11111,
        kernel_shape=(1, 1),
        flatten=True,
        in_offset=FIRST.out_offset,
        line=12,
    )
    return network_of(FIRST, replace(second, **fields))
