"""A board that runs the generated program, as an object: examples, memories, saves."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.machine import Machine
from max78k_sim.program import Program

from . import messages as protocol
from .identity import network_digest, sample_words, trained_runs
from .link import Link, Refused
from .messages import FEATURES, FLAGS
from .patch import Patch, Words

SLOT_WORDS = 4
PART = protocol.MAX_PAYLOAD - protocol.fixed_bytes(protocol.BY_NAME["example"].request)
READ_WORDS = (protocol.MAX_PAYLOAD - 4) // 4 // SLOT_WORDS * SLOT_WORDS  # a frame, whole slots


@dataclass(frozen=True)
class Answer:
    """What the board says of an example."""

    predicted: int
    loss: float  # natural logarithm
    inference: float  # seconds
    learning: float  # seconds
    learnt: int  # examples since its last restart


class BoardClient:
    """The board of a network; made by ``connect``.

    ``greeting``: what it said of itself.  Raises LinkError where it does not answer.
    """

    def __init__(self, link: Link, program: Program, greeting: dict[str, Any]):
        self.link, self.program, self.greeting = link, program, greeting
        self._machine = Machine(program.device)  # only to lay out samples
        self._machine.load(program)

    @property
    def trained(self) -> tuple[int, ...]:
        """Numbers of the layers that it trains."""
        return tuple(n for n in range(32) if self.greeting["trained"] >> n & 1)

    def can(self, feature: str) -> bool:
        """Whether it does "train", "save" or "keep"."""
        return bool(self.greeting["features"] & FEATURES[feature])

    # examples

    def example(
        self, image: np.ndarray, label: int, *, learn=False, begin=True, apply=True, keep=False
    ) -> Answer:
        """Run an image (int8 [channel, row, column]); with ``learn``, learn it.

        ``begin``: the first of a batch; ``apply``: its last one; ``keep``: offer it to the examples
        that the board learns again.
        """
        words = sample_words(self._machine, image).tobytes()
        flags = learning(begin, apply) * learn | FLAGS["keep"] * keep
        *first, last = range(0, len(words), PART)
        for offset in first:
            self.link.request("input", offset=offset, data=words[offset : offset + PART])
        got = self.link.request(
            "example",
            label=label,
            flags=flags,
            check=zlib.crc32(words),
            offset=last,
            data=words[last:],
        )
        hertz = self.greeting["hertz"]
        return Answer(
            got["predicted"],
            got["loss"] / (1 << 16),
            got["inference"] / hertz,
            got["learning"] / hertz,
            got["learnt"],
        )

    def rehearse(self, count: int, *, begin=True, apply=True) -> dict[str, int]:
        """Learn ``count`` kept examples, which the board draws: how many are kept, and learnt."""
        return self.link.request("rehearse", count=count, flags=learning(begin, apply))

    def restart(self, seed: int) -> None:
        """Forget velocities and kept examples, start from step 0."""
        self.link.request("restart", seed=seed)

    def status(self) -> dict[str, int]:
        """The board's counts."""
        return self.link.request("status")

    # memories

    def read(self, address: int, count: int) -> np.ndarray:
        """uint32 words of kernel or bias memory."""
        parts = []
        for first in range(0, count, READ_WORDS):
            place, words = address + 4 * first, min(READ_WORDS, count - first)
            got = self.link.request("read", address=place, words=words)
            parts.append(np.frombuffer(got["data"], "<u4").astype(np.uint32))
        return np.concatenate(parts)

    def write(self, address: int, words: np.ndarray) -> None:
        """Store words; of kernels whole slots."""
        for first in range(0, len(words), READ_WORDS):
            part = np.asarray(words[first : first + READ_WORDS]).astype("<u4").tobytes()
            self.link.request("write", address=address + 4 * first, data=part)

    def dump(self, layers: tuple[int, ...] | None = None, done=lambda words: None) -> Patch:
        """What layers (default: those that it trains) hold; ``done(words)`` is told of each run."""
        runs: list[Words] = []
        for run in trained_runs(self.program.plan, self.trained if layers is None else layers):
            runs.append((run.address, self.read(run.address, run.words)))
            done(run.words)
        return Patch(self.program.plan.network.name, network_digest(self.program), tuple(runs))

    def load(self, patch: Patch, done=lambda words: None) -> None:
        """Put a patch into the board's memory; InputError for another network's."""
        if patch.digest != network_digest(self.program):
            raise InputError(
                f"the patch is of {patch.name} (digest {patch.digest.hex()}), the board has "
                f"{self.program.plan.network.name} ({network_digest(self.program).hex()})"
            )
        for address, words in patch.runs:
            self.write(address, words)
            done(len(words))

    def save(self) -> dict[str, int]:
        """Keep what it learnt in flash: slot, and number of the save."""
        return self.link.request("save")

    def forget(self) -> None:
        """Erase its saves."""
        self.link.request("forget")


def learning(begin: bool, apply: bool) -> int:
    """Flags of examples to learn."""
    return FLAGS["learn"] | FLAGS["begin"] * begin | FLAGS["apply"] * apply


def connect(link: Link, program: Program) -> BoardClient:
    """Say hello; InputError when the board has another network."""
    digest = network_digest(program)
    try:
        greeting = link.hello(digest)
    except Refused as error:
        if error.name != "network":
            raise
        other = link.hello()
        raise InputError(
            f"the board has {other['name']} (digest {other['digest'].hex()}), these files are "
            f"{program.plan.network.name} ({digest.hex()}): give the files that its program was "
            "generated from, or flash it again"
        ) from None
    return BoardClient(link, program, greeting)


def patched(program: Program, patch: Patch) -> Machine:
    """A Machine with the network, and the patch in its memory."""
    machine = Machine(program.device)
    machine.load(program)
    for address, words in patch.runs:
        machine.memory.write(address, words)
    return machine
