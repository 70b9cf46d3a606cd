"""Pretraining: the quantised network of torch is the chip to the bit; the training; the files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs PyTorch (pip install max78k[train])")

from max78k_sim.errors import HardwareLimit, InputError  # noqa: E402
from max78k_sim.evaluator import Evaluator  # noqa: E402
from max78k_sim.machine import Machine  # noqa: E402
from tests import fashion  # noqa: E402
from trainer import pretrain as pretraining  # noqa: E402
from trainer import pretrain_network as net  # noqa: E402
from trainer.datasets import Dataset, load_dataset  # noqa: E402
from trainer.pretrain import (  # noqa: E402
    Recipe,
    accuracy,
    augmented,
    pretrain,
    read_machine,
    train_epochs,
    training_parts,
    write_network,
)

SHAPES = (
    net.ConvolutionShape("conv1", 4, None, 1),
    net.ConvolutionShape("conv2", 5, "max", 2),
    net.ConvolutionShape("conv3", 3, "average", 0),
)
TINY = Recipe(holdout_class=2, float_epochs=1, quantised_epochs=1, batch_size=32, threads=1)
FILES = ["checkpoint.pth.tar", "expected.npy", "network.yaml", "sample.npy", "training.log"]


# What the random networks are made of: (pool, pad, shift, largest |weight|) of each convolution.
# Only a first layer sees negative data, since ReLU follows every convolution.
RANDOM_NETWORKS = {
    "average first": (("average", 1, -1, 128), (None, 0, -2, 128), ("max", 2, 0, 60)),
    "max first": (("max", 1, -1, 128), ("average", 1, -2, 128), (None, 1, 1, 30)),
    "no pool first": ((None, 2, -1, 128), ("average", 2, 2, 12), ("max", 1, -3, 128)),
    "coarse": (("average", 0, 5, 8), (None, 1, -6, 128)),
}
WIDTHS = (4, 6, 5)  # output channels
CLASSES = 7


def random_layers(convolutions, in_channels, image_size, generator):
    """Layers of random integers; a bias stays below the range of the output."""

    def draw(peak, *shape):
        return generator.integers(-peak, min(peak, 127) + 1, shape).astype(np.int8)

    layers, rows = [], zip(convolutions, WIDTHS, strict=False)
    for number, ((pool, pad, shift, peak), width) in enumerate(rows):
        weight, bias = draw(peak, width, in_channels, 3, 3), draw(128 >> max(shift, 0), width)
        layers.append(net.IntegerLayer(f"conv{number}", weight, bias, shift, pool, pad))
        image_size = image_size // (2 if pool else 1) + 2 * pad - 2
        in_channels = width
    weight = draw(net.LINEAR_PEAK, CLASSES, in_channels * image_size**2)
    linear = net.IntegerLayer("fc", weight, draw(net.LINEAR_PEAK, CLASSES), -3)
    return (*layers, linear)


def torch_network(layers, image_shape):
    """The quantised network of torch that holds these integers."""
    *convolutions, linear = layers
    shapes = tuple(
        net.ConvolutionShape(layer.name, len(layer.weight), layer.pool, layer.pad)
        for layer in convolutions
    )
    network = net.build_network(image_shape, len(linear.weight), shapes)
    for part, layer in zip(network, layers, strict=True):
        part.norm, part.shift = None, layer.shift
        step = 2.0**layer.shift / net.UNIT
        part.weight.data = torch.from_numpy(layer.weight.astype(np.float32) * step)
        part.bias.data = torch.from_numpy(layer.bias.astype(np.float32) * step)
    return network


def torch_outputs(network, images):
    """Logits in steps of the accumulator [sample, class]: a real logit is steps * 2**shift / 2**14.

    Not rounded here: what torch leaves between two steps would stay to be seen.
    """
    with torch.no_grad():
        real = network.eval()(net.real_images(images))
    return (real.double() * 2.0 ** (14 - network[-1].shift)).numpy()


def chip_outputs(machine: Machine, images):
    """Raw 32-bit outputs [sample, class]."""
    outputs = np.array([machine.run(image).reshape(-1) for image in images])
    assert outputs.dtype == np.int32
    return outputs


def watch(monkeypatch, name):
    """The list of everything that one of the rounding functions will be given."""
    seen, function = [], getattr(net, name)

    def apply(values):
        seen.append(values.detach())
        return function.apply(values)

    monkeypatch.setattr(net, name, SimpleNamespace(apply=apply))
    return seen


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", RANDOM_NETWORKS)
def test_quantised_torch_is_the_chip_to_the_bit(kind, channels, tmp_path, monkeypatch):
    generator = np.random.default_rng(channels)
    layers = random_layers(RANDOM_NETWORKS[kind], channels, 13, generator)
    images = generator.integers(-128, 128, (24, channels, 13, 13)).astype(np.int8)
    images[0], images[1] = -128, 127
    drawn = Dataset("noise", images, np.zeros(24, np.int64), tuple("abcdefg"))
    write_network(tmp_path, layers, drawn, TINY, 0.0)
    network = torch_network(layers, images.shape[1:])
    for part, layer in zip(net.to_integers(network), layers, strict=True):
        assert np.array_equal(part.weight, layer.weight) and np.array_equal(part.bias, layer.bias)
    cut, rounded = watch(monkeypatch, "TruncateTowardZero"), watch(monkeypatch, "RoundHalfUp")
    expected = torch_outputs(network, images)
    assert np.array_equal(chip_outputs(read_machine(tmp_path), images), expected)
    assert len(np.unique(expected, axis=0)) == 24  # the images can be told apart
    outputs = [values for values in rounded if len(values) == 24]  # the others are weights
    values = torch.cat([part.flatten() for part in outputs])
    if RANDOM_NETWORKS[kind][0][0] == "average":
        assert ((cut[0] % 1 != 0) & (cut[0] < 0)).any()
    assert (values % 1 == 0.5).any() and (values == 127).any() and (values == 0).any()


def test_average_pooling_truncates_toward_zero():
    sums = torch.tensor([-7, -3, 3, 7, -8, 1])
    windows = torch.zeros((1, 1, 2, 12))
    windows[0, 0, 0, ::2] = sums / 128
    pooled = net.pool_real(windows, "average", exact=True)
    assert (pooled[0, 0] * 128).tolist() == [[-1, 0, 0, 1, -2, 0]]


def test_pooling_leaves_an_odd_edge_out():
    data = torch.arange(25.0).reshape(1, 1, 5, 5)
    assert net.pool_real(data, "max", exact=True)[0, 0].tolist() == [[6, 8], [16, 18]]
    assert net.pool_real(data, None, exact=True) is data


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


def test_trained_network_is_the_chip_to_the_bit(trained, tmp_path):
    network, dataset = trained
    write_network(tmp_path, net.to_integers(network), dataset, TINY, 0.0)
    machine = read_machine(tmp_path)
    few = dataset.images[:60]
    assert np.array_equal(chip_outputs(machine, few), torch_outputs(network, few))
    counted = Evaluator(machine, 1).evaluate([(dataset.images, dataset.labels)])
    assert accuracy(network, dataset) == counted.of(range(3)) > 0.5


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
    network = torch_network(result.layers, sample.shape)
    assert np.array_equal(torch_outputs(network, sample[np.newaxis])[0], expected)
    assert np.array_equal(chip_outputs(read_machine(out), sample[np.newaxis])[0], expected)


def test_log_is_what_was_reported(written):
    out, result, lines = written
    assert (out / "training.log").read_text().splitlines() == lines
    assert "holdout_class=2" in lines[0] and "seed=1" in lines[0]
    assert f"exact {result.exact_accuracy:.4f}" in lines[-2]
    assert result.quantised_accuracy == result.exact_accuracy
    assert sorted(file.name for file in out.iterdir()) == FILES


def test_a_run_that_fails_leaves_what_was_there(written, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("no power")

    (tmp_path / "network.yaml").write_text("kept")
    monkeypatch.setattr(pretraining, "Evaluator", fail)
    with pytest.raises(InputError, match="no power"):
        pretrain(f"npz:{written[0].parent / 'bars.npz'}", tmp_path, TINY, [].append)
    assert [file.name for file in tmp_path.iterdir()] == ["network.yaml"]
    assert (tmp_path / "network.yaml").read_text() == "kept"


def test_a_network_that_the_chip_cannot_hold_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "train_in_two_phases", None)
    images, labels = np.zeros((15, 1, 128, 128), np.int8), np.arange(15) % 3
    np.savez(tmp_path / "large.npz", x=images, y=labels)
    message = (
        r"^images \(1, 128, 128\): layer 0 \(conv1\): .* past 0x8000, the end of a data-memory"
    )
    with pytest.raises(HardwareLimit, match=message):
        pretrain(f"npz:{tmp_path / 'large.npz'}", tmp_path / "out", TINY, [].append)
    assert not list((tmp_path / "out").iterdir())


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


@pytest.fixture(scope="module")
def shipped():
    """The integers of networks/fashion, by torch's own reader of checkpoints."""
    state = torch.load(fashion.CHECKPOINT, weights_only=True)["state_dict"]
    layers = []
    for shape in (*net.CONVOLUTIONS, net.ConvolutionShape(net.LINEAR_NAME, 10, None, 0)):
        weight, bias, shift = (
            state[f"{shape.name}.{part}"].numpy()
            for part in ("op.weight", "op.bias", "output_shift")
        )
        integers = [weight.astype(np.int8), (bias / net.UNIT).astype(np.int8)]
        assert np.array_equal(integers[0], weight) and np.array_equal(integers[1] * 128.0, bias)
        layers.append(
            net.IntegerLayer(shape.name, *integers, int(shift.item()), shape.pool, shape.pad)
        )
    return tuple(layers)


def test_shipped_network_is_the_same_in_torch_and_on_the_chip(shipped):
    network, machine = torch_network(shipped, (1, 28, 28)), fashion.machine()
    images = load_dataset("fashion", "test").images[::80]
    assert len(images) == 50
    assert np.array_equal(chip_outputs(machine, images), torch_outputs(network, images))
    sample = np.load(fashion.DIRECTORY / "sample.npy")[np.newaxis]
    expected = np.load(fashion.DIRECTORY / "expected.npy")[np.newaxis]
    assert np.array_equal(chip_outputs(machine, sample), expected)
    assert np.array_equal(torch_outputs(network, sample), expected)


def test_shipped_files_are_what_a_run_writes(shipped):
    text = pretraining.network_text(shipped, "fashion-mnist", (1, 28, 28))
    assert text == fashion.CONFIG.read_text(encoding="utf-8")
    log = (fashion.DIRECTORY / "training.log").read_text(encoding="utf-8").splitlines()
    result = pretraining.PretrainResult(shipped, 0.9266, 0.9258, 0.9258)
    assert log[-2:] == list(pretraining.summary(result))


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
