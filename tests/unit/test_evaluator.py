"""Sets of images through the chip: the same outputs as one by one, and what is counted of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import Machine, compile_network, placement
from max78k_sim.arithmetic import q7_from_pixels
from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluation, Evaluator, Tally
from tests import fashion
from tests.builders import FIRST, network_of, one_layer, two_layers
from tests.conformance.cases import cases_in
from tests.conftest import CASES
from trainer.data.datasets import load_dataset

RANDOM = np.random.default_rng(11)
MAP = one_layer()  # 2x4x5 -> 3x4x5: a class at each pixel
VECTOR = two_layers()  # 2x4x5 -> 5x1x1
LONE = network_of(replace(FIRST, out_channels=1, output_processors=1))


def images_of(network, count=7):
    return RANDOM.integers(-128, 128, (count, *network.input_shape)).astype(np.int8)


def one_by_one(network, images):
    machine = Machine()
    machine.load(compile_network(network))
    return np.array([machine.run(image) for image in images])


# ---- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases_in(CASES)[::8], ids=lambda case: case.name)
def test_scores_are_those_of_the_machine(case):
    network = case.network()
    images = np.array([case.sample, case.sample[:, ::-1], -1 - case.sample])
    scores = Evaluator(network, jobs=2).scores(images)
    expected = one_by_one(network, images)
    assert scores.dtype == expected.dtype and np.array_equal(scores, expected)


def test_layers_are_those_of_the_machine():
    images = fashion.pool().images[:3]
    evaluator = Evaluator(fashion.program())
    found = evaluator.layers(images, ["conv2", 4])
    machine = fashion.machine()
    assert list(found) == ["conv2", "fc"]
    for name, values in found.items():
        for image, value in zip(images, values, strict=True):
            traces = machine.traces(image)
            outputs = {machine.program.plan.network.layers[t.layer].name: machine.output_of(t)
                       for t in traces}  # fmt: skip
            assert np.array_equal(value, outputs[name]) and value.dtype == outputs[name].dtype


def test_a_class_is_the_first_largest_output():
    images = load_dataset("fashion", "test").images[:6]
    expected = [int(fashion.machine().run(image).argmax()) for image in images]
    for evaluator in (
        Evaluator(fashion.network(), jobs=1),
        Evaluator(fashion.program(), jobs=2, batch=4),
        Evaluator(fashion.machine(), batch=1),
    ):
        found = evaluator.predict(images)
        assert found.dtype == np.int64 and found.tolist() == expected
    assert evaluator.predict(images[:, 0]).tolist() == expected  # one channel: its axis may go
    assert evaluator.predict(images.astype(np.int64)).tolist() == expected
    assert evaluator.predict(images[:0]).shape == (0,)


def test_pixels_are_converted_by_name():
    pixels = RANDOM.integers(0, 256, (3, *VECTOR.input_shape)).astype(np.uint8)
    evaluator = Evaluator(VECTOR)
    expected = one_by_one(VECTOR, pixels.astype(int) - 128)
    assert np.array_equal(evaluator.scores(q7_from_pixels(pixels)), expected)
    with pytest.raises(InputError, match=r"for pixels 0 to 255, subtract 128"):
        evaluator.predict(pixels)


def test_a_class_at_each_pixel():
    images = images_of(MAP)
    evaluator = Evaluator(MAP, batch=3)
    expected = one_by_one(MAP, images).argmax(1)
    assert np.array_equal(evaluator.predict(images, pixels=True), expected)
    labels = RANDOM.integers(0, 3, expected.shape)
    result = evaluator.evaluate([(images, labels)])
    assert (result.samples, result.labels) == (7, 7 * 20)
    assert result.accuracy == (expected == labels).mean()
    assert evaluator.evaluate([(images, expected)]).accuracy == 1.0


def test_a_trained_machine_is_evaluated_as_it_is():
    machine = fashion.machine()
    bias = machine.program.plan.placement("fc", "bias")
    values = placement.read(machine.memory, bias)
    values[:], values[7] = -128, 127
    placement.write(machine.memory, bias, values)
    kernels = machine.program.plan.placement("fc", "kernel")
    placement.write(machine.memory, kernels, 0 * placement.read(machine.memory, kernels))
    assert set(Evaluator(machine).predict(fashion.pool().images[:4])) == {7}


# ---- counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [(), (3, 2)])
def test_counts_are_what_sorting_gives(pixels):
    """Outputs of few values, so that there are ties: the earlier class is the larger."""
    classes, count = 6, 40
    scores = RANDOM.integers(-2, 3, (count, classes, *(pixels or (1, 1)))).astype(np.int32)
    labels = RANDOM.integers(0, classes, (count, *pixels))
    tally = Tally(classes)
    tally.add(scores[:25], labels[:25])
    tally.add(scores[25:], labels[25:])
    confusion, places = np.zeros((classes, classes), int), [0] * classes
    rows = scores.reshape(count, classes, -1).transpose(0, 2, 1).reshape(-1, classes)
    for row, label in zip(rows.tolist(), labels.reshape(-1).tolist(), strict=True):
        order = sorted(range(classes), key=lambda c, row=row: (-row[c], c))
        confusion[label, order[0]] += 1
        places[order.index(label)] += 1
    result = tally.evaluation
    assert result.samples == count and result.labels == labels.size
    assert np.array_equal(result.confusion, confusion) and result.places.tolist() == places
    assert result.accuracy == result.top(1) == places[0] / labels.size
    assert result.top(3) == sum(places[:3]) / labels.size and result.top(classes) == 1.0


def test_classes_are_told_one_by_one():
    confusion = np.array([[8, 2, 0], [4, 12, 0], [0, 0, 0]])
    result = Evaluation(26, confusion, np.array([20, 6, 0]), 2.0)
    rows = [(row.label, row.count, row.predicted, row.correct) for row in result.classes]
    assert rows == [(0, 10, 12, 8), (1, 16, 14, 12), (2, 0, 0, 0)]
    assert [row.recall for row in result.classes] == [0.8, 0.75, None]
    assert [row.precision for row in result.classes] == [8 / 12, 12 / 14, None]
    assert (result.accuracy, result.images_per_second) == (20 / 26, 13.0)
    assert result.of([0]) == 0.8 and result.of((0, 1)) == 20 / 26 and result.of([]) == 0.0


def test_nothing_is_counted_of_nothing():
    result = Evaluator(VECTOR).evaluate([])
    assert (result.samples, result.labels, result.accuracy) == (0, 0, 0.0)
    assert result.images_per_second == 0.0


def test_batches_threads_and_pieces_change_nothing():
    images = images_of(VECTOR, 20)
    labels = RANDOM.integers(0, 5, 20)
    predicted = one_by_one(VECTOR, images).reshape(20, -1).argmax(1)
    for jobs, batch, cut in ((1, 20, 20), (2, 3, 11), (3, 1, 5), (None, 512, 1)):
        done: list[int] = []
        batches = ((images[n : n + cut], labels[n : n + cut]) for n in range(0, 20, cut))
        result = Evaluator(VECTOR, jobs, batch).evaluate(batches, done.append)
        assert sum(done) == result.samples == 20 and max(done) <= batch
        assert result.accuracy == (predicted == labels).mean()
        assert result.seconds > 0
        assert np.array_equal(result.confusion.sum(0), np.bincount(predicted, minlength=5))


# ---- what is wrong ------------------------------------------------------------------------------

IMAGE = np.zeros((2, 4, 5), np.int8)
BAD_IMAGES = (
    (IMAGE, "images of shape (2, 4, 5): the network takes [sample, 2, 4, 5] (for one image, "
     "images[None])"),
    (np.zeros((3, 2, 5, 4), np.int8), "images of shape (3, 2, 5, 4): the network takes [sample, "
     "2, 4, 5]"),
    (np.int8(3), "images of shape (): the network takes [sample, 2, 4, 5]"),
    (IMAGE[None] * 1.0, "images of float64: the network takes integers from -128 to 127"),
    (IMAGE[None].astype(int) + 200, "images with values from 200 to 200: the network takes -128 to "
     "127 (for pixels 0 to 255, subtract 128)"),
)  # fmt: skip


@pytest.mark.parametrize(("images", "message"), BAD_IMAGES)
def test_images_that_do_not_fit(images, message):
    evaluator = Evaluator(VECTOR)
    for call in (evaluator.scores, evaluator.predict, lambda it: evaluator.layers(it, ["first"]),
                 lambda it: evaluator.evaluate([(it, [0])])):  # fmt: skip
        with pytest.raises(InputError) as caught:
            call(images)
        assert message in str(caught.value)


NO_VECTOR = (
    "test: the output, 3x4x5 (CHW), is no vector of classes; for a class at each pixel give labels "
    "[sample, 4, 5], or ask for predict(images, pixels=True); scores() has its values"
)
ONE_CHANNEL = "the output, 1x4x5 (CHW), has one channel, so there are no classes to choose from"
BAD_LABELS = (
    (VECTOR, [0, 5, 1], "labels from 0 to 5; the network has 5 classes, 0 to 4"),
    (VECTOR, [0, -1, 1], "labels from -1 to 1; the network has 5 classes, 0 to 4"),
    (VECTOR, [0, 1], "labels of shape (2,) for 3 images; test takes one a sample"),
    (VECTOR, [0.0, 1.0, 2.0], "labels of float64; integers from 0 to 4"),
    (VECTOR, np.zeros((3, 4, 5), int), "labels of shape (3, 4, 5) for 3 images; test takes one a"),
    (MAP, [0, 1, 2], NO_VECTOR),
    (MAP, np.zeros((3, 5, 4), int), "labels of shape (3, 5, 4) for 3 images; test takes [sample"),
    (MAP, np.zeros((2, 4, 5), int), "labels of shape (2, 4, 5) for 3 images; test takes [sample"),
    (LONE, np.zeros((3, 4, 5), int), ONE_CHANNEL),
)  # fmt: skip


@pytest.mark.parametrize(("network", "labels", "message"), BAD_LABELS)
def test_labels_that_do_not_fit(network, labels, message):
    images = np.zeros((3, *network.input_shape), np.int8)
    with pytest.raises(InputError) as caught:
        Evaluator(network).evaluate([(images, np.array(labels))])
    assert message in str(caught.value)


def test_outputs_that_are_no_classes():
    images = np.zeros((1, *MAP.input_shape), np.int8)
    for network, message in ((MAP, NO_VECTOR), (LONE, ONE_CHANNEL)):
        with pytest.raises(InputError) as caught:
            Evaluator(network).predict(images)
        assert message in str(caught.value)
        assert Evaluator(network).scores(images).shape == (1, *network.output_shape)
    with pytest.raises(InputError, match="has one channel"):
        Evaluator(LONE).predict(images, pixels=True)


def test_what_cannot_be_evaluated():
    with pytest.raises(InputError, match="the machine has no program; call load"):
        Evaluator(Machine())
    for name in ("jobs", "batch"):
        with pytest.raises(InputError, match=f"{name} 0: at least 1 is needed"):
            Evaluator(VECTOR, **{name: 0})
    with pytest.raises(
        InputError, match="test has no layer 'third'; its layers are: first, second"
    ):
        Evaluator(VECTOR).layers(images_of(VECTOR), ["third"])
