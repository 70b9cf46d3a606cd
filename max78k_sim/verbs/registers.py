"""``max78k registers``: what a program writes to registers, in words; or two programs compared."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ..allocation import allocate
from ..errors import InputError
from ..explain import planned_words
from ..map_text import table
from ..programs.disassembly import FieldDifference, LayerText, Words, differences, disassemble
from ..programs.register_sources import is_elf, kept, read_registers
from ..programs.replay import WRITE
from .common import network_from

DIFFERENT = 1  # exit code
MOST_INSTRUCTIONS = 1 << 30  # of an Arm program, until it starts the accelerator
ALL_QUADRANTS = (0, 1, 2, 3)


def main(options: Namespace) -> int:
    """Print one program, or the differences of two (then 1 when there are any)."""
    programs = [
        elf_registers(name) if is_elf(name) else read_registers(name) for name in options.program
    ]
    if options.config_file:
        programs.append(planned_registers(options))
    if not 1 <= len(programs) <= 2:
        raise InputError("give one program, or two to compare (--config-file counts as one)")
    if len(programs) == 1:
        show_program(disassemble(programs[0]), options.json)
        return 0
    found = differences(programs[0], programs[1])
    show_differences(found, options.json)
    return DIFFERENT if found else 0


def elf_registers(name: str) -> Words:
    """What an Arm program has written when it starts the accelerator: it is run until then."""
    from firmware.board import Board
    from firmware.board.trace import Recorder, watch

    board = Board(name)
    recorder = Recorder(board)
    watch(board, lambda *_: board.stop("start") if board.accelerator.runs else None)
    result = board.run(instructions=MOST_INSTRUCTIONS)
    if not board.accelerator.runs:
        message = f"it does not start the accelerator (the run ended: {result.reason})"
        raise InputError(message, file=name)
    writes = {address: value for kind, _, address, value in recorder.rows if kind == WRITE}
    return kept(writes, Path(name))


def planned_registers(options: Namespace) -> Words:
    """Registers of a network of ours; power is not among them."""
    words = planned_words(allocate(network_from(options)))
    return {address: word for address, word in words.items() if address != 0x50001000}


def show_program(texts: Sequence[LayerText], as_json: bool) -> None:
    """Layer by layer: topics, then registers."""
    if as_json:
        print(json.dumps([asdict(text) for text in texts], indent=2))
        return
    for text in texts:
        print("\n".join(program_lines(text)))


def program_lines(text: LayerText) -> Iterator[str]:
    """One layer; a blank line before it."""
    if text.number is not None:
        yield f"\nlayer {text.number}"
    for topic, words in text.topics.items():
        yield f"  {topic:10}{words}"
    for register in text.registers:
        place = quadrants(register.quadrants)
        yield f"    {register.name:10} 0x{register.word:08x}  {register.fields}{place}"


def quadrants(numbers: tuple[int, ...]) -> str:
    """Which quadrants, where not all four."""
    return "" if numbers == ALL_QUADRANTS else f"  (quadrant {', '.join(map(str, numbers))})"


def show_differences(found: Sequence[FieldDifference], as_json: bool) -> None:
    """A row for each field."""
    if as_json:
        print(json.dumps([asdict(difference) for difference in found], indent=2))
        return
    if not found:
        print("no register differs")
        return
    from rich.console import Console

    columns = ("layer", "field", "meaning", "quadrants", "left", "right")
    rows = [
        (
            "" if row.layer is None else str(row.layer),
            f"{row.register}.{row.field}",
            row.meaning,
            "all" if row.quadrants == ALL_QUADRANTS else ", ".join(map(str, row.quadrants)),
            str(row.left),
            str(row.right),
        )
        for row in found
    ]
    Console().print(table(columns, rows, ("left", "right")))
