"""``python -m tests.bench``: measure, print, and end with 1 when a goal was missed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from tests.conftest import ROOT

from . import page, pictures, results, speed, subjects


def parse(arguments: list[str] | None = None) -> Namespace:
    """The switches."""
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--write",
        nargs="?",
        const="performance",
        metavar="NAME",
        help="docs/NAME.md (performance.md) and its pictures",
    )
    parser.add_argument("--corpus", type=Path, help="golden cases, whose trained weights are used")
    parser.add_argument(
        "--network", choices=subjects.CASES, nargs="+", default=list(subjects.CASES)
    )
    parser.add_argument("--batch", type=int, nargs="+", default=list(speed.BATCHES))
    options = parser.parse_args(arguments)
    whole = set(options.network) == set(subjects.CASES) and set(options.batch) == set(speed.BATCHES)
    if options.write and not whole:
        parser.error("--write needs every network and batch; leave out --network and --batch")
    return options


def main() -> int:
    """Print the tables; 1 when a goal was missed."""
    options = parse()
    measured = results.measure(options.corpus, options.network, tuple(options.batch))
    print(page.terminal(measured))
    if options.write:
        file = ROOT / "docs" / f"{options.write}.md"
        file.write_text(page.page(measured, options.write), encoding="utf-8")
        pictures.draw(measured, ROOT / "docs" / "pictures", options.write)
    for figure in measured.missed:
        print(f"MISSED: {figure.name}: {figure.value_text}, goal {figure.goal_text}")
    return 1 if measured.missed else 0


if __name__ == "__main__":
    sys.exit(main())
