"""Training through memory: the same as training on arrays, resumable, and only where it should."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import Machine, compile_network, load_network, placement
from max78k_sim.errors import InputError, NotEmulated
from tests import fashion
from trainer.backward import channels_last
from trainer.kernel_store import KernelStore
from trainer.loop import Pool, Trainer, memory_digest, together, train
from trainer.recipe import Recipe

RECIPE = Recipe(steps=6, batch=4, rate_shift=6)


def trained(recipe=RECIPE, snapshot=None, stop_at=None):
    trainer = Trainer(fashion.machine(), recipe)
    for done in train(trainer, fashion.pool(), snapshot, snapshot_every=2):
        if done.step == stop_at:
            break
    return trainer


def test_one_step_through_memory_is_the_step_on_arrays():
    """The oracle is arithmetic on plain arrays, written out here; logits from the kernels."""
    trainer = Trainer(fashion.machine(), RECIPE)
    kernel, bias = (store.read().astype(object) for store in trainer.stores.values())
    layer = fashion.network().layers[-1]
    pool = fashion.pool()
    shown = [0, 7, 9, 3]
    gradient, gradient_of_bias = np.zeros(kernel.shape, object), np.zeros(bias.shape, object)
    for index in shown:
        trainer.machine.run(pool.images[index])
        maps = trainer.maps_in_memory()
        x = maps[3].transpose(0, 3, 1, 2).reshape(-1).astype(object)
        logits = kernel @ x + 128 * bias
        assert np.array_equal(logits, maps[4].reshape(-1))
        real = logits.astype(float) * 2.0 ** (layer.output_shift - 14)
        probability = np.exp(real - real.max()) / np.exp(real - real.max()).sum()
        probability[pool.labels[index]] -= 1
        gradient = gradient + np.outer(probability, x.astype(float))
        gradient_of_bias = gradient_of_bias + probability * 128
    trainer.train_batch(pool.images[shown], pool.labels[shown])
    rate = RECIPE.rate_mantissa / 2**RECIPE.rate_shift / 2.0**layer.output_shift
    for store, old, exact in zip(
        trainer.stores.values(), (kernel, bias), (gradient, gradient_of_bias), strict=True
    ):
        real = np.clip(old.astype(float) - rate * exact.astype(float), -128, 127)
        assert np.abs(store.read() - real).max() < 1.02  # stochastic rounding, soft-max table
    assert not np.array_equal(trainer.stores[4, "kernel"].read(), kernel.astype(np.int8))


def test_gradient_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    trainer = Trainer(fashion.machine(), RECIPE)
    pool, layer = fashion.pool(), fashion.network().layers[-1]
    scale = 2.0**layer.output_shift / 128
    kernel, bias = (
        torch.tensor(store.read() * scale, requires_grad=True) for store in trainer.stores.values()
    )
    loss = torch.zeros((), dtype=torch.float64)
    for image, label in zip(pool.images[:3], pool.labels[:3], strict=True):
        trainer.machine.run(image)
        x = trainer.maps_in_memory()[3].transpose(0, 3, 1, 2).reshape(-1) / 128
        logits = kernel @ torch.tensor(x) + bias
        loss = loss + torch.nn.functional.cross_entropy(logits[None], torch.tensor([int(label)]))
    loss.backward()
    trainer.train_batch(pool.images[:3], pool.labels[:3])
    unit = 2.0**-22  # a velocity counts errors of 2**-15 times inputs of 2**-7
    pairs = zip(trainer.parameters.values(), (kernel.grad, bias.grad), strict=True)
    for parameter, gradient in pairs:
        assert np.abs(parameter.velocity * unit - gradient.numpy()).max() < 5e-3


def test_only_changed_words_are_written():
    trainer = Trainer(fashion.machine(), RECIPE)
    store, memory = trainer.stores[4, "kernel"], trainer.machine.memory
    before = memory.arrays["kernel"].copy()
    values = store.read()
    assert store.write_changed(values) == 0
    values[3, 200] ^= 1
    assert store.write_changed(values) == 1
    changed = np.argwhere((memory.arrays["kernel"] != before).any(axis=-1))
    assert len(changed) == 1
    assert np.array_equal(KernelStore(memory, store.placement).read(), values)


def test_training_touches_nothing_but_its_layer():
    chip = fashion.machine()
    before = {name: words.copy() for name, words in chip.memory.arrays.items()}
    trainer = Trainer(chip, RECIPE)
    list(train(trainer, fashion.pool()))
    plan = fashion.program().plan
    for layer in plan.network.layers[:-1]:
        for kind in ("kernel", "bias"):
            place = plan.placement(layer.name, kind)
            values = placement.read(chip.memory, place)
            fresh = fashion.machine()
            assert np.array_equal(values, placement.read(fresh.memory, place)), (layer.name, kind)
    mine = chip.memory.arrays["kernel"] != before["kernel"]
    slots = np.argwhere(mine.any(axis=-1))
    owner = plan.kernel_map.reshape(4, 16, -1)
    assert {int(owner[tuple(slot)]) for slot in slots} == {4}


def test_a_stopped_run_ends_with_the_same_bytes(tmp_path):
    whole = trained()
    snapshot = tmp_path / "snapshot.npz"
    trained(snapshot=snapshot, stop_at=5)  # the last snapshot is of step 4
    resumed = trained(snapshot=snapshot)
    assert resumed.step == RECIPE.steps
    assert memory_digest(resumed.machine.memory) == memory_digest(whole.machine.memory)
    assert resumed.slots_written == whole.slots_written
    for kind, parameter in whole.parameters.items():
        assert np.array_equal(resumed.parameters[kind].velocity, parameter.velocity)


def test_a_killed_process_ends_with_the_same_bytes(tmp_path):
    """kill -9 at three moments, then started again with the same seed."""
    command = [
        sys.executable, "-m", "max78k_sim.cli", "train", *fashion.NETWORK_OPTIONS, "--json",
        "--steps", "60", "--new-class", "8", "--new-images", "10", "--replay-images", "2",
        "--test-images", "20", "--keep-snapshot",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    whole = subprocess.run(
        [*command, "--out", str(tmp_path / "whole")],
        env=environment,
        capture_output=True,
        check=True,
    )
    out = tmp_path / "killed"
    for wanted in (20, 40):
        process = subprocess.Popen(
            [*command, "--out", str(out)], env=environment, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if snapshot_step(out / "snapshot.npz") >= wanted:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = subprocess.run(
        [*command, "--out", str(out)], env=environment, capture_output=True, check=True
    )
    assert end.stdout == whole.stdout


def snapshot_step(file):
    try:
        with np.load(file) as stored:
            return int(stored["counts"][0])
    except (OSError, ValueError, KeyError):
        return 0


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("counts", lambda counts: counts + 10**6, "steps, not 10000"),
        ("counts", lambda counts: -counts, "below 0"),
        ("counts", lambda counts: counts * 1.0, "counts are float64"),
        ("right", lambda right: right.astype("U3"), "counts are int64 and <U3"),
        ("right", lambda right: right - 99, "more were right than the 4 of a batch"),
        ("right", lambda right: right[1:], "steps, not"),
        ("memory_bias", lambda words: words[:1], "memory_bias is uint32 of shape"),
    ],
)
def test_a_damaged_snapshot_is_refused(tmp_path, name, change, message):
    snapshot = tmp_path / "snapshot.npz"
    trained(snapshot=snapshot, stop_at=4)
    with np.load(snapshot) as stored:
        arrays = dict(stored)
    np.savez(snapshot, **(arrays | {name: change(arrays[name])}))
    with pytest.raises(InputError, match=f"not a snapshot .*{message}.*delete it to start anew"):
        trained(snapshot=snapshot)


def test_a_snapshot_of_another_run_is_refused(tmp_path):
    snapshot = tmp_path / "snapshot.npz"
    trained(snapshot=snapshot)
    with pytest.raises(InputError, match="this snapshot is of another network, recipe or data set"):
        trained(replace(RECIPE, seed=2), snapshot)
    snapshot.write_bytes(snapshot.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a snapshot"):
        trained(snapshot=snapshot)
    snapshot.write_bytes(b"")
    with pytest.raises(InputError, match="not a snapshot"):
        trained(snapshot=snapshot)


def test_seeds_give_different_kernels_and_repeat():
    digests = [memory_digest(trained(replace(RECIPE, seed=n)).machine.memory) for n in (1, 2, 1)]
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    "layers, message",
    (
        (("fc9",), "has no layer 'fc9'; its layers are: conv1"),
        (("conv1", "fc"), "call choose_scales with some examples before training hidden layers"),
    ),
)
def test_what_cannot_be_trained(layers, message):
    pool = fashion.pool()
    with pytest.raises(InputError) as error:
        trainer = Trainer(fashion.machine(), replace(RECIPE, layers=layers))
        trainer.train_batch(pool.images[:2], pool.labels[:2])
    assert message in str(error.value)


def test_a_narrow_last_layer_is_refused():
    network = load_network(fashion.CONFIG, fashion.CHECKPOINT, output_width=8)
    chip = Machine()
    chip.load(compile_network(network))
    with pytest.raises(NotEmulated, match="8-bit outputs of fc: the loss needs output_width: 32"):
        Trainer(chip, RECIPE)


class ArrayStore:
    """A tensor in an array: what a KernelStore is, without memory."""

    def __init__(self, placement, values):
        self.placement, self.values = placement, values.copy()
        self.slots_written = 0

    def read(self):
        return self.values.copy()

    def change(self, new):
        self.values = new(self.values.copy()).copy()


RECIPES = (
    Recipe(),
    Recipe(momentum_shift=0, schedule="linear"),
    Recipe(optimizer="adam", precision="residual", schedule="halving"),
    Recipe(precision="int16", decay_shift=8),
    Recipe(loss="squared", rounding="nearest", precision="residual"),
    Recipe(wide_bias=True, teacher_share=128, deeper_shift=1),
    Recipe(rounding="truncate", parts=("bias",)),
)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("width", (8, 4, 2, 1))
def test_steps_through_memory_are_steps_on_arrays(recipe, width, tmp_path):
    """To the bit, all layers at once, for every width: activations and kernels at addresses."""
    chip = narrow_chip(width, tmp_path)
    names = tuple(layer.name for layer in chip.program.plan.network.layers)
    recipe = replace(recipe, layers=names, batch=2, steps=4, rate_shift=10 - width)
    trainer, twin = Trainer(chip, recipe), Trainer(narrow_chip(width, tmp_path), recipe)
    twin.stores = {
        key: ArrayStore(store.placement, store.read()) for key, store in twin.stores.items()
    }
    random = np.random.default_rng(width)
    images = random.integers(-128, 128, (8, *chip.program.plan.network.input_shape))
    images, labels = images.astype(np.int8), random.integers(0, 5, 8)
    teacher = random.integers(0, 256, (8, 5)).astype(np.uint8)
    trainer.choose_scales(images, labels)
    twin.set_scales({index: scale.exponent for index, scale in trainer.scales.items()})
    before = memory_digest(chip.memory)
    for step in range(recipe.steps):
        shown = np.arange(2 * step, 2 * step + 2)
        samples = []
        for image in images[shown]:
            chip.run(image)
            samples.append(trainer.maps_in_memory())
        trainer.learn(together(samples), labels[shown], teacher[shown])
        latents = {-1: channels_last(images[shown])}
        twin.train_latents(latents, labels[shown], teacher[shown])
        for key, store in trainer.stores.items():
            assert np.array_equal(store.read(), twin.stores[key].values), (step, key)
        for key, parameter in trainer.parameters.items():
            mine, other = dict(parameter.state()), dict(twin.parameters[key].state())
            assert all(np.array_equal(mine[name], other[name]) for name in mine), (step, key)
    states = (dict(parameter.state()) for parameter in trainer.parameters.values())
    fractions = (state["fraction"] for state in states if "fraction" in state)
    moved = memory_digest(chip.memory) != before or any(each.any() for each in fractions)
    assert moved or recipe.rounding == "truncate"


def narrow_chip(width: int, folder) -> Machine:
    """Two convolutions and a linear layer with weights of a width, random."""
    random = np.random.default_rng(3)
    file, weights = folder / f"narrow{width}.yaml", folder / f"narrow{width}.npz"
    file.write_text(NARROW.replace("WIDTH", str(width)))
    shapes = ((6, 1, 3, 3), (7, 6, 3, 3), (5, 7 * 4 * 4))
    arrays = {}
    for number, shape in enumerate(shapes):
        limit = 1 << width - 1
        arrays[f"w{number}"] = random.integers(-limit, limit, shape).astype(np.int8)
        arrays[f"b{number}"] = random.integers(-20, 20, shape[0]).astype(np.int8)
        arrays[f"bits{number}"] = np.array(width)
        arrays[f"shift{number}"] = np.array(-3)
    np.savez(weights, **arrays)
    chip = Machine()
    chip.load(compile_network(load_network(file, weights)))
    return chip


NARROW = """
arch: narrow
dataset: none
layers:
  - {name: one, in_channels: 1, in_dim: [8, 8], data_format: CHW, processors: 1, op: conv2d,
     kernel_size: 3x3, pad: 1, activate: ReLU, quantization: WIDTH, out_offset: 0x1000}
  - {name: two, processors: 0x3f, max_pool: 2, pool_stride: 2, op: conv2d, kernel_size: 3x3,
     pad: 1, activate: Abs, quantization: WIDTH, out_offset: 0x2000}
  - {name: three, processors: 0x7f, op: linear, flatten: true, output_width: 32, activate: None,
     quantization: WIDTH, out_offset: 0x3000}
"""


@pytest.mark.parametrize("layers", (("conv4", "fc"), ("conv1", "conv2", "conv3", "conv4", "fc")))
def test_latents_and_images_train_alike(layers):
    """What the processor computes from kept latents is what the accelerator gives."""
    recipe, pool = replace(RECIPE, layers=layers), fashion.pool()
    one, other = Trainer(fashion.machine(), recipe), Trainer(fashion.machine(), recipe)
    one.choose_scales(pool.images[:4], pool.labels[:4])
    other.choose_scales(pool.images[:4], pool.labels[:4])
    for step in range(3):
        shown = slice(4 * step, 4 * step + 4)
        one.train_batch(pool.images[shown], pool.labels[shown])
        other.train_latents(other.frozen(pool.images[shown]), pool.labels[shown])
        assert memory_digest(one.machine.memory) == memory_digest(other.machine.memory)


def test_learning_works():
    """A handful of steps teaches the new class to its own examples."""
    pool = fashion.pool(new=20, replay=4)
    recipe = Recipe(steps=40, rate_shift=7, new_share=64)
    trainer = Trainer(fashion.machine(), recipe)
    new = pool.images[: pool.new]
    before = [trainer.predict(image) for image in new].count(8)
    list(train(trainer, Pool(pool.images, pool.labels, pool.new)))
    after = [trainer.predict(image) for image in new].count(8)
    assert before == 0 and after >= 18
