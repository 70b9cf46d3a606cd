"""Study: a class with 40 examples, added to those that a network knows or in another's place."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
from rich.progress import Progress

from ..learning.experiment import REPLAY_BYTES, Material, Outcome, Part, experiment
from .bases import Bases
from .new_class import summary
from .pages import write_table

EXAMPLES = 40
WAYS = {  # what is done: a strategy (None: the main one), fields of the recipe
    "last layer, no replay, truncation": ("last layer", {"rounding": "truncate"}),
    "last layer, no replay": ("last layer", {}),
    "main strategy": (None, {}),
}
TASKS = ("added", "replaced")


def study(options: Namespace, bases: Bases) -> None:
    """Both tasks in all ways, for all classes and seeds."""
    rows = []
    with Progress() as bar:
        runs = len(TASKS) * len(WAYS) * len(bases.folders) * options.seeds
        progress = bar.add_task("replace", total=runs)
        for task in TASKS:
            for way, (name, fields) in WAYS.items():
                strategy = name or options.strategy
                outcomes: dict[int, list[Outcome]] = {}
                for label in bases.folders:
                    material = material_of(bases, label, task)
                    for seed in range(1, options.seeds + 1):
                        result = experiment(material, strategy, EXAMPLES, seed, overrides=fields)
                        outcomes.setdefault(label, []).append(result)
                        bar.advance(progress)
                found = summary(outcomes)
                rows.append([task, f"{way}: {strategy}" if name is None else way,
                             f"{found.new:.1f}", f"{found.least:.1f}", f"{found.old:+.2f}",
                             f"{found.overall:.2f}"])  # fmt: skip
    heads = ["the class is", "how it is learnt", "new %", "lowest class %", "old", "all %"]
    tests = sorted({int((bases.test.labels == label).sum()) for label in bases.folders})
    unseen = " to ".join(map(str, sorted({tests[0], tests[-1]})))
    text = (
        f"{EXAMPLES} examples of a class that the network has never seen; {REPLAY_BYTES >> 10} KB "
        "of replay, where there is one. *Added*: it gets the output that the network has for it. "
        "*Replaced*: it takes the output of the class after it, whose samples are shown and "
        "counted no more; the others are old. Means of "
        f"{len(bases.folders)} classes and {options.seeds} seeds; {unseen} "
        f"unseen samples of a new class, {len(bases.test)} of all. New: share of the new class' "
        "samples that are right afterwards; old: change on the others, in points."
    )
    title = f"A class added, and one replaced, with {EXAMPLES} examples"
    write_table(options, title, text, heads, rows)


def material_of(bases: Bases, label: int, task: str) -> Material:
    """The network that has never seen a class, with the data of a task."""
    material = bases.material(label)
    if task == "added":
        return material
    other = (label + 1) % len(bases.shown.class_names)
    new, old = (
        Part(*(change(data, other) for data in (part.shown, part.test)))
        for part, change in ((material.new, as_class), (material.old, without))
    )
    folder = bases.work / f"latents-{label}-as-{other}"
    return Material(material.machine, new, old, other, folder)


def as_class(data, label: int):
    """The same samples under one label."""
    return replace(data, labels=np.full_like(data.labels, label))


def without(data, label: int):
    """All samples but those of a class."""
    return data.subset(data.labels != label)
