"""From files to a network: what is worked out, and what does not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from max78k_sim import compile_network, load_network, simulate
from max78k_sim.errors import HardwareLimit, InputError, Max78kError
from max78k_sim.machine import Machine
from tests.unit.test_checkpoint import as_zip, quantised, root_of

TEXT = """arch: net
dataset: mnist
layers:
  - name: one
    processors: 0x1
    data_format: CHW
    max_pool: 2
    pool_stride: 2
    activate: ReLU
    out_offset: 0x2000
  - op: linear
    flatten: true
    processors: 0x7
    output_width: 32
"""
RANDOM = np.random.default_rng(4)
WEIGHTS: dict[str, Any] = {
    "w0": RANDOM.integers(-128, 128, (3, 1, 3, 3)).astype(np.int8),
    "b0": np.array([1, -2, 3], np.int8),
    "w1": RANDOM.integers(-128, 128, (10, 3 * 14 * 14)).astype(np.int8),
    "shift0": -2,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "network.yaml").write_text(TEXT)
    np.savez(tmp_path / "w.npz", **WEIGHTS)
    return tmp_path


def load(folder, text=TEXT, weights=WEIGHTS, **options):
    (folder / "network.yaml").write_text(text)
    np.savez(folder / "w.npz", **weights)
    checkpoint = folder / "w.npz" if weights else None
    return load_network(folder / "network.yaml", checkpoint, **options)


def test_what_is_worked_out(folder):
    first, second = load(folder).layers
    assert (first.name, first.in_channels, first.out_channels) == ("one", 1, 3)
    assert (first.in_size, first.padding, first.kernel_shape) == ((28, 28), 1, (3, 3))
    assert (first.output_processors, first.output_shift, first.activation) == (7, -2, "relu")
    assert (second.name, second.in_channels, second.out_channels) == ("layer1", 3, 10)
    assert (second.in_size, second.in_offset, second.output_bits) == ((14, 14), 0x2000, 32)
    assert second.output_processors == (1 << 10) - 1 and second.output_shift == 0


def test_options(folder):
    network = load(folder, stop_after=0, no_bias=(0,), output_width=8, avg_pool_rounding=True)
    assert len(network.layers) == 1 and network.average_rounding
    assert network.parameters[0].bias is None
    assert load(folder, input_shape=(1, 28, 28)).input_shape == (1, 28, 28)
    text = TEXT.replace("    activate: ReLU\n", "")
    assert load(folder, text, stop_after=0, output_width=32).layers[0].output_bits == 32
    shifted = TEXT.replace("name: one", "output_shift: 3")
    assert load(folder, shifted).layers[0].output_shift == 3  # the description wins
    narrow = TEXT.replace("name: one", "quantization: 4")
    weights = WEIGHTS | {"w0": WEIGHTS["w0"] // 16}
    layer = load(folder, narrow, weights).layers[0]
    assert (layer.weight_bits, layer.output_shift) == (4, -2 + 4)


def test_addresses_without_weights(folder):
    text = TEXT + "    out_channels: 10\n"
    network = load(folder, text, {})
    assert network.parameters == (None, None)
    assert [layer.out_channels for layer in network.layers] == [3, 10]


def test_simulate_is_the_machine(folder):
    sample = RANDOM.integers(-128, 128, (1, 28, 28)).astype(np.int8)
    np.save(folder / "sample.npy", sample)
    outputs = simulate(folder / "network.yaml", folder / "w.npz", folder / "sample.npy")
    assert list(outputs) == ["layer0", "layer1", "final"]
    machine = Machine()
    machine.load(compile_network(load(folder)))
    np.testing.assert_array_equal(machine.run(sample), outputs["final"])
    np.testing.assert_array_equal(machine.read_output(0), outputs["layer0"])
    assert outputs["final"].dtype == np.int32 and outputs["final"].shape == (10, 1, 1)


SMALL = {"w0": WEIGHTS["w0"]}
NONE = ("arch: net", "arch: net")  # no change
BAD: list[tuple[Any, ...]] = [  # change of the text (old, new), weights, options, kind, message
    (
        ("dataset: mnist", "dataset: x"),
        WEIGHTS,
        {},
        InputError,
        "the input shape is not known; add",
    ),
    (
        ("    processors: 0x1\n", ""),
        WEIGHTS,
        {},
        InputError,
        ":4: layer 0: 'processors' is missing",
    ),
    (
        ("  - name: one", "  - op: add"),
        WEIGHTS,
        {},
        InputError,
        ":4: layer 0: an input of 1 channels for 2 operands",
    ),
    (
        ("pool_stride: 2", "pool_stride: [2, 1]"),
        WEIGHTS,
        {},
        InputError,
        "rows and columns have th",
    ),
    (
        ("", ""),
        SMALL,
        {},
        InputError,
        "no weights for layer 1 (layer1): the checkpoint has 1 layer",
    ),
    (NONE, WEIGHTS | {"w2": WEIGHTS["w0"]}, {}, InputError, "weights 'w2' have no layer"),
    (
        ("", ""),
        WEIGHTS | {"w1": WEIGHTS["w1"][:, :-1]},
        {},
        InputError,
        "one output takes 588 weigh",
    ),
    (
        ("", ""),
        WEIGHTS | {"b0": WEIGHTS["b0"][:2]},
        {},
        InputError,
        "2 bias values for 'w0'; one has",
    ),
    (("name: one", "quantization: 4"), WEIGHTS, {}, InputError, "quantization: 4 holds -8 to 7"),
    (("name: one", "out_channels: 2"), WEIGHTS, {}, InputError, "have shape (3, 1, 3, 3)"),
    (
        ("processors: 0x7", "processors: 0xf"),
        WEIGHTS,
        {},
        InputError,
        "has 4 processors, but 3 cha",
    ),
    (
        ("0x2000", "0x7ffc"),
        WEIGHTS,
        {},
        HardwareLimit,
        "past 0x8000, the end of a data-memory inst",
    ),
    (NONE, WEIGHTS, {"stop_after": 2}, InputError, "stop_after 2: the layers are 0 to 1"),
    (NONE, WEIGHTS, {"device": "MAX1"}, InputError, "device 'MAX1' is not known"),
    (NONE, WEIGHTS, {"input_shape": (2, 28, 28)}, Max78kError, "layer 0"),
]


@pytest.mark.parametrize(("change", "weights", "options", "kind", "message"), BAD)
def test_what_does_not_fit_together(folder, change, weights, options, kind, message):
    text = TEXT.replace(*change)
    with pytest.raises(kind) as caught:
        load(folder, text, weights, **options)
    assert message in str(caught.value)


def test_the_checkpoint_of_another_architecture(folder):
    file = folder / "other.pth.tar"
    file.write_bytes(as_zip(*root_of(quantised())))
    with pytest.raises(
        InputError, match=r"network\.yaml:1: arch 'net' is not the checkpoint's 'tin"
    ):
        load_network(folder / "network.yaml", file)


UNCLOSED = b"\x93NUMPY\x01\0\x10\0{'a': (         \n"  # which numpy tokenises


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04", UNCLOSED])
def test_a_sample_that_is_no_array(folder, content):
    file = folder / "sample.npy"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{file}: is damaged, or not a .npy array of integers"):
        simulate(folder / "network.yaml", folder / "w.npz", file)


def test_a_sample_that_is_not_there(folder):
    missing = folder / "none.npy"
    with pytest.raises(InputError, match=f"{missing}: cannot read the sample: No such file or dir"):
        simulate(folder / "network.yaml", folder / "w.npz", missing)


def test_samples_of_other_kinds(folder):
    files = folder / "network.yaml", folder / "w.npz"
    with pytest.raises(InputError, match=r"a sample is \[channel, row, column\]; this one has sha"):
        simulate(*files, np.zeros(5, np.int8))
    with pytest.raises(InputError, match=r"an \.npz archive; give a .npy file with one sample"):
        simulate(*files, folder / "w.npz")
    np.save(folder / "objects.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a \.npy array of integers; numpy\.save"):
        simulate(*files, folder / "objects.npy")
