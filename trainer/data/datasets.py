"""Data sets by name: Fashion-MNIST's shipped subset, IDX, .npz, .npy and wav files, digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from max78k_sim.arithmetic import pixels_from_q7
from max78k_sim.errors import InputError
from max78k_sim.network import Network

from .array_files import ArrayFile, npy_array, npz_arrays, of_array
from .idx_folders import FASHION_CLASSES, number_names, read_idx_directory
from .streams import Dataset, Stream, check_pair, count_labels, part_size
from .wav_folders import read_kws20_directory, read_wav_directory

FASHION_SUBSET = Path(__file__).with_name("fashion.npz")
SUBSET_PER_CLASS = {"train": 200, "test": 400}  # images
SPLITS = ("train", "test", "all", "validation")
THREE_PARTS = ("wav", "kws20")  # the kinds that have a validation part too
TWO_PARTS = ("fashion", "idx")  # the kinds that always have a test part: "all" is none of them
HAS_PARTS = "has a training and a test part; give split train or test"


def load_dataset(specification: str, split: str) -> Dataset:
    """``open_dataset``, read whole."""
    return open_dataset(specification, split).load()


def load_for(network: Network, specification: str, split: str) -> Dataset:
    """``load_dataset``; InputError for images, or labels, that a network has no place for."""
    stream = open_dataset(specification, split)
    stream.require_shape(network.input_shape, network.name)
    data, classes = stream.load(), network.output_shape[0]
    if not len(data):
        raise InputError(f"{data.name}: no {split} images; give at least five of a class")
    if data.labels.max() >= classes:
        raise InputError(
            f"{specification}: labels of the {split} part reach {data.labels.max()}; "
            f"{network.name} has {classes} classes, 0 to {classes - 1}; give data of these alone"
        )
    return data


def open_dataset(specification: str, split: str) -> Stream:
    """The "train" or "test" part of what a specification names (READERS), not read yet.

    "all" of what has no test part of its own, in the file's order; "validation" of THREE_PARTS.
    Headers are read, and labels once (one a sample), to know how many there are of each class.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    kind, _, location = specification.partition(":")
    if kind not in READERS or bool(location) != (kind in LOCATED):
        raise InputError(
            f"data {specification!r} is not known; use fashion, digits, idx:DIRECTORY, npz:FILE, "
            "npy:DIRECTORY, wav:DIRECTORY or kws20:DIRECTORY"
        )
    if split == "validation" and kind not in THREE_PARTS:
        raise InputError(
            f"data {specification!r} has no validation part; give split train or test "
            "(trainer.data.splits takes a validation part from train)"
        )
    if kind in TWO_PARTS and split == "all":
        raise InputError(f"data {specification!r} {HAS_PARTS}")
    return READERS[kind](location, split)


def make_fashion_subset(idx_directory: str | Path, out_file: str | Path = FASHION_SUBSET) -> None:
    """Remake the shipped subset: the first images of each class, in their original order.

    The file also holds ``train_indices`` and ``test_indices``, the positions in the full data, so
    that pretraining can leave the "train" images unseen for training on the chip.
    """
    arrays = {}
    for split, count in SUBSET_PER_CLASS.items():
        full = load_dataset(f"idx:{idx_directory}", split)
        chosen = [np.flatnonzero(full.labels == c)[:count] for c in range(len(FASHION_CLASSES))]
        indices = np.sort(np.concatenate(chosen))
        arrays[f"x_{split}"] = pixels_from_q7(full.images[indices])
        arrays[f"y_{split}"] = full.labels[indices].astype(np.uint8)
        arrays[f"{split}_indices"] = indices.astype(np.uint16)
    np.savez_compressed(out_file, **arrays)


def fashion_subset_indices(split: str) -> np.ndarray:
    """Where the images of the shipped subset stand in the full data set: int64 [sample]."""
    return npz_arrays(FASHION_SUBSET)[f"{split}_indices"].read().astype(np.int64)


def without_shipped_images(dataset: Dataset) -> Dataset:
    """A full Fashion-MNIST "train" part less the images shipped for training on the chip.

    Any other data set comes back as it is: the images are compared, not only counted.
    """
    indices = fashion_subset_indices("train")
    shipped = load_dataset("fashion", "train")
    if len(dataset) <= indices.max() or len(dataset) == len(shipped):
        return dataset
    if not np.array_equal(dataset.images[indices], shipped.images):
        return dataset
    return dataset.subset(np.setdiff1d(np.arange(len(dataset)), indices))


# ---- readers: (location, split) -> Stream -------------------------------------------------------


def read_fashion(location: str, split: str) -> Stream:
    """The subset of Fashion-MNIST that is shipped with the package (see its licence file)."""
    arrays = npz_arrays(FASHION_SUBSET)
    images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    return Stream("fashion", images, labels, FASHION_CLASSES, None, len(images))


def read_digits(location: str, split: str) -> Stream:
    """Scikit-learn's 8x8 digits, each pixel three times as wide and high, padded to 28x28."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            'data "digits" needs scikit-learn: pip install "max78k[digits]"'
        ) from error
    bunch = load_digits()
    pixels = (bunch.images * 255 / 16).astype(np.uint8)  # [sample, 8, 8], 0..16 -> 0..255
    wide = np.pad(np.kron(pixels, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))
    images, labels = of_array(wide, "digits"), of_array(bunch.target, "digits")
    return part_of_one("digits", images, labels, number_names(10), split, count_labels(labels))


def read_npz_file(location: str, split: str) -> Stream:
    """An .npz with ``x`` and ``y`` and, if it has one, a test part ``x_test`` and ``y_test``."""
    file = Path(location)
    return read_arrays(npz_arrays(file), file, split)


def read_npy_directory(location: str, split: str) -> Stream:
    """A directory with the arrays of such an .npz as files: x.npy, y.npy, x_test.npy, y_test.npy.

    For data that are too large to be packed.
    """
    directory = Path(location)
    names = [name for name in ARRAY_NAMES if (directory / f"{name}.npy").is_file()]
    arrays = {name: npy_array(directory / f"{name}.npy") for name in names}
    return read_arrays(arrays, directory, split)


def read_arrays(arrays: dict[str, ArrayFile], file: Path, split: str) -> Stream:
    """The part that was asked for; without labels, all of ``x`` where there is no test part."""
    for name in ("x", "y") if "y_test" in arrays else ("x",):
        if name not in arrays:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(f"has no array {name!r} (it holds {found})", file=file)
    if "y" in arrays and ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError("has only one of x_test and y_test; give both or neither", file=file)
    ends = [end for end in ("", "_test") if "x" + end in arrays]
    for end in ends:
        check_pair(arrays["x" + end], arrays.get("y" + end))
    if len(ends) == 2 and split == "all":
        raise InputError(HAS_PARTS, file=file)
    end = ends[-1] if split == "test" else ends[0]
    images, labels = arrays["x" + end], arrays.get("y" + end)
    if labels is None:
        return Stream(file.stem, images, None, (), None, len(images))
    counts = [count_labels(arrays["y" + each]) for each in ends]
    names = number_names(max(map(len, counts)))
    if len(ends) == 2:
        return Stream(file.stem, images, labels, names, None, len(images))
    return part_of_one(file.stem, images, labels, names, split, counts[0])


def part_of_one(
    name: str,
    images: ArrayFile,
    labels: ArrayFile,
    class_names: tuple[str, ...],
    split: str,
    counts: np.ndarray,
) -> Stream:
    """A part, or all, of what has no test part; ``counts``: samples of each class, int64."""
    if split == "all":
        return Stream(name, images, labels, class_names, None, len(images))
    return Stream(name, images, labels, class_names, split, part_size(counts, split))


READERS: dict[str, Callable[[str, str], Stream]] = {
    "fashion": read_fashion,
    "digits": read_digits,
    "idx": read_idx_directory,
    "npz": read_npz_file,
    "npy": read_npy_directory,
    "wav": read_wav_directory,
    "kws20": read_kws20_directory,
}
LOCATED = ("idx", "npz", "npy", "wav", "kws20")  # the kinds that need a place after the colon
ARRAY_NAMES = ("x", "y", "x_test", "y_test")
