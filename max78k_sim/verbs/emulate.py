"""``max78k emulate``: an Arm program on an emulated board, with the simulated accelerator."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from ..allocation import allocate
from ..errors import InputError
from .common import network_from, write_whole

EXIT_FAILED = 1  # by the program's own verdict


def main(options: Namespace) -> int:
    """Run; the program's text goes to stdout, what is said about it to stderr."""
    with ExitStack() as opened:
        return EXIT_FAILED if emulate(options, opened) else 0


def emulate(options: Namespace, opened: ExitStack) -> bool:
    """Put the board together, run or debug, and report; whether the program says it failed."""
    from firmware.board import Board
    from firmware.board.profile import profile_lines
    from firmware.board.terminal import connect
    from firmware.board.trace import Recorder

    board = Board(options.elf)
    terminal = connect(board, options.uart, opened)
    if terminal:
        say(f"UART on {terminal}")
    recorder = Recorder(board) if options.record else None
    if options.trace is not None:
        start_trace(board, options, opened)
    started = time.perf_counter()
    try:
        failed = debug(board, options.gdb) if options.gdb is not None else run(board, options)
    finally:
        sys.stdout.flush()
        if recorder is not None:
            write_whole(Path(options.record), recorder.save)
        report(board, time.perf_counter() - started)
    if options.profile:
        print("\n".join(profile_lines(board)), file=sys.stderr)
    return failed


def say(text: str) -> None:
    """A line about the run, not of it."""
    print(f"max78k: {text}", file=sys.stderr, flush=True)


def run(board, options: Namespace) -> bool:
    """Run to the end or a limit; whether the program says that it failed."""
    result = board.run(
        instructions=options.max_instructions,
        cycles=options.max_cycles,
        seconds=options.max_seconds,
        uart=options.until or "",
    )
    where = f" in {result.function}" if result.function else ""
    sys.stdout.flush()
    say(f"stopped: {REASONS.get(result.reason, result.reason)}{where}; verdict: {result.verdict}")
    return result.verdict == "fail"


REASONS = {
    "loop": "a loop that nothing ends",
    "asleep": "asleep, and nothing will wake it",
    "breakpoint": "a breakpoint instruction",
    "reset": "the program asked for a reset",
    "instructions": "the limit of instructions",
    "cycles": "the limit of cycles",
    "seconds": "the limit of time",
    "uart": "the text was sent",
}


def debug(board, port: int) -> bool:
    """Let a debugger run the board."""
    from firmware.board.gdb import GdbServer

    server = GdbServer(board, port)
    name = board.image.file
    say(f"waiting: arm-none-eabi-gdb {name} -ex 'target remote :{server.port}'")
    server.serve()
    if server.message:
        say(server.message)
    return False


def start_trace(board, options: Namespace, opened: ExitStack) -> None:
    """Trace to a file or stderr, with the network's names where there is one."""
    from firmware.board.trace import Tracer

    plan = allocate(network_from(options)) if options.config_file else None
    stream: TextIO = sys.stderr
    if options.trace != "-":
        try:
            file = Path(options.trace).open("w", encoding="utf-8")  # noqa: SIM115 - see opened
            stream = opened.enter_context(file)
        except OSError as error:
            message = f"cannot be written: {error.strerror}"
            raise InputError(message, file=options.trace) from None
    Tracer(board, stream, plan)


def report(board, seconds: float) -> None:
    """What it took: the model's cycles, the chip's time, the accelerator's."""
    for warning in (*board.warnings, *board.accelerator.bus.warnings):
        say(f"warning: {warning}")
    instructions = board.cpu.instructions
    say(
        f"{instructions:,} instructions, {board.cycles:,} processor cycles (model: about 1% "
        f"without the wait states of the accelerator's memory), {board.clock.seconds():.6f} s"
    )
    at = board.accelerator
    say(f"accelerator: {at.runs} runs, {at.cycles:,} cycles (the vendor's formula)")
    say(f"{instructions / max(seconds, 1e-9) / 1e6:.1f} million instructions a second")
