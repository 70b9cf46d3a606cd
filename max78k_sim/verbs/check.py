"""``max78k check``: does a network fit, and is it legal?"""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from ..checking import Share, Verdict, check
from ..errors import Max78kError
from ..latency import Latency, milliseconds
from ..map_text import tensor
from ..report import operation
from . import EXIT_USER_ERROR
from .common import faults_from

EXIT_FITS = 0


def main(options: Namespace) -> int:
    """Print the verdict; 0 when the network fits, 2 otherwise."""
    verdict = check(*faults_from(options))
    if options.json:
        print(json.dumps(verdict_json(verdict), indent=2))
    else:
        print("\n".join(verdict_lines(verdict)))
    return EXIT_FITS if verdict.fits else EXIT_USER_ERROR


def verdict_lines(verdict: Verdict) -> list[str]:
    """The verdict for people."""
    lines = []
    if verdict.network is not None:
        lines.append(f"{verdict.network.name} on {verdict.network.device.name}")
        lines += ["", *layer_lines(verdict)]
    if verdict.shares:
        lines += ["", *(share_line(share) for share in verdict.shares)]
    if verdict.latency is not None:
        lines.append(time_line(verdict.latency))
    lines += [f"warning: {warning}" for warning in verdict.warnings]
    lines += [f"not checked: {what}" for what in verdict.not_checked]
    lines += [f"problem: {problem}" for problem in verdict.problems]
    return [*lines, "", closing(verdict)]


def closing(verdict: Verdict) -> str:
    """The last line."""
    if not verdict.fits:
        return f"refused: {counted(len(verdict.problems), 'problem')}"
    warnings = f", with {counted(len(verdict.warnings), 'warning')}" if verdict.warnings else ""
    return "fits" + warnings


def counted(number: int, noun: str) -> str:
    """ "1 problem", "2 problems"."""
    return f"{number} {noun}{'s' if number > 1 else ''}"


def layer_lines(verdict: Verdict) -> list[str]:
    """A line for each layer that was read."""
    assert verdict.network is not None
    layers = verdict.network.layers
    width = max(len(layer.name) for layer in layers)
    return [
        f"{layer.name:<{width}}  {operation(layer)}: "
        f"{tensor((layer.in_channels, *layer.in_size))} -> "
        f"{tensor((layer.out_channels, *layer.out_size))}"
        for layer in layers
    ]


def share_line(share: Share) -> str:
    """What is used, of what, and what is left."""
    percent = share.used / share.available
    place = f" ({share.place})" if share.place else ""
    return (
        f"{share.name}: {share.used:,} of {share.available:,} {share.unit} ({percent:.0%}), "
        f"{share.left:,} left{place}"
    )


def time_line(cycles: Latency) -> str:
    """Cycles and milliseconds."""
    return (
        f"time: {cycles.total:,} cycles; on silicon about {milliseconds(cycles.on_silicon):.3f} ms "
        "(estimate)"
    )


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for programs."""
    cycles = verdict.latency
    return {
        "fits": verdict.fits,
        "network": verdict.network.name if verdict.network else None,
        "device": verdict.network.device.name if verdict.network else None,
        "problems": [problem_json(problem) for problem in verdict.problems],
        "warnings": list(verdict.warnings),
        "not_checked": list(verdict.not_checked),
        "use": [
            {
                "name": share.name,
                "used": share.used,
                "available": share.available,
                "left": share.left,
                "unit": share.unit,
                "place": share.place,
            }
            for share in verdict.shares
        ],
        "cycles": cycles.total if cycles else None,
        "milliseconds_estimate": round(milliseconds(cycles.on_silicon), 4) if cycles else None,
    }


def problem_json(problem: Max78kError) -> dict[str, Any]:
    """One problem with its place."""
    return {
        "kind": type(problem).__name__,
        "rule": problem.rule,
        "message": problem.message,
        "file": None if problem.file is None else str(problem.file),
        "line": problem.line,
        "column": problem.column,
    }
