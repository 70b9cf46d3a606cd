"""``max78k train --scenario``: what a small YAML file describes, once a seed."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from trainer.learning.scenario import Result, run_scenario
from trainer.learning.scenario_file import read_scenario

from .common import make_directory, write_json

SHARES = ("new", "old", "overall")  # of an Outcome: right answers before and after


def main(options: Namespace) -> None:
    """Learn, and write result.json."""
    scenario = read_scenario(options.scenario)
    if options.seeds:
        scenario = replace(scenario, seeds=options.seeds)
    directory = make_directory(options.out)
    result = run_scenario(scenario)
    write_json(directory / "result.json", json.loads(result.json()))
    if options.json:
        print(result.json())
        return
    Console().print(table_of(result))
    if result.gap is not None:
        print(f"gap to joint training: {100 * result.gap:.2f} points")
    print(f"{directory}/result.json")


def table_of(result: Result) -> Table:
    """A row a seed."""
    table = Table("seed", *SHARES, "kernel words", "SHA-256", title=result.scenario.strategy)
    for outcome in result.outcomes:
        pairs = (getattr(outcome, name) for name in SHARES)
        shares = (f"{before:.2%} -> {after:.2%}" for before, after in pairs)
        words = f"{outcome.words_written:,}"
        table.add_row(str(outcome.seed), *shares, words, outcome.sha256[:12])
    return table
