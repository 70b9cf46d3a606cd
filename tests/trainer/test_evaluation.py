"""Accuracy on the exact chip."""

import numpy as np
import pytest

from max78k_sim.errors import InputError
from tests import fashion
from trainer.evaluation import Accuracy, evaluate


def test_evaluation_is_the_same_with_any_number_of_threads():
    pool, chip = fashion.pool(), fashion.machine()
    done: list[int] = []
    one = evaluate(chip, pool.images, pool.labels, done.append, jobs=1)
    two = evaluate(chip, np.tile(pool.images, (3, 1, 1, 1)), np.tile(pool.labels, 3), jobs=2)
    assert np.array_equal(3 * one.confusion, two.confusion)
    assert sum(done) == one.images == len(pool.labels)
    for image, label in zip(pool.images[6:9], pool.labels[6:9], strict=True):
        predicted = int(chip.run(image).argmax())
        assert one.confusion[label, predicted] > 0


def test_shares():
    accuracy = Accuracy(np.array([[8, 2], [5, 5]]))
    assert accuracy.of([0]) == 0.8 and accuracy.of([0, 1]) == 0.65 and accuracy.of([]) == 0.0


def test_labels_that_are_no_classes():
    pool = fashion.pool()
    with pytest.raises(InputError, match="labels from 2 to 12; the network has 10 classes"):
        evaluate(fashion.machine(), pool.images[:2], np.array([2, 12]))
