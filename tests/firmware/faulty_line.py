"""A line that loses, doubles, cuts and breaks what goes through it, by a seed; and its time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FAULTS = ("lost", "doubled", "cut", "flipped", "noise")


class FaultyLine:
    """Between a Link and a board: ``ask(bytes)`` gives what the board sends.

    ``share``: of the frames in each direction to which something happens.  ``clock`` is the
    Link's: time passes only where it waits in vain.
    """

    def __init__(self, ask: Callable[[bytes], bytes], seed: int, share: float):
        self.ask, self.share = ask, share
        self.random = np.random.default_rng(seed)
        self.happened = dict.fromkeys(FAULTS, 0)
        self.now = 0.0
        self._waiting = bytearray()

    def clock(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        self._waiting += self.spoilt(self.ask(self.spoilt(data)))

    def read(self, seconds: float) -> bytes:
        if not self._waiting:
            self.now += seconds
        size = int(self.random.integers(1, 64))
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def spoilt(self, data: bytes) -> bytes:
        """What comes out at the other end."""
        frames = [part + b"\0" for part in data.split(b"\0") if part]
        return b"".join(self.through(b"\0" + frame) for frame in frames)

    def through(self, frame: bytes) -> bytes:
        if self.random.random() >= self.share:
            return frame
        fault = FAULTS[int(self.random.integers(len(FAULTS)))]
        self.happened[fault] += 1
        place = int(self.random.integers(len(frame)))
        if fault == "lost":
            return b""
        if fault == "doubled":
            return frame + frame
        if fault == "cut":
            return frame[:place]
        if fault == "flipped":
            bit = 1 << int(self.random.integers(8))
            return frame[:place] + bytes([frame[place] ^ bit]) + frame[place + 1 :]
        return frame[:place] + self.random.bytes(3) + frame[place:]
