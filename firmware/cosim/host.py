"""Generated C on this computer: compile it, and let it work on the memories of a Machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.memory import Memory

from ..layout import STORED_REGIONS
from ..training.sources import LINEAR_SOURCES, TRAIN_SOURCES

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def compiler() -> str:
    """The C compiler: $CC, or cc; InputError when there is none."""
    name = os.environ.get("CC", "cc").split()[0]
    if shutil.which(name) is None:
        raise InputError(f"no C compiler {name!r}; install gcc, or set CC to your compiler")
    return name


def compile_library(directory: Path, *more: Path) -> Path:
    """Compile generated C, and ``more`` sources, to a shared library; warnings are errors.

    Raises InputError with the compiler's own words.
    """
    names = ["cnn_map.c", "cnn_address.c", "cnn_host.c"]
    if (directory / "cnn_linear_config.h").exists():
        names += [f"{name}.c" for name in LINEAR_SOURCES]
    elif (directory / "cnn_train_config.h").exists():
        names += ["cnn_layers.c", *(f"{name}.c" for name in TRAIN_SOURCES)]
    sources = [*(directory / name for name in names), *more]
    library, temporary = directory / "libcnn.so", directory / ".libcnn.so.tmp"
    options = ("-O2", "-DCNN_HOST", "-shared", "-fPIC", "-I", str(directory))
    command = [compiler(), *STRICT, *options, "-o", str(temporary), *map(str, sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        temporary.unlink(missing_ok=True)
        raise InputError(f"the generated C does not compile:\n{result.stderr}", file=directory)
    temporary.replace(library)
    return library


RUNNER = ctypes.CFUNCTYPE(None, ctypes.c_int32)


class HostTrainer:
    """The compiled training step, attached to a Memory: what it writes, the Machine reads.

    The state of the C code is one static struct, so there is one HostTrainer a library at a time.
    """

    def __init__(self, library: Path, memory: Memory, seed: int):
        self.memory = memory
        self.library = ctypes.CDLL(str(library.resolve()))
        self.library.cnn_train_learn.restype = ctypes.c_uint32
        for number, region in enumerate(STORED_REGIONS):
            words = memory.arrays[region]
            assert words.dtype == np.uint32 and words.flags["C_CONTIGUOUS"]
            pointer = words.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
            self.library.cnn_host_attach(number, pointer)
        self.library.cnn_train_reset(ctypes.c_uint32(seed))

    def use(self, run: Callable[[int], None]) -> None:
        """What loads the example again and runs layers 0 to a last one (none for -1)."""

        def told(last: int) -> None:
            run(last)

        self._runner = RUNNER(told)  # kept: the library calls it
        self.library.cnn_train_use(self._runner)

    def begin(self) -> None:
        """Before a batch."""
        self.library.cnn_train_begin()

    def learn(self, label: int, said: np.ndarray | None = None) -> int:
        """After the accelerator ran an example; the class that it was taken for.

        ``said``: uint8 [class], what a teacher said of it, in units of 1/256.
        """
        if said is not None:
            self._said = np.ascontiguousarray(said, np.uint8)  # read by the next call
            self.library.cnn_train_teach(self._said.ctypes.data_as(ctypes.c_void_p))
        return int(self.library.cnn_train_learn(ctypes.c_uint32(label)))

    def apply(self) -> None:
        """After a batch.  The C wrote behind the Memory's back, so its caches are told."""
        self.library.cnn_train_apply()
        for region in STORED_REGIONS:
            self.memory.versions[region] += 1

    def number(self, name: str) -> int:
        """A uint32 variable of the C code."""
        return int(ctypes.c_uint32.in_dll(self.library, name).value)

    def accesses(self) -> tuple[int, int, int]:
        """(reads, writes, accesses outside of every memory) since the library was loaded."""
        counts = (ctypes.c_uint32 * 3).in_dll(self.library, "cnn_host_accesses")
        return counts[0], counts[1], counts[2]
