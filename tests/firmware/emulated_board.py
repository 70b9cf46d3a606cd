"""A generated board program, built for Arm, on the emulated board, at the end of a line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from firmware.board import Board
from tests.firmware.arm import COMPILER
from tests.firmware.protocol_board import RECIPE, write_project
from trainer.recipe import Recipe

FLASH, FLASH_END = 0x10000000, 0x10080000
STARTED = 60.0  # seconds on the chip, at most


def build_program(directory: Path, recipe: Recipe = RECIPE, *more: str) -> Path:
    """The shipped network's program with training, protocol and saves: its ELF.

    ``more``: options of ``max78k generate``.
    """
    if shutil.which(COMPILER) is None:
        pytest.skip(f"needs {COMPILER} (Debian: gcc-arm-none-eabi)")
    write_project(directory, recipe, *more)
    done = subprocess.run(
        ["make", "-s", "-C", directory, "arm"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return directory / "arm" / "build" / "fashion.elf"


class EmulatedBoard:
    """``receive`` gives what the board sends until it waits for more; ``flash``: what it kept."""

    def __init__(self, elf: Path, flash: bytes | None = None):
        self.board = Board(elf)
        if flash is not None:
            self.board.memory[FLASH:FLASH_END] = flash
        self.port = self.board.devices.ports["UART0"]
        self.board.on("cnn_serial_receive", self._waits)
        self.receive(b"")

    def _waits(self, board: Board) -> None:
        if not self.port.received:
            board.stop("waits")

    def receive(self, data: bytes) -> bytes:
        """Bytes to UART0; the bytes that come back."""
        before = len(self.port.sent)
        self.board.send(data)
        result = self.board.run(seconds=STARTED)
        assert result.reason == "waits", result
        return bytes(self.port.sent[before:])

    @property
    def memory(self):
        """The accelerator's."""
        return self.board.accelerator.bus.machine.memory

    @property
    def flash(self) -> bytes:
        """All of it."""
        return self.board.memory[FLASH:FLASH_END]
