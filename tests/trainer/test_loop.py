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
from trainer.kernel_store import KernelStore
from trainer.loop import Pool, Recipe, Trainer, memory_digest, train

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
    pool = fashion.pool()
    shown = [0, 7, 9, 3]
    gradient, gradient_of_bias = np.zeros(kernel.shape, object), np.zeros(bias.shape, object)
    for index in shown:
        trainer.machine.run(pool.images[index])
        x = placement.read(trainer.machine.memory, trainer.features).reshape(-1).astype(object)
        logits = kernel @ x + 128 * bias
        read = placement.read(trainer.machine.memory, trainer.logits).reshape(-1)
        assert np.array_equal(logits, read)
        real = logits.astype(float) * 2.0 ** (trainer.layer.output_shift - 14)
        probability = np.exp(real - real.max()) / np.exp(real - real.max()).sum()
        probability[pool.labels[index]] -= 1
        gradient = gradient + np.outer(probability, x.astype(float))
        gradient_of_bias = gradient_of_bias + probability * 128
    trainer.train_batch(pool.images[shown], pool.labels[shown])
    rate = RECIPE.rate_mantissa / 2**RECIPE.rate_shift / 2.0**trainer.layer.output_shift
    for store, old, exact in zip(
        trainer.stores.values(), (kernel, bias), (gradient, gradient_of_bias), strict=True
    ):
        real = np.clip(old.astype(float) - rate * exact.astype(float), -128, 127)
        assert np.abs(store.read() - real).max() < 1.02  # stochastic rounding, soft-max table
    assert not np.array_equal(trainer.stores["kernel"].read(), kernel.astype(np.int8))


def test_gradient_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    trainer = Trainer(fashion.machine(), RECIPE)
    pool = fashion.pool()
    trainer.begin()
    for image, label in zip(pool.images[:3], pool.labels[:3], strict=True):
        trainer.show(image, int(label))
    scale = 2.0**trainer.layer.output_shift / 128
    weights = torch.tensor(trainer.stores["kernel"].read() * scale, requires_grad=True)
    bias = torch.tensor(trainer.stores["bias"].read() * scale, requires_grad=True)
    loss = torch.zeros((), dtype=torch.float64)
    for image, label in zip(pool.images[:3], pool.labels[:3], strict=True):
        trainer.machine.run(image)
        x = placement.read(trainer.machine.memory, trainer.features).reshape(-1) / 128
        logits = weights @ torch.tensor(x) + bias
        loss = loss + torch.nn.functional.cross_entropy(logits[None], torch.tensor([int(label)]))
    loss.backward()
    unit = 2.0**-22  # a velocity counts errors of 2**-15 times inputs of 2**-7
    for kind, gradient in (("kernel", weights.grad), ("bias", bias.grad)):
        assert np.abs(trainer.velocity[kind] * unit - gradient.numpy()).max() < 5e-3


def test_only_changed_words_are_written():
    trainer = Trainer(fashion.machine(), RECIPE)
    store, memory = trainer.stores["kernel"], trainer.machine.memory
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
    for kind, velocity in whole.velocity.items():
        assert np.array_equal(resumed.velocity[kind], velocity)


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
    "layer, kind, message",
    (
        ("conv4", NotEmulated, "training of conv2d layers (conv4); so far: linear"),
        ("fc9", InputError, "has no layer 'fc9'; its layers are: conv1"),
    ),
)
def test_what_cannot_be_trained_yet(layer, kind, message):
    with pytest.raises(kind) as error:
        Trainer(fashion.machine(), replace(RECIPE, layer=layer))
    assert message in str(error.value)


def test_a_narrow_last_layer_is_refused():
    network = load_network(fashion.CONFIG, fashion.CHECKPOINT, output_width=8)
    chip = Machine()
    chip.load(compile_network(network))
    with pytest.raises(NotEmulated, match="so far only the last layer, with output_width: 32"):
        Trainer(chip, RECIPE)


def test_narrow_weights_are_refused(tmp_path):
    text = fashion.CONFIG.read_text()
    file, weights = tmp_path / "network.yaml", tmp_path / "narrow.npz"
    file.write_text(text.replace("    flatten: true", "    flatten: true\n    quantization: 4"))
    arrays = {
        f"w{n}": np.clip(each.kernel, -8, 7) for n, each in enumerate(fashion.network().parameters)
    }
    np.savez(weights, **arrays)
    chip = Machine()
    chip.load(compile_network(load_network(file, weights)))
    with pytest.raises(NotEmulated, match="so far only 8-bit weights"):
        Trainer(chip, RECIPE)


def test_output_over_input_is_refused(tmp_path):
    text = fashion.CONFIG.read_text()
    start = text.rindex("out_offset: 0x2000")
    file = tmp_path / "network.yaml"
    file.write_text(text[:start] + "out_offset: 0x0000" + text[start + len("out_offset: 0x2000") :])
    chip = Machine()
    chip.load(compile_network(load_network(file, fashion.CHECKPOINT)))
    with pytest.raises(InputError, match="fc writes its output over its input"):
        Trainer(chip, RECIPE)


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
