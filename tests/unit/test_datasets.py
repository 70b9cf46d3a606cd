"""Reading of images and labels: the shipped subset, IDX, NPZ, and files that lie."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from max78k_sim.errors import InputError
from trainer.data.array_files import npz_arrays
from trainer.data.datasets import (
    FASHION_CLASSES,
    FASHION_SUBSET,
    SUBSET_PER_CLASS,
    Dataset,
    fashion_subset_indices,
    load_dataset,
    make_fashion_subset,
    without_shipped_images,
)
from trainer.data.streams import stratified_split

PIXELS = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5) * 2  # [sample, row, column]
LABELS = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    return struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape) + array.tobytes()


def write_idx(directory, images=PIXELS, labels=LABELS, mark="-", packed=False):
    """The four files of a data set in MNIST's layout; the test part is the train part reversed."""
    pack, end = (gzip.compress, ".gz") if packed else (bytes, "")
    for prefix, order in (("train", slice(None)), ("t10k", slice(None, None, -1))):
        image_name = f"{prefix}-images{mark}idx3-ubyte{end}"
        (directory / image_name).write_bytes(pack(idx_bytes(images[order])))
        label_name = f"{prefix}-labels{mark}idx1-ubyte{end}"
        (directory / label_name).write_bytes(pack(idx_bytes(labels[order])))


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_round_trip(tmp_path, mark, packed):
    write_idx(tmp_path, mark=mark, packed=packed)
    train, test = (load_dataset(f"idx:{tmp_path}", split) for split in ("train", "test"))
    assert train.images.dtype == np.int8 and train.images.shape == (6, 1, 4, 5)
    assert np.array_equal(train.images[:, 0].astype(int), PIXELS.astype(int) - 128)
    assert np.array_equal(train.labels, LABELS)
    assert np.array_equal(test.images, train.images[::-1])
    assert train.class_names == tuple("0123456789")


IMAGES_FILE = idx_bytes(PIXELS)
BAD_IDX = {
    "empty": (b"", "begins with the end of the file, not with the IDX magic 0x803"),
    "labels' magic": (idx_bytes(LABELS), "begins with 0x801, not with the IDX magic 0x803"),
    "short header": (IMAGES_FILE[:9], "ends inside its IDX header"),
    "truncated": (
        IMAGES_FILE[:-1],
        "IDX header says uint8 (6, 4, 5), 120 bytes, but holds only 119",
    ),
    "too long": (IMAGES_FILE + b"x", "IDX header says uint8 (6, 4, 5), 120 bytes, but holds more"),
    "no image": (struct.pack(">4I", 0x803, 0, 4, 5), "images have shape (0, 4, 5)"),
    "huge": (
        struct.pack(">4I", 0x803, 6, 0xFFFFFFFF, 0xFFFFFFFF),
        "110680464390717702150 bytes; 1 to 1073741824 can be read",
    ),
    "fewer images": (idx_bytes(PIXELS[:5]), "6 labels for 5 images"),
}


@pytest.mark.parametrize("case", BAD_IDX)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_faults_name_file_and_cause(tmp_path, case, packed):
    data, message = BAD_IDX[case]
    write_idx(tmp_path, packed=packed)
    file = tmp_path / ("train-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(InputError) as caught:
        load_dataset(f"idx:{tmp_path}", "train")
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("cut", [5, 40])
def test_damaged_gzip_is_an_input_error(tmp_path, cut):
    write_idx(tmp_path, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"idx3-ubyte\.gz: cannot be read"):
        load_dataset(f"idx:{tmp_path}", "train")


def test_missing_idx_files_are_listed(tmp_path):
    with pytest.raises(InputError, match="holds none of train-images-idx3-ubyte"):
        load_dataset(f"idx:{tmp_path}", "train")
    with pytest.raises(InputError, match="is not a directory"):
        load_dataset(f"idx:{tmp_path / 'absent'}", "train")


def npz(tmp_path, **arrays):
    """The specification of an .npz just written."""
    np.savez(tmp_path / "set.npz", **arrays)
    return f"npz:{tmp_path / 'set.npz'}"


def test_npz_with_a_test_part(tmp_path):
    rgb = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    signed = np.full((2, 3, 2, 2), -5, dtype=np.int8)
    data = npz(tmp_path, x=rgb, y=np.array([0, 1, 0, 4]), x_test=signed, y_test=np.array([1, 2]))
    train, test = (load_dataset(data, split) for split in ("train", "test"))
    assert np.array_equal(train.images.astype(int), rgb.astype(int) - 128)
    assert np.array_equal(test.images, signed)
    assert train.name == "set" and train.class_names == test.class_names == tuple("01234")


def test_npz_without_a_test_part_is_split_by_class(tmp_path):
    count = 50
    images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1)
    data = npz(tmp_path, x=images, y=np.arange(count) % 5)  # every fifth image has one class
    train, test = (load_dataset(data, split) for split in ("train", "test"))
    assert np.bincount(train.labels).tolist() == [8] * 5
    assert np.bincount(test.labels).tolist() == [2] * 5
    together = np.concatenate([train.images, test.images]).ravel().astype(int)
    assert sorted(together + 128) == list(range(count))


GOOD = np.zeros((4, 1, 2, 2), dtype=np.uint8)
BAD_NPZ = {
    "no y": ({"x": GOOD}, "has no array 'y': one label a sample is needed"),
    "no x": ({"y": np.zeros(4, int)}, "has no array 'x' (it holds y)"),
    "only y_test": (
        {"x": GOOD, "y_test": np.zeros(4, int)},
        "has no array 'y' (it holds x, y_test)",
    ),
    "labels by pixel": (
        {"x": GOOD, "y": np.zeros((4, 2, 2), int)},
        "labels are one a pixel, (4, 2, 2); one a sample is needed",
    ),
    "half a test part": (
        {"x": GOOD, "y": np.zeros(4, int), "x_test": GOOD},
        "has only one of x_test and y_test",
    ),
    "float images": ({"x": GOOD * 1.0, "y": np.zeros(4, int)}, "images are float64; only uint8"),
    "flat images": ({"x": GOOD.ravel(), "y": np.zeros(4, int)}, "images have shape (16,)"),
    "float labels": ({"x": GOOD, "y": np.zeros(4)}, "labels are float64 of shape (4,)"),
    "count": ({"x": GOOD, "y": np.zeros(3, int)}, "3 labels for 4 images"),
    "negative": ({"x": GOOD, "y": np.array([0, 1, -1, 0])}, "labels reach from -1 to 1"),
    "pickled": ({"x": GOOD, "y": np.array([0, {}, 1, 2], dtype=object)}, "only numbers are read"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_npz_faults_name_file_and_cause(tmp_path, case):
    arrays, message = BAD_NPZ[case]
    data = npz(tmp_path, **arrays)
    with pytest.raises(InputError) as caught:
        load_dataset(data, "train")
    assert message in str(caught.value) and "set.npz" in str(caught.value)


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The head of a .npy that claims uint8 of this shape."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


BAD_MEMBERS = {
    "not npy": (b"hello", "has no valid .npy header"),
    "claims more": (npy_header((9, 9, 9)) + b"\0" * 728, "729 bytes, but holds only 728"),
    "claims too much": (
        npy_header((9, 1 << 20, 1 << 20)),
        "9895604649984 bytes; 1 to 1073741824",
    ),
    "endless header": (b"\x93NUMPY\x02\0" + b"\xff" * 4 + b" " * 99, "has no valid .npy header"),
    "negative shape": (npy_header((-1, 4)), "only numbers are read"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_a_lying_npz_member_is_found_before_memory_is_taken(tmp_path, case):
    data, message = BAD_MEMBERS[case]
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", data)
        archive.writestr("y.npy", npy_header((9,)) + bytes(9))
    with pytest.raises(InputError) as caught:
        load_dataset(f"npz:{tmp_path / 'set.npz'}", "train")
    assert message in str(caught.value)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        load_dataset(f"npz:{tmp_path / 'set.npz'}", "train")


@pytest.mark.parametrize("data", ["", "mnist", "idx:", "npz", "fashion:here", "digits:8"])
def test_unknown_specifications(data):
    with pytest.raises(InputError, match="use fashion, digits, idx:DIRECTORY, npz:FILE, npy:"):
        load_dataset(data, "train")


def test_unknown_split():
    with pytest.raises(InputError, match="split 'both' is not one of train, test, all, val"):
        load_dataset("fashion", "both")


def test_all_of_what_has_no_test_part(tmp_path):
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1)
    arrays = {"x": images, "y": np.arange(12) % 2}
    whole = load_dataset(npz(tmp_path, **arrays), "all")
    assert (whole.images.ravel().astype(int) + 128).tolist() == list(range(12))
    two = npz(tmp_path, **arrays, x_test=images, y_test=arrays["y"])
    for data in (two, "fashion", f"idx:{tmp_path}"):
        with pytest.raises(InputError, match="has a training and a test part; give split train or"):
            load_dataset(data, "all")


@pytest.mark.parametrize("split", ["train", "test"])
def test_shipped_subset_is_balanced(split):
    dataset = load_dataset("fashion", split)
    per_class = SUBSET_PER_CLASS[split]
    assert dataset.images.shape == (10 * per_class, 1, 28, 28)
    assert dataset.images.dtype == np.int8
    assert dataset.images.min() == -128 and dataset.images.max() == 127
    assert np.bincount(dataset.labels).tolist() == [per_class] * 10
    assert dataset.class_names == FASHION_CLASSES
    assert len(np.unique(fashion_subset_indices(split))) == len(dataset)


def test_shipped_parts_share_no_image():
    train, test = (load_dataset("fashion", split) for split in ("train", "test"))
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in test.images)


def test_shipped_images_are_left_out_of_the_full_set():
    shipped, indices = load_dataset("fashion", "train"), fashion_subset_indices("train")
    images = np.zeros((int(indices.max()) + 10, 1, 28, 28), dtype=np.int8)
    images[indices] = shipped.images
    full = Dataset("full", images, np.zeros(len(images), dtype=np.int64), FASHION_CLASSES)
    kept = without_shipped_images(full)
    assert len(kept) == len(full) - len(shipped)
    assert not kept.images.any()  # only the black ones are left
    other = Dataset("other", images ^ 1, full.labels, FASHION_CLASSES)
    assert without_shipped_images(other) is other
    assert without_shipped_images(shipped) is shipped


def test_subset_is_remade_from_idx_files(tmp_path):
    directory = tmp_path / "fashion"
    directory.mkdir()
    images = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)
    write_idx(directory, images, np.arange(20, dtype=np.uint8) % 10)
    make_fashion_subset(directory, tmp_path / "subset.npz")
    arrays = npz_arrays(tmp_path / "subset.npz")
    assert np.array_equal(arrays["x_train"].read()[:, 0], images)
    assert np.array_equal(arrays["train_indices"].read(), np.arange(20))
    make_fashion_subset(directory, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "subset.npz").read_bytes()


def test_shipped_file_is_small():
    assert FASHION_SUBSET.stat().st_size < 3_000_000
    assert FASHION_SUBSET.with_name("LICENSE-fashion-mnist.txt").is_file()


def test_classes_and_subset():
    dataset = load_dataset("fashion", "test").of_classes((8, 2))
    assert set(dataset.labels) == {2, 8} and len(dataset) == 800
    assert np.array_equal(dataset.subset(np.array([3, 1])).labels, dataset.labels[[3, 1]])


def test_stratified_split_parts_are_complementary():
    labels = np.array([0] * 7 + [1] * 13)
    parts = [stratified_split(labels, split) for split in ("train", "test")]
    assert sorted(np.concatenate(parts)) == list(range(20))
    assert [len(part) for part in parts] == [17, 3]


def test_digits_need_scikit_learn_or_are_28_pixels_wide(monkeypatch):
    try:
        import sklearn  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"max78k\[digits\]"):
            load_dataset("digits", "train")
        return
    train, test = (load_dataset("digits", split) for split in ("train", "test"))
    assert train.images.shape[1:] == (1, 28, 28) and len(train) + len(test) == 1797
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"max78k\[digits\]"):
        load_dataset("digits", "train")


def test_importing_datasets_does_not_import_torch():
    code = "import sys, trainer.data.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
