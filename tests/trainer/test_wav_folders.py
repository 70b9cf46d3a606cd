"""Folders of spoken words: classes, parts, and reading file by file."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from max78k_sim.errors import InputError
from trainer.data import audio
from trainer.data.datasets import load_dataset, open_dataset
from trainer.data.wav_folders import KWS20_WORDS, part_by_speaker

WORDS = ("cat", "stop", "left")
SPEAKERS = tuple(hashlib.sha1(bytes([number])).hexdigest()[:8] for number in range(40))


def make(folder, words=WORDS, speakers=SPEAKERS[:6]):
    """A folder with a file of each word and speaker; returns "wav:FOLDER"."""
    for label, word in enumerate(words):
        (folder / word).mkdir(parents=True)
        for place, speaker in enumerate(speakers):
            samples = np.full(3, 256 * ((10 * label + place) % 120), np.int16)
            audio.write_wav(folder / word / f"{speaker}_nohash_0.wav", samples)
    return f"wav:{folder}"


def first_samples(dataset):
    return dataset.images[:, 0, 0, 0].tolist()


def test_classes_are_kws20s_first_then_the_alphabet(tmp_path):
    data = make(tmp_path / "words", (*WORDS, "ant"), SPEAKERS[:1])
    (tmp_path / "words" / "_background_noise_").mkdir()
    whole = load_dataset(data, "all")
    assert whole.name == "words" and whole.class_names == ("left", "stop", "ant", "cat")
    assert whole.labels.tolist() == [0, 1, 2, 3] and first_samples(whole) == [20, 10, 30, 0]
    assert whole.images.shape == (4, 128, 128, 1) and whole.images.dtype == np.int8


def test_kws20_has_a_class_for_all_other_words(tmp_path):
    data = make(tmp_path, ("cat", *KWS20_WORDS, "ant"), SPEAKERS[:2])
    whole = load_dataset(data.replace("wav", "kws20"), "all")
    assert whole.class_names == (*KWS20_WORDS, "unknown")
    assert np.bincount(whole.labels).tolist() == [2] * 20 + [4]
    (tmp_path / "go").rename(tmp_path / "goes")
    with pytest.raises(InputError, match="has no folder go; wav:DIRECTORY takes the words that"):
        load_dataset(f"kws20:{tmp_path}", "all")


def test_parts_by_the_folders_own_lists(tmp_path):
    data = make(tmp_path)
    names = [f"{speaker}_nohash_0.wav" for speaker in SPEAKERS]
    tmp_path.joinpath("testing_list.txt").write_text(f"cat/{names[3]}\nstop/{names[1]}\n")
    tmp_path.joinpath("validation_list.txt").write_text(f"cat/{names[0]}\nabsent/{names[0]}\n")
    assert sorted(first_samples(load_dataset(data, "test"))) == [3, 11]
    assert first_samples(load_dataset(data, "validation")) == [0]
    train = first_samples(load_dataset(data, "train"))
    assert len(train) == 15 and not {0, 3, 11} & set(train)


def test_a_file_is_in_one_list(tmp_path):
    data = make(tmp_path)
    tmp_path.joinpath("testing_list.txt").write_text("cat/a.wav\n")
    tmp_path.joinpath("validation_list.txt").write_text("stop/a.wav\ncat/a.wav\n")
    with pytest.raises(InputError, match=r"validation_list.txt:2: cat/a.wav is in testing_list"):
        load_dataset(data, "train")


def test_parts_by_speaker_share_none(tmp_path):
    """Each speaker's samples have a value of their own."""
    data = make(tmp_path, ("up",), SPEAKERS)
    parts = [first_samples(load_dataset(data, split)) for split in ("train", "validation", "test")]
    assert all(parts)
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(len(SPEAKERS)))


def test_the_rule_is_that_of_speech_commands():
    """In the steps of its README: a percentage of 2**27 - 1, compared with 10 and 20."""
    names = [f"{speaker}_nohash_{number}.wav" for speaker in SPEAKERS for number in (0, 7)]
    for name in names:
        digits = hashlib.sha1(name.split("_nohash_")[0].encode()).hexdigest()
        percentage = (int(digits, 16) % 2**27) * (100.0 / (2**27 - 1))
        expected = "validation" if percentage < 10 else "test" if percentage < 20 else "train"
        assert part_by_speaker(name) == expected
    shares = [part_by_speaker(f"{number}_nohash_0.wav") for number in range(5_000)]
    assert 440 < shares.count("validation") < 560 and 440 < shares.count("test") < 560


def test_files_are_read_when_their_turn_comes(tmp_path):
    data = make(tmp_path)
    broken = sorted(tmp_path.glob("cat/*.wav"))[-1]
    broken.write_bytes(b"no sound")
    stream = open_dataset(data, "all")
    assert stream.samples == 18 and stream.shape == (128, 128, 1)
    images, labels = zip(*stream.batches(4, limit=16), strict=True)
    assert len(np.concatenate(images)) == 16 and np.concatenate(labels).max() == 2
    with pytest.raises(InputError) as caught:
        stream.load()
    assert str(caught.value).startswith(f"{broken}: is no wav file that can be read")


def test_batches_are_the_whole_in_parts(tmp_path):
    stream = open_dataset(make(tmp_path), "all")
    whole = stream.load()
    for size in (1, 5, 100):
        images, labels = zip(*stream.batches(size), strict=True)
        assert np.array_equal(np.concatenate(images), whole.images)
        assert np.array_equal(np.concatenate(labels), whole.labels)


FOLDER_FAULTS = {
    "absent": (lambda folder: None, "is not a directory; give one with a sub-folder of wav files"),
    "empty": (lambda folder: folder.mkdir(), "has no sub-folder; one for each word is needed"),
    "noise only": (lambda folder: (folder / "_noise_").mkdir(parents=True), "has no sub-folder"),
    "no files": (
        lambda folder: (folder / "up").mkdir(parents=True),
        "holds no train files; give FOLDER/word/file.wav, or another split",
    ),
}


@pytest.mark.parametrize("case", FOLDER_FAULTS)
def test_faults_of_folders(tmp_path, case):
    prepare, message = FOLDER_FAULTS[case]
    prepare(tmp_path / "set")
    with pytest.raises(InputError) as caught:
        open_dataset(f"wav:{tmp_path / 'set'}", "train")
    assert str(caught.value).startswith(f"{tmp_path / 'set'}: {message}")


@pytest.mark.parametrize("data", ["fashion", "digits", "npz:a.npz"])
def test_other_kinds_have_no_validation_part(data):
    with pytest.raises(InputError, match="has no validation part; give split train or test"):
        open_dataset(data, "validation")
