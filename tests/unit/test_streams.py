"""Data sets part by part: the same samples as read whole, in bounded memory, and files that lie."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.errors import InputError
from tests.guards import bounded_memory, no_hang
from tests.strategies import examples
from trainer.data import array_files, streams
from trainer.data.datasets import load_dataset, open_dataset

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (23, 2, 4, 5)).astype(np.uint8)
LABELS = RANDOM.integers(0, 4, 23)
PARTS = {"x": IMAGES, "y": LABELS, "x_test": IMAGES[:9], "y_test": LABELS[:9]}
LITTLE_MEMORY = 96 << 20  # bytes, for files of 300 MB


def as_idx(folder, arrays, packed):
    for prefix, end in (("train", ""), ("t10k", "_test")):
        for what, name in (("images-idx3", "x"), ("labels-idx1", "y")):
            array = arrays[name + end].astype(np.uint8)
            array = array[:, 0] if array.ndim == 4 else array
            head = struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape)
            content = head + array.tobytes()
            file = folder / f"{prefix}-{what}-ubyte{'.gz' * packed}"
            file.write_bytes(gzip.compress(content) if packed else content)
    return f"idx:{folder}"


def as_npz(folder, arrays, save):
    save(folder / "set.npz", **arrays)
    return f"npz:{folder / 'set.npz'}"


def as_npy(folder, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return f"npy:{folder}"


def without(*names):
    return {name: array for name, array in PARTS.items() if name not in names}


FORMS = {
    "idx": lambda folder: as_idx(folder, PARTS, False),
    "idx.gz": lambda folder: as_idx(folder, PARTS, True),
    "npz stored": lambda folder: as_npz(folder, PARTS, np.savez),
    "npz deflated": lambda folder: as_npz(folder, PARTS, np.savez_compressed),
    "npz in one part": lambda folder: as_npz(folder, without("x_test", "y_test"), np.savez),
    "npy": lambda folder: as_npy(folder, PARTS),
    "npy in one part": lambda folder: as_npy(folder, without("x_test", "y_test")),
    "column-major": lambda folder: as_npy(folder, PARTS | {"x": np.asfortranarray(IMAGES)}),
}


def joined(batches):
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_stream_is_the_whole_in_parts(tmp_path, form, split):
    data = FORMS[form](tmp_path)
    whole, stream = load_dataset(data, split), open_dataset(data, split)
    expected = IMAGES[:, :1] if form.startswith("idx") else IMAGES
    assert stream.samples == len(whole) and stream.shape == expected.shape[1:]
    assert whole.images.dtype == np.int8 and whole.labels.dtype == np.int64
    if "one part" not in form:
        expected = expected[: len(PARTS["y_test"])] if split == "test" else expected
        assert np.array_equal(whole.images.astype(int) + 128, expected)
        assert np.array_equal(whole.labels, LABELS[: len(expected)])
    for size in (1, 4, 100):
        batches = list(stream.batches(size))
        assert max(len(labels) for _, labels in batches) <= size
        images, labels = joined(batches)
        assert np.array_equal(images, whole.images) and np.array_equal(labels, whole.labels)
        images, labels = joined(stream.batches(size, limit=3))
        assert np.array_equal(images, whole.images[:3]) and len(labels) == 3


def test_a_part_of_a_stream_has_every_fifth_of_each_class(tmp_path):
    """The classes are counted on from batch to batch."""
    data = FORMS["npz in one part"](tmp_path)
    expected = [np.flatnonzero(label == LABELS)[4::5] for label in range(4)]
    places = np.sort(np.concatenate(expected))
    images, labels = joined(open_dataset(data, "test").batches(2))
    assert np.array_equal(images.astype(int) + 128, IMAGES[places])
    assert np.array_equal(labels, LABELS[places])


@pytest.mark.parametrize(
    ("labels", "count", "places"),
    [
        ([0, 0, 0, 1, 1, 2], 4, [0, 1, 3, 5]),
        ([2, 2, 1], 2, [0, 2]),
        ([5, 5], 9, [0, 1]),
        ([3, 1], None, [0, 1]),
        ([], 3, []),
    ],
)
def test_the_first_of_each_class(labels, count, places):
    assert streams.first_of_each(np.array(labels, int), count).tolist() == places


def test_a_stream_of_a_shipped_set():
    stream = open_dataset("fashion", "test")
    images, labels = joined(stream.batches(999))
    whole = load_dataset("fashion", "test")
    assert stream.samples == 4000 and np.array_equal(images, whole.images)
    assert np.array_equal(labels, whole.labels)


def test_labels_by_pixel(tmp_path):
    classes = RANDOM.integers(0, 3, (23, 4, 5)).astype(np.uint8)
    data = as_npz(tmp_path, {"x": IMAGES, "y": classes}, np.savez)
    train, test = (open_dataset(data, split) for split in ("train", "test"))
    assert (train.samples, test.samples) == (19, 4)
    assert np.array_equal(joined(test.batches(3))[1], classes[4::5])


def test_no_labels(tmp_path):
    stream = open_dataset(as_npy(tmp_path, {"x": IMAGES}), "test")
    assert stream.labels is None and stream.samples == 23
    batches = list(stream.batches(10))
    assert [len(images) for images, _ in batches] == [10, 10, 3]
    assert all(labels is None for _, labels in batches)


# ---- large files --------------------------------------------------------------------------------

ROW = 1 << 20  # bytes of a sample
COUNT = 300


def write_header(stream, shape):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def sparse_npy(folder):
    with (folder / "x.npy").open("wb") as stream:
        write_header(stream, (COUNT, 1, 1024, 1024))
        stream.truncate(stream.tell() + COUNT * ROW)
    np.save(folder / "y.npy", np.zeros(COUNT, np.uint8))
    return f"npy:{folder}"


def large_npz(folder):
    labels = io.BytesIO()
    np.save(labels, np.zeros(COUNT, np.uint8))
    packing = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(folder / "set.npz", "w", packing, compresslevel=1) as archive:
        archive.writestr("y.npy", labels.getvalue())
        with archive.open("x.npy", "w") as stream:
            write_header(stream, (COUNT, 1, 1024, 1024))
            for _ in range(COUNT):
                stream.write(bytes(ROW))
    return f"npz:{folder / 'set.npz'}"


def large_idx(folder):
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as stream:
        stream.write(struct.pack(">4I", 0x803, COUNT, 1024, 1024))
        for _ in range(COUNT):
            stream.write(bytes(ROW))
    labels = struct.pack(">2I", 0x801, COUNT) + bytes(COUNT)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    return f"idx:{folder}"


@pytest.mark.parametrize("write", [sparse_npy, large_npz, large_idx])
def test_a_large_file_takes_little_memory(tmp_path, write):
    data, done = write(tmp_path), 0
    with bounded_memory(LITTLE_MEMORY):
        stream = open_dataset(data, "test")
        for images, labels in stream.batches():
            done += len(images)
            assert len(images) == len(labels) and images[-1, 0, -1, -1] == -128
    assert done == stream.samples == (COUNT if write is large_idx else COUNT // 5)


# ---- files that lie -----------------------------------------------------------------------------


def npy(array, version=(1, 0)):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    return stream.getvalue()


def head(shape, kind="|u1"):
    stream = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


GOOD = npy(IMAGES)
LIES = {
    "fewer": (GOOD[:-1], "x.npy says uint8 (23, 2, 4, 5), 920 bytes, but holds only 919"),
    "more": (GOOD + b"x", "x.npy says uint8 (23, 2, 4, 5), 920 bytes, but holds more"),
    "large sample": (
        head((23, 1, 1 << 20, 1 << 20)),
        "1099511627776 of them a sample; 1 to 67108864 can be read",
    ),
    "column-major": (
        head((23, 1, 1 << 12, 1 << 14)).replace(b"False", b"True "),
        "1 to 1073741824 can be read (by parts: only row-major arrays)",
    ),
    "endless header": (b"\x93NUMPY\x02\0\xff\xff\xff\xff" + bytes(99), "no valid .npy header"),
    "deep header": (b"\x93NUMPY\x01\0\xe8\x03" + b"(" * 1000, "no valid .npy header"),
    "pickle": (npy(np.array([{}], object)), "only numbers are read"),
    "rubbish": (b"rubbish", "x.npy has no valid .npy header"),
    "empty": (b"", "x.npy has no valid .npy header"),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_lying_file_is_found_before_memory_is_taken(tmp_path, case, kind):
    content, message = LIES[case]
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.write(tmp_path / name, name)
    data = f"npz:{tmp_path / 'set.npz'}" if kind == "npz" else f"npy:{tmp_path}"
    with bounded_memory(LITTLE_MEMORY), no_hang(), pytest.raises(InputError) as caught:
        list(open_dataset(data, "test").batches(4))
    assert message in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_member_may_not_unpack_without_bound(tmp_path):
    """lzma and bz2, as zipfile reads them, give any amount for a few bytes."""
    with zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", GOOD)
    with pytest.raises(InputError, match=r"x\.npy is packed by method 14; stored and deflated"):
        open_dataset(f"npz:{tmp_path / 'set.npz'}", "test")


def test_a_damaged_member_is_told_at_its_place(tmp_path):
    data = as_npz(tmp_path, PARTS, np.savez_compressed)
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[len(content) // 8] ^= 0xFF
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"set\.npz: cannot be read"):
        list(open_dataset(data, "train").batches(4))


BAD_LABELS = {
    "another count": (LABELS[:5], "5 labels for 23 images"),
    "by column": (np.zeros((23, 4), int), "one integer a sample is needed, or one a pixel"),
    "large": (LABELS + 2000, "labels reach from 2000 to 2003; 0..1023 is possible"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_are_none(tmp_path, case):
    labels, message = BAD_LABELS[case]
    with pytest.raises(InputError) as caught:
        open_dataset(as_npy(tmp_path, {"x": IMAGES, "y": labels}), "test")
    assert message in str(caught.value) and "y.npy" in str(caught.value)


VALID = (GOOD, npy(LABELS), npy(IMAGES, (2, 0)))


@examples(150)
@given(
    content=st.sampled_from(VALID),
    flips=st.lists(st.tuples(st.integers(0, 140), st.integers(0, 255)), min_size=1, max_size=6),
    packed=st.booleans(),
    damage=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=3),
)
def test_changed_bytes_are_read_or_refused(tmp_path, content, flips, packed, damage):
    changed = bytearray(content)
    for place, byte in flips:
        changed[place % len(changed)] = byte
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "x.npy").write_bytes(changed)
    data = f"npy:{tmp_path}"
    if packed:
        with zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("x.npy", "y.npy"):
                archive.write(tmp_path / name, name)
        archive_bytes = bytearray((tmp_path / "set.npz").read_bytes())
        for place, byte in damage:
            archive_bytes[place % len(archive_bytes)] = byte
        (tmp_path / "set.npz").write_bytes(archive_bytes)
        data = f"npz:{tmp_path / 'set.npz'}"
    with no_hang():
        try:
            for images, _ in open_dataset(data, "test").batches(4):
                assert images.dtype == np.int8
        except InputError as error:
            assert "\n" not in str(error)


def test_limits_are_those_of_the_chip():
    assert streams.CLASS_LIMIT == 1024
    assert array_files.SAMPLE_LIMIT >= 1024 * 1024  # data memory has half of that
