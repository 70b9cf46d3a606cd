"""``max78k validate``: our run against somebody else's, layer by layer."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..loading import read_sample
from ..network import Network
from ..program import Program
from ..validation.board import BoardReport, compare_board
from ..validation.causes import Finding
from ..validation.golden import GoldenFolder
from ..validation.references import Reference, read_reference
from ..validation.validation import Difference, Error, LayerResult, Report, WordsResult, compare
from . import EXIT_DIFFERENT
from .common import compiled, network_from

EXIT_EQUAL = 0
SHOWN_WORDS = 8  # of a board
NO_CAUSE = (
    "no cause of the table explains it: compare weights, in_offset, out_offset and in_sequences"
)
NO_BOARD_CAUSE = (
    "no cause of the table gives these values: do they change from run to run (supply, clock), or "
    "are cnn.c and weights.h of another network?"
)


def main(options: Namespace) -> int:
    """Print the comparison; 0 when nothing differs, 1 otherwise."""
    network = network_of(options)
    program = compiled(network)
    reference = read_reference(options.against, network)
    sample = read_sample(options.sample_input) if options.sample_input else None
    report: Report | BoardReport
    if reference.kind == "board":
        report = board_report(program, reference, sample)
        lines = board_lines(report)
    else:
        report = compare(program, reference, sample)
        lines = report_lines(report)
    print(json.dumps(report_json(report), indent=2) if options.json else "\n".join(lines))
    return EXIT_EQUAL if report.equal else EXIT_DIFFERENT


def network_of(options: Namespace) -> Network:
    """The network of the switches; of a golden folder, where none is given, its own."""
    if options.config_file is None:
        folder = GoldenFolder(Path(options.against))
        if options.checkpoint_file or not folder.has("network.yaml"):
            raise InputError("give --config-file (only a golden folder has a network of its own)")
        return folder.network()
    if options.checkpoint_file is None:
        raise InputError("give --checkpoint-file: the weights of the network")
    return network_from(options)


def board_report(program: Program, reference: Reference, sample: np.ndarray | None) -> BoardReport:
    """A board's output needs the sample that the board ran."""
    if sample is None:
        raise InputError("a board's output has no input; give --sample-input: what the board ran")
    return compare_board(program, reference, sample)


# --- text


def report_lines(report: Report) -> list[str]:
    """The comparison for people: the first difference, then every layer."""
    lines = [f"{report.network} against {report.kind} {report.source}"]
    lines += [f"assumed: {note}" for note in report.notes]
    if report.missing and report.layers:
        lines.append(f"not in the reference: {', '.join(report.missing)}")
    if report.input:
        lines += ["", *fault_lines(report.input)]
    elif report.first_fault:
        lines += ["", *fault_lines(report.first_fault)]
    lines += ["", *table_lines(report)] if report.layers else []
    lines += ["", *(words_line(part) for part in report.words)] if report.words else []
    return [*lines, "", verdict(report)]


def verdict(report: Report) -> str:
    """One sentence at the end."""
    if report.equal:
        values = sum(layer.accumulated.values for layer in report.layers)
        words = sum(part.words for part in report.words)
        counts = [f"{values:,} values of {len(report.layers)} layers"] if report.layers else []
        counts += [f"{words:,} words"] if words else []
        return f"equal: {' and '.join(counts)}"
    alone = [layer.name for layer in report.layers if layer.first]
    if report.input:
        return "different: the input" + (f"; and {', '.join(alone)}" if alone else "")
    if alone:
        return f"different: {', '.join(alone)}"
    return f"different: {', '.join(part.name for part in report.words if part.different)}"


def fault_lines(layer: LayerResult) -> list[str]:
    """The first difference and its cause."""
    first = layer.first
    assert first is not None
    title = "the input" if layer.layer < 0 else f"layer {layer.layer} ({layer.name})"
    lines = [f"first difference: {title}, {place_text(first)}"]
    if all(finding.cause != "shape" for finding in layer.causes):
        lines.append(f"  expected {first.expected}, here {first.ours}")
    if layer.sums_equal is not None:
        same = "are equal: look at what follows them" if layer.sums_equal else "differ already"
        lines.append(f"  the accumulators (before the shift) {same}")
    return lines + cause_lines(layer.causes)


def place_text(first: Difference) -> str:
    """Channel, row, column and address."""
    address = "in a stream" if first.address is None else f"at 0x{first.address:08x}"
    return f"channel {first.channel}, row {first.row}, column {first.column}, {address}"


def cause_lines(causes: tuple[Finding, ...], without: str = NO_CAUSE) -> list[str]:
    """A line for each cause, with what it explains."""
    return [f"  {cause_text(cause)}" for cause in causes] or [f"  {without}"]


def cause_text(cause: Finding) -> str:
    """The cause and how much it explains."""
    if cause.certain:
        values = "the one value" if cause.different == 1 else f"all {cause.different:,} values"
        return f"cause ({cause.cause}): {cause.sentence} (explains {values})"
    if cause.explained:
        share = f"{cause.explained:,} of {cause.different:,} values"
        return f"probable cause ({cause.cause}): {cause.sentence} (explains {share})"
    return f"seen ({cause.cause}): {cause.sentence}"


def table_lines(report: Report) -> list[str]:
    """A row for each layer: the values that differ and the largest difference, both ways."""
    width = max(5, *(len(layer.name) for layer in report.layers))
    lines = [f"{'layer':<{width}}  {'values':>9}  {'accumulated':>18}  {'isolated':>18}  cause"]
    for layer in report.layers:
        cells = [error_text(layer.accumulated), error_text(layer.isolated)]
        why = layer.causes[0].cause if layer.causes else ""
        line = f"{layer.name:<{width}}  {layer.accumulated.values:>9,}  "
        lines.append((line + "  ".join(f"{cell:>18}" for cell in cells) + f"  {why}").rstrip())
    return lines


def error_text(error: Error | None) -> str:
    """Values that differ, and by how much at most."""
    if error is None or not error.different:
        return "equal"
    if not error.largest:
        return "another shape"
    return f"{error.different:,}, up to {error.largest:,}"


def words_line(part: WordsResult) -> str:
    """One part of memory."""
    if part.first is None:
        return f"{part.name}: {part.words:,} words equal"
    _, expected, ours, where = part.first
    return (
        f"{part.name}: {part.different:,} of {part.words:,} words differ; first 0x{expected:08x} "
        f"expected, here 0x{ours:08x}, at {where}"
    )


def board_lines(report: BoardReport) -> list[str]:
    """A board's words for people."""
    lines = [f"{report.network} against what a board printed ({report.source})"]
    if report.equal:
        return [*lines, "equal: the board's own known-answer test passed"]
    for word in report.words[:SHOWN_WORDS]:
        lines += ["", word.where]
        lines.append(
            f"  expected 0x{word.expected:08x}, the board read 0x{word.read:08x}, "
            f"here 0x{word.ours:08x}"
        )
        lines += [
            f"  {word.layer} channel {value.channel}, row {value.row}, column {value.column}: "
            f"expected {value.expected}, the board {value.read}, here {value.ours}"
            for value in word.values
        ]
        lines.append(f"  {word.verdict}")
    left = len(report.words) - SHOWN_WORDS
    lines += [f"... and {left} more (--json lists all)"] if left > 0 else []
    return [*lines, "", "what the board read:", *cause_lines(report.causes, NO_BOARD_CAUSE)]


# --- JSON


def report_json(report: Report | BoardReport) -> dict[str, Any]:
    """The comparison for programs; ``equal`` decides the exit code."""
    return {"equal": report.equal, **addresses_as_text(asdict(report))}


def addresses_as_text(value: Any) -> Any:
    """Addresses and words of memory as hexadecimal text, however deep."""
    if isinstance(value, dict):
        whole = "where" in value or "words" in value  # expected and read are words of memory
        names = ("address", "expected", "read", "ours") if whole else ("address",)
        return {
            name: f"0x{item:08x}"
            if name in names and isinstance(item, int)
            else addresses_as_text(item)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [addresses_as_text(item) for item in value]
    return value
