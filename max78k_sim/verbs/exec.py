"""``max78k exec``: a C project, compiled for this computer, against the simulated chip."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..programs.replay import save_trace
from .common import compiled, network_from, write_whole

EXIT_FAILED = 1  # by the program's own verdict


def main(options: Namespace) -> int:
    """Run; the program's text goes to stdout, what is said about it to stderr."""
    from firmware.exec import run_project

    if options.timeout <= 0:
        raise InputError(f"--timeout {options.timeout:g}: seconds, more than 0, for example 60")
    program = compiled(network_from(options)) if options.config_file else None
    result = run_project(
        options.folder,
        timeout=options.timeout,
        on_fault=options.on_fault,
        record=options.record is not None,
        program=program,
        echo=echo,
    )
    if options.record is not None and result.trace is not None:
        trace = replace(result.trace, name=Path(options.record).stem)
        write_whole(Path(options.record), lambda file: save_trace(trace, file))
    for fault in result.faults:
        say(f"fault: {fault}")
    for warning in result.warnings:
        say(f"warning: {warning}")
    say(f"{ENDINGS[result.reason]}; verdict: {result.verdict}")
    say(
        f"{result.accesses:,} accesses, {result.runs} runs of the accelerator, "
        f"{result.words_read:,} words of data memory read since the last, {result.seconds:.1f} s"
    )
    return 0 if result.passed else EXIT_FAILED


ENDINGS = {
    "returned": "main returned",
    "loop": "silent after its verdict",
    "asleep": "asleep, and nothing will wake it",
}


def echo(text: str) -> None:
    """The program's text, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def say(text: str) -> None:
    """A line about the run, not of it."""
    print(f"max78k: {text}", file=sys.stderr, flush=True)
