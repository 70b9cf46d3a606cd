"""EMNIST under its own names: upright images, labels from 0, packed or not."""

from __future__ import annotations

import gzip
import string

import numpy as np
import pytest

from max78k_sim.errors import InputError
from tests.unit.test_datasets import idx_bytes, write_idx
from trainer.data.datasets import load_dataset, open_dataset
from trainer.data.idx_folders import changed, idx_array

STORED = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4) * 2  # [sample, column, row]
LETTERS = np.array([1, 2, 26, 1, 3, 2], np.uint8)


def write_emnist(directory, name="letters", images=STORED, labels=LETTERS, packed=False):
    """The four files of one set; the test part is the train part reversed."""
    pack, end = (gzip.compress, ".gz") if packed else (bytes, "")
    for split, order in (("train", slice(None)), ("test", slice(None, None, -1))):
        for what, values in (("images-idx3", images[order]), ("labels-idx1", labels[order])):
            file = directory / f"emnist-{name}-{split}-{what}-ubyte{end}"
            file.write_bytes(pack(idx_bytes(values)))


@pytest.mark.parametrize("packed", [False, True])
def test_letters_stand_upright_and_count_from_zero(tmp_path, packed):
    write_emnist(tmp_path, packed=packed)
    train, test = (load_dataset(f"idx:{tmp_path}", split) for split in ("train", "test"))
    assert train.name == "emnist-letters" and train.images.dtype == np.int8
    pixels = train.images[:, 0].astype(int) + 128
    for row, column in np.ndindex(4, 4):
        assert np.array_equal(pixels[:, row, column], STORED[:, column, row])
    assert train.labels.tolist() == [0, 1, 25, 0, 2, 1]
    assert train.class_names == tuple(string.ascii_uppercase)
    assert np.array_equal(test.images, train.images[::-1])
    stream = open_dataset(f"idx:{tmp_path}", "train")
    images, labels = zip(*stream.batches(4), strict=True)
    assert np.array_equal(np.concatenate(images), train.images)
    assert np.array_equal(np.concatenate(labels), train.labels)


def test_one_of_several_sets_is_named(tmp_path):
    write_emnist(tmp_path)
    write_emnist(tmp_path, "digits", labels=LETTERS % 10)
    digits = load_dataset(f"idx:{tmp_path / 'emnist-digits'}", "train")
    assert digits.labels.tolist() == [1, 2, 6, 1, 3, 2]
    assert digits.class_names == tuple("0123456789") and digits.name == "emnist-digits"
    with pytest.raises(InputError) as caught:
        load_dataset(f"idx:{tmp_path}", "train")
    expected = f"holds several sets; give one: idx:{tmp_path}/emnist-digits, idx:{tmp_path}/emnist-"
    assert expected in str(caught.value)


def test_names_come_from_the_mapping_file(tmp_path):
    write_emnist(tmp_path, "balanced", labels=np.array([0, 10, 36, 2, 1, 0], np.uint8))
    (tmp_path / "emnist-balanced-mapping.txt").write_text("0 48\n1 49\n2 50\n10 65\n36 97\n")
    names = load_dataset(f"idx:{tmp_path}", "test").class_names
    assert (names[0], names[10], names[36], names[5], len(names)) == ("0", "A", "a", "5", 37)
    write_emnist(tmp_path)
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n26 90 122\n")
    letters = load_dataset(f"idx:{tmp_path / 'emnist-letters'}", "test")
    assert (letters.class_names[0], letters.class_names[25]) == ("A", "Z")


def test_mnists_names_come_first_and_are_left_as_they_are(tmp_path):
    write_emnist(tmp_path)
    write_idx(tmp_path)
    assert load_dataset(f"idx:{tmp_path}", "train").images.shape == (6, 1, 4, 5)


def test_a_changed_array_is_changed_whole_and_in_parts(tmp_path):
    write_emnist(tmp_path)
    file = tmp_path / "emnist-letters-train-images-idx3-ubyte"
    less = changed(idx_array(file, 0x803), lambda values: values // 2)
    assert np.array_equal(less.read(), STORED // 2)
    assert np.array_equal(np.concatenate(list(less.parts(4))), STORED // 2)


FAULTS = {
    "label 0": ({"labels": LETTERS - 1}, "has a label 0; those of emnist-letters begin at 1"),
    "not square": ({"images": np.zeros((6, 4, 5), np.uint8)}, "has images of (4, 5); EMNIST's are"),
    "fewer labels": ({"labels": LETTERS[:5]}, "5 labels for 6 images"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults(tmp_path, case):
    what, message = FAULTS[case]
    write_emnist(tmp_path, **what)
    with pytest.raises(InputError) as caught:
        load_dataset(f"idx:{tmp_path}", "train")
    assert message in str(caught.value) and "emnist-letters-train-" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A is 65\n", "cannot be read: invalid"),
        ("1 65\n999999999 66\n", "has a label 999999999; up to 1024 is possible"),
        ("1 99999999999\n", "cannot be read"),
        ("1\n", "cannot be read"),
    ],
)
def test_a_damaged_mapping_file(tmp_path, content, message):
    write_emnist(tmp_path)
    (tmp_path / "emnist-letters-mapping.txt").write_text(content)
    with pytest.raises(InputError, match=f"emnist-letters-mapping.txt: {message}"):
        load_dataset(f"idx:{tmp_path}", "train")
