"""``max78k size``: does an Arm program fit the MAX78000's flash and SRAM, and what takes them."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from ..errors import HardwareLimit


def main(options: Namespace) -> None:
    """Print the report; HardwareLimit, with the biggest symbols, when it does not fit."""
    from firmware.board.elf import read_elf
    from firmware.size import complaint, lines, uses

    image = read_elf(options.elf)
    if options.json:
        print(json.dumps([use_json(use) for use in uses(image)], indent=2))
    else:
        print("\n".join(lines(image)))
    wrong = complaint(image)
    if wrong:
        raise HardwareLimit(wrong, file=options.elf)


def use_json(use) -> dict[str, Any]:
    """One memory for programs."""
    return {
        "memory": use.memory,
        "bytes": use.size,
        "used": use.used,
        "kept": use.kept,
        "left": use.left,
        "sections": {section.name: section.size for section in use.sections},
        "symbols": {symbol.name: symbol.size for symbol in use.symbols},
    }
