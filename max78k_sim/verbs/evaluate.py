"""``max78k evaluate``: a whole data set through the simulated chip."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from trainer.data.datasets import open_dataset
from trainer.data.streams import Stream

from ..engine import warmup
from ..errors import InputError
from ..evaluator import BATCH, PIECE_BYTES, Evaluation, Evaluator
from ..map_text import Fitting, table
from .common import compiled, network_from, progress, write_whole

TOP = 5  # places that the result tells of
MOST_CONFUSED = 10  # pairs of classes, where the whole matrix is too wide
WIDEST = 30  # classes of a matrix that may fit a terminal
NUMBERS = ("images", "pixels", "correct", "recall", "precision", "times")


@dataclass(frozen=True)
class Job:
    """What is evaluated: the first ``samples`` of a stream."""

    evaluator: Evaluator
    stream: Stream
    split: str
    samples: int
    layers: tuple[str, ...]  # to dump

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Images with labels, of which the layers to dump stay below PIECE_BYTES."""
        layers = [self.evaluator.network.layer(name) for name in self.layers]
        bits = sum(
            layer.output_bits * int(np.prod((layer.out_channels, *layer.out_size)))
            for layer in layers
        )
        size = min(self.evaluator.batch, max(1, PIECE_BYTES * 8 // max(1, bits)))
        return self.stream.batches(size, self.samples)


def main(options: Namespace) -> None:
    """Evaluate, dump what was asked for, and print the result."""
    job = job_from(options)
    if options.dump:
        result = write_whole(Path(options.dump), lambda file: evaluate_into(file, job))
    else:
        result = evaluated(job, job.batches())
    if options.json:
        print(json.dumps(result_json(job, result)))
    else:
        print_result(job, result, Console())


def job_from(options: Namespace) -> Job:
    """Data, network and engine; InputError where they do not fit each other."""
    if bool(options.layers) != bool(options.dump):
        raise InputError("--layers NAME,... and --dump NPZ go together: which layers, and where to")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit}: at least 1 sample is needed")
    stream = open_dataset(options.data, options.split)
    samples = min(stream.samples, options.limit or stream.samples)
    if not samples:
        raise InputError(f"{stream.name}: no {options.split} images; give at least five of a class")
    if stream.labels is None and not options.dump:
        raise stream.images.error(
            "has no labels to compare with; give an array 'y', or dump layers with --layers, --dump"
        )
    network = network_from(options, stream.shape)
    stream.require_shape(network.input_shape, network.name)
    layers = tuple(
        network.layer(name.strip()).name for name in (options.layers or "").split(",") if name
    )
    warmup()  # what is compiled the first time is not counted as evaluation
    batch = BATCH if options.batch is None else options.batch
    evaluator = Evaluator(compiled(network), options.jobs, batch)
    if stream.labels is not None:
        evaluator.check_classes(pixels=len(stream.labels.shape) == 3)
    return Job(evaluator, stream, options.split, samples, layers)


def evaluated(job: Job, batches: Iterable[tuple[np.ndarray, Any]]) -> Evaluation | None:
    """The result, with a progress bar on a terminal; None for data without labels."""
    console = Console(stderr=True)
    with progress(console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{job.stream.name} ({job.split})", total=job.samples)
        if job.stream.labels is not None:
            try:
                return job.evaluator.evaluate(batches, lambda done: bar.advance(task, done))
            except InputError as error:
                raise error if error.file else job.stream.labels.error(error.message) from None
        for images, _ in batches:
            bar.advance(task, len(images))
    return None


# --- the dump


def evaluate_into(file: Path, job: Job) -> Evaluation | None:
    """Evaluate, and write input, labels and layers [sample, ...] to an .npz.

    Each array grows in a file of its own, because a member of an archive must be written at once
    and all of them may be larger than memory.
    """
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f"{file.name}.") as folder:
        parts: dict[str, Path] = {}
        result = evaluated(job, dumped(job, Path(folder), parts))
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                with (
                    part.open("rb") as source,
                    archive.open(f"{name}.npy", "w", force_zip64=True) as member,
                ):
                    shutil.copyfileobj(source, member)
    return result


def dumped(
    job: Job, folder: Path, parts: dict[str, Path]
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The job's batches; what belongs to each is in files when the next is asked for.

    ``parts`` gets the .npy file of each array; they are numbered, because a layer's name may be no
    name of a file.
    """
    with ExitStack() as stack:
        streams: dict[str, Any] = {}
        for images, labels in job.batches():
            arrays = {"input": images} | ({} if labels is None else {"labels": labels})
            arrays |= job.evaluator.layers(images, job.layers)
            for name, array in arrays.items():
                if name not in streams:
                    parts[name] = folder / str(len(parts))
                    streams[name] = stack.enter_context(parts[name].open("wb"))
                    write_header(streams[name], (job.samples, *array.shape[1:]), array.dtype)
                streams[name].write(np.ascontiguousarray(array))
            yield images, labels


def write_header(stream: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """The head of an .npy file."""
    kind = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


# --- the result


def result_json(job: Job, result: Evaluation | None) -> dict[str, Any]:
    """The result for programs; without labels, only what was run."""
    about = {
        "network": job.evaluator.network.name,
        "data": job.stream.name,
        "split": job.split,
        "samples": job.samples,
        "jobs": job.evaluator.jobs,
    }
    if result is None:
        return about
    classes = [
        {
            "label": row.label,
            "name": class_name(job.stream, row.label),
            "count": row.count,
            "predicted": row.predicted,
            "correct": row.correct,
            "recall": row.recall,
            "precision": row.precision,
        }
        for row in result.classes
    ]
    return about | {
        "labels": result.labels,
        "accuracy": result.accuracy,
        "top": [result.top(count + 1) for count in range(min(TOP, len(classes)))],
        "classes": classes,
        "confusion": result.confusion.tolist(),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
    }


def print_result(job: Job, result: Evaluation | None, console: Console) -> None:
    """The result for people."""
    say = partial(console.print, highlight=False, markup=False)
    about = f"{job.evaluator.network.name}: {job.samples:,} images of {job.stream.name}"
    if result is None:
        say(f"{about}, without labels")
        return
    by_pixel = result.labels != result.samples
    part = f" part; --split all has {len(job.stream.images):,}"
    split = job.split + (part if job.stream.part else "")
    say(f"{about} ({split})" + (f", {result.labels:,} pixels" if by_pixel else ""))
    many = len(result.confusion) > TOP
    top = f"; among the {TOP} largest: {result.top(TOP):.2%}" if many else ""
    say(f"accuracy: {result.accuracy:.2%}{top}\n")
    columns = ("class", "pixels" if by_pixel else "images", "correct", "recall", "precision")
    say(table(columns, class_cells(job.stream, result), NUMBERS))
    few = len(result.confusion) <= WIDEST
    pairs = most_confused(job.stream, result)
    say("\nconfusion")
    say(Fitting(matrix(result), pairs) if few else pairs)
    threads = f"{job.evaluator.jobs} thread{'s' * (job.evaluator.jobs > 1)}"
    say(f"\n{result.images_per_second:,.0f} images a second; {result.seconds:.2f} s, {threads}")


def class_cells(stream: Stream, result: Evaluation) -> Iterator[tuple[str, ...]]:
    """A row a class."""
    for row in result.classes:
        shares = ("-" if each is None else f"{each:.2%}" for each in (row.recall, row.precision))
        yield (titled(stream, row.label), f"{row.count:,}", f"{row.correct:,}", *shares)


def matrix(result: Evaluation):
    """The confusion matrix as a table; a dot is 0."""
    names = [str(label) for label in range(len(result.confusion))]
    cells = (
        (name, *(f"{count:,}" if count else "." for count in row))
        for name, row in zip(names, result.confusion.tolist(), strict=True)
    )
    return table(("label \\ predicted", *names), cells, names)


def most_confused(stream: Stream, result: Evaluation):
    """The pairs of classes that were taken for each other most often, as a table."""
    wrong = result.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [divmod(int(place), len(wrong)) for place in order if wrong.flat[place]]
    cells = (
        (titled(stream, true), titled(stream, given), f"{wrong[true, given]:,}")
        for true, given in pairs
    )
    return table(("label", "predicted", "times"), cells, NUMBERS)


def class_name(stream: Stream, label: int) -> str:
    """What a label means; its number where nothing says."""
    return stream.class_names[label] if label < len(stream.class_names) else str(label)


def titled(stream: Stream, label: int) -> str:
    """A label with its name, where that says more."""
    name = class_name(stream, label)
    return name if name == str(label) else f"{label} {name}"
