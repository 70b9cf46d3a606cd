"""Study: learn a class that the network has never seen, for every class, from few examples."""

from __future__ import annotations

import csv
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from ..learning.experiment import REPLAY_BYTES, Outcome
from ..learning.strategies import STRATEGIES
from . import bound
from .bases import MOST, Bases
from .pages import picture, table, write_page

EXAMPLES = (1, 5, 10, 50, MOST)
STARTING_OUT = "new row"


@dataclass(frozen=True)
class Summary:
    """Means of some outcomes, in percent or points; ``least``: the class with the lowest mean."""

    new: float
    least: float
    old: float
    overall: float


def summary(outcomes: dict[int, list[Outcome]]) -> Summary:
    """Of outcomes by class."""
    every = [each for some in outcomes.values() for each in some]
    by_class = [np.mean([each.new[1] for each in some]) for some in outcomes.values()]
    return Summary(
        100 * float(np.mean([each.new[1] for each in every])),
        100 * float(min(by_class)),
        100 * float(np.mean([each.old[1] - each.old[0] for each in every])),
        100 * float(np.mean([each.overall[1] for each in every])),
    )


def study(options: Namespace, bases: Bases) -> None:
    """All runs, then the page, the picture and the table of runs."""
    seeds = range(1, options.seeds + 1)
    jobs = [(options.strategy, count, seed) for count in EXAMPLES for seed in seeds]
    jobs += [(name, MOST, seed) for name in STRATEGIES for seed in seeds[: options.strategy_seeds]]
    jobs += [(STARTING_OUT, count, seed) for count in EXAMPLES for seed in seeds]
    with Progress() as bar:
        task = bar.add_task(f"{options.name}", total=len(jobs) * len(bases.folders))
        for label in bases.folders:
            for job in jobs:
                bases.run(label, *job)
                bar.advance(task)
    joint = bases.joint_evaluation()
    overall = None if joint is None else 100 * joint.of(range(len(joint.confusion)))
    parts = [
        *introduction(options, bases, overall),
        *by_count(bases, options.strategy, seeds, overall),
        *by_class(bases, options.strategy, seeds, joint),
        *from_scratch(bases, options.strategy, seeds),
        *by_strategy(bases, seeds[: options.strategy_seeds], overall),
        *costs(bases, seeds),
    ]
    stem = f"new-class-{options.name}"
    draw(options.out / f"{stem}.png", options, bases, seeds, overall)
    write_page(options.out / f"{stem}.md", f"A new class on the chip: {options.name}", parts, stem)
    write_runs(options.out / f"{stem}.csv", bases, jobs)


def outcomes_of(bases: Bases, strategy: str, count: int, seeds) -> dict[int, list[Outcome]]:
    """By class, one a seed."""
    return {
        label: [bases.run(label, strategy, count, seed) for seed in seeds]
        for label in bases.folders
    }


def gap(joint: float | None, overall: float) -> str:
    """Points between joint training and a run."""
    return "unknown" if joint is None else f"{joint - overall:.2f}"


def introduction(options: Namespace, bases: Bases, joint: float | None) -> list[str]:
    """What was done."""
    held = ", ".join(str(label) for label in bases.folders)
    joint_text = (
        "There is no joint network to compare with."
        if joint is None
        else f"The joint network, trained on all classes with all their data at once, is right on "
        f"{joint:.2f} % of the same test samples."
    )
    layers = STRATEGIES[options.strategy].layers
    trained = "its last layer" if layers == 1 else f"its last {layers} layers with kernels"
    return [
        f"Each network has never seen one class (classes {held}); it is shown a few examples of "
        f"that class and what it kept of the others within {REPLAY_BYTES >> 10} KB, and trains "
        f"{trained} in the chip's integers. New: share of the new class' test samples that are "
        "right afterwards. Old: change on the others, in points. Gap: joint training less this, "
        "on all test samples. "
        f"{len(bases.test)} test samples. {joint_text}"
    ]


def by_count(bases: Bases, best: str, seeds, joint: float | None) -> list[str]:
    """The main strategy by number of examples, and where it starts."""
    rows = []
    for name in (best, STARTING_OUT):
        for count in EXAMPLES:
            found = summary(outcomes_of(bases, name, count, seeds))
            rows.append([name, count, f"{found.new:.1f}", f"{found.least:.1f}",
                         f"{found.old:+.2f}", f"{found.overall:.2f}",
                         gap(joint, found.overall)])  # fmt: skip
    heads = ["strategy", "examples", "new %", "lowest class %", "old", "all %", "gap"]
    title = f"## Few examples\n\nMeans of {len(bases.folders)} classes and {len(seeds)} seeds."
    return [title, table(heads, rows)]


def by_class(bases: Bases, best: str, seeds, joint) -> list[str]:
    """Each held-out class."""
    rows = []
    for label, some in outcomes_of(bases, best, MOST, seeds).items():
        found = summary({label: some})
        together = None if joint is None else 100 * joint.of([label])
        rows.append([
            f"{label} ({bases.shown.class_names[label]})", f"{100 * some[0].old[0]:.2f}",
            f"{found.new:.1f}", f"{found.old:+.2f}", f"{found.overall:.2f}",
            "unknown" if together is None else f"{together:.1f}",
            gap(None if joint is None else 100 * joint.of(range(len(joint.confusion))),
                found.overall),
        ])  # fmt: skip
    heads = ["class", "old before %", "new %", "old", "all %", "joint on this class %", "gap"]
    return [f"## Every class: {MOST} examples, {best}", table(heads, rows)]


def from_scratch(bases: Bases, best: str, seeds) -> list[str]:
    """The fair bound: what training everything again on the host makes of as few examples."""
    learnt = {}
    for label, some in outcomes_of(bases, best, MOST, seeds).items():
        shares = [(each.new[1], *each.old, each.overall[1]) for each in some]
        learnt[label] = bound.Learnt(*np.mean(shares, axis=0).tolist())
    names = bases.shown.class_names
    return bound.part_of_page(bases.scratch_evaluations(), learnt, names, best)


def by_strategy(bases: Bases, seeds, joint: float | None) -> list[str]:
    """All strategies with the most examples."""
    rows = []
    for name, strategy in STRATEGIES.items():
        found = summary(outcomes_of(bases, name, MOST, seeds))
        rows.append([name, strategy.meaning, f"{found.new:.1f}", f"{found.old:+.2f}",
                     gap(joint, found.overall)])  # fmt: skip
    heads = ["strategy", "what it does", "new %", "old", "gap"]
    return [f"## Strategies: {MOST} examples, {len(seeds)} seeds", table(heads, rows)]


def costs(bases: Bases, seeds) -> list[str]:
    """What a run takes."""
    rows = []
    for name in STRATEGIES:
        some = [bases.run(label, name, MOST, seeds[0]) for label in bases.folders]
        rows.append([name, *(
            f"{np.mean([getattr(each, what) for each in some]):.0f}"
            for what in ("steps", "words_written", "replayed", "replay_bytes", "new_bytes",
                         "state_bytes")
        )])  # fmt: skip
    heads = ["strategy", "steps", "kernel words written", "old examples kept", "their bytes",
             "bytes of new ones", "bytes of training state"]  # fmt: skip
    return ["## Costs, means over classes", table(heads, rows)]


def draw(file: Path, options: Namespace, bases: Bases, seeds, joint: float | None) -> None:
    """New and all classes over the number of examples."""
    lines = {}
    for strategy in (options.strategy, STARTING_OUT):
        found = [summary(outcomes_of(bases, strategy, count, seeds)) for count in EXAMPLES]
        lines[f"{strategy}: new class"] = [each.new for each in found]
        lines[f"{strategy}: all classes"] = [each.overall for each in found]
    picture(file, f"{options.name}: a new class", EXAMPLES, lines, joint)


def write_runs(file: Path, bases: Bases, jobs) -> None:
    """Every run, a line each."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["class", "strategy", "examples", "seed", "new", "old_before", "old_after",
                         "overall", "words_written", "sha256"])  # fmt: skip
        for label in bases.folders:
            for strategy, count, seed in sorted(set(jobs)):
                run = bases.run(label, strategy, count, seed)
                shares = (run.new[1], *run.old, run.overall[1])
                writer.writerow([label, strategy, count, seed, *(f"{each:.4f}" for each in shares),
                                 run.words_written, run.sha256[:16]])  # fmt: skip
