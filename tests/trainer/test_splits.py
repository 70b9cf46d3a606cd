"""Parts of a data set: disjoint, balanced, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.errors import InputError
from tests.strategies import examples
from trainer.data.datasets import load_dataset
from trainer.data.splits import places_of, three_way, two_way
from trainer.data.streams import Dataset

SHARES = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted)


def dataset_of(labels):
    labels = np.array(labels, np.int64)
    images = np.arange(len(labels), dtype=np.int64).reshape(-1, 1, 1, 1)
    return Dataset("numbers", images, labels, ("a", "b", "c"))


@given(st.lists(st.integers(0, 2), min_size=3, max_size=80), SHARES, st.integers(0, 9))
@examples(200)
def test_parts_are_disjoint_balanced_and_whole(labels, cuts, seed):
    shares = (cuts[0], cuts[1] - cuts[0], 100 - cuts[1])
    dataset = dataset_of([0, 1, 2] * 3 + labels)
    places = places_of(dataset, shares, seed)
    assert sorted(np.concatenate(places).tolist()) == list(range(len(dataset)))
    assert all((np.diff(part) > 0).all() for part in places)
    for label in range(3):
        counts = [int((dataset.labels[part] == label).sum()) for part in places]
        total = sum(counts)
        for count, share in list(zip(counts, shares, strict=True))[1:]:
            assert count == max(share > 0, total * share // 100)
            assert abs(count - total * share / 100) < 1
    again = places_of(dataset, shares, seed)
    assert all(np.array_equal(one, other) for one, other in zip(places, again, strict=True))


def test_three_parts_of_a_shipped_set():
    whole = load_dataset("fashion", "test")
    parts = three_way(whole)
    sizes = [len(part) for part in (parts.train, parts.validation, parts.test)]
    assert sizes == [2400, 800, 800] and parts.test.class_names == whole.class_names
    assert np.bincount(parts.validation.labels).tolist() == [80] * 10
    other = three_way(whole, seed=1)
    assert not np.array_equal(parts.test.images, other.test.images)


def test_a_validation_part_of_a_training_part():
    train, validation = two_way(dataset_of([0, 1, 2] * 50), 10)
    assert (len(train), len(validation)) == (135, 15)
    assert not set(train.images.ravel()) & set(validation.images.ravel())


FAULTS = [
    ([0, 1], (60, 20, 20), "numbers: class 0 has 1 samples; 3 are needed, one for each part"),
    ([0, 1], (60, 20, 10), r"shares \(60, 20, 10\) are not parts of 100; for example \(60, 20"),
    ([0, 1], (120, -20, 0), "are not parts of 100"),
]


@pytest.mark.parametrize(("labels", "shares", "message"), FAULTS)
def test_faults(labels, shares, message):
    with pytest.raises(InputError, match=message):
        places_of(dataset_of(labels), shares, 0)
