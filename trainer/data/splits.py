"""Parts of a data set that share no sample: train, validation and test.

So that test data are used for no choice: what is chosen (rate, steps, layers, when to stop) is
chosen on the validation part.  Where a data set has a test part of its own, ``two_way`` takes the
validation part from its training part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim.errors import InputError

from ..quantized_update import draws
from .streams import Dataset

SHARES = (60, 20, 20)  # of 100 samples of each class: train, validation, test


@dataclass(frozen=True)
class Parts:
    """Three disjoint parts of one data set."""

    train: Dataset
    validation: Dataset
    test: Dataset


def three_way(dataset: Dataset, shares: tuple[int, int, int] = SHARES, seed: int = 0) -> Parts:
    """Train, validation and test part, each class shared out alike; InputError: too few samples."""
    return Parts(*(dataset.subset(places) for places in places_of(dataset, shares, seed)))


def two_way(dataset: Dataset, percent: int = 20, seed: int = 0) -> tuple[Dataset, Dataset]:
    """The training part, and ``percent`` of each class as the validation part."""
    train, validation = places_of(dataset, (100 - percent, percent), seed)
    return dataset.subset(train), dataset.subset(validation)


def places_of(dataset: Dataset, shares: tuple[int, ...], seed: int) -> tuple[np.ndarray, ...]:
    """Positions of each part, int64, rising; a share of 0 gives an empty part.

    Each class is put into an order that depends on (seed, class, how many it has) alone, and cut;
    every part with a share has at least one sample of each class, the first part takes the rest.
    """
    if min(shares) < 0 or sum(shares) != 100:
        raise InputError(f"shares {shares} are not parts of 100; for example {SHARES}")
    labels = np.asarray(dataset.labels, np.int64)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        needed = sum(share > 0 for share in shares)
        if len(places) < needed:
            raise InputError(
                f"{dataset.name}: class {label} has {len(places)} samples; {needed} are needed, "
                "one for each part"
            )
        order = places[np.argsort(draws(seed, int(label), len(places)), kind="stable")]
        ends = np.cumsum([size_of(len(places), share) for share in shares[:0:-1]])
        for part, some in zip(parts[::-1], np.split(order, ends), strict=True):
            part.append(some)
    return tuple(np.sort(np.concatenate(part)) if part else labels[:0] for part in parts)


def size_of(count: int, share: int) -> int:
    """Samples of a class in a part other than the first."""
    return max(share > 0, count * share // 100)
