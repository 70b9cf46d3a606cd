"""Study: the fair bound, what training everything again on the host makes of as few examples.

``--bases`` is here the folder of those networks (a class a folder; see ``bases.SCRATCH``); what the
chip made of the same examples is read from the runs that the study of a new class wrote.
"""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluation

from .bases import MOST, Bases
from .pages import table, write_table

HEADS = ("class", "host: new %", "old", "all %", "chip: new %", "old", "all %")
WORDS = (
    "The same network, trained from scratch on the host in float and quantised, with all data of "
    "the other classes and {most} examples of the new one; beside it {strategy} on the chip. Old: "
    "change against the network that the chip starts from."
)


class Learnt(NamedTuple):
    """What the chip is right on, as shares of test samples; columns of the table of runs."""

    new: float
    old_before: float
    old_after: float
    overall: float


def study(options: Namespace, bases: Bases) -> None:
    """Every network from scratch on the whole test part, beside the means of the chip's runs."""
    file = options.out / f"new-class-{options.name}.csv"
    learnt = learnt_of(file, options.strategy, MOST)
    absent = [label for label in bases.folders if label not in learnt]
    if absent:
        message = f"has no runs of {options.strategy} with {MOST} examples of class {absent[0]}"
        raise InputError(message, file=file)
    hosts = {label: bases.evaluation(each) for label, each in bases.folders.items()}
    names = bases.shown.class_names
    text = WORDS.format(most=MOST, strategy=options.strategy)
    text += f" {len(bases.test)} test samples."
    write_table(options, "The fair bound", text, HEADS, rows_of(hosts, learnt, names))


def learnt_of(file: Path, strategy: str, examples: int) -> dict[int, Learnt]:
    """By class, the means over seeds; InputError where there is no such file, or another."""
    if not file.is_file():
        raise InputError("is not there; python -m trainer.studies new-class makes it", file=file)
    found: dict[int, list[list[float]]] = {}
    with file.open(newline="", encoding="utf-8") as stream:
        for number, run in enumerate(csv.DictReader(stream), 2):
            try:
                if run["strategy"] == strategy and int(run["examples"]) == examples:
                    shares = [float(run[name]) for name in Learnt._fields]
                    found.setdefault(int(run["class"]), []).append(shares)
            except (KeyError, TypeError, ValueError):
                raise InputError("is no run of a study", file=file, line=number) from None
    return {label: Learnt(*map(fmean, zip(*runs, strict=True))) for label, runs in found.items()}


def part_of_page(
    hosts: Mapping[int, Evaluation], learnt: Mapping[int, Learnt], names, strategy: str
) -> list[str]:
    """Title, words and table for the page of a new class; nothing where there is no network."""
    if not hosts:
        return []
    text = WORDS.format(most=MOST, strategy=strategy)
    title = f"## The fair bound: {MOST} examples\n\n{text}"
    return [title, table(HEADS, rows_of(hosts, learnt, names))]


def rows_of(
    hosts: Mapping[int, Evaluation], learnt: Mapping[int, Learnt], names
) -> list[list[str]]:
    """A row a class that was trained from scratch, and their mean."""
    rows, figures = [], []
    for label, whole in hosts.items():
        chip = learnt[label]
        classes = range(len(whole.confusion))
        others = [each for each in classes if each != label]
        host = whole.of([label]), whole.of(others) - chip.old_before, whole.of(classes)
        change = chip.old_after - chip.old_before
        figures.append([100 * each for each in (*host, chip.new, change, chip.overall)])
        rows.append([f"{label} ({names[label]})", *cells(figures[-1])])
    mean = "mean" if len(rows) == len(learnt) else f"mean of these {len(rows)}"
    return [*rows, [mean, *cells(np.mean(figures, axis=0))]]


def cells(values) -> list[str]:
    """(new, old, all) twice, as a row has them."""
    forms = ("{:.1f}", "{:+.2f}", "{:.2f}")
    return [
        form.format(round(float(value), 2) + 0.0)  # no -0.00
        for form, value in zip(forms * 2, values, strict=True)
    ]
