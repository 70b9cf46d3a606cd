"""Test programs for the board: compiled once a session, by options."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.conftest import ROOT

PROGRAMS = Path(__file__).parent / "programs"
START = ROOT / "firmware" / "runtime" / "arm"  # reset, vectors, memories
COMPILER = "arm-none-eabi-gcc"
OPTIONS = (
    *("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    *("-O2", "-g", "-std=gnu11", "-Wall", "-Werror"),
    *("-ffreestanding", "-fno-tree-loop-distribute-patterns", "-nostdlib"),
)


@cache
def program(name: str, *options: str) -> Path:
    """The ELF of programs/<name>.c; skips the test where there is no Arm compiler."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"needs {COMPILER} (Debian: gcc-arm-none-eabi)")
    elf = Path(mkdtemp(prefix="max78k-arm-")) / f"{name}.elf"
    sources = [str(START / "start.c"), str(PROGRAMS / "board.c"), str(PROGRAMS / f"{name}.c")]
    command = [COMPILER, *OPTIONS, "-I", str(PROGRAMS), "-T", str(START / "board.ld"), *options]
    done = subprocess.run(
        [*command, "-o", str(elf), *sources, "-lgcc"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return elf
