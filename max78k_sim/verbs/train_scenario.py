"""``max78k train --scenario``: what a small YAML file describes, once a seed."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from trainer.learning.scenario import Result, run_scenario
from trainer.learning.scenario_file import read_scenario

from ..errors import InputError, Max78kError
from ..options import data_options, kept_options, network_options, recipe_options, sram_option
from ..whole_files import make_directory
from .common import seeds_from, write_json

SHARES = ("new", "old", "overall")  # of an Outcome: right answers before and after


def main(options: Namespace) -> None:
    """Learn, and write result.json."""
    refuse_more(options)
    scenario = read_scenario(options.scenario)
    if options.seeds:
        scenario = replace(scenario, seeds=seeds_from(options, 0))
    directory = make_directory(options.out)
    try:
        result = run_scenario(scenario)
    except Max78kError as error:
        raise error if error.file else error.at(options.scenario) from None
    write_json(directory / "result.json", json.loads(result.json()))
    if options.json:
        print(result.json())
        return
    Console().print(table_of(result))
    if result.gap is not None:
        print(f"gap to joint training: {100 * result.gap:.2f} points")
    print(f"{directory}/result.json")


def refuse_more(options: Namespace) -> None:
    """InputError for options whose place is the scenario's file: they would not count."""
    parser = ArgumentParser()
    network_options(parser, checkpoint=None)
    for add in (data_options, recipe_options, sram_option):
        add(parser)
    kept_options(parser, "")
    for flag in ("--tensorboard", "--keep-snapshot"):
        parser.add_argument(flag, action="store_true")
    for name, default in vars(parser.parse_args([])).items():
        if getattr(options, name, default) != default:
            raise InputError(
                f"--{name.replace('_', '-')} beside --scenario: all but --out, --seeds and --json "
                "is said in the scenario's file (docs/scenarios.md)"
            )


def table_of(result: Result) -> Table:
    """A row a seed."""
    table = Table("seed", *SHARES, "kernel words", "SHA-256", title=result.scenario.strategy)
    for outcome in result.outcomes:
        pairs = (getattr(outcome, name) for name in SHARES)
        shares = (f"{before:.2%} -> {after:.2%}" for before, after in pairs)
        words = f"{outcome.words_written:,}"
        table.add_row(str(outcome.seed), *shares, words, outcome.sha256[:12])
    return table
