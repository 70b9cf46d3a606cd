"""The plan of a synthetic set, its noise, and what is written; the speaker here is a tone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import cli
from max78k_sim.errors import InputError
from trainer.data import noises, synthetic_keywords
from trainer.data.audio import RATE, read_wav
from trainer.data.datasets import load_dataset
from trainer.data.synthetic_keywords import COUNTS, SPLITS, VARIANTS, WORDS, make_keywords, plan
from trainer.data.wav_folders import KWS20_WORDS

SMALL = {"train": 3, "validation": 2, "test": 2, "foreign": 1}


def tone(clip):
    """A word of its own length and pitch, without the programs."""
    time = np.arange(4_000 + 100 * WORDS.index(clip.word))
    return (9_000 * np.sin(time * clip.speed / 900)).astype(np.int16)


def test_no_voice_is_in_two_parts():
    voices = [set(part) for part in VARIANTS.values()]
    assert sum(map(len, voices)) == len(set().union(*voices))
    spoken = {split: {c.voice for c in plan(1) if c.split == split} for split in SPLITS}
    assert [len(spoken[split]) for split in SPLITS] == [68, 9, 10, 5]
    names = {c.file.split("/")[1].split("_")[0] for c in plan(1)}
    assert len(names) == 68 + 9 + 10 + 5  # so that names tell voices apart


def test_a_plan_is_balanced_and_all_of_it_is_used():
    clips = plan(7)
    assert len(clips) == 20 * sum(COUNTS.values()) == len({(c.engine, c.file) for c in clips})
    for split, count in COUNTS.items():
        words = Counter(clip.word for clip in clips if clip.split == split)
        assert words == dict.fromkeys(KWS20_WORDS, count)
    assert len({clip.number for clip in clips}) == len(clips)
    for field, least in (("snr", 26), ("peak", 76), ("accent", 9), ("noise", 4), ("shift", 2_000)):
        assert len({getattr(clip, field) for clip in clips}) >= least


def test_a_plan_depends_on_its_seed_and_a_clip_not_on_the_counts():
    assert plan(3) == plan(3) != plan(4)
    assert set(plan(3, SMALL)) < set(plan(3))
    with pytest.raises(InputError, match="0 to 65536 files of each word"):
        plan(3, {"train": 65_537})


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_set_is_the_same_every_time_and_reads_back(tmp_path, jobs):
    made = [
        make_keywords(tmp_path / name, 5, SMALL, tone, n) for name, n in (("a", 1), ("b", jobs))
    ]
    assert made[0] == made[1] == {split: 20 * count for split, count in SMALL.items()}
    files = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 20 * 8 + 2 * 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    folders = [f"wav:{tmp_path / 'a' / name}" for name in synthetic_keywords.FOLDERS.values()]
    for split in ("train", "validation", "test"):
        dataset = load_dataset(folders[0], split)
        assert dataset.class_names == KWS20_WORDS and dataset.name == "keywords-synthetic"
        assert np.bincount(dataset.labels).tolist() == [SMALL[split]] * 20
    assert len(load_dataset(folders[1], "test")) == 20


def test_other_words_change_nothing_of_the_first_twenty(tmp_path):
    for name, words in (("few", 20), ("all", 35)):
        make_keywords(tmp_path / name, 5, {"train": 2, "test": 1}, tone, words=words)
    few = sorted((tmp_path / "few").rglob("*.wav"))
    assert len(few) == 20 * 3
    for file in few:
        twin = tmp_path / "all" / file.relative_to(tmp_path / "few")
        assert file.read_bytes() == twin.read_bytes()
    folder = tmp_path / "all" / "keywords-synthetic"
    assert load_dataset(f"wav:{folder}", "train").class_names == WORDS
    whole = load_dataset(f"kws20:{folder}", "test")
    assert np.bincount(whole.labels).tolist() == [1] * 20 + [15] and "unknown" in whole.class_names
    assert "105 clips of 35 words" in (folder / "README.md").read_text()


def test_what_is_written_says_that_it_is_synthetic(tmp_path):
    make_keywords(tmp_path / "a", 5, SMALL, tone)
    folder = tmp_path / "a" / "keywords-synthetic"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["kind"] == "synthetic" and manifest["seed"] == 5
    assert len(manifest["clips"]) == 140
    assert all((folder / clip["file"]).is_file() for clip in manifest["clips"])
    assert "Synthetic: 140 clips" in (folder / "README.md").read_text()


@pytest.mark.parametrize("noise", ["none", "white", "pink", "babble"])
@pytest.mark.parametrize("snr", [5, 20])
def test_noise_is_as_loud_as_asked_for(noise, snr):
    clip = replace(plan(1)[0], noise=noise, snr=snr, shift=-700, peak=50)
    word = tone(clip)
    others = [tone(other) for other in plan(1)[200:2000:300]]
    sound = synthetic_keywords.heard(1, clip, word, others)
    assert sound.dtype == np.int16 and len(sound) == RATE
    assert abs(np.abs(sound.astype(int)).max() - 32_767 / 2) < 400
    placed = noises.placed(word, -700).astype(float)
    gain = (sound @ placed) / (placed @ placed)  # the part of the sound that is the word
    rest = sound - gain * placed
    ratio = 20 * np.log10(gain * noises.loudness(word) / max(1e-9, noises.loudness(rest)))
    assert ratio > 40 if noise == "none" else abs(ratio - snr) < 1


def test_white_is_flat_and_pink_falls_by_three_decibels_an_octave():
    bands = [(200, 400), (400, 800), (800, 1_600), (1_600, 3_200)]
    for make, per_octave in ((noises.white, 3), (noises.pink, 0)):  # power of an octave
        power = np.abs(np.fft.rfft(make(1, 2))) ** 2
        levels = [10 * np.log10(power[low:high].sum()) for low, high in bands]
        assert np.abs(np.diff(levels) - per_octave).max() < 1.5


# samples in the word, shift, where its first sample lies
PLACES = [(4_000, 0, 6_000), (4_000, 500, 6_500), (4_000, -9_000, 0), (4_000, 9_000, 12_000)]


@pytest.mark.parametrize(("count", "shift", "first"), PLACES)
def test_a_word_is_placed_whole(count, shift, first):
    second = noises.placed(np.ones(count, np.int16), shift)
    assert np.flatnonzero(second).tolist() == list(range(first, first + count))


def test_silence_around_a_word_is_cut_off():
    word = np.zeros(9_000, np.int16)
    word[3_000:5_000] = 1_000
    assert len(noises.trimmed(word)) == 2_000 + 2 * noises.EDGE
    assert len(noises.trimmed(np.zeros(50, np.int16))) == 50
    assert len(noises.placed(np.ones(20_000, np.int16), 0)) == RATE


def test_a_wav_from_a_pipe_gets_its_length(tmp_path):
    from trainer.data.audio import parse_wav, write_wav

    write_wav(tmp_path / "a.wav", np.arange(100, dtype=np.int16))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\x7f"
    samples = parse_wav(synthetic_keywords.with_length(bytes(data)), "a pipe")
    assert np.array_equal(samples, np.arange(100))
    assert len(read_wav(tmp_path / "a.wav")) == 100


def test_errors_are_for_people(tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match="is there already; give a new folder"):
        make_keywords(tmp_path, 1, SMALL, tone)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        make_keywords(tmp_path / "file" / "set", 1, SMALL, tone)
    monkeypatch.setenv("PATH", str(tmp_path))
    out = str(tmp_path / "set")
    assert cli.main(["keywords", "--out", out]) == 2
    assert "espeak-ng is not installed; on Debian and Ubuntu: apt" in capsys.readouterr().err
    assert cli.main(["keywords", "--out", out, "--counts", "1,2"]) == 2
    assert "--counts 1,2: 4 numbers from 0 up, not all of them 0" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_a_like_name_stays(tmp_path):
    (tmp_path / "set.tmp").mkdir()
    (tmp_path / "set.tmp" / "mine").touch()
    make_keywords(tmp_path / "set", 1, SMALL, tone)
    assert (tmp_path / "set.tmp" / "mine").exists() and len(list(tmp_path.iterdir())) == 2
