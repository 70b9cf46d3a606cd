"""Folders of IDX files: MNIST, Fashion-MNIST, and EMNIST under its own names.

EMNIST (Cohen et al. 2017) differs from MNIST: files begin with ``emnist-`` and the set's name,
images lie with rows and columns exchanged, and the labels of its letters begin at 1.  Here images
stand upright, and labels begin at 0.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError

from .array_files import ArrayFile, idx_array, readable
from .streams import CLASS_LIMIT, Stream, check_pair, count_labels

FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_IMAGE_MAGIC, IDX_LABEL_MAGIC = 0x803, 0x801  # unsigned bytes in 3 dimensions, in 1
EMNIST = "emnist-"
LETTERS = "emnist-letters"  # the one set whose labels begin at 1


@dataclass(frozen=True)
class Changed(ArrayFile):
    """An array of which each part is changed as it is read; shape and size stay as they are."""

    change: Callable[[np.ndarray], np.ndarray] = np.asarray

    def parts(self, count: int) -> Iterator[np.ndarray]:
        """Up to ``count`` samples at a time, changed."""
        return map(self.change, super().parts(count))

    def read(self) -> np.ndarray:
        """The whole array, changed."""
        return self.change(super().read())


def changed(array: ArrayFile, change: Callable[[np.ndarray], np.ndarray]) -> Changed:
    """That array, with a change."""
    return Changed(**{field.name: getattr(array, field.name) for field in fields(array)},
                   change=change)  # fmt: skip


def read_idx_directory(location: str, split: str) -> Stream:
    """A directory of IDX files as MNIST, Fashion-MNIST and EMNIST come, packed with gzip or not.

    Of several sets of EMNIST in one directory, DIRECTORY/emnist-letters names one.
    """
    directory, name = located(Path(location))
    prefix = f"{name}-{split}" if name else IDX_PREFIX[split]
    images = idx_array(idx_file(directory, prefix, "images", 3), IDX_IMAGE_MAGIC)
    labels = idx_array(idx_file(directory, prefix, "labels", 1), IDX_LABEL_MAGIC)
    if name:
        return emnist_stream(directory, name, images, labels)
    check_pair(images, labels)
    classes = len(count_labels(labels))
    fashion = "fashion" in directory.name.lower() and classes <= len(FASHION_CLASSES)
    names = FASHION_CLASSES if fashion else number_names(max(10, classes))
    return Stream(directory.name, images, labels, names, None, len(images))


def number_names(count: int) -> tuple[str, ...]:
    """Names for classes that have none: "0", "1", ..."""
    return tuple(str(label) for label in range(count))


def idx_file(directory: Path, prefix: str, what: str, dimensions: int) -> Path:
    """The one of the usual names that is there."""
    names = [
        f"{prefix}-{what}{mark}idx{dimensions}-ubyte{end}" for end in ("", ".gz") for mark in "-."
    ]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise InputError(f"holds none of {', '.join(names)}", file=directory)


# ---- EMNIST -------------------------------------------------------------------------------------


def located(place: Path) -> tuple[Path, str]:
    """(directory, "") of MNIST's names; (directory, "emnist-letters") of a set of EMNIST."""
    if not place.is_dir():
        if place.name.startswith(EMNIST) and place.parent.is_dir():
            return place.parent, place.name
        raise InputError("is not a directory; give the one with train-images-idx3-ubyte.gz",
                         file=place)  # fmt: skip
    if any(place.glob(f"{IDX_PREFIX['train']}-images*")):
        return place, ""
    files = place.glob(f"{EMNIST}*-images*")
    found = sorted({file.name.split("-images")[0].rpartition("-")[0] for file in files})
    if len(found) > 1:
        names = ", ".join(f"idx:{place / name}" for name in found)
        raise InputError(f"holds several sets; give one: {names}", file=place)
    return place, found[0] if found else ""


def emnist_stream(directory: Path, name: str, images: ArrayFile, labels: ArrayFile) -> Stream:
    """One of its sets, upright and counted from 0."""
    check_pair(images, labels)
    if images.shape[1] != images.shape[2]:
        raise images.error(f"has images of {images.shape[1:]}; EMNIST's are square (28, 28)")
    first = 1 if name == LETTERS else 0

    def from_zero(values: np.ndarray) -> np.ndarray:
        if values.min() < first:
            raise labels.error(f"has a label {values.min()}; those of {name} begin at {first}")
        return values.astype(np.int64) - first

    upright = changed(images, lambda values: values.swapaxes(1, 2))
    counted = changed(labels, from_zero)
    names = emnist_names(directory, name, first, len(count_labels(counted)))
    return Stream(name, upright, counted, names, None, len(images))


def emnist_names(directory: Path, name: str, first: int, classes: int) -> tuple[str, ...]:
    """Characters that the labels mean: by the mapping file (label, code, ...), if it is there."""
    file = directory / f"{name}-mapping.txt"
    if not file.is_file():
        return tuple(string.ascii_uppercase) if name == LETTERS else number_names(max(10, classes))
    with readable(file):
        rows = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
        found = {int(row[0]) - first: chr(int(row[1])) for row in rows if row}
    if max(found, default=0) >= CLASS_LIMIT:
        raise InputError(
            f"has a label {max(found) + first}; up to {CLASS_LIMIT - 1 + first} is possible",
            file=file,
        )
    return tuple(
        found.get(label, str(label)) for label in range(max(classes, 1 + max(found, default=0)))
    )
