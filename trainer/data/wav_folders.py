"""Folders of spoken words, laid out like Speech Commands: one sub-folder a word, in it wav files.

Files are read when their turn comes, so a set may be larger than memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from max78k_sim.errors import InputError

from .array_files import ArrayFile, of_array, readable
from .audio import INPUT_SHAPE, read_keyword
from .streams import CLASS_LIMIT, Stream

KWS20_WORDS = (  # in the vendor's order: a word's place is its class
    "up", "down", "left", "right", "stop", "go", "yes", "no", "on", "off",
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero",
)  # fmt: skip
UNKNOWN = "unknown"
LISTS = {"test": "testing_list.txt", "validation": "validation_list.txt"}
SPEAKER_END = "_nohash_"  # what stands before it in a file's name says who speaks
HASH_RANGE = 1 << 27
SHARES = (("validation", 10), ("test", 20))  # of 100, up to which, where there are no lists


def read_wav_directory(location: str, split: str) -> Stream:
    """Every word of a folder; KWS20's words are classes first, in the vendor's order."""
    directory = Path(location)
    found = word_folders(directory)
    known = [word for word in KWS20_WORDS if word in found]
    names = (*known, *sorted(found - set(known)))
    if len(names) > CLASS_LIMIT:
        raise InputError(f"has {len(names)} words; {CLASS_LIMIT} are possible", file=directory)
    return stream_of(directory, split, {word: label for label, word in enumerate(names)}, names)


def read_kws20_directory(location: str, split: str) -> Stream:
    """KWS20's 20 words and, as the vendor has it, class 20: all other words, unknown."""
    directory = Path(location)
    found = word_folders(directory)
    absent = [word for word in KWS20_WORDS if word not in found]
    if absent:
        raise InputError(
            f"has no folder {', '.join(absent)}; wav:DIRECTORY takes the words that there are",
            file=directory,
        )
    others = {word: len(KWS20_WORDS) for word in found}
    classes = others | {word: label for label, word in enumerate(KWS20_WORDS)}
    return stream_of(directory, split, classes, (*KWS20_WORDS, UNKNOWN))


def stream_of(
    directory: Path, split: str, classes: dict[str, int], names: tuple[str, ...]
) -> Stream:
    """A part of a folder; ``classes``: the class of each sub-folder."""
    part_of = parts(directory)
    files = [
        (label, file)
        for label, word in sorted((label, word) for word, label in classes.items())
        for file in sorted((directory / word).glob("*.wav"))
        if split in ("all", part_of(file))
    ]
    if not files:
        raise InputError(
            f"holds no {split} files; give FOLDER/word/file.wav, or another split", file=directory
        )
    images = ArrayFile(
        directory,
        "the wav files",
        (len(files), *INPUT_SHAPE),
        np.dtype(np.int8),
        lambda: opened([file for _, file in files]),
    )
    labels = of_array(np.array([label for label, _ in files]), directory)
    return Stream(directory.name, images, labels, names, None, len(files))


def word_folders(directory: Path) -> set[str]:
    """Names of the sub-folders that are words: ``_background_noise_`` and hidden ones are none."""
    if not directory.is_dir():
        raise InputError(
            "is not a directory; give one with a sub-folder of wav files for each word",
            file=directory,
        )
    with readable(directory):
        names = {path.name for path in directory.iterdir() if path.is_dir()}
    words = {name for name in names if name[0] not in "_."}
    if not words:
        raise InputError("has no sub-folder; one for each word is needed", file=directory)
    return words


# ---- which part a file belongs to ---------------------------------------------------------------


def parts(directory: Path) -> Callable[[Path], str]:
    """By the folder's own lists (``LISTS``) if it has one, or else by who speaks."""
    lists = {split: directory / name for split, name in LISTS.items()}
    if not any(file.is_file() for file in lists.values()):
        return lambda file: part_by_speaker(file.name)
    listed: dict[str, str] = {}
    for split, file in lists.items():
        for number, line in enumerate(lines(file), 1):
            if listed.setdefault(line, split) != split:
                raise InputError(
                    f"{line} is in {LISTS['test']} too; a file is in one part only",
                    file=file,
                    line=number,
                )
    return lambda file: listed.get(f"{file.parent.name}/{file.name}", "train")


def lines(file: Path) -> list[str]:
    """Of a list, if there is one: a file a line, "word/name.wav"."""
    if not file.is_file():
        return []
    with readable(file):
        return file.read_text(encoding="utf-8").split()


def part_by_speaker(name: str) -> str:
    """The part of a file, so that no speaker is in two; 80, 10 and 10 of 100 speakers.

    The rule of Speech Commands itself (its README, ``which_set``): SHA-1 of the name up to
    ``_nohash_``, modulo 2**27, in percent of 2**27 - 1.
    """
    speaker = name.split(SPEAKER_END)[0].encode("utf-8", "surrogateescape")
    place = int(hashlib.sha1(speaker, usedforsecurity=False).hexdigest(), 16) % HASH_RANGE
    for split, share in SHARES:
        if place * 100 < share * (HASH_RANGE - 1):
            return split
    return "train"


# ---- files as one array -------------------------------------------------------------------------


class Inputs(io.RawIOBase):
    """The networks' inputs of some wav files, one after the other, as bytes."""

    def __init__(self, files: list[Path]):
        self.rest: Iterator[np.ndarray] = map(read_keyword, files)
        self.left = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer) -> int:
        """Up to the end of an input."""
        if not self.left:
            values = next(self.rest, None)
            self.left = memoryview(b"" if values is None else values.tobytes())
        count = min(len(buffer), len(self.left))
        buffer[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


@contextmanager
def opened(files: list[Path]) -> Iterator[IO[bytes]]:
    """What ArrayFile reads."""
    yield cast("IO[bytes]", Inputs(files))
