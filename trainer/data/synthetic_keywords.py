"""Speech Commands' words by programs that speak (espeak-ng, flite): a reproducible, synthetic set.

A set is planned from its seed alone (``plan``), then spoken, and noise, shift and loudness are
added in integers.  Voices of the training, validation and test parts are different; flite's, of
another make, stand in a folder of their own ("foreign").
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim.errors import InputError, printable

from ..quantized_update import draws
from .audio import RATE, parse_wav, write_wav
from .noises import SPOKEN, babble, faded_in, pink, placed, trimmed, white
from .wav_folders import KWS20_WORDS, LISTS, SPEAKER_END

# espeak-ng's voice variants.  No two of different parts have half of their description's lines in
# common; several are edits of one another, as michel, Diogo and Hugo.  Left out for that: Diogo,
# Henrique, Hugo, miguel, Nguyen, norbert, Mr serious, aunty, m8; klatt and klatt6, which are equal
# to caleb; and fast, Demonic and UniRobot, which are no voices.
VARIANTS = {
    "train": (
        "adam", "Alex", "Alicia", "Andrea", "Andy", "AnxiousAndy", "Annie", "antonio", "belinda",
        "benjamin", "boris", "caleb", "klatt2", "klatt3", "klatt4", "klatt5", "david", "Denis",
        "ed", "edward", "edward2", "Gene", "Gene2", "gustave", "iven", "iven2", "iven3", "iven4",
        "Jacky", "john", "linda", "marcelo", "Mario", "max", "Michael", "michel", "Mike", "pablo",
        "paul", "robert", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5",
        "robosoft6", "robosoft7", "robosoft8", "steph", "steph2", "steph3", "RicishayMax",
        "RicishayMax2", "RicishayMax3", "Tweaky", "victor", "f1", "f2", "f4", "m1", "m2", "m4",
        "m5", "m7", "croak", "grandma", "whisper", "whisperf",
    ),
    "validation": ("Lee", "Storm", "shelby", "quincy", "zac", "rob", "travis", "f3", "m3"),
    "test": (
        "Marco", "pedro", "sandro", "kaukovalta", "grandpa", "announcer", "anika", "anikaRobot",
        "f5", "m6",
    ),
}  # fmt: skip
ACCENTS = (  # in every part
    "en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029",
    "en-us-nyc",
)  # fmt: skip
FLITE_PITCH = {  # Hz, of each voice, about
    "awb": (90, 140), "rms": (80, 120), "slt": (150, 210), "kal": (85, 130), "kal16": (85, 130),
}  # fmt: skip
COUNTS = {"train": 200, "validation": 60, "test": 60, "foreign": 30}  # clips of each word
SPLITS = tuple(COUNTS)
FOLDERS = {"espeak-ng": "keywords-synthetic", "flite": "keywords-synthetic-foreign"}
RANGES = {  # of a clip, both ends in it
    "speed": (130, 210),  # words a minute (espeak-ng); flite: percent of its usual length, 80..125
    "pitch": (15, 85),  # espeak-ng's own scale; flite: Hz
    "snr": (5, 30),  # decibels, of the word's mean power to the noise's
    "shift": (-1600, 1600),  # samples that the word's middle is off the file's
    "peak": (20, 95),  # percent of full scale
}
FLITE_LENGTH = (80, 125)  # percent
NOISES = ("none", "white", "pink", "babble", "babble")  # one of them a clip, alike often
POOL = 2  # clips of each word of KWS20, and part, that babble is made of
OTHER_WORDS = (  # of Speech Commands: KWS20 calls them unknown
    "backward", "bed", "bird", "cat", "dog", "follow", "forward", "happy", "house", "learn",
    "marvin", "sheila", "tree", "visual", "wow",
)  # fmt: skip
WORDS = (*KWS20_WORDS, *OTHER_WORDS)
CLIP_BITS, WORD_BITS = 16, 8  # where a clip's number in its word, and the word's, stand


@dataclass(frozen=True)
class Clip:
    """One file, before it is spoken; ``number`` is unique in a set and seeds its noise."""

    split: str
    word: str
    index: int  # in its word and part
    number: int
    engine: str  # "espeak-ng" or "flite"
    voice: str  # "Mario": no voice is in two parts
    accent: str  # espeak-ng's language, "" for flite
    speed: int
    pitch: int
    noise: str
    snr: int  # decibels
    shift: int  # samples
    peak: int  # percent

    @property
    def part(self) -> str:
        """Of its folder: a foreign set is for testing only."""
        return "test" if self.split == "foreign" else self.split

    @property
    def file(self) -> str:
        """Its place in its folder, named like those of Speech Commands: who speaks, and which."""
        speaker = hashlib.sha1(f"{self.engine} {self.voice}".encode(), usedforsecurity=False)
        return f"{self.word}/{speaker.hexdigest()[:8]}{SPEAKER_END}{self.index}.wav"


def plan(
    seed: int, counts: dict[str, int] = COUNTS, words: int = len(KWS20_WORDS)
) -> tuple[Clip, ...]:
    """Every clip of a set of the first ``words`` of WORDS.

    A function of these and of no program that speaks; a clip depends on its seed alone.
    """
    most = 1 << CLIP_BITS
    if not all(0 <= count <= most for count in counts.values()):
        raise InputError(f"counts {counts}: 0 to {most} files of each word are possible")
    return tuple(
        planned(seed, split, word, index)
        for split in SPLITS
        for word in WORDS[:words]
        for index in range(counts.get(split, 0))
    )


def planned(seed: int, split: str, word: str, index: int) -> Clip:
    """One of them; voices take turns, so that each speaks about as often as the others."""
    place = SPLITS.index(split) << WORD_BITS | WORDS.index(word)
    number = place << CLIP_BITS | index
    accent, speed, pitch, noise, snr, shift, peak = (
        int(draw) for draw in draws(seed, number, len(RANGES) + 2)
    )
    if split == "foreign":
        voice = tuple(FLITE_PITCH)[index % len(FLITE_PITCH)]
        spoken = (
            "flite",
            voice,
            "",
            between(FLITE_LENGTH, speed),
            between(FLITE_PITCH[voice], pitch),
        )
    else:
        voice = VARIANTS[split][(index + 7 * WORDS.index(word)) % len(VARIANTS[split])]
        spoken = ("espeak-ng", voice, picked(ACCENTS, accent), between(RANGES["speed"], speed),
                  between(RANGES["pitch"], pitch))  # fmt: skip
    return Clip(split, word, index, number, *spoken, picked(NOISES, noise),
                between(RANGES["snr"], snr), between(RANGES["shift"], shift),
                between(RANGES["peak"], peak))  # fmt: skip


def between(ends: tuple[int, int], draw: int) -> int:
    """An integer of a range, both ends in it, from a 32-bit random number."""
    return ends[0] + (draw * (ends[1] - ends[0] + 1) >> 32)


def picked(choices: tuple[str, ...], draw: int) -> str:
    """One of them."""
    return choices[between((0, len(choices) - 1), draw)]


# ---- speaking -----------------------------------------------------------------------------------


def speak(clip: Clip) -> np.ndarray:
    """The word alone, without noise: int16 [sample] at RATE."""
    if clip.engine == "flite":
        command = ["flite", "-voice", clip.voice, "--setf", f"duration_stretch={clip.speed / 100}",
                   "--setf", f"int_f0_target_mean={clip.pitch}", "-t", clip.word,
                   "-o", "/dev/stdout"]  # fmt: skip
    else:
        command = ["espeak-ng", "-v", f"{clip.accent}+{clip.voice}", "-s", str(clip.speed),
                   "-p", str(clip.pitch), "--stdout", clip.word]  # fmt: skip
    return trimmed(parse_wav(with_length(called(command)), " ".join(command)))


def called(command: list[str]) -> bytes:
    """What a program writes."""
    try:
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    except FileNotFoundError as error:
        raise InputError(
            f"{command[0]} is not installed; on Debian and Ubuntu: apt install espeak-ng flite"
        ) from error
    except (subprocess.SubprocessError, OSError) as error:
        raise InputError(f"{' '.join(command)} failed: {printable(error)}") from error


def with_length(data: bytes) -> bytes:
    """A wav file that was written to a pipe, with its sizes put right (44 bytes of header)."""
    size = len(data) - 44
    if size < 0:
        return data
    return (
        data[:4] + (size + 36).to_bytes(4, "little") + data[8:40]
        + size.to_bytes(4, "little") + data[44:]
    )  # fmt: skip


def versions(engines: set[str]) -> dict[str, str]:
    """Of the programs that speak; InputError where one, or a voice of it, is not there."""
    found = {}
    if "espeak-ng" in engines:
        found["espeak-ng"] = called(["espeak-ng", "--version"]).decode().split("Data")[0].strip()
        listed = called(["espeak-ng", "--voices=variant"]).decode()
        absent = [
            voice for part in VARIANTS.values() for voice in part if f"!v/{voice} " not in listed
        ]
        if absent:
            raise InputError(
                f"espeak-ng has no voice {', '.join(absent)}; version 1.51 has all ({found})"
            )
    if "flite" in engines:
        listed = called(["flite", "-lv"]).decode()
        absent = [voice for voice in FLITE_PITCH if voice not in listed.split()]
        if absent:
            raise InputError(f"flite has no voice {', '.join(absent)}; version 2.2 has all")
        found["flite"] = listed.strip()
    return found


# ---- a set --------------------------------------------------------------------------------------


def heard(seed: int, clip: Clip, word: np.ndarray, pool: list[np.ndarray]) -> np.ndarray:
    """The clip's file: its word, placed in a second, with its noise: int16 [RATE]."""
    signal = placed(word, clip.shift)
    if clip.noise == "none":
        noise = np.zeros(RATE, np.int64)
    elif clip.noise == "babble":
        noise = babble(pool, draws(seed, clip.number, SPOKEN, first=len(RANGES) + 2))
    else:
        make = white if clip.noise == "white" else pink
        noise = make(seed, clip.number)
    return faded_in(signal, word, noise, clip.snr, clip.peak)


def sounds(
    seed: int, clips: tuple[Clip, ...], speaker: Callable[[Clip], np.ndarray], jobs: int = 1
) -> Iterator[tuple[Clip, np.ndarray]]:
    """Every clip with its samples, int16 [RATE], in the plan's order."""
    pools: dict[str, dict[str, list[np.ndarray]]] = {}
    for clip in clips:
        if clip.index < POOL and clip.word in KWS20_WORDS:  # with others or without: alike
            pools.setdefault(clip.split, {}).setdefault(clip.word, []).append(speaker(clip))

    def one(clip: Clip) -> np.ndarray:
        words = pools[clip.split]
        others = [some for word in words for some in words[word] if word != clip.word]
        return heard(seed, clip, speaker(clip), others)

    with ThreadPoolExecutor(jobs) as workers:
        yield from zip(clips, workers.map(one, clips), strict=True)


def make_keywords(
    out: Path,
    seed: int = 1,
    counts: dict[str, int] = COUNTS,
    speaker: Callable[[Clip], np.ndarray] = speak,
    jobs: int = 1,
    words: int = len(KWS20_WORDS),
) -> dict[str, int]:
    """Write a set to a folder that is not there yet: files of each part.

    In it, two folders (FOLDERS) as ``wav:DIRECTORY`` reads them, each with its lists, README.md
    and manifest.json (seed, versions, every clip).
    """
    if out.exists():
        raise InputError("is there already; give a new folder", file=out)
    clips = plan(seed, counts, words)
    used = versions({clip.engine for clip in clips}) if speaker is speak else {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
            working = Path(place, out.name)
            for engine, folder in FOLDERS.items():
                some = tuple(clip for clip in clips if clip.engine == engine)
                if some:
                    write_folder(working / folder, seed, some, speaker, jobs, used)
            working.rename(out)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=out) from None
    return {split: sum(clip.split == split for clip in clips) for split in SPLITS}


def write_folder(
    folder: Path,
    seed: int,
    clips: tuple[Clip, ...],
    speaker: Callable[[Clip], np.ndarray],
    jobs: int,
    used: dict[str, str],
) -> None:
    """The files of one program's voices, and what says how they came to be."""
    for clip, samples in sounds(seed, clips, speaker, jobs):
        file = folder / clip.file
        file.parent.mkdir(parents=True, exist_ok=True)
        write_wav(file, samples)
    for split, name in LISTS.items():
        listed = sorted(clip.file for clip in clips if clip.part == split)
        (folder / name).write_text("".join(f"{file}\n" for file in listed), encoding="utf-8")
    rows = ",\n".join(json.dumps({"file": clip.file, **asdict(clip)}) for clip in clips)
    head = json.dumps({"kind": "synthetic", "seed": seed, "programs": used, "ranges": RANGES})
    (folder / "manifest.json").write_text(
        f'{head[:-1]}, "clips": [\n{rows}\n]}}\n', encoding="utf-8"
    )
    words = len({clip.word for clip in clips})
    text = README.format(seed=seed, count=len(clips), words=words)
    (folder / "README.md").write_text(text, encoding="utf-8")


README = """# Synthetic keywords

Synthetic: {count} clips of {words} words (the first 20 are KWS20's), spoken by programs, not by
people, with noise added. Made by `max78k keywords --words {words} --seed {seed}`; manifest.json has
the programs' versions and how each clip was made. One second each, 16 kHz, 16 bits, mono;
testing_list.txt and validation_list.txt as in Speech Commands, and no voice is in two parts. What a
network reaches on these says nothing of what it reaches on people.
"""
