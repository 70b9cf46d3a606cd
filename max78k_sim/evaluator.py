"""Whole sets of images through the exact chip: the class of each, and how often it is right.

The class is the largest output; of equal ones the first, as in the vendor's examples of firmware
(a loop that replaces its maximum only by a larger value) and in numpy's argmax.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .batch import Batch, check_images
from .errors import InputError
from .machine import Machine
from .network import Network
from .program import Program, compile_network

BATCH = 512  # samples that are run, counted and reported at a time
PIECE_BYTES = 1 << 24  # of outputs that are compared at a time


@dataclass(frozen=True)
class ClassResult:
    """One class, in labels: ``count`` have it, ``predicted`` were given it, ``correct`` both."""

    label: int
    count: int
    predicted: int
    correct: int

    @property
    def recall(self) -> float | None:
        """Share of its labels that were found, 0 to 1; None where it has none."""
        return self.correct / self.count if self.count else None

    @property
    def precision(self) -> float | None:
        """Share of its predictions that were right, 0 to 1; None where there are none."""
        return self.correct / self.predicted if self.predicted else None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a set of images came to, counted in labels: one a sample, or one a pixel.

    ``seconds``: in the chip and in counting, not in reading the images.
    """

    samples: int
    confusion: np.ndarray  # int64 [true class, predicted class]
    places: np.ndarray  # int64 [place]: how often the right class was first, second, ...
    seconds: float

    @property
    def labels(self) -> int:
        """Labels that were compared: as many as samples, or as pixels."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of right labels, 0 to 1 (0 where there are none)."""
        return self.top(1)

    @property
    def images_per_second(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def classes(self) -> tuple[ClassResult, ...]:
        """A row a class."""
        counts, predicted = self.confusion.sum(1).tolist(), self.confusion.sum(0).tolist()
        rows = zip(counts, predicted, self.confusion.diagonal().tolist(), strict=True)
        return tuple(ClassResult(label, *row) for label, row in enumerate(rows))

    def top(self, count: int) -> float:
        """Share of labels whose class is among the ``count`` largest outputs, 0 to 1."""
        return float(self.places[:count].sum() / self.labels) if self.labels else 0.0

    def of(self, classes: Collection[int]) -> float:
        """Share of right labels among those of some classes, 0 to 1 (0 where there are none)."""
        chosen = list(classes)
        shown = self.confusion[chosen].sum()
        return float(self.confusion[chosen, chosen].sum() / shown) if shown else 0.0


@dataclass(eq=False)
class Tally:
    """Labels counted so far; ``evaluation`` is the result."""

    classes: int
    samples: int = 0
    seconds: float = 0.0
    confusion: np.ndarray = field(init=False)
    places: np.ndarray = field(init=False)

    def __post_init__(self):
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.places = np.zeros(self.classes, np.int64)

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Count outputs [sample, class, row, column] against labels [sample (, row, column)]."""
        values = scores.reshape(*scores.shape[:2], -1)  # [sample, class, pixel]
        true = labels.reshape(len(labels), 1, -1).astype(np.int64)  # [sample, 1, pixel]
        right = np.take_along_axis(values, true, 1)
        earlier = np.arange(self.classes)[:, None] < true  # of equal outputs the first is larger
        place = ((values > right) | (values == right) & earlier).sum(1)
        pairs = true[:, 0] * self.classes + values.argmax(1)
        found = np.bincount(pairs.reshape(-1), minlength=self.confusion.size)
        self.confusion += found.reshape(self.confusion.shape)
        self.places += np.bincount(place.reshape(-1), minlength=self.classes)
        self.samples += len(scores)

    @property
    def evaluation(self) -> Evaluation:
        """The counts as they are now."""
        return Evaluation(self.samples, self.confusion.copy(), self.places.copy(), self.seconds)


class Evaluator:
    """Images through a network as it lies in a chip's memory now.

    ``source``: a Network or Program, or a Machine with its program loaded (and perhaps trained).
    ``jobs``: threads (default: one a processor), ``batch``: samples that are run at a time; neither
    changes a bit.
    """

    def __init__(
        self, source: Network | Program | Machine, jobs: int | None = None, batch: int = BATCH
    ):
        machine = source if isinstance(source, Machine) else loaded(source)
        if machine.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        for name, given in (("jobs", jobs), ("batch", batch)):
            if given is not None and given < 1:
                raise InputError(f"{name} {given}: at least 1 is needed")
        self.network: Network = machine.program.plan.network
        self.jobs, self.batch = jobs or os.cpu_count() or 1, batch
        self.engine = Batch(machine, self.jobs)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The last layer's output, int8 or int32 [sample, channel, row, column].

        ``images``: integers -128..127 [sample, channel, row, column], where the network has one
        input channel also [sample, row, column]; ``arithmetic.q7_from_pixels`` makes them of
        pixels.  Raises InputError.
        """
        return self.engine.run(images)

    def layers(self, images: np.ndarray, layers: Collection[str | int]) -> dict[str, np.ndarray]:
        """Outputs of some layers, by layer name: int8 or int32 [sample, channel, row, column]."""
        names = [self.network.layer(layer).name for layer in layers]
        return self.engine.run_layers(images, names)

    def predict(self, images: np.ndarray, pixels: bool = False) -> np.ndarray:
        """The class of each image: int64 [sample]; with ``pixels``, of each [sample, row, column].

        ``images`` as in ``scores``.  Raises InputError where the output is no vector of classes
        (and ``pixels`` is not asked for), or has only one channel.
        """
        self.check_classes(pixels)
        values = check_images(images, self.network.input_shape)
        found = [self.scores(piece).argmax(1) for piece in self.pieces(values)]
        whole = np.concatenate([np.zeros((0, *self.network.output_shape[1:]), np.int64), *found])
        return whole if pixels else whole.reshape(-1)

    def evaluate(
        self,
        batches: Iterable[tuple[np.ndarray, np.ndarray]],
        report: Callable[[int], object] | None = None,
    ) -> Evaluation:
        """Run every image and count where it went.

        ``batches``: images as in ``scores`` with labels, integers [sample], or for classes of
        pixels [sample, row, column]; any iterable, of which one element is held at a time.
        ``report`` is told how many more are done.  Raises InputError for labels that are not the
        network's classes.
        """
        tally = Tally(self.network.output_shape[0])
        for images, labels in batches:
            images = check_images(images, self.network.input_shape)
            labels = np.asarray(labels)
            self.check_labels(labels, len(images))
            for some, classes in zip(self.pieces(images), self.pieces(labels), strict=True):
                start = time.perf_counter()
                tally.add(self.scores(some), classes)
                tally.seconds += time.perf_counter() - start
                if report:
                    report(len(some))
        return tally.evaluation

    def pieces(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """A few samples at a time, so that the outputs of a piece stay below PIECE_BYTES."""
        step = max(1, min(self.batch, PIECE_BYTES // (4 * int(np.prod(self.network.output_shape)))))
        return (values[start : start + step] for start in range(0, len(values), step))

    def check_classes(self, pixels: bool) -> None:
        """InputError where the output has no largest channel, or has one for each pixel."""
        network, (channels, *size) = self.network, self.network.output_shape
        shape = "x".join(map(str, network.output_shape))
        if channels == 1:
            raise InputError(
                f"{network.name}: the output, {shape} (CHW), has one channel, so there are no "
                "classes to choose from; scores() has its values"
            )
        if size != [1, 1] and not pixels:
            raise InputError(
                f"{network.name}: the output, {shape} (CHW), is no vector of classes; for a class "
                f"at each pixel give labels [sample, {size[0]}, {size[1]}], or ask for "
                "predict(images, pixels=True); scores() has its values"
            )

    def check_labels(self, labels: np.ndarray, images: int) -> None:
        """InputError unless there is one class for each image, or for each pixel of its output."""
        classes, *size = self.network.output_shape
        by_pixel = labels.ndim == 3 and list(labels.shape[1:]) == size
        if by_pixel or labels.ndim == 1:
            self.check_classes(by_pixel)
        if labels.shape[:1] != (images,) or not (labels.ndim == 1 or by_pixel):
            raise InputError(
                f"labels of shape {labels.shape} for {images} images; {self.network.name} takes "
                + ("one a sample" if size == [1, 1] else f"[sample, {size[0]}, {size[1]}]")
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"labels of {labels.dtype}; integers from 0 to {classes - 1}")
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise InputError(
                f"labels from {labels.min()} to {labels.max()}; the network has {classes} classes, "
                f"0 to {classes - 1}"
            )


def loaded(source: Network | Program) -> Machine:
    """A chip with a network in it."""
    program = source if isinstance(source, Program) else compile_network(source)
    machine = Machine(program.device)
    machine.load(program)
    return machine
