"""Labelled images as the chip sees them: int8, one per pixel and channel, [-128, 127].

A pixel p in 0..255 becomes p - 128, the vendor's own convention for image inputs.  Files are
read as hostile: every declared size is checked against a limit and against what is really there
before memory is taken, nothing is unpickled, and each fault is an InputError that names the file.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from max78k_sim.errors import InputError

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
FASHION_SUBSET = Path(__file__).with_name("data") / "fashion.npz"
SUBSET_PER_CLASS = {"train": 200, "test": 400}  # images
SPLITS = ("train", "test")
PIXEL_ZERO = 128  # uint8 value that becomes int8 0
BYTE_LIMIT = 1 << 30  # bytes one array may unpack to
CLASS_LIMIT = 1024  # output channels of a MAX78000 layer
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_IMAGE_MAGIC, IDX_LABEL_MAGIC = 0x803, 0x801  # unsigned bytes in 3 dimensions, in 1
TEST_PERIOD = 5  # where a file has no test part, every fifth sample of a class is one


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


def load_dataset(specification: str, split: str) -> Dataset:
    """Read the "train" or "test" part of ``fashion``, ``idx:DIR``, ``npz:FILE`` or ``digits``."""
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    kind, _, location = specification.partition(":")
    if kind not in READERS or bool(location) != (kind in LOCATED):
        raise InputError(
            f"data {specification!r} is not known; use fashion, digits, idx:DIRECTORY or npz:FILE"
        )
    return READERS[kind](location, split)


def stratified_split(labels: np.ndarray, split: str) -> np.ndarray:
    """Positions of one part of an 80/20 split: every fifth sample *of each class* is a test one.

    Counting inside each class keeps the parts balanced however the file is ordered.
    """
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[TEST_PERIOD - 1 :: TEST_PERIOD]] = True
    return np.flatnonzero(is_test == (split == "test"))


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
        arrays[f"x_{split}"] = (full.images[indices].astype(np.int16) + PIXEL_ZERO).astype(np.uint8)
        arrays[f"y_{split}"] = full.labels[indices].astype(np.uint8)
        arrays[f"{split}_indices"] = indices.astype(np.uint16)
    np.savez_compressed(out_file, **arrays)  # type: ignore[arg-type]


def fashion_subset_indices(split: str) -> np.ndarray:
    """Where the images of the shipped subset stand in the full data set: int64 [sample]."""
    return read_npz(FASHION_SUBSET)[f"{split}_indices"].astype(np.int64)


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


# ---- readers: (location, split) -> Dataset ------------------------------------------------------


def read_fashion(location: str, split: str) -> Dataset:
    """The subset of Fashion-MNIST that is shipped with the package (see its licence file)."""
    arrays = read_npz(FASHION_SUBSET)
    images = signed_pixels(arrays[f"x_{split}"], FASHION_SUBSET)
    labels = checked_labels(arrays[f"y_{split}"], len(images), FASHION_SUBSET)
    return Dataset("fashion", images, labels, FASHION_CLASSES)


def read_digits(location: str, split: str) -> Dataset:
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
    labels = bunch.target.astype(np.int64)
    whole = Dataset("digits", signed_pixels(wide, "digits"), labels, number_names(10))
    return whole.subset(stratified_split(labels, split))


def read_idx_directory(location: str, split: str) -> Dataset:
    """A directory of IDX files as MNIST and Fashion-MNIST come, packed with gzip or not."""
    directory = Path(location)
    if not directory.is_dir():
        raise InputError("is not a directory; give the one with train-images-idx3-ubyte.gz",
                         file=directory)  # fmt: skip
    image_file = idx_file(directory, IDX_PREFIX[split], "images", 3)
    label_file = idx_file(directory, IDX_PREFIX[split], "labels", 1)
    images = signed_pixels(read_idx(image_file, IDX_IMAGE_MAGIC), image_file)
    labels = checked_labels(read_idx(label_file, IDX_LABEL_MAGIC), len(images), label_file)
    fashion = "fashion" in directory.name.lower() and labels.max() < len(FASHION_CLASSES)
    names = FASHION_CLASSES if fashion else number_names(max(10, int(labels.max()) + 1))
    return Dataset(directory.name, images, labels, names)


def read_npz_file(location: str, split: str) -> Dataset:
    """An .npz with ``x`` and ``y`` and, if it has one, a test part ``x_test`` and ``y_test``."""
    file = Path(location)
    arrays = read_npz(file)
    for needed in ("x", "y"):
        if needed not in arrays:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(f"has no array {needed!r} (it holds {found})", file=file)
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError("has only one of x_test and y_test; give both or neither", file=file)
    parts = {"train": npz_part(arrays, "", file)}
    if "x_test" in arrays:
        parts["test"] = npz_part(arrays, "_test", file)
    class_count = 1 + max(int(labels.max()) for _, labels in parts.values())
    names = number_names(class_count)
    if "test" in parts:
        return Dataset(file.stem, *parts[split], names)
    whole = Dataset(file.stem, *parts["train"], names)
    return whole.subset(stratified_split(whole.labels, split))


READERS: dict[str, Callable[[str, str], Dataset]] = {
    "fashion": read_fashion,
    "digits": read_digits,
    "idx": read_idx_directory,
    "npz": read_npz_file,
}
LOCATED = ("idx", "npz")  # the kinds that need a place after the colon


def number_names(count: int) -> tuple[str, ...]:
    """Names for classes that have none: "0", "1", ..."""
    return tuple(str(label) for label in range(count))


def npz_part(
    arrays: dict[str, np.ndarray], suffix: str, file: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the part whose arrays' names end with ``suffix``."""
    images = signed_pixels(arrays["x" + suffix], file)
    return images, checked_labels(arrays["y" + suffix], len(images), file)


def signed_pixels(pixels: np.ndarray, file: object) -> np.ndarray:
    """Images [sample, row, column] or [sample, channel, row, column] as int8 with 4 axes."""
    if pixels.dtype not in (np.uint8, np.int8):
        raise InputError(f"images are {pixels.dtype}; only uint8 and int8 can be used", file=file)
    if pixels.ndim == 3:
        pixels = pixels[:, np.newaxis]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise InputError(
            f"images have shape {pixels.shape}; [sample, channel, row, column] is needed, no 0",
            file=file,
        )
    if pixels.dtype == np.int8:
        return pixels
    return (pixels ^ np.uint8(PIXEL_ZERO)).view(np.int8)  # p - 128 in two's complement


def checked_labels(labels: np.ndarray, image_count: int, file: object) -> np.ndarray:
    """Labels as int64, one for each image, 0 or more."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels are {labels.dtype} of shape {labels.shape}; one integer a sample is needed",
            file=file,
        )
    if len(labels) != image_count:
        raise InputError(f"{len(labels)} labels for {image_count} images", file=file)
    if labels.min() < 0 or labels.max() >= CLASS_LIMIT:
        raise InputError(
            f"labels reach from {labels.min()} to {labels.max()}; 0..{CLASS_LIMIT - 1} is possible",
            file=file,
        )
    return labels.astype(np.int64)


# ---- IDX ----------------------------------------------------------------------------------------


def idx_file(directory: Path, prefix: str, what: str, dimensions: int) -> Path:
    """The one of the usual names that is there."""
    names = [
        f"{prefix}-{what}{mark}idx{dimensions}-ubyte{end}" for end in ("", ".gz") for mark in "-."
    ]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise InputError(f"holds none of {', '.join(names)}", file=directory)


def read_idx(file: Path, magic: int) -> np.ndarray:
    """One IDX array of unsigned bytes; ``magic`` is the first word that it must have."""
    import gzip

    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            return read_idx_stream(stream, file, magic)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {error}", file=file) from error


def read_idx_stream(stream: IO[bytes], file: Path, magic: int) -> np.ndarray:
    """The array behind an IDX header: magic word, then one big-endian length for each axis."""
    dimensions = magic & 0xFF
    header = stream.read(4 + 4 * dimensions)
    words = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4")
    if len(words) == 0 or words[0] != magic:
        found = f"0x{int(words[0]):x}" if len(words) else "the end of the file"
        raise InputError(f"begins with {found}, not with the IDX magic 0x{magic:x}", file=file)
    if len(words) < 1 + dimensions:
        raise InputError("ends inside its IDX header", file=file)
    shape = tuple(int(word) for word in words[1:])
    return exact_bytes(stream, math.prod(shape), f"IDX header says {shape}", file).reshape(shape)


def exact_bytes(stream: IO[bytes], size: int, claim: str, file: Path) -> np.ndarray:
    """The rest of a stream, which must be ``size`` bytes: uint8 [byte]."""
    if not 0 < size <= BYTE_LIMIT:
        raise InputError(f"{claim}, {size} bytes; 1 to {BYTE_LIMIT} can be read", file=file)
    data = stream.read(size + 1)
    if len(data) != size:
        more = "more" if len(data) > size else f"only {len(data)}"
        raise InputError(f"{claim}, {size} bytes, but holds {more}", file=file)
    return np.frombuffer(data, dtype=np.uint8)


# ---- NPZ ----------------------------------------------------------------------------------------


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz archive, by name; objects (which would be unpickled) are refused."""
    if not file.is_file():
        raise InputError("is not a file; give an .npz with arrays x and y", file=file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name[:-4]: read_npy_member(archive, name, file) for name in members}
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"cannot be read as .npz: {error}", file=file) from error
    except RuntimeError as error:  # an encrypted member
        raise InputError(f"cannot be read as .npz: {error}", file=file) from error


def read_npy_member(archive: zipfile.ZipFile, member: str, file: Path) -> np.ndarray:
    """One array, its header checked before its bytes are unpacked."""
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            shape, column_major, dtype = headers[version](stream)
        except (ValueError, KeyError) as error:
            raise InputError(f"{member} has no valid .npy header: {error}", file=file) from error
        if dtype.hasobject or min(shape, default=0) < 0:
            raise InputError(f"{member} holds {dtype} {shape}; only numbers are read", file=file)
        size = math.prod(shape) * dtype.itemsize
        data = exact_bytes(stream, size, f"{member} says {dtype} {shape}", file)
    return data.view(dtype).reshape(shape, order="F" if column_major else "C")
