"""The C side of the protocol on this computer, with a Machine behind it."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np

from firmware.cosim.host import compile_library
from firmware.layout import STORED_REGIONS
from firmware.protocol.identity import sample_runs
from firmware.protocol.program import PROTOCOL
from max78k_sim import cli
from tests import fashion
from trainer.recipe import Recipe

HOST = Path(__file__).with_name("protocol_host.c")
ON_BOARD_ONLY = ("cnn_serial.c", "cnn_flash.c", "main.c")
INFER = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))
RECIPE = Recipe(steps=3, batch=4, rate_shift=6, seed=5)


def write_project(directory: Path, recipe: Recipe = RECIPE, *more: str) -> Path:
    """The files of the shipped network's board program, which trains its last layer and saves.

    ``more``: options of ``max78k generate``.
    """
    numbers = ("seed", "batch", "rate_shift", "momentum_shift")
    options = [f"--{n.replace('_', '-')}={getattr(recipe, n)}" for n in numbers]
    options += [f"--layers={','.join(recipe.layers)}"] if recipe.layers else []
    options += ["--train", "--protocol", "--save", "--prefix", "fashion", "--out", str(directory)]
    assert cli.main(["generate", *fashion.NETWORK_OPTIONS, *options, *more]) == 0
    return directory


def sources(directory: Path) -> list[Path]:
    """The protocol's C files, beside those of the map and the training step."""
    return [directory / n for n in PROTOCOL if n.endswith(".c") and n not in ON_BOARD_ONLY]


@cache
def build(directory: Path) -> Path:
    """The shared library."""
    return compile_library(directory, *sources(directory), HOST)


class HostBoard:
    """The compiled protocol; ``receive`` gives its answer.  Its state is static: one a library."""

    def __init__(self, library: Path):
        self.machine = fashion.machine()
        self.library = ctypes.CDLL(str(library))
        for number, region in enumerate(STORED_REGIONS):
            words = self.machine.memory.arrays[region]
            pointer = words.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
            self.library.cnn_host_attach(number, pointer)
        self._infer = INFER(self.infer)
        ctypes.c_void_p.in_dll(self.library, "host_infer").value = ctypes.cast(
            self._infer, ctypes.c_void_p
        ).value
        self.library.cnn_train_reset(RECIPE.seed)

    def infer(self, words) -> None:
        """What the accelerator does with a sample."""
        memory, place = self.machine.memory, 0
        for region in STORED_REGIONS:
            memory.versions[region] += 1
        for address, count in sample_runs(fashion.program().plan):
            memory.write(address, np.array(words[place : place + count], np.uint32))
            place += count
        self.machine.run()

    def receive(self, data: bytes) -> bytes:
        """Bytes to the board; the bytes that it answers."""
        count = ctypes.c_uint32.in_dll(self.library, "host_sent_bytes")
        count.value = 0
        self.library.host_receive(data, len(data))
        sent = (ctypes.c_uint8 * count.value).in_dll(self.library, "host_sent")
        return bytes(sent)

    def number(self, name: str) -> int:
        """A uint32 variable."""
        return int(ctypes.c_uint32.in_dll(self.library, name).value)
