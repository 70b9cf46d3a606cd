"""Results -> text: ``docs/performance.md``, and what the terminal shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from . import subjects
from .figures import digits
from .goals import threads_text
from .results import Results
from .speed import COMPETITORS

QUIET = 0.85  # of the number of threads
INTRODUCTION = Path(__file__).parent / "introduction.md"


def page(results: Results, name: str = "performance") -> str:
    """The whole page; its pictures begin with its name."""
    text = INTRODUCTION.read_text(encoding="utf-8")
    parts = [
        text.format(deviation=subjects.DEVIATION),
        f"Measured on {results.machine}. Weights: {results.weights}. {quiet(results)}\n",
        verdict(results) + "\n",
        "## Goals\n",
        table(("figure", "measured", "goal", ""), goal_rows(results)),
        "## Images a second\n",
        table(("network", "threads", "batch", *map(label, COMPETITORS)), speed_rows(results)),
        f"![Multiplications a second](pictures/{name}-speed.png)\n",
        "10⁹ multiplications a second, each at its best batch (PyTorch: and threads):\n",
        table(
            ("network", "threads", *map(label, COMPETITORS), "share of int8 peak"),
            work_rows(results),
        ),
        "Peaks, 10⁹ multiplications a second:\n",
        table(("threads", "int8 dot products", "float32 matrix product"), peak_rows(results)),
        "## How cost grows\n",
        f"![How cost grows](pictures/{name}-growth.png)\n",
        "One thread. Seconds of a call follow size^exponent over the larger half of the sizes:\n",
        table(("what grows", "sizes", "exponent", "of the multiplications"), growth_rows(results)),
        "## Without a goal\n",
        *other_tables(results),
    ]
    return "\n".join(parts).rstrip() + "\n"


def verdict(results: Results) -> str:
    """All goals in a sentence."""
    asserted = sum(figure.goal is not None for figure in results.figures)
    if not results.missed:
        return f"All {asserted} goals are reached."
    listed = (f"{each.name}: {each.value_text} ({each.goal_text})" for each in results.missed)
    return f"**Missed: {len(results.missed)} of {asserted} goals**. {'; '.join(listed)}."


def quiet(results: Results) -> str:
    """Whether others used the machine: a matrix product gains nearly as much as there are cores."""
    count, gain = results.speeds.peaks[-1].threads, results.speeds.shared
    state = "" if gain > QUIET * count else " **The machine was not quiet: measure again.**"
    return f"A matrix product gained {gain:.2f} times from {threads_text(count)}.{state}"


def label(competitor: str) -> str:
    """Competitors as the page names them."""
    return {
        "written out": "PyTorch quantised",
        "in place": "PyTorch quantised, in place",
        "float32": "PyTorch float32",
    }.get(competitor, competitor)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown."""
    columns = tuple(head)
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def goal_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Figures with a goal."""
    for figure in results.figures:
        if figure.goal is not None:
            verdict = "reached" if figure.holds else "**MISSED**"
            yield figure.name, figure.value_text, figure.goal_text, verdict


def speed_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Images a second of every cell."""
    cells: dict[tuple[str, int, int], dict[str, float]] = {}
    for speed in results.speeds.speeds:
        row = cells.setdefault((speed.network, speed.threads, speed.batch), {})
        row[speed.competitor] = speed.images
    for (network, threads, batch), row in cells.items():
        yield (
            *(network, str(threads), f"{batch:,}"),
            *(digits(row[competitor]) for competitor in COMPETITORS),
        )


def work_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """10**9 multiplications a second at the best batch."""
    speeds = results.speeds
    for network in dict.fromkeys(speed.network for speed in speeds.speeds):
        for peak in speeds.peaks:
            found = [speeds.best(network, peak.threads, who) for who in COMPETITORS]
            share = speeds.share(network, peak.threads)
            work = (f"{digits(speed.multiplications / 1e9)}" for speed in found)
            yield network, str(peak.threads), *work, "-" if share is None else f"{share:.0f} %"


def peak_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """By threads."""
    for peak in results.speeds.peaks:
        int8 = "not measured" if peak.int8 is None else digits(peak.int8 / 1e9)
        yield str(peak.threads), int8, digits(peak.float32 / 1e9)


def growth_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Exponents, and of the work itself."""
    for series in results.series:
        sizes = f"{series.sizes[0]:,} to {series.sizes[-1]:,} ({series.unit})"
        yield series.name, sizes, f"{series.slope:.2f}", f"{series.expected:.2f}"


def other_tables(results: Results) -> Iterator[str]:
    """What is measured and not asserted."""
    for name, section in results.sections.items():
        rows = [(figure.name, figure.value_text) for figure in section if figure.goal is None]
        if rows:
            yield table((name, ""), rows)


def terminal(results: Results) -> str:
    """What ``make bench`` prints."""
    lines = [results.machine, quiet(results), ""]
    head = ("network", "threads", "batch", *COMPETITORS)
    lines += ["images a second", columns(head)]
    lines += [columns(row) for row in speed_rows(results)]
    for row in peak_rows(results):
        lines.append(f"peaks, {threads_text(int(row[0]))}: int8 {row[1]}, float32 {row[2]} 10^9/s")
    for name, section in results.sections.items():
        lines += ["", name]
        for figure in section:
            missed = "" if figure.holds else "  MISSED"
            goal = f"  goal {figure.goal_text}" if figure.goal_text else ""
            lines.append(f"  {figure.name:64} {figure.value_text:>16}{goal}{missed}")
    lines += ["", "growth of seconds, as an exponent (of the multiplications)"]
    lines += [f"  {row[0]:12} {row[2]} ({row[3]})" for row in growth_rows(results)]
    return "\n".join(lines)


def columns(row: Iterable[str]) -> str:
    """A line of the table of speeds."""
    return "  " + "".join(f"{part:>13}" for part in row)
