"""Wav files to the vendor's KWS20 input: bits, folding, what is kept, and files that lie."""

from __future__ import annotations

import sys
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from max78k_sim.errors import InputError
from tests.strategies import examples
from trainer.data import audio

RAMP = np.arange(-800, 800, dtype=np.int16) * 40


def wav(file, samples=RAMP, *, channels=1, width=2, rate=audio.RATE):
    """A wav file of any kind; ``samples``: int16, of which other widths keep the bytes."""
    with wave.open(str(file), "wb") as target:
        target.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        target.writeframes(samples.astype("<i2").tobytes())
    return file


def test_all_sixteen_bit_values_as_the_vendor_quantises_them():
    """In its own steps: to -1..1, to 0..255 in 256 steps, to 0..1, less a half, times 256."""
    values = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
    real = values.astype(np.float32) / 32768
    steps = np.uint8(np.clip(np.round((real - (-1.0)) / (2.0 / 2**8)), 0, 255))
    expected = np.clip(np.round((steps.astype(np.float32) / 256 - 0.5) * 256), -128, 127)
    blocks = values.reshape(4, audio.SAMPLES)
    assert np.array_equal(audio.unfolded(audio.fold(blocks)).ravel(), expected.astype(np.int8))


# 16-bit value, 8-bit value
ROUNDING = [(0, 0), (127, 0), (128, 0), (129, 1), (384, 2), (-128, 0), (-384, -2), (-385, -2),
            (32639, 127), (32767, 127), (-32768, -128)]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), ROUNDING)
def test_halves_go_to_even_and_the_largest_is_clipped(value, expected):
    image = audio.fold(np.full(audio.SAMPLES, value, np.int16))
    assert image.dtype == np.int8 and image.shape == (128, 128, 1)
    assert (image == expected).all()


def test_a_channel_is_a_place_in_eight_milliseconds():
    """Sample i is channel i % 128 of row i // 128: the vendor's firmware counts columns so."""
    samples = np.zeros(audio.SAMPLES, np.int16)
    samples[5 * 128 + 77] = 100 * 256
    assert np.argwhere(audio.fold(samples)).tolist() == [[77, 5, 0]]


@given(arrays.arrays(np.int8, (3, audio.SAMPLES)))
@examples(20)
def test_folding_loses_nothing(samples):
    assert np.array_equal(audio.unfolded(audio.folded(samples)), samples)


# samples in the file, the first that is kept, how many are
KEPT = [(1, 0, 1), (16_000, 0, 16_000), (16_384, 0, 16_384), (17_984, 0, 16_384),
        (18_500, 516, 16_384), (19_584, 1_600, 16_384), (19_585, 1_600, 16_384),
        (30_000, 6_808, 16_384)]  # fmt: skip


@pytest.mark.parametrize(("count", "first", "kept"), KEPT)
def test_what_is_kept_of_a_recording(count, first, kept):
    second = audio.one_second(np.arange(1, count + 1))
    assert len(second) == audio.SAMPLES
    assert np.array_equal(second[:kept], np.arange(first + 1, first + kept + 1))
    assert not second[kept:].any()


def test_a_file_is_read_as_it_was_written(tmp_path):
    audio.write_wav(tmp_path / "a.wav", RAMP)
    assert np.array_equal(audio.read_wav(tmp_path / "a.wav"), RAMP)
    expected = audio.fold(np.pad(RAMP, (0, audio.SAMPLES - len(RAMP))))
    assert np.array_equal(audio.read_keyword(tmp_path / "a.wav"), expected)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_keeps_a_tone_where_it_is(tmp_path, rate):
    tone = 8_000 * np.sin(2 * np.pi * 1_000 * np.arange(rate) / rate)
    samples = audio.read_wav(wav(tmp_path / "tone.wav", tone, rate=rate))
    assert samples.dtype == np.int16 and len(samples) == audio.RATE
    expected = 8_000 * np.sin(2 * np.pi * 1_000 * np.arange(audio.RATE) / audio.RATE)
    assert np.abs(samples - expected)[400:-400].max() < 60  # the ends ring


def test_another_rate_needs_scipy(tmp_path, monkeypatch):
    file = wav(tmp_path / "tone.wav", rate=44_100)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(InputError, match=r"tone.wav: has 44100 samples a second; 16000 .*\[audio]"):
        audio.read_wav(file)


REFUSED = {
    "stereo": (lambda file: wav(file, channels=2), "has 2 channels; 1 is needed (mono)"),
    "8 bits": (lambda file: wav(file, width=1), "has samples of 8 bits; 16 are needed"),
    "slow": (lambda file: wav(file, rate=100), "100 samples a second; 4000 to 192000 are read"),
    "empty": (lambda file: wav(file, RAMP[:0]), "has 0 samples at 16000 Hz; 1 to 1920000 are"),
    "cut": (
        lambda file: file.write_bytes(wav(file).read_bytes()[:-100]),
        "says 1600 samples, but holds only 1550; copy it again",
    ),
    "no header": (lambda file: file.write_bytes(b"RIFF"), "is no wav file that can be read"),
    "text": (lambda file: file.write_bytes(b"stop" * 40), "PCM of 16 bits, mono, 16000 Hz"),
    "absent": (lambda file: None, "cannot be read: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_name_file_and_cause(tmp_path, case):
    make, message = REFUSED[case]
    file = tmp_path / "bad.wav"
    make(file)
    with pytest.raises(InputError) as caught:
        audio.read_wav(file)
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)
