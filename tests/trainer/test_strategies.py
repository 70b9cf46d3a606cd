"""Strategies: each does what its row says, with the chip's bits."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from max78k_sim.errors import InputError
from tests import fashion
from trainer.data.datasets import load_dataset
from trainer.learning import experiment, replay, starts, strategies
from trainer.learning.strategies import STRATEGIES
from trainer.loop import Trainer
from trainer.operands import pool

BAG = 8
QUICK = {"steps": 3, "batch": 4}
BUDGET = 40_000  # bytes: enough for a raw image of every class


@cache
def data(split: str, each: int):
    """A few images of every class."""
    whole = load_dataset("fashion", split)
    chosen = np.concatenate([np.flatnonzero(whole.labels == n)[:each] for n in range(10)])
    return whole.subset(chosen)


@cache
def material() -> experiment.Material:
    return experiment.class_incremental(fashion.machine(), data("train", 8), data("test", 3), BAG)


def prepared(name: str, **overrides):
    """A Trainer on a fresh chip, and what a strategy keeps of six bags and eight of the others."""
    strategy, chip = STRATEGIES[name], fashion.machine()
    fields = QUICK | overrides
    trainer = Trainer(chip, strategies.recipe_of(strategy, fashion.network(), **fields))
    sides = [experiment.examples_of(material(), trainer, strategy, part) for part in ("new", "old")]
    new = tuple(each[:6] for each in sides[0])
    return trainer, strategy, strategies.keep_examples(trainer, strategy, new, sides[1], BUDGET, 1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_runs_and_says_what_it_costs(name):
    found = experiment.experiment(material(), name, 6, budget=BUDGET, overrides=QUICK)
    strategy = STRATEGIES[name]
    assert found.steps == (3 if strategy.trained else 0)
    assert found.replay_bytes <= BUDGET and bool(found.replayed) == strategy.replay
    assert found.old[0] == pytest.approx(23 / 27, abs=4 / 27)  # of the network as it is shipped
    assert 0 <= found.overall[1] <= 1 and len(found.recalls) == 10
    again = experiment.experiment(material(), name, 6, budget=BUDGET, overrides=QUICK)
    assert again == found


def test_logits_of_latents_are_those_of_the_chip():
    trainer, strategy, kept = prepared("whitened")
    strategies.begin(trainer, strategy, kept, BAG)
    strategies.learn(trainer, strategy, kept, BAG)
    images = data("test", 3).images[::4]
    guessed = trainer.logits(trainer.complete(trainer.frozen(images))).argmax(axis=1)
    assert guessed.tolist() == [trainer.predict(image) for image in images]


def test_pooled_latents_come_back_as_maps_that_pool_to_them():
    trainer, strategy, _ = prepared("whitened, two layers")
    images = data("test", 3).images[:5]
    layer = fashion.network().layer("conv4")
    values = strategies.kept_values(trainer, strategy, images)
    maps = strategies.restored(trainer, strategy, values)
    (source,) = maps
    assert np.array_equal(pool(maps[source], layer, fashion.network().average_rounding), values)
    frozen = trainer.complete(trainer.frozen(images))
    last = fashion.network().layers[-1].index
    assert np.array_equal(trainer.complete(maps)[last], frozen[last])


def test_the_teacher_is_the_untrained_network():
    trainer, _, kept = prepared("whitened")
    assert (kept.teacher[: kept.new].argmax(axis=1) == BAG).all()
    agrees = kept.teacher[kept.new :].argmax(axis=1) == kept.labels[kept.new :]
    assert agrees.mean() > 0.8
    trainer, _, kept = prepared("learning without forgetting")
    logits = trainer.logits(trainer.complete(kept.latents))
    assert (kept.teacher.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert kept.new == len(kept.labels)


def test_rows_and_biases_come_back():
    for name in ("last layer", "whitened"):
        trainer, _, _ = prepared(name)
        kernel, bias = starts.rows(trainer)
        starts.set_rows(trainer, np.roll(kernel, 1, axis=0), np.roll(bias, 1))
        assert np.array_equal(starts.rows(trainer)[0], np.roll(kernel, 1, axis=0))
        assert np.array_equal(starts.rows(trainer)[1], np.roll(bias, 1))


def test_cwr_changes_nothing_but_the_new_row():
    trainer, strategy, kept = prepared("cwr", steps=20)
    first = starts.rows(trainer)
    strategies.begin(trainer, strategy, kept, BAG)
    assert not starts.rows(trainer)[0][BAG].any()
    strategies.learn(trainer, strategy, kept, BAG)
    kernel = starts.rows(trainer)[0]
    others = np.arange(10) != BAG
    assert np.array_equal(kernel[others], first[0][others])
    assert kernel[BAG].any() and abs(kernel[BAG].astype(int).mean()) <= 0.5


def test_bias_only_writes_no_kernel():
    found = experiment.experiment(material(), "bias only", 6, budget=BUDGET, overrides=QUICK)
    assert found.words_written == 0 and found.state_bytes == 10 * (4 + 8)


def test_prototypes_are_the_nearest_means():
    """The oracle: distances to means in float64, of latents as they are kept."""
    trainer, strategy, kept = prepared("prototypes")
    strategies.begin(trainer, strategy, kept, BAG)
    latents = trainer.frozen(data("test", 3).images)
    (tested,), (shown,) = latents.values(), kept.latents.values()
    flat = [each.transpose(0, 3, 1, 2).reshape(len(each), -1) for each in (tested, shown)]
    means = np.stack([flat[1][kept.labels == n].mean(axis=0) for n in range(10)])
    distance = ((flat[0][:, None] - means) ** 2).sum(axis=2)
    logits = trainer.logits(trainer.complete(latents))
    assert (logits.argmax(axis=1) == distance.argmin(axis=1)).mean() > 0.9  # means are rounded


def test_a_whitened_direction_undoes_the_covariance():
    random = np.random.default_rng(1)
    spread = np.diag([1.0, 3.0, 0.5]) @ np.linalg.qr(random.standard_normal((3, 3)))[0]
    difference = np.array([1.0, -2.0, 0.5])
    data_ = random.standard_normal((200_000, 3)) @ spread
    data_[:50_000] += difference
    labels = np.repeat([1, 0], [50_000, 150_000])
    covariance = spread.T @ spread
    share = starts.SHRINKAGE * np.trace(covariance) / 3
    exact = np.linalg.solve(covariance + share * np.eye(3), difference)
    assert starts.discriminant(data_, labels, 50_000) == pytest.approx(exact, rel=0.05, abs=0.01)


def test_one_example_of_each_class_still_has_a_direction():
    latents = np.array([[3.0, 1.0], [1.0, 1.0]])
    found = starts.discriminant(latents, np.array([1, 0]), 1)
    assert found / np.abs(found).max() == pytest.approx([1, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [(np.zeros((3, 2)), "holds values of 3 samples, the data have 4"), (None, "cannot be read")],
)
def test_latents_of_other_data_are_not_taken(tmp_path, content, message):
    file = tmp_path / "new-shown-4.npy"
    file.write_bytes(b"") if content is None else np.save(file, content)
    with pytest.raises(InputError, match=message):
        experiment.kept_before(file, 4)


def test_the_fit_of_scale_and_offset_is_the_least_loss():
    random = np.random.default_rng(2)
    new = np.arange(300) < 60
    along, against = random.normal(new * 2.0, 1.0), random.normal(3.0, 1.0, 300)
    found = np.array(starts.logistic_fit(along, against, new))
    count = np.where(new, starts.NEW_SHARE / 60, starts.OLD_SHARE / 240)

    def loss(numbers):
        logit = (numbers[0] * along + numbers[1] - against) * np.where(new, 1, -1)
        return (count * np.log1p(np.exp(-logit))).sum()

    for step in ([0.3, 0], [-0.3, 0], [0, 0.3], [0, -0.3]):
        assert loss(found) < loss(found + step)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: strategies.trained_layers(fashion.network(), 9), "layers 9: the network has 1 to"),
        (lambda: experiment.experiment(material(), "whitened", 9, overrides=QUICK),
         "examples 9: the data hold 8 to learn from"),
        (lambda: experiment.experiment(material(), "whitened", 6, budget=9, overrides=QUICK),
         "replay of 9 bytes: one example takes 139"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_whitened_start_needs_old_examples():
    strategy = replace(STRATEGIES["whitened"], replay=False, teacher=False)
    with pytest.raises(InputError, match="needs examples of old classes: use a replay"):
        experiment.experiment(material(), "x", 6, overrides=QUICK, strategy=strategy)


def test_all_names_in_the_table_are_known():
    for strategy in STRATEGIES.values():
        assert strategy.kept in replay.KINDS and strategy.policy in replay.POLICIES
        assert strategy.start in starts.STARTS and strategy.finish in starts.FINISHES
