"""Images a second: the batch engine against PyTorch, by network, threads and batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from max78k_sim.batch import Batch

from . import figures, peaks
from .subjects import Subject
from .torch_forms import FORMS, KINDS, Form, TorchNetwork

ENGINE = "max78k"
COMPETITORS = (ENGINE, *KINDS)
BATCHES = (1, 64, 1024)
MOST_WORK = 5e10  # multiplications of a call; beyond, minutes and gigabytes go into one cell


@dataclass(frozen=True)
class Speed:
    """One network by one competitor (of PyTorch the better order of tensors in memory).

    ``peak``: int8 multiply-accumulates a second that the machine reached just before and after.
    """

    network: str
    threads: int
    batch: int
    competitor: str
    images: float  # a second
    multiplications: float  # a second
    peak: float | None = None


@dataclass(frozen=True)
class Peak:
    """What the machine can do with so many threads, multiply-accumulates a second."""

    threads: int
    int8: float | None
    float32: float


@dataclass(frozen=True)
class Speeds:
    """Everything that was measured, and the figures that follow from it."""

    speeds: tuple[Speed, ...]
    peaks: tuple[Peak, ...]

    def best(self, network: str, threads: int, competitor: str) -> Speed:
        """The batch at which a competitor is fastest.

        PyTorch may leave threads idle where fewer are faster, as it is on a machine that is shared.
        """
        found = (
            speed
            for speed in self.speeds
            if (speed.network, speed.competitor) == (network, competitor)
            and (speed.threads == threads or (competitor != ENGINE and speed.threads < threads))
        )
        return max(found, key=lambda speed: speed.images)

    def ratio(self, network: str, threads: int, competitor: str) -> float:
        """The engine against a competitor, each at its best."""
        mine, theirs = (self.best(network, threads, who) for who in (ENGINE, competitor))
        return mine.images / theirs.images

    def scaling(self, network: str, threads: int) -> float:
        """The engine with several threads against one."""
        many, one = (self.best(network, count, ENGINE) for count in (threads, 1))
        return many.images / one.images

    def peak(self, threads: int) -> Peak:
        """The machine's."""
        return next(peak for peak in self.peaks if peak.threads == threads)

    @property
    def shared(self) -> float:
        """What all threads gain over one in a matrix product; near their number when alone."""
        return self.peaks[-1].float32 / self.peaks[0].float32

    def share(self, network: str, threads: int) -> float | None:
        """The engine's part of the int8 peak as it was at that time, in percent."""
        best = self.best(network, threads, ENGINE)
        return None if best.peak is None else 100 * best.multiplications / best.peak


def measure(
    subjects: Iterable[Subject], threads: tuple[int, ...], batches: tuple[int, ...] = BATCHES
) -> Speeds:
    """Every cell; the peaks before and after each network, of which the best counts."""
    highest = [peak_of(count) for count in threads]
    speeds: list[Speed] = []
    for subject in subjects:
        for count in threads:
            for batch in batches:
                if batch * subject.multiplications <= MOST_WORK:
                    speeds += cell(subject, count, batch)
        highest = [better(peak, peak_of(peak.threads)) for peak in highest]
    return Speeds(tuple(speeds), tuple(highest))


def peak_of(threads: int) -> Peak:
    """Measured now."""
    return Peak(threads, peaks.int8(threads), peaks.float32(threads))


def better(one: Peak, other: Peak) -> Peak:
    """The higher of each."""
    int8 = None if one.int8 is None or other.int8 is None else max(one.int8, other.int8)
    return Peak(one.threads, int8, max(one.float32, other.float32))


def cell(subject: Subject, threads: int, batch: int) -> Iterator[Speed]:
    """One network with so many threads and images at once; AssertionError where outputs differ."""
    torch.set_num_threads(threads)
    samples = subject.samples(batch)
    works = contestants(subject, threads, samples)
    spent, before = check(subject, samples, works), peaks.int8(threads)
    found = figures.in_turns(works, spent)
    after = peaks.int8(threads)
    peak = None if before is None or after is None else max(before, after)
    for competitor in COMPETITORS:
        seconds = min(each for (kind, _), each in found.items() if kind == competitor)
        images = batch / seconds
        done = images * subject.multiplications
        yield Speed(subject.name, threads, batch, competitor, images, done, peak)


def contestants(
    subject: Subject, threads: int, samples: np.ndarray
) -> dict[tuple[str, bool], Callable[[], object]]:
    """(competitor, channels last) -> a call that computes every sample."""
    engine = Batch(subject.machine(), threads)
    works: dict[tuple[str, bool], Callable[[], object]] = {
        (ENGINE, True): lambda: engine.run(samples)
    }
    prepared = {last: prepare(subject, last, samples) for last in (False, True)}
    for form in FORMS:
        model, data = TorchNetwork(subject.network, form), prepared[form.channels_last]
        works[form.kind, form.channels_last] = lambda model=model, data=data: model.run(data)
    return works


def prepare(subject: Subject, last: bool, samples: np.ndarray) -> torch.Tensor:
    """Samples as PyTorch takes them, shared by the forms of one order in memory."""
    return TorchNetwork(subject.network, Form(KINDS[0], last)).prepare(samples)


def check(subject: Subject, samples: np.ndarray, works: dict) -> dict:
    """Seconds of a first call, whose first and last output are the machine's to the bit.

    float32 is not the chip's arithmetic, and is only timed.
    """
    chip = subject.machine()
    ends = [0, len(samples) - 1]
    expected = np.stack([chip.run(samples[end]) for end in ends])
    seconds = {}
    for (kind, last), work in works.items():
        start = time.perf_counter()
        outputs = work()
        seconds[kind, last] = time.perf_counter() - start
        equal = np.array_equal(np.asarray(outputs[ends]).reshape(expected.shape), expected)
        assert equal or kind == "float32", f"{subject.name}, {kind}, channels last {last}: differs"
    return seconds
