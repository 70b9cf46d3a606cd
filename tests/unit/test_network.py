"""What a layer is, and a table of layers that the chip cannot have, with the words that say so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from max78k_sim.devices import MAX78000
from max78k_sim.errors import HardwareLimit, InputError, NotEmulated
from max78k_sim.network import Network, passes_of, set_bits
from tests.builders import FIRST, network_of, one_layer, two_layers


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (1, (1, 1)), (63, (1, 63)), (64, (1, 64)), (65, (2, 36)), (100, (2, 52)), (128, (2, 64)),
        (129, (3, 44)), (192, (3, 64)), (1024, (16, 64)),
    ],
)  # fmt: skip
def test_passes(channels, expected):
    assert passes_of(channels) == expected


def test_set_bits():
    assert set_bits(0) == () and set_bits(0x8000000000000005) == (0, 2, 63)


@pytest.mark.parametrize(
    ("fields", "pooled", "out"),
    [
        ({}, (4, 5), (4, 5)),
        ({"padding": 0}, (4, 5), (2, 3)),
        ({"padding": 2}, (4, 5), (6, 7)),
        ({"pool": (2, 2), "stride": 2}, (2, 2), (2, 2)),
        ({"pool": (2, 3), "stride": 1}, (3, 3), (3, 3)),
        ({"stride": 2}, (2, 3), (2, 3)),  # a stride without pooling subsamples
        ({"kernel_shape": (1, 1), "padding": 0}, (4, 5), (4, 5)),
    ],
)
def test_sizes(fields, pooled, out):
    layer = replace(FIRST, **fields)
    assert (layer.pooled_size, layer.out_size) == (pooled, out)


def test_shapes():
    network = two_layers()
    first, second = network.layers
    assert first.kernel_tensor_shape == (3, 2, 3, 3) and second.kernel_tensor_shape == (5, 60)
    assert (second.pixels, second.features, second.out_size) == (20, 60, (1, 1))
    assert (first.multiplications, second.multiplications) == (3 * 2 * 9 * 20, 300)
    assert (network.input_shape, network.output_shape) == ((2, 4, 5), (5, 1, 1))
    assert network.layer("second") is network.layer(1) is second


ONE = [  # fields of the only layer, kind of error, message
    ({"in_channels": 0}, HardwareLimit, "in_channels is 0; the chip takes 1 to 1024"),
    ({"out_channels": 1025}, HardwareLimit, "out_channels is 1025; the chip takes 1 to 1024"),
    ({"processors": 0}, InputError, "processors is 0x0; it names 1 to 64 processors"),
    ({"processors": 1 << 64}, InputError, "processors is 0x10000000000000000; it names 1 to 64"),
    ({"processors": 7}, InputError, "processors 0x0000000000000007 has 3 processors, but 2 chan"),
    ({"output_processors": 1}, InputError, "take 3; for example output_processors: 0x00000000000"),
    ({"pool": (17, 1)}, HardwareLimit, "pooling (17, 1): each side is 1 to 16"),
    ({"stride": 17}, HardwareLimit, "pool_stride 17: it is 1 to 16"),
    ({"pool": (5, 2)}, HardwareLimit, "input (4, 5), pooled (0, 4), output (0, 4): rows and col"),
    ({"in_size": (1024, 1)}, HardwareLimit, "rows and columns are 1 to 1023"),
    ({"in_size": (2, 5), "padding": 0}, HardwareLimit, "output (0, 3): rows and columns are 1 to"),
    ({"padding": 3}, HardwareLimit, "pad 3: conv2d takes 0, 1, 2"),
    ({"padding": -1, "in_size": (8, 8)}, HardwareLimit, "pad -1: conv2d takes 0, 1, 2"),
    ({"kernel_shape": (5, 5)}, HardwareLimit, "kernel_size (5, 5): conv2d takes 1x1, 3x3"),
    ({"kernel_shape": (1, 1)}, HardwareLimit, "pad 1 with a (1, 1) kernel: use pad: 0"),
    ({"output_shift": 16}, HardwareLimit, "output_shift 16 is outside of -15 to 15"),
    ({"output_shift": -16, "weight_bits": 2}, HardwareLimit, "output_shift -22 is outside of -21"),
    ({"activation": "tanh"}, InputError, "activation 'tanh'; use ReLU, Abs or None"),
    ({"output_bits": 16}, InputError, "output_width 16; it is 8 or 32"),
    ({"output_bits": 32, "activation": "relu"}, HardwareLimit, "output_width 32 with an activati"),
    ({"in_offset": 2}, InputError, "in_offset 0x2 is not a multiple of 4 from 0 up"),
    ({"out_offset": -4}, InputError, "out_offset 0x-4 is not a multiple of 4 from 0 up"),
    ({"out_offset": 0x7FB4}, HardwareLimit, "output 4x5x4 = 80 B (0x50) at out_offset 0x7fb4 e"),
    ({"out_offset": 0x7FB4}, HardwareLimit, "highest legal out_offset 0x7fb0; live neighbours: i"),
    ({"in_size": (128, 128)}, HardwareLimit, "no offset would do; use fewer "),
    ({"big_data": True}, HardwareLimit, "share a data-memory instance; CHW input takes every fou"),
    ({"op": "linear", "padding": 0, "kernel_shape": (1, 1)}, InputError, "linear reads 1x1 data"),
    ({"op": "linear"}, HardwareLimit, "pad 1: linear takes 0"),
    ({"flatten": True}, InputError, "flatten with a 3x3 kernel; use op: linear, or kernel_size:"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kind", "message"), ONE)
def test_a_layer_that_cannot_be(fields, kind, message):
    with pytest.raises(kind) as caught:
        Network("test", MAX78000, (replace(FIRST, **fields),), (None,), file="net.yaml")
    shown = str(caught.value)
    assert shown.startswith("net.yaml:7: layer 0 (first): ") and message in shown
    assert type(caught.value) is kind


TWO = [
    ({"in_size": (4, 4)}, HardwareLimit, "reads (3, 4, 4) (channels, rows, columns); first writes"),
    ({"pool": (2, 2)}, HardwareLimit, "flatten and pooling in one layer; pool in the layer before"),
    ({"big_data": True}, HardwareLimit, "data_format CHW is for the first layer only; remove it"),
]


@pytest.mark.parametrize(("fields", "kind", "message"), TWO)
def test_a_second_layer_that_cannot_be(fields, kind, message):
    with pytest.raises(kind) as caught:
        two_layers(**fields)
    assert "12: layer 1 (second): " in str(caught.value) and message in str(caught.value)


FLAT = replace(FIRST, op="linear", kernel_shape=(1, 1), padding=0, flatten=True)


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"in_size": (16, 17)}, HardwareLimit, "flatten of 272 pixels; at most 256"),
        (
            {"in_size": (16, 16), "in_channels": 68, "processors": (1 << 36) - 1},
            HardwareLimit,
            "flatten of 17408 values; at most 16384",
        ),
        (
            {"in_size": (2, 2), "in_channels": 65, "processors": (1 << 36) - 1},
            HardwareLimit,
            "flatten of 65 channels in 2 passes of 36: the last pass has to be full; use 72",
        ),
        ({"big_data": True, "processors": 0x11}, NotEmulated, "flatten of CHW input is not emulat"),
    ],
)
def test_flattening_that_cannot_be(fields, kind, message):
    with pytest.raises(kind) as caught:
        network_of(replace(FLAT, **fields))
    assert message in str(caught.value)


def test_other_refusals():
    with pytest.raises(InputError, match="the network has no layers; 'layers' needs at least one"):
        network_of()
    with pytest.raises(
        HardwareLimit, match=r"layer 32 \(first\): 33 layers: MAX78000 runs at most 32"
    ):
        network_of(*(replace(FIRST, out_channels=2, output_processors=3) for _ in range(33)))
    with pytest.raises(InputError, match="test has no layer 'third'; its layers are: first, secon"):
        two_layers().layer("third")
    with pytest.raises(InputError, match="test has no layer 2; its layers are"):
        two_layers().layer(2)
    wide = replace(FIRST, output_bits=32)
    second = replace(two_layers().layers[1], index=1)
    with pytest.raises(InputError, match="output_width 32 is for a last layer; remove it"):
        network_of(wide, second)
    with pytest.raises(HardwareLimit, match="share a data-memory instance"):
        one_layer(big_data=True, in_channels=17, processors=(1 << 17) - 1)
