"""Labelled images as a stream, of which a part is in memory at a time, or whole: a Dataset.

A pixel p in 0..255 becomes p - 128, the vendor's own convention for image inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from max78k_sim.arithmetic import q7_from_pixels
from max78k_sim.errors import InputError

from .array_files import BYTE_LIMIT, ArrayFile

CLASS_LIMIT = 1024  # output channels of a MAX78000 layer
TEST_PERIOD = 5  # where a file has no test part, every fifth sample of a class is one
PART_BYTES = 1 << 24  # of a stream, that are in memory at a time
PART_SAMPLES = 4096  # at most, at a time


@dataclass(frozen=True)
class Dataset:
    """Images with their labels; ``class_names[label]`` says what a label means."""

    name: str
    images: np.ndarray  # int8 [sample, channel, row, column]
    labels: np.ndarray  # int64 [sample]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> Dataset:
        """The samples at these positions (or where this bool mask is true), in this order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def of_classes(self, classes: tuple[int, ...]) -> Dataset:
        """The samples of these classes only; labels keep their numbers."""
        return self.subset(np.isin(self.labels, classes))


@dataclass(frozen=True)
class Stream:
    """A data set in files, read from front to back as it is asked for.

    ``part``: "train" or "test" of a file that has no test part, by ``is_test``; None for all of it.
    ``samples``: how many there are in that part.  ``labels`` is None where a file has none.
    """

    name: str
    images: ArrayFile  # uint8 or int8 [sample, row, column] or [sample, channel, row, column]
    labels: ArrayFile | None  # integers [sample], or [sample, row, column]: one a pixel
    class_names: tuple[str, ...]
    part: str | None
    samples: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a sample."""
        rows, columns = self.images.shape[-2:]
        return (self.images.shape[1] if len(self.images.shape) == 4 else 1, rows, columns)

    def require_shape(self, needed: tuple[int, int, int], network: str) -> None:
        """InputError unless samples are what a network takes: (channels, rows, columns)."""
        if self.shape != needed:
            raise self.images.error(
                f"images of {'x'.join(map(str, self.shape))} (CHW); {network} takes "
                f"{'x'.join(map(str, needed))}"
            )

    def batches(
        self, size: int = PART_SAMPLES, limit: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Images int8 [up to size, channel, row, column] with labels int64; ``limit`` samples.

        Holds PART_BYTES at most (or one sample).  InputError, at the place, for a file that lies.
        """
        seen, left = np.zeros(CLASS_LIMIT, np.int64), self.samples if limit is None else limit
        for pixels, labels in self.parts(size):
            images = signed_pixels(pixels)
            if self.part is not None and labels is not None:
                chosen = is_test(labels, seen) == (self.part == "test")
                images, labels = images[chosen], labels[chosen]
            images, labels = images[:left], None if labels is None else labels[:left]
            left -= len(images)
            if len(images):
                yield images, labels
            if limit is not None and not left:
                return

    def parts(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Both files side by side, a few samples at a time; labels are checked."""
        sample_bytes = self.images.sample_bytes
        if self.labels is None:
            step = max(1, min(size, PART_BYTES // sample_bytes))
            yield from ((pixels, None) for pixels in self.images.parts(step))
            return
        step = max(1, min(size, PART_BYTES // (sample_bytes + self.labels.sample_bytes)))
        both = zip(self.images.parts(step), self.labels.parts(step), strict=True)
        for pixels, labels in both:
            yield pixels, checked_labels(labels, self.labels.file)

    def load(self) -> Dataset:
        """All of it in memory; InputError for more than BYTE_LIMIT, or labels by pixel."""
        if self.labels is None:
            raise self.images.error("has no array 'y': one label a sample is needed")
        if len(self.labels.shape) != 1:
            raise self.labels.error(
                f"labels are one a pixel, {self.labels.shape}; one a sample is needed"
            )
        if self.images.size > BYTE_LIMIT:
            raise self.images.error(f"{self.images.claim}; 1 to {BYTE_LIMIT} can be read")
        images = np.empty((self.samples, *self.shape), np.int8)
        labels = np.empty(self.samples, np.int64)
        done = 0
        for some, classes in self.batches():
            place = slice(done, done := done + len(some))
            images[place], labels[place] = some, np.asarray(classes)
        return Dataset(self.name, images, labels, self.class_names)


def stratified_split(labels: np.ndarray, split: str) -> np.ndarray:
    """Positions of one part of an 80/20 split: every fifth sample *of each class* is a test one.

    Counting inside each class keeps the parts balanced however the file is ordered.
    """
    seen = np.zeros(CLASS_LIMIT, np.int64)
    return np.flatnonzero(is_test(labels, seen) == (split == "test"))


def first_of_each(labels: np.ndarray, count: int | None) -> np.ndarray:
    """Positions of ``count`` samples, as many of each class as of any other; None: all. Rising.

    Data may be in the order of their classes (wav files are), so the first ones are no sample.
    """
    rank = np.empty(len(labels), np.int64)  # of a sample among those of its class
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        rank[places] = np.arange(len(places))
    return np.sort(np.argsort(rank, kind="stable")[:count])


def is_test(labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Which of the next samples are test ones: bool [sample].

    ``seen``: samples of each class before these, int64 [class]; counted on.  Labels by pixel have
    no class: every fifth sample is a test one.
    """
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    chosen = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        places = np.flatnonzero(classes == label)
        chosen[places] = (seen[label] + 1 + np.arange(len(places))) % TEST_PERIOD == 0
        seen[label] += len(places)
    return chosen


def signed_pixels(pixels: np.ndarray) -> np.ndarray:
    """Some of those images as int8 [sample, channel, row, column]."""
    signed = pixels if pixels.dtype == np.int8 else q7_from_pixels(pixels)
    return signed[:, np.newaxis] if signed.ndim == 3 else signed


# ---- checks, and what is counted before reading -------------------------------------------------


def check_pair(images: ArrayFile, labels: ArrayFile | None) -> None:
    """InputError unless these can be images, and their labels by sample or by pixel."""
    if images.dtype not in (np.uint8, np.int8):
        raise images.error(f"images are {images.dtype}; only uint8 and int8 can be used")
    if len(images.shape) not in (3, 4) or 0 in images.shape:
        raise images.error(
            f"images have shape {images.shape}; [sample, channel, row, column] is needed, no 0"
        )
    if labels is None:
        return
    if len(labels.shape) not in (1, 3) or not np.issubdtype(labels.dtype, np.integer):
        raise labels.error(
            f"labels are {labels.dtype} of shape {labels.shape}; one integer a sample is needed, "
            "or one a pixel [sample, row, column]"
        )
    if len(labels) != len(images):
        raise labels.error(f"{len(labels)} labels for {len(images)} images")


def checked_labels(labels: np.ndarray, file: object) -> np.ndarray:
    """Labels as int64, 0 or more."""
    if labels.min() < 0 or labels.max() >= CLASS_LIMIT:
        raise InputError(
            f"labels reach from {labels.min()} to {labels.max()}; 0..{CLASS_LIMIT - 1} is possible",
            file=file,
        )
    return labels.astype(np.int64)


def count_labels(labels: ArrayFile) -> np.ndarray:
    """How many samples each class has, up to the last class that has any: int64 [class].

    Labels by pixel are not read: all samples count as one class.
    """
    if len(labels.shape) != 1:
        return np.array([len(labels)])
    counts = np.zeros(CLASS_LIMIT, np.int64)
    for part in labels.parts(PART_BYTES // labels.sample_bytes):
        counts += np.bincount(checked_labels(part, labels.file), minlength=CLASS_LIMIT)
    return counts[: counts.nonzero()[0].max() + 1]


def part_size(counts: np.ndarray, split: str) -> int:
    """Samples of one part of ``stratified_split``."""
    tests = int((counts // TEST_PERIOD).sum())
    return tests if split == "test" else int(counts.sum()) - tests
