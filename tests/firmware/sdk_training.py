"""``python -m tests.firmware.sdk_training --sdk DIR``: programs that train, built with the SDK.

The vendor's build for two boards; the known answer of training runs on the emulated board.  A
program that speaks the protocol has none: that it builds, and is clear of its saves, is what is
shown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firmware.project.project import BOARDS
from max78k_sim import cli
from tests.firmware.generated import emulate, lines, make
from tests.firmware.test_analysis import ONE_SAMPLE, OPTIONS

PROTOCOL = ("--protocol", "--save")
PROJECTS = {
    "any layers: conv4, fc": ("--train", "--layers", "conv4,fc"),
    "one sample: fc": ONE_SAMPLE,
    "one sample: fc, protocol, saves": (*ONE_SAMPLE, *PROTOCOL),
}


def route(folder: Path, sdk: Path, board: str) -> str:
    """What came of it."""
    make(folder, f"MAXIM_PATH={sdk}", f"BOARD={board}", "clean")
    make(folder, f"MAXIM_PATH={sdk}", f"BOARD={board}")
    (elf,) = (folder / "build").glob("*.elf")
    return "builds" if (folder / "cnn_protocol.c").exists() else emulate(elf)


def main() -> int:
    """0 when all build, and pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware.sdk_training")
    parser.add_argument("--sdk", type=Path, required=True, help="folder of the vendor's SDK")
    parser.add_argument("--work", type=Path, required=True, help="folder to build in")
    arguments = parser.parse_args()
    rows = []
    for name, options in PROJECTS.items():
        folder = arguments.work.resolve() / name.translate(str.maketrans(" ", "_", ":,"))
        assert cli.main([*OPTIONS, *options, "--out", str(folder)]) == 0
        boards = {board: route(folder, arguments.sdk.resolve(), board) for board in BOARDS}
        rows.append({"fashion": name} | boards)
    print(lines(rows))
    return int(any(cell in ("FAIL", "NONE") for row in rows for cell in row.values()))


if __name__ == "__main__":
    sys.exit(main())
