"""Patch files: addresses and words of kernel and bias memory.

magic, version (u16), length of the name (u16), digest of the network (8 bytes), number of runs
(u32), name; of each run address (u32), words (u32), the words; CRC-32 of all before.
Little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.whole_files import write_whole

from .messages import DIGEST_BYTES

MAGIC = b"M78Kpat\n"
VERSION = 1
HEAD = struct.Struct(f"<{len(MAGIC)}sHH{DIGEST_BYTES}sI")
RUN = struct.Struct("<II")
CRC = struct.Struct("<I")
WORD = 4

Words = tuple[int, np.ndarray]  # address in bytes, uint32 words


@dataclass(frozen=True)
class Patch:
    """What some runs of a network's memory hold; ``digest``: see identity.network_digest."""

    name: str
    digest: bytes
    runs: tuple[Words, ...]


def write_patch(file: str | PathLike[str], patch: Patch) -> None:
    """A patch as a file, whole or not at all."""
    data = encode_patch(patch)
    write_whole(Path(file), lambda temporary: temporary.write_bytes(data))


def read_patch(file: str | PathLike[str]) -> Patch:
    """A patch from a file; InputError for what is none, or is damaged."""
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    try:
        return decode_patch(data)
    except InputError as error:
        raise error.at(file) from None


def encode_patch(patch: Patch) -> bytes:
    """The bytes of a patch file."""
    name = patch.name.encode()
    data = HEAD.pack(MAGIC, VERSION, len(name), patch.digest, len(patch.runs)) + name
    for address, words in patch.runs:
        data += RUN.pack(address, len(words)) + np.asarray(words).astype("<u4").tobytes()
    return data + CRC.pack(zlib.crc32(data))


def decode_patch(data: bytes) -> Patch:
    """The inverse."""
    if data[: len(MAGIC)] != MAGIC or len(data) < HEAD.size + CRC.size:
        raise InputError("is no patch file; max78k board --dump makes one")
    _, version, name_bytes, digest, count = HEAD.unpack_from(data)
    if version != VERSION:
        raise InputError(f"is a patch of version {version}; this program reads version {VERSION}")
    body = data[: -CRC.size]
    if CRC.pack(zlib.crc32(body)) != data[-CRC.size :]:
        raise InputError("is damaged: its CRC is wrong; dump it again")
    place = HEAD.size + name_bytes
    name = body[HEAD.size : place].decode("utf-8", "replace")
    runs = []
    for _ in range(count):
        if place + RUN.size > len(body):
            raise InputError("is damaged: a run is cut off")
        address, words = RUN.unpack_from(body, place)
        place += RUN.size
        if words * WORD > len(body) - place:
            raise InputError(f"is damaged: the run at 0x{address:08x} is cut off")
        runs.append((address, np.frombuffer(body, "<u4", words, place).astype(np.uint32)))
        place += words * WORD
    if place != len(body):
        raise InputError(f"is damaged: {len(body) - place} bytes belong to no run")
    return Patch(name, digest, tuple(runs))
