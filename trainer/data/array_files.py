"""Arrays in files, read part by part: IDX, .npy, and the members of an .npz.

Files are read as hostile: every declared size is checked against a limit and against what is really
there before memory is taken, nothing is unpickled, and each fault is an InputError that names the
file.  What is held in memory is bounded by the part that was asked for, whatever the file's size.
"""

from __future__ import annotations

import gzip
import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from max78k_sim.checkpoint import FAULTS
from max78k_sim.errors import InputError, printable

BYTE_LIMIT = 1 << 30  # bytes that one array, read whole, may unpack to
SAMPLE_LIMIT = 1 << 26  # bytes of one sample, where an array is read by parts
CHUNK = 1 << 20  # bytes of one reading
HEADER_LIMIT = 1 << 14  # bytes; numpy takes headers of 10,000 characters
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's own; others unpack without bound
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class ArrayFile:
    """One array in a file, of which only the header was read.

    ``name``: which one, for messages; ``held``: bytes that the container says are there, None where
    only reading tells; ``open``: a stream that begins with the first value.
    """

    file: object
    name: str
    shape: tuple[int, ...]  # [sample, ...]
    dtype: np.dtype
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    held: int | None = None
    column_major: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Bytes of the whole array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def claim(self) -> str:
        """What the header says, for messages."""
        return f"{self.name} says {self.dtype} {self.shape}, {self.size} bytes"

    def read(self) -> np.ndarray:
        """The whole array; InputError where it has no byte or more than BYTE_LIMIT."""
        if not 0 < self.size <= BYTE_LIMIT:
            rest = " (by parts: only row-major arrays)" if self.column_major else ""
            raise self.error(f"{self.claim}; 1 to {BYTE_LIMIT} can be read{rest}")
        data, place = np.empty(self.size, np.uint8), 0
        for chunk in self.chunks(CHUNK):
            data[place : place + len(chunk)] = chunk
            place += len(chunk)
        return data.view(self.dtype).reshape(self.shape, order="F" if self.column_major else "C")

    def parts(self, count: int) -> Iterator[np.ndarray]:
        """Up to ``count`` samples at a time, [sample, ...], in order.

        A column-major array has no sample in one piece: it is read whole.
        """
        if self.column_major and len(self.shape) > 1:
            whole = self.read()
            yield from (whole[start : start + count] for start in range(0, len(self), count))
            return
        if not 0 < self.sample_bytes <= SAMPLE_LIMIT:
            raise self.error(
                f"{self.claim}, {self.sample_bytes} of them a sample; 1 to {SAMPLE_LIMIT} can be "
                "read"
            )
        for chunk in self.chunks(count * self.sample_bytes):
            yield chunk.view(self.dtype).reshape(-1, *self.shape[1:])

    def chunks(self, step: int) -> Iterator[np.ndarray]:
        """The array's bytes in order, ``step`` at a time: uint8 [byte].

        InputError where there are fewer than the header says, or more.
        """
        self.check_held(self.size if self.held is None else self.held)
        with readable(self.file), self.open() as stream:
            for start in range(0, self.size, step):
                chunk = bytearray(min(step, self.size - start))
                found = fill(stream, chunk)
                if found < len(chunk):
                    self.check_held(start + found)
                yield np.frombuffer(chunk, np.uint8)
            self.check_held(self.size + len(stream.read(1)))

    def check_held(self, held: int) -> None:
        """InputError unless the file has as many bytes as its header says."""
        if held != self.size:
            more = "more" if held > self.size else f"only {held}"
            raise self.error(f"{self.claim}, but holds {more}")

    def error(self, message: str) -> InputError:
        """What is wrong, with the file's name."""
        return InputError(message, file=self.file)


@contextmanager
def readable(file: object, what: str = "") -> Iterator[None]:
    """Whatever reading a file raises, as InputError."""
    try:
        yield
    except FAULTS as error:
        raise InputError(f"cannot be read{what}: {printable(error)}", file=file) from error


def fill(stream: IO[bytes], chunk: bytearray) -> int:
    """Read until the chunk is full or the stream ends: how many bytes there were."""
    view, found = memoryview(chunk), 0
    while found < len(chunk):
        more = stream.readinto(view[found:])  # type: ignore[attr-defined]
        if not more:
            break
        found += more
    return found


def of_array(array: np.ndarray, file: object) -> ArrayFile:
    """What is in memory already, to be read like a file."""
    data = np.ascontiguousarray(array)
    return ArrayFile(file, "it", data.shape, data.dtype, lambda: io.BytesIO(data.tobytes()))


# ---- IDX ----------------------------------------------------------------------------------------


def idx_array(file: Path, magic: int) -> ArrayFile:
    """An IDX array of unsigned bytes, packed with gzip or not; ``magic``: its first word.

    Behind the magic word stands one big-endian length for each axis, then the values.
    """
    dimensions = magic & 0xFF
    length = 4 + 4 * dimensions
    open_at = partial(opened, file, length)
    with readable(file):
        with opened(file, 0) as stream:
            header = stream.read(length)
        held = None if file.suffix == ".gz" else file.stat().st_size - length
    words = np.frombuffer(header[: len(header) // 4 * 4], dtype=">u4")
    if len(words) == 0 or words[0] != magic:
        found = f"0x{int(words[0]):x}" if len(words) else "the end of the file"
        raise InputError(f"begins with {found}, not with the IDX magic 0x{magic:x}", file=file)
    if len(words) < 1 + dimensions:
        raise InputError("ends inside its IDX header", file=file)
    shape = tuple(int(word) for word in words[1:])
    return ArrayFile(file, "IDX header", shape, np.dtype(np.uint8), open_at, held)


@contextmanager
def opened(file: Path, offset: int) -> Iterator[IO[bytes]]:
    """A file's bytes from an offset on, unpacked where its name ends with .gz."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rb") as stream:
        stream.read(offset)
        yield stream  # type: ignore[misc]


# ---- NPY and NPZ --------------------------------------------------------------------------------


def npy_array(file: Path) -> ArrayFile:
    """The array of an .npy file."""
    with readable(file):
        with file.open("rb") as stream:
            head = stream.read(HEADER_LIMIT)
        size = file.stat().st_size
    return described(file, file.name, head, size, partial(opened, file))


def npz_arrays(file: Path) -> dict[str, ArrayFile]:
    """Every array of an .npz archive, by name; objects (which would be unpickled) are refused."""
    if not file.is_file():
        raise InputError("is not a file; give an .npz with arrays x and y", file=file)
    with readable(file, " as .npz"), zipfile.ZipFile(file) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {printable(info.filename[:-4]): npz_array(file, archive, info) for info in members}


def npz_array(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayFile:
    """One of its arrays."""
    name = printable(info.filename)
    if info.compress_type not in PACKINGS:
        raise InputError(
            f"{name} is packed by method {info.compress_type}; stored and deflated members are "
            "read (numpy.savez, numpy.savez_compressed)",
            file=file,
        )
    with archive.open(info) as stream:
        head = stream.read(HEADER_LIMIT)
    return described(file, name, head, info.file_size, partial(opened_member, file, info.filename))


@contextmanager
def opened_member(file: Path, member: str, offset: int) -> Iterator[IO[bytes]]:
    """A member's bytes from an offset on."""
    with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
        stream.read(offset)
        yield stream


def described(
    file: Path,
    name: str,
    head: bytes,
    size: int,
    open_at: Callable[[int], AbstractContextManager[IO[bytes]]],
) -> ArrayFile:
    """The array whose .npy header stands in ``head``; ``size``: bytes with the header."""
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        shape, column_major, dtype = HEADER_READERS[version](stream)
    except FAULTS as error:
        raise InputError(
            f"{name} has no valid .npy header: {printable(error)}", file=file
        ) from error
    if dtype.hasobject or min(shape, default=0) < 0:
        found = printable(f"{dtype} {shape}")
        raise InputError(f"{name} holds {found}; only numbers are read", file=file)
    offset = stream.tell()
    return ArrayFile(
        file, name, shape, dtype, partial(open_at, offset), size - offset, column_major
    )
