"""A spoken word in a wav file as the input of the vendor's keyword networks (KWS20).

One second and a bit, 16,384 samples at 16 kHz, becomes int8 [128 channels, 128 rows, 1 column]:
channel c of row t is sample 128 * t + c, so that a row is 8 ms and a channel a place inside it.

Sources: ai8x-training, datasets/kws20.py: what is kept of a recording (``speed_augment_multiple``),
8 bits (``quantize_audio``: 128 * (x + 1), rounded half to even, clipped to 0..255, and 128 taken
off again by ``ai8x.normalize``), folding (``__reshape_audio``: rows of 128, transposed).  The
vendor's firmware (kws20_demo, ``AddTranspose``) folds alike, but cuts 16 bits to 8 towards zero,
and takes the microphone four times as loud.
"""

from __future__ import annotations

import io
import math
import wave
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError, printable

RATE = 16_000  # Hz
FOLD = 128  # channels, and rows
SAMPLES = FOLD * FOLD  # of one input: 1.024 s
INPUT_SHAPE = (FOLD, FOLD, 1)  # channels, rows, columns
MARGIN = 1_600  # samples at either end of a long recording that may be cut off: the vendor's 0.1 s
SECONDS_LIMIT = 120  # of one file
RATES = (4_000, 192_000)  # Hz, that are resampled


def read_keyword(file: Path) -> np.ndarray:
    """A wav file as a network's input: int8 [128, 128, 1]; InputError names the file."""
    return fold(one_second(read_wav(file)))


def read_wav(file: Path) -> np.ndarray:
    """The samples of a mono 16-bit wav file at 16 kHz: int16 [sample]; other rates are resampled.

    InputError for what is no such file, is cut off, or is longer than SECONDS_LIMIT.
    """
    try:
        return parse_wav(file.read_bytes(), file)
    except OSError as error:
        raise InputError(f"cannot be read: {printable(error)}", file=file) from error


def parse_wav(data: bytes, file: object) -> np.ndarray:
    """The same of a wav file's bytes; ``file``: its name, for messages."""
    try:
        with wave.open(io.BytesIO(data)) as source:
            channels, width = source.getnchannels(), source.getsampwidth()
            rate, count = source.getframerate(), source.getnframes()
            check_format(channels, width, rate, count, file)
            frames = source.readframes(count)
    except (wave.Error, EOFError) as error:
        what = printable(error) or "it ends too early"
        raise InputError(
            f"is no wav file that can be read ({what}); PCM of 16 bits, mono, {RATE} Hz is needed",
            file=file,
        ) from error
    if len(frames) != 2 * count:
        raise InputError(
            f"says {count} samples, but holds only {len(frames) // 2}; copy it again", file=file
        )
    return resampled(np.frombuffer(frames, "<i2").astype(np.int16), rate, file)


def check_format(channels: int, width: int, rate: int, count: int, file: object) -> None:
    """InputError unless these are samples that can be read."""
    if channels != 1:
        raise InputError(f"has {channels} channels; 1 is needed (mono)", file=file)
    if width != 2:
        raise InputError(f"has samples of {8 * width} bits; 16 are needed", file=file)
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"has {rate} samples a second; {RATES[0]} to {RATES[1]} are read, best {RATE}",
            file=file,
        )
    if not 0 < count <= SECONDS_LIMIT * rate:
        raise InputError(
            f"has {count} samples at {rate} Hz; 1 to {SECONDS_LIMIT * rate} are read "
            f"({SECONDS_LIMIT} s)",
            file=file,
        )


def resampled(samples: np.ndarray, rate: int, file: object) -> np.ndarray:
    """int16 [sample] at ``rate`` as int16 [sample] at RATE (a polyphase filter of scipy)."""
    if rate == RATE:
        return samples
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise InputError(
            f"has {rate} samples a second; {RATE} are needed, or scipy, which resamples: "
            'pip install "max78k[audio]"',
            file=file,
        ) from error
    common = math.gcd(RATE, rate)
    values = resample_poly(samples.astype(np.float64), RATE // common, rate // common)
    return np.clip(np.rint(values), -(1 << 15), (1 << 15) - 1).astype(np.int16)


def one_second(samples: np.ndarray) -> np.ndarray:
    """What the vendor keeps of a recording: [SAMPLES].

    Short ones are followed by silence.  Of long ones, the beginning, as long as no more than MARGIN
    is lost at the end; then the end, less MARGIN; then the middle.
    """
    count = len(samples)
    if count < SAMPLES:
        return np.pad(samples, (0, SAMPLES - count))
    end = count - MARGIN
    if end - MARGIN <= SAMPLES:
        start = max(end, SAMPLES) - SAMPLES
    else:
        start = (MARGIN + end) // 2 - SAMPLES // 2
    return samples[start : start + SAMPLES]


def fold(samples: np.ndarray) -> np.ndarray:
    """int16 [..., SAMPLES] -> int8 [..., channel, row, 1], rounded half to even and clipped."""
    return folded(np.clip(np.rint(samples / 256), -128, 127).astype(np.int8))


def folded(samples: np.ndarray) -> np.ndarray:
    """[..., SAMPLES], in time's order -> [..., channel, row, 1]."""
    rows = samples.reshape(*samples.shape[:-1], FOLD, FOLD)
    return np.ascontiguousarray(np.swapaxes(rows, -1, -2)[..., np.newaxis])


def unfolded(images: np.ndarray) -> np.ndarray:
    """[..., channel, row, 1] -> [..., SAMPLES]: the inverse of ``folded``."""
    return np.swapaxes(images[..., 0], -1, -2).reshape(*images.shape[:-3], SAMPLES)


def write_wav(file: Path, samples: np.ndarray) -> None:
    """int16 [sample] as a mono wav file at RATE."""
    with wave.open(str(file), "wb") as target:
        target.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        target.writeframes(samples.astype("<i2").tobytes())
