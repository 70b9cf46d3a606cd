"""Pretraining: the integer model against plain loops, torch against integers, and the files."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs PyTorch (pip install max78k[train])")

from max78k_sim.errors import InputError  # noqa: E402
from trainer import pretrain_network as net  # noqa: E402
from trainer.datasets import Dataset  # noqa: E402
from trainer.pretrain import (  # noqa: E402
    Recipe,
    accuracy,
    augmented,
    integer_accuracy,
    pretrain,
    train_epochs,
    training_parts,
)

SHAPES = (
    net.ConvolutionShape("conv1", 4, None, 1),
    net.ConvolutionShape("conv2", 5, "max", 2),
    net.ConvolutionShape("conv3", 3, "average", 0),
)
TINY = Recipe(holdout_class=2, float_epochs=1, quantised_epochs=1, batch_size=32, threads=1)


def integer_layer(generator, out_channels, in_channels, shift, pad):
    """A layer over the whole int8 range."""
    weight = generator.integers(-128, 128, (out_channels, in_channels, 3, 3)).astype(np.int8)
    bias = generator.integers(-128, 128, out_channels).astype(np.int8)
    return net.IntegerLayer("layer", weight, bias, shift, None, pad)


def slow_convolution(image, layer):
    """One image through the chip's sums, one product at a time, in Python's own integers."""
    channels, rows, columns = image.shape
    pad = layer.pad
    size = (len(layer.weight), rows + 2 * pad - 2, columns + 2 * pad - 2)
    total = np.zeros(size, dtype=object)
    for out, row, column in np.ndindex(*size):
        total[out, row, column] = 128 * int(layer.bias[out])
        for channel, y, x in np.ndindex(channels, 3, 3):
            source_row, source_column = row + y - pad, column + x - pad
            if 0 <= source_row < rows and 0 <= source_column < columns:
                product = int(layer.weight[out, channel, y, x]) * int(
                    image[channel, source_row, source_column]
                )
                total[out, row, column] += product
    return total


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_integer_convolution_is_the_sum_of_products(pad):
    generator = np.random.default_rng(pad)
    layer = integer_layer(generator, 3, 2, 0, pad)
    image = generator.integers(-128, 128, (2, 5, 4))
    expected = slow_convolution(image, layer)
    assert np.array_equal(net.convolve_integer(image[np.newaxis], layer)[0], expected)


@pytest.mark.parametrize(
    ("accumulator", "shift", "expected"),
    [
        (64, 0, 1),  # exactly a half rounds up
        (63, 0, 0),
        (192, 0, 2),
        (-64, 0, 0),  # up, not away from zero; ReLU keeps the 0
        (-65, 0, 0),
        (127 * 128 + 63, 0, 127),
        (1 << 25, 0, 127),
        (3, 5, 1),  # 3 * 32 / 128 = 0.75
        (1, 7, 1),
        (1, 9, 4),
        (-1, 9, 0),
        (1 << 13, -6, 1),
        ((1 << 12) - 1, -6, 0),
    ],
)
def test_requantise_edge_cases(accumulator, shift, expected):
    assert net.requantise(np.array([accumulator]), shift)[0] == expected


@pytest.mark.parametrize("shift", range(-15, 16))
def test_requantise_is_the_vendor_formula(shift):
    generator = np.random.default_rng(shift + 15)
    accumulators = generator.integers(-(1 << 20), 1 << 20, 300) >> max(0, shift)
    expected = [min(max(math.floor(a * 2.0**shift / 128 + 0.5), 0), 127) for a in accumulators]
    assert net.requantise(accumulators, shift).tolist() == expected


def test_average_pooling_truncates_toward_zero():
    sums = np.array([[-7, -3, 3, 7, -8, 1]])
    windows = np.zeros((1, 1, 2, 12), dtype=np.int64)
    windows[0, 0, 0, ::2] = sums
    expected = [[-1, 0, 0, 1, -2, 0]]
    assert net.pool_integer(windows, "average")[0, 0].tolist() == expected
    real = torch.from_numpy(windows / 128.0)
    assert (net.pool_real(real, "average", exact=True)[0, 0] * 128).tolist() == expected


def test_pooling_leaves_an_odd_edge_out():
    data = np.arange(25).reshape(1, 1, 5, 5)
    assert net.pool_integer(data, "max")[0, 0].tolist() == [[6, 8], [16, 18]]
    assert net.pool_integer(data, None) is data


def test_rounding_is_half_up_with_a_straight_gradient():
    values = torch.tensor([-1.5, -0.5, -0.51, 0.5, 2.4], requires_grad=True)
    rounded = net.RoundHalfUp.apply(values)
    assert rounded.tolist() == [-1.0, 0.0, -1.0, 1.0, 2.0]
    rounded.sum().backward()
    assert values.grad.tolist() == [1.0] * 5
    cut = torch.tensor([-1.75, 0.9], requires_grad=True)
    net.TruncateTowardZero.apply(cut).sum().backward()
    assert cut.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("weight", "bias", "shift"),
    [(0.9, 0.1, 0), (0.45, 0.1, -1), (0.9, 1.5, 1), (0.01, 0.0, -6), (3.0, 0.0, 2)],
)
def test_best_shift_covers_weights_and_bias(weight, bias, shift):
    weights = torch.linspace(-weight, weight, 50)
    assert net.best_shift(weights, torch.tensor([bias])) == shift


def test_weights_that_are_not_finite_are_reported():
    with pytest.raises(InputError, match="training diverged"):
        net.covering_shift(float("nan"))


def synthetic(count, seed):
    """Three classes of 12x12 images: a bright bar that lies, stands, or is absent."""
    generator = np.random.default_rng(seed)
    images = generator.integers(-128, -60, (count, 1, 12, 12)).astype(np.int8)
    labels = np.arange(count) % 3
    images[labels == 0, :, 5:7, :] = 120
    images[labels == 1, :, :, 5:7] = 120
    return Dataset("bars", images, labels, ("lying", "standing", "none"))


@pytest.fixture(scope="module")
def trained():
    """A network after one float and one quantised epoch, with its data."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    dataset = synthetic(210, 1)
    network = net.build_network((1, 12, 12), 3, SHAPES)
    losses = list(train_epochs(network, dataset, TINY, 2, 1e-2, 0.25))
    assert losses[1] < losses[0]
    net.quantise(network)
    list(train_epochs(network, dataset, TINY, 1, 1e-3, 0.0))
    return network, dataset


def test_quantised_torch_is_the_integer_model_to_the_bit(trained):
    network, dataset = trained
    layers = net.to_integers(network)
    with torch.no_grad():
        real = network.eval()(net.real_images(dataset.images))
    steps = real.double() * 2.0 ** (14 - layers[-1].shift)  # real logit = acc * 2**shift / 2**14
    exact = net.integer_logits(layers, dataset.images)
    assert exact.dtype == np.int32 and exact.shape == (210, 3)
    assert np.array_equal(steps.numpy(), exact)
    assert accuracy(network, dataset) == integer_accuracy(layers, dataset) > 0.5


def test_exported_integers_are_in_range(trained):
    *convolutions, linear = net.to_integers(trained[0])
    assert [layer.name for layer in convolutions] == ["conv1", "conv2", "conv3"]
    for layer in (*convolutions, linear):
        assert layer.weight.dtype == layer.bias.dtype == np.int8
        assert -15 <= layer.shift <= 15 and layer.weight.any()
    assert linear.weight.shape == (3, 3 * 2 * 2)
    assert np.abs(linear.weight.astype(int)).max() <= net.LINEAR_PEAK


def test_augmentation_moves_and_mirrors_only():
    torch.manual_seed(3)
    images = torch.full((400, 2, 5, 5), -1.0)
    images[:, 0, 2, 3], images[:, 1, 2, 3] = 0.25, 0.5
    moved = augmented(images, 1)
    assert moved.shape == images.shape
    assert (moved > -1).flatten(1).sum(dim=1).tolist() == [2] * 400
    places = {tuple(place) for place in (moved[:, 0] == 0.25).nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (0, 1, 2, 3, 4)}
    still = augmented(images, 0)
    assert torch.equal(still.sort(dim=3).values, images.sort(dim=3).values)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Everything that one run writes, on 28x28 images of three classes with class 2 held out."""
    directory = tmp_path_factory.mktemp("pretrain")
    small = synthetic(40, 2)
    wide = np.kron(small.images, np.ones((1, 1, 2, 2), np.int8))
    np.savez(directory / "bars.npz", x=wide, y=small.labels)
    lines: list[str] = []
    out = directory / "out"
    result = pretrain(f"npz:{directory / 'bars.npz'}", out, TINY, lines.append)
    return out, result, lines


def test_checkpoint_has_the_vendor_keys_and_whole_numbers(written):
    out, result, _ = written
    saved = torch.load(out / "checkpoint.pth.tar", weights_only=True)
    assert saved["arch"] == "ai85net5fashion" and saved["epoch"] == 2
    assert saved["extras"]["holdout_class"] == 2
    settings = ("output_shift", "weight_bits", "bias_bits", "quantize_activation")
    parts = (*settings, "adjust_output_shift", "op.weight", "op.bias")
    names = ("conv1", "conv2", "conv3", "conv4", "fc")
    assert list(saved["state_dict"]) == [f"{name}.{part}" for name in names for part in parts]
    for layer in result.layers:
        state = {part: saved["state_dict"][f"{layer.name}.{part}"] for part in parts}
        assert [state[part].tolist() for part in settings] == [[layer.shift], [8], [8], [1]]
        assert all(value.dtype == torch.float32 for value in state.values())
        assert np.array_equal(state["op.weight"], layer.weight)
        assert np.array_equal(state["op.bias"], layer.bias.astype(int) * 128)


def test_sample_gives_the_expected_output(written):
    out, result, _ = written
    sample, expected = np.load(out / "sample.npy"), np.load(out / "expected.npy")
    assert sample.dtype == np.int64 and sample.shape == (1, 24, 24)
    assert expected.dtype == np.int32 and expected.shape == (3,)
    assert np.array_equal(net.integer_logits(result.layers, sample[np.newaxis])[0], expected)


def test_log_is_what_was_reported(written):
    out, result, lines = written
    assert (out / "training.log").read_text().splitlines() == lines
    assert "holdout_class=2" in lines[0] and "seed=1" in lines[0]
    assert f"exact {result.exact_accuracy:.4f}" in lines[-2]
    assert result.quantised_accuracy == result.exact_accuracy
    assert not list(out.glob("*.partial"))


def test_same_recipe_gives_the_same_network(written, tmp_path):
    out, _, lines = written
    again: list[str] = []
    pretrain(f"npz:{out.parent / 'bars.npz'}", tmp_path, TINY, again.append)
    assert again == lines
    for name in ("network.yaml", "sample.npy", "expected.npy"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_yaml_names_every_layer(written):
    text = (written[0] / "network.yaml").read_text()
    entries = text.split("  - ")[1:]
    processors = [f"processors: 0x{(1 << count) - 1:016x}\n" for count in (1, 32, 48, 64, 16)]
    names = ("conv1", "conv2", "conv3", "conv4", "fc")
    for entry, name, line in zip(entries, names, processors, strict=True):
        assert entry.startswith(f"name: {name}\n") and line in entry
    assert ["CHW" in entry for entry in entries] == [True] + [False] * 4
    assert "avg_pool: 2" in entries[3] and "in_dim: [24, 24]" in entries[0]
    assert "flatten: true\n    output_width: 32" in entries[4]


def test_held_out_class_is_never_seen():
    train, test = training_parts("fashion", 8)
    assert sorted(set(train.labels)) == sorted(set(test.labels)) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    with pytest.raises(InputError, match=r"held-out class 10 is not in 0\.\.9"):
        training_parts("fashion", 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"float_epochs": -1}, "float_epochs is -1; 0 or more is needed"),
        ({"batch_size": 1}, "batch_size is 1; 2 or more is needed"),
        ({"threads": 0}, "threads is 0; 1 or more is needed"),
        ({"float_rate": float("nan")}, "float_rate is nan; 0 or more is needed"),
    ],
)
def test_recipe_refuses_what_cannot_be_run(options, message):
    with pytest.raises(InputError, match=message):
        Recipe(**options)


def test_images_too_small_for_the_layers():
    with pytest.raises(InputError, match=r"too small: conv3 has no output pixel"):
        net.build_network((1, 2, 2), 3, SHAPES)
