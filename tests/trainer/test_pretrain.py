"""Pretraining: the training, its augmentation, recipes and policies, and the files it writes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs PyTorch (pip install max78k[train])")

from max78k_sim.cli import main  # noqa: E402
from max78k_sim.errors import HardwareLimit, InputError  # noqa: E402
from max78k_sim.evaluator import Evaluator  # noqa: E402
from tests import fashion  # noqa: E402
from trainer.data.datasets import Dataset, load_dataset  # noqa: E402
from trainer.host import files  # noqa: E402
from trainer.host import pretrain as pretraining  # noqa: E402
from trainer.host.augment import augmented, moved  # noqa: E402
from trainer.host.files import read_machine, read_plan, write_network  # noqa: E402
from trainer.host.pretrain import accuracy, pretrain, pretrain_each, train_epochs, training_parts  # noqa: E402
from trainer.host.recipe import Policy, Recipe, read_policy, read_recipe, recipe_beside  # noqa: E402
from trainer.host.sounds import sounds, start_as_filters  # noqa: E402

TINY = Recipe(holdout_class=2, float_epochs=1, quantised_epochs=1, batch_size=32, threads=1)
FILES = ["checkpoint.pth.tar", "expected.npy", "network.yaml", "sample.npy", "training.log"]
WIDTHS = {"conv1": 4, "conv2": 5, "conv3": 3}
SIDE = 12  # pixels


def network_yaml(directory, **first):
    """A description of three convolutions and a linear layer; ``first``: more of the first."""
    layers, channels = [], 1
    for number, (name, width) in enumerate(WIDTHS.items()):
        start = {"in_channels": 1, "in_dim": [SIDE, SIDE], **first}
        keys = {"max_pool": 2, "pool_stride": 2} if number else start
        layers.append({"name": name, "processors": (1 << channels) - 1, "activate": "ReLU",
                       "out_offset": 0x2000 + 0x1000 * number, **keys})  # fmt: skip
        channels = width
    layers.append({"name": "fc", "op": "linear", "flatten": True, "output_width": 32,
                   "processors": (1 << channels) - 1})  # fmt: skip
    file = directory / "bars.yaml"
    file.write_text(json.dumps({"arch": "ai85bars", "dataset": "bars", "layers": layers}))
    return file


def bars(count, seed):
    """Three classes of images: a bright bar that lies, stands, or is absent."""
    generator = np.random.default_rng(seed)
    images = generator.integers(-128, -60, (count, 1, SIDE, SIDE)).astype(np.int8)
    labels = np.arange(count) % 3
    images[labels == 0, :, 5:7, :] = 120
    images[labels == 1, :, :, 5:7] = 120
    return Dataset("bars", images, labels, ("lying", "standing", "none"))


def test_trained_network_is_as_right_as_the_chip(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(7)
    dataset = bars(210, 1)
    plan = read_plan(network_yaml(tmp_path), Policy(), (1, SIDE, SIDE), 3)
    network = plan.build()
    losses = list(train_epochs(network, dataset, TINY, 2, 1e-2, 0.25))
    assert losses[1] < losses[0]
    network.quantise()
    list(train_epochs(network, dataset, TINY, 1, 1e-3, 0.0))
    notes = {"epoch": 3, "accuracy": 0.5, "seed": 1, "holdout_class": None}
    write_network(tmp_path, plan, network.to_integers(), notes)
    counted = Evaluator(read_machine(tmp_path), 1).evaluate([(dataset.images, dataset.labels)])
    assert accuracy(network, dataset) == counted.of(range(3)) > 0.5


# ---- augmentation -------------------------------------------------------------------------------


def test_moving_and_mirroring_change_nothing_else():
    torch.manual_seed(3)
    images = torch.full((400, 2, 5, 5), -1.0)
    images[:, 0, 2, 3], images[:, 1, 2, 3] = 0.25, 0.5
    both = moved(images, 1, mirror=True)
    assert both.shape == images.shape
    assert (both > -1).flatten(1).sum(dim=1).tolist() == [2] * 400
    places = {tuple(place) for place in (both[:, 0] == 0.25).nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (0, 1, 2, 3, 4)}
    still = moved(images, 0, mirror=True)
    assert torch.equal(still.sort(dim=3).values, images.sort(dim=3).values)
    assert (moved(images, 1, mirror=False)[:, 0, :, 0] == 0.25).sum() == 0


def test_a_series_moves_along_its_rows():
    torch.manual_seed(3)
    series = torch.full((200, 2, 6, 1), 0.5)
    shifted = moved(series, 2, mirror=False)
    left = (shifted == 0.5).sum((2, 3))
    assert set(left.flatten().tolist()) == {4, 5, 6} and ((shifted == 0) | (shifted == 0.5)).all()


def test_a_recipe_that_asks_for_nothing_changes_nothing():
    images = torch.rand(3, 2, 8, 8) - 0.5
    assert augmented(images, Recipe(shift_pixels=0)) is images
    waves = np.arange(-128, 128, dtype=np.int8).reshape(2, 16, 8, 1)
    heard = sounds(waves, Recipe(shift_pixels=0, wave=True))
    assert torch.equal(heard, torch.from_numpy(waves).float() / 128)


def test_turning_and_stretching_keep_the_middle():
    torch.manual_seed(1)
    images = torch.full((50, 1, 9, 9), -1.0)
    images[:, :, 4, 2:7] = 1.0  # a line
    turned = augmented(images, Recipe(shift_pixels=0, turn_degrees=45, stretch=0.3))
    assert (turned[:, 0, 4, 4] > 0.9).all() and turned.min() >= -1.001
    lit = (turned > -0.5).flatten(1).sum(dim=1)
    assert lit.min() >= 3 and len(set(lit.tolist())) > 3
    assert not torch.equal(turned[0], turned[1])


def folded(line: torch.Tensor) -> np.ndarray:
    """One sound [time] as int8 [1, channel, length, 1], as many channels as values in each."""
    side = math.isqrt(len(line))
    return line.to(torch.int8).reshape(side, side).T.numpy()[None, ..., None]


def test_sound_moves_along_its_samples():
    torch.manual_seed(1)
    time = torch.arange(64.0)
    line = torch.exp(-((time - 32) ** 2) / 18)  # a bump, 3 samples wide
    waves = folded(line * 127).repeat(800, axis=0)
    changed = sounds(waves, Recipe(shift_pixels=10, stretch=0.2, wave=True))
    lines = changed[..., 0].transpose(1, 2).reshape(-1, 64)
    centre = (lines * time).sum(1) / lines.sum(1)
    width = ((lines * (time - centre[:, None]) ** 2).sum(1) / lines.sum(1)).sqrt()
    assert 20 < centre.min() < 24 and 40 < centre.max() < 44
    assert 2.3 < width.min() < 2.6 and 3.4 < width.max() < 3.7


def test_a_tilt_adds_a_share_of_the_sample_before():
    torch.manual_seed(1)
    line = torch.zeros(16)
    line[7] = 64
    tilted = sounds(folded(line).repeat(300, axis=0), Recipe(shift_pixels=0, tilt=0.5, wave=True))
    lines = tilted[..., 0].transpose(1, 2).reshape(-1, 16)
    share = lines[:, 8] * 2
    assert -0.5 <= share.min() < -0.45 and 0.45 < share.max() <= 0.5
    assert (lines[:, 7] == 0.5).all() and (lines != 0).sum(1).max() == 2


def test_an_echo_is_the_sound_again_and_later():
    torch.manual_seed(1)
    line = torch.zeros(64 * 64)
    line[5] = 64
    heard = sounds(folded(line).repeat(300, axis=0), Recipe(shift_pixels=0, echo=0.5, wave=True))
    lines = heard[..., 0].transpose(1, 2).reshape(-1, len(line))
    assert (lines[:, 5] == 0.5).all()
    lines[:, 5] = 0
    delays = lines.abs().argmax(1) - 5
    assert delays.min() == 2 and 1200 < delays.max() <= 1600
    assert 0.2 < lines.max() <= 0.25 and -0.25 <= lines.min() < -0.2


def test_filters_hear_their_tone_whatever_its_phase():
    weight = torch.nn.init.normal_(torch.empty(48, 128, 3), std=0.1)
    start_as_filters(weight)
    assert 0.09 < weight.square().mean().sqrt() < 0.11
    times = torch.arange(384.0)
    heard = []
    for phase in (0.0, 0.7, 2.0):
        tone = torch.cos(2 * torch.pi * 1000 / 16000 * times + phase)
        folded = tone.reshape(3, 128).T  # [channel, tap]
        strength = (weight * folded).sum((1, 2)).reshape(24, 2).square().sum(1).sqrt()
        heard.append(strength)
    (band,) = {int(strength.argmax()) for strength in heard}
    assert band == 8  # 122 + 8 * 112 mel is about 1000 Hz
    torch.testing.assert_close(heard[0], heard[1], rtol=0.05, atol=0.05)


def test_gain_and_noise_stay_in_range():
    torch.manual_seed(1)
    data = torch.full((200, 1, 4, 4), 0.25)
    louder = augmented(data, Recipe(shift_pixels=0, gain=1))
    assert 0.124 < louder.min() < 0.14 and 0.45 < louder.max() < 0.501
    assert torch.equal(louder.amin((1, 2, 3)), louder.amax((1, 2, 3)))  # one a sample
    noisy = augmented(data, Recipe(shift_pixels=0, noise=2))
    assert noisy.min() == -1 and noisy.max() == 127 / 128


# ---- what a run writes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Everything that one run writes, of three classes with class 2 held out."""
    directory = tmp_path_factory.mktemp("pretrain")
    data = bars(40, 2)
    np.savez(directory / "bars.npz", x=data.images, y=data.labels)
    file, lines = network_yaml(directory), []
    recipe = replace(TINY, data=f"npz:{directory / 'bars.npz'}")
    policy = Policy(overrides={"conv2": {"weight_bits": 4}})
    result = pretrain(file, directory / "out", recipe, policy, lines.append)
    return directory, (file, recipe, policy), result, lines


def test_checkpoint_has_the_vendor_keys_and_whole_numbers(written):
    out, _, result, _ = written
    saved = torch.load(out / "out" / "checkpoint.pth.tar", weights_only=True)
    assert saved["arch"] == "ai85bars" and saved["epoch"] == 2
    assert saved["extras"]["holdout_class"] == 2
    settings = ("output_shift", "weight_bits", "bias_bits", "quantize_activation")
    parts = (*settings, "adjust_output_shift", "op.weight", "op.bias")
    names = (*WIDTHS, "fc")
    assert list(saved["state_dict"]) == [f"{name}.{part}" for name in names for part in parts]
    for layer in result.layers:
        bits = 4 if layer.name == "conv2" else 8
        state = {part: saved["state_dict"][f"{layer.name}.{part}"] for part in parts}
        stated = [[layer.shift - 8 + bits], [bits], [8], [1]]
        assert [state[part].tolist() for part in settings] == stated
        assert all(value.dtype == torch.float32 for value in state.values())
        assert np.array_equal(state["op.weight"], layer.weight) and layer.weight.any()
        assert layer.weight.min() >= -(1 << bits - 1) and layer.weight.max() < 1 << bits - 1
        assert np.array_equal(state["op.bias"], layer.bias.astype(int) << bits - 1)


def test_sample_gives_the_expected_output(written):
    out = written[0] / "out"
    sample, expected = np.load(out / "sample.npy"), np.load(out / "expected.npy")
    assert sample.dtype == np.int64 and sample.shape == (1, SIDE, SIDE)
    assert expected.dtype == np.int32 and expected.shape == (3,)
    assert np.array_equal(read_machine(out).run(sample).reshape(-1), expected)


def test_log_and_description_are_what_was_given(written):
    directory, (file, _, _), result, lines = written
    out = directory / "out"
    assert (out / "training.log").read_text().splitlines() == lines
    assert "holdout_class=2" in lines[0] and "seed=1" in lines[0]
    assert "weights of 8 bits but {'conv2': 4}" in lines[2]
    assert f"exact {result.exact_accuracy:.4f}" in lines[-2]
    assert result.quantised_accuracy == result.exact_accuracy
    assert sorted(found.name for found in out.iterdir()) == FILES
    assert (out / "network.yaml").read_text() == file.read_text()


def test_a_run_that_fails_leaves_what_was_there(written, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("no power")

    (tmp_path / "network.yaml").write_text("kept")
    monkeypatch.setattr(files, "Evaluator", fail)
    with pytest.raises(InputError, match="no power"):
        file, recipe, policy = written[1]
        pretrain(file, tmp_path, recipe, policy, [].append)
    assert [found.name for found in tmp_path.iterdir()] == ["network.yaml"]
    assert (tmp_path / "network.yaml").read_text() == "kept"


def test_same_recipe_gives_the_same_network(written, tmp_path):
    directory, (file, recipe, policy), _, lines = written
    again: list[str] = []
    pretrain(file, tmp_path, recipe, policy, again.append)
    assert again == lines
    for name in ("network.yaml", "sample.npy", "expected.npy"):
        assert (tmp_path / name).read_bytes() == (directory / "out" / name).read_bytes()


def test_a_network_for_each_held_out_class_is_made_once(written, tmp_path):
    file, recipe, _ = written[1]
    first: list[str] = []
    pretrain_each(file, tmp_path, recipe, classes=[0, 2], report=first.append)
    for label in (0, 2):
        folder = tmp_path / str(label)
        assert sorted(found.name for found in folder.iterdir()) == FILES
        saved = torch.load(folder / "checkpoint.pth.tar", weights_only=True)
        assert saved["extras"]["holdout_class"] == label
    again: list[str] = []
    pretrain_each(file, tmp_path, recipe, report=again.append)
    there = [f"{tmp_path / label}: is there already" for label in ("0", "2")]
    assert again[0] == there[0] and again[-1] == there[1] and len(again) > 5
    assert (tmp_path / "1" / "checkpoint.pth.tar").is_file()
    changed: list[str] = []
    pretrain_each(file, tmp_path, replace(recipe, seed=2), classes=[0], report=changed.append)
    assert "seed=2" in changed[0] and len(changed) > 5


def test_shipped_log_ends_with_what_is_in_the_checkpoint():
    state = torch.load(fashion.CHECKPOINT, weights_only=True)["state_dict"]
    layers = [
        pretraining.IntegerLayer(
            name,
            state[f"{name}.op.weight"].numpy().astype(np.int8),
            (state[f"{name}.op.bias"].numpy() / 128).astype(np.int8),
            int(state[f"{name}.output_shift"].item()),
        )
        for name in ("conv1", "conv2", "conv3", "conv4", "fc")
    ]
    log = (fashion.DIRECTORY / "training.log").read_text(encoding="utf-8").splitlines()
    result = pretraining.PretrainResult(tuple(layers), 0.9266, 0.9258, 0.9258)
    assert log[-2:] == list(pretraining.summary(result))


def test_held_out_class_is_never_seen():
    train, test = training_parts(Recipe(data="fashion", holdout_class=8))
    assert sorted(set(train.labels)) == sorted(set(test.labels)) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    with pytest.raises(InputError, match=r"held-out class 10 is not in 0\.\.9"):
        training_parts(Recipe(data="fashion", holdout_class=10))
    few, all_tests = training_parts(Recipe(data="fashion", holdout_class=8, held_out_examples=7))
    assert np.array_equal(few.images[few.labels != 8], train.images)
    bags = load_dataset("fashion", "train").of_classes((8,))
    assert np.array_equal(few.images[few.labels == 8], bags.images[:7])
    assert set(all_tests.labels) == set(range(10))
    with pytest.raises(InputError, match=r"has \d+ training images of class 8; at most so many"):
        training_parts(Recipe(data="fashion", holdout_class=8, held_out_examples=60_000))
    with pytest.raises(InputError, match="held_out_examples 7, but no class is held out"):
        training_parts(Recipe(data="fashion", held_out_examples=7))
    first = training_parts(Recipe(data="fashion", first_classes=3, holdout_class=1))[0]
    assert sorted(set(first.labels)) == [0, 2] and len(first.class_names) == 3


def test_helping_classes_are_trained_with_and_dropped(written, tmp_path):
    """As training with all classes and leaving rows out: nothing else differs."""
    _, (file, recipe, policy), _, _ = written
    helped = replace(recipe, first_classes=2, helping_classes=1, holdout_class=None)
    train, test = training_parts(helped)
    assert set(train.labels) == {0, 1, 2} and set(test.labels) == {0, 1}
    all_three = replace(recipe, first_classes=3, holdout_class=None)
    result = pretrain(file, tmp_path / "helped", helped, policy, report=lambda _: None)
    assert result.quantised_accuracy == result.exact_accuracy
    pretrain(file, tmp_path / "all", all_three, policy, report=lambda _: None)
    two, three = (
        torch.load(tmp_path / name / "checkpoint.pth.tar", weights_only=True)["state_dict"]
        for name in ("helped", "all")
    )
    assert len(two["fc.op.bias"]) == 2 and len(three["fc.op.bias"]) == 3
    for name, values in two.items():
        assert torch.equal(values, three[name][: len(values)])
    fixed = tmp_path / "network.yaml"
    given = '"op": "linear", "out_channels": 3'
    fixed.write_text(file.read_text().replace('"op": "linear"', given))
    with pytest.raises(InputError, match="fc: leave out_channels out"):
        pretrain(fixed, tmp_path / "fixed", helped, policy, report=lambda _: None)
    with pytest.raises(InputError, match=r"helping_classes 2: .* has 1 after the first 2"):
        training_parts(replace(helped, helping_classes=2))
    with pytest.raises(InputError, match="helping_classes come after first_classes"):
        replace(helped, first_classes=None)


# ---- the description against the data -----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((1, 10, 10), 3, "takes samples 1x12x12, the data are 1x10x10"),
        ((1, SIDE, SIDE), 300, None),
    ],
)
def test_data_that_do_not_fit_the_description(shape, classes, message, tmp_path):
    file = network_yaml(tmp_path)
    if message is None:
        assert read_plan(file, Policy(), shape, classes).network.output_shape == (classes, 1, 1)
        return
    with pytest.raises(InputError, match=message):
        read_plan(file, Policy(), shape, classes)


def test_a_network_that_the_chip_cannot_hold_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "train_in_two_phases", None)
    images, labels = np.zeros((15, 1, SIDE, SIDE), np.int8), np.arange(15) % 3
    np.savez(tmp_path / "some.npz", x=images, y=labels)
    file = network_yaml(tmp_path, out_offset=0x7FF0)
    recipe = replace(TINY, data=f"npz:{tmp_path / 'some.npz'}")
    with pytest.raises(HardwareLimit, match=r"layer 0 \(conv1\): .* past 0x8000"):
        pretrain(file, tmp_path / "out", recipe, report=[].append)
    assert not (tmp_path / "out").exists()


# ---- recipes and policies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"float_epochs": -1}, "float_epochs is -1; 0 or more is needed"),
        ({"batch_size": 1}, "batch_size is 1; 2 or more is needed"),
        ({"threads": 0}, "threads is 0; 1 or more is needed"),
        ({"float_rate": float("nan")}, "float_rate is nan; 0 or more is needed"),
        ({"float_rate": float("inf")}, "float_rate is inf; 0 or more is needed, and no infinity"),
        ({"noise": -0.5}, "noise is -0.5; 0 or more is needed"),
    ],
)
def test_recipe_refuses_what_cannot_be_run(options, message):
    with pytest.raises(InputError, match=message):
        Recipe(**options)


RECIPES = [
    ("float_epochs: 3\nmirror: true\nstretch: 1\nholdout_class: null", None),
    ("", None),
    ("epochs: 3", "'epochs' is not a key; there are: data, "),
    ("mirror: 1", "mirror is 1; it takes one of type bool"),
    ("seed: true", "seed is True; it takes one of type int"),
    ("float_epochs: 2.5", "float_epochs is 2.5; it takes one of type int"),
    ("float_epochs: null", "float_epochs is None; it takes one of type int"),
    ("- 3", "holds no mapping of keys to values"),
    ("a: [", r":1: is no YAML"),
    ("float_epochs: 3\nfloat_epochs: 4", ":2: float_epochs is given twice, first in line 1"),
    ("seed: !!int ''", ":1: is no YAML: a value does not fit its tag"),
]
POLICIES = [
    ("start_epoch: 9\nweight_bits: 2\nshift_quantile: 0.9\noverrides:\n  fc:\n    weight_bits: 8",
     None),
    ("weight_bits: 3", "weight_bits is 3; legal: 1, 2, 4, 8"),
    ("start_epoch: -1", "start_epoch is -1; a number of epochs from 0 up"),
    ("shift_quantile: 0", "shift_quantile is 0; above 0, up to 1"),
    ("overrides:\n  fc: {weight_bits: 4}\n  fc: {weight_bits: 8}", ":3: fc is given twice"),
    ("overrides: {fc: &a [*a]}", ":1.*YAML aliases are not supported"),
    ("bits: 8", "'bits' is not a key; there are: start_epoch, weight_bits"),
    ("overrides: 4", "'overrides' is a mapping of layers to weight_bits"),
    ("overrides:\n  fc: 4", "overrides of fc: write weight_bits: 4 below it"),
    ("overrides:\n  fc:\n    weight_bits: 5", "fc: weight_bits is 5; legal"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [*((read_recipe, *row) for row in RECIPES), *((read_policy, *row) for row in POLICIES)],
)
def test_files_of_recipes_and_policies(read, text, message, tmp_path):
    file = tmp_path / "how.yaml"
    file.write_text(text)
    if message is None:
        read(file)
        return
    with pytest.raises(InputError, match=rf"how\.yaml.*{message}"):
        read(file)


def test_a_policy_by_layer():
    policy = Policy(weight_bits=2, overrides={"fc": {"weight_bits": 8}})
    assert [policy.of(name, "weight_bits") for name in ("conv1", "fc")] == [2, 8]
    assert policy.of("fc", "shift_quantile") is None


def test_start_epoch_divides_the_epochs():
    recipe = Recipe(float_epochs=4, quantised_epochs=2)
    split = pretraining.split_epochs(recipe, Policy(start_epoch=1))
    assert (split.float_epochs, split.quantised_epochs) == (1, 5)
    with pytest.raises(InputError, match="start_epoch is 7; there are 6 epochs in all"):
        pretraining.split_epochs(recipe, Policy(start_epoch=7))


@pytest.mark.parametrize(
    ("quantization", "policy", "bits"),
    [
        (None, Policy(), 8),
        (None, Policy(weight_bits=2), 2),
        (4, Policy(weight_bits=2), 4),
        (None, Policy(weight_bits=2, overrides={"conv1": {"weight_bits": 1}}), 1),
        (4, Policy(overrides={"conv1": {"weight_bits": 8}}), "quantization 4 in the description"),
        (None, Policy(overrides={"cnv1": {"weight_bits": 8}}), "overrides 'cnv1'; the layers are"),
    ],
)
def test_widths_come_from_the_description_then_the_policy(quantization, policy, bits, tmp_path):
    file = network_yaml(tmp_path, **({"quantization": quantization} if quantization else {}))
    if isinstance(bits, int):
        plan = read_plan(file, policy, (1, SIDE, SIDE), 3)
        assert plan.network.layers[0].weight_bits == bits
        return
    with pytest.raises(InputError, match=bits):
        read_plan(file, policy, (1, SIDE, SIDE), 3)


@pytest.mark.parametrize("name", ["fashion", "digits", "keywords"])
def test_shipped_recipes_say_which_class_is_missing(name):
    directory = fashion.DIRECTORY.with_name(name)
    recipe = Recipe(**recipe_beside(directory / "network.yaml"))
    saved = torch.load(directory / "checkpoint.pth.tar", weights_only=True)
    assert saved["extras"]["holdout_class"] == recipe.holdout_class is not None
    assert (directory / "checkpoint.pth.tar").stat().st_size < 500_000


# ---- the command --------------------------------------------------------------------------------


def test_the_command_trains_what_a_folder_describes(written, tmp_path, capsys):
    _, (file, recipe, _), _, _ = written
    (tmp_path / "recipe.yaml").write_text("float_epochs: 1\nquantised_epochs: 3\nbatch_size: 32")
    (tmp_path / "network.yaml").write_text(file.read_text())
    (tmp_path / "policy.yaml").write_text("start_epoch: 1\noverrides:\n  fc:\n    weight_bits: 4")
    arguments = ("pretrain", "--config-file", str(tmp_path / "network.yaml"), "--data", recipe.data,
                 "--threads", "1", "--epochs", "1,1")  # fmt: skip
    policy = ("--qat-policy", str(tmp_path / "policy.yaml"))
    assert main([*arguments, "--out", str(tmp_path / "a"), *policy]) == 0
    assert (
        "holdout_class=None, held_out_examples=0, helping_classes=0, float_epochs=1, "
        in capsys.readouterr().out
    )
    saved = torch.load(tmp_path / "a" / "checkpoint.pth.tar", weights_only=True)["state_dict"]
    assert saved["fc.weight_bits"].item() == 4
    both = ("--held-out-class", "0,1", "--qat-policy", "None")
    assert main([*arguments, "--out", str(tmp_path / "b"), *both]) == 0
    assert sorted(found.name for found in (tmp_path / "b").iterdir()) == ["0", "1"]
    assert "quantised_epochs=0" in (tmp_path / "b" / "1" / "training.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--held-out-class", "all"),
            "--out is missing: the folder that the network is written to",
        ),
        (("--held-out-class", "bag", "--out", "x"), "--held-out-class 'bag': a class (8), several"),
        (("--out", ""), "--out is missing: the folder that the network is written to"),
        (
            ("--data", "digits", "--held-out-class", "0,77", "--out", "x"),
            "held-out class 77 is not in 0..9",
        ),
        (("--seed", str(1 << 64), "--out", "x"), "18446744073709551615 at most"),
        (("--threads", "100000", "--out", "x"), "threads is 100000; 1024 at most"),
        (("--recipe", "/no/such/recipe", "--out", "x"), "cannot be read: No such file"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", *arguments]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_fashion_data_that_is_shipped_can_be_read():
    assert load_dataset("fashion", "train").images.shape[1:] == (1, 28, 28)
