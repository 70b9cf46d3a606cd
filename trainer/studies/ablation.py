"""Study: integers against float32: ways of rounding, and what is kept of a weight."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
from rich.progress import Progress

from ..learning import strategies
from ..learning.experiment import (
    REPLAY_BYTES,
    Material,
    count_right,
    examples_kept,
    share,
    tested,
)
from ..learning.strategies import STRATEGIES
from ..loop import Trainer
from .bases import Bases
from .float_twin import trained_logits
from .pages import write_table

EXAMPLES = 100
FLOAT = "float32"
VARIANTS = {  # fields of the recipe; None: in float32
    "stochastic, in place": {"rounding": "stochastic", "precision": "in place"},
    "stochastic, residual": {"rounding": "stochastic", "precision": "residual"},
    "stochastic, int16": {"rounding": "stochastic", "precision": "int16"},
    "nearest, in place": {"rounding": "nearest", "precision": "in place"},
    "nearest, int16": {"rounding": "nearest", "precision": "int16"},
    "truncate, in place": {"rounding": "truncate", "precision": "in place"},
    "truncate, residual": {"rounding": "truncate", "precision": "residual"},
    FLOAT: None,
}
STARTS = ("zero", "whitened")
STRATEGY = "whitened"


def study(options: Namespace, bases: Bases) -> None:
    """Every variant from every start, for all classes and seeds."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    seeds = range(1, options.seeds + 1)
    with Progress() as bar:
        task = bar.add_task("rounding", total=len(bases.folders) * len(VARIANTS) * 2 * len(seeds))
        for label in bases.folders:
            for start in STARTS:
                for name in VARIANTS:
                    for seed in seeds:
                        result = one(bases.material(label), start, name, seed)
                        found.setdefault((start, name), []).append(result)
                        bar.advance(task)
    rows = []
    for (start, name), results in found.items():
        new, old, overall = 100 * np.mean(results, axis=0)
        twin = 100 * np.mean([each[2] for each in found[start, FLOAT]])
        rows.append([start, name, f"{new:.2f}", f"{old:+.2f}", f"{overall:.2f}",
                     f"{overall - twin:+.2f}"])  # fmt: skip
    heads = ["start of the new row", "arithmetic", "new %", "old", "all %", "against float32"]
    text = (
        f"The last layer, {EXAMPLES} examples, {REPLAY_BYTES >> 10} KB of replay, the same batches "
        f"and the same recipe; means of {len(bases.folders)} classes and {len(seeds)} seeds on "
        f"{len(bases.test)} test samples, in points."
    )
    write_table(options, "Integers against float32", text, heads, rows)


def one(material: Material, start: str, name: str, seed: int) -> tuple[float, float, float]:
    """(new after, change of old, overall after), shares, of one variant."""
    fields = VARIANTS[name] or {}
    strategy = replace(STRATEGIES[STRATEGY], start=start)
    machine = material.machine
    assert machine.program is not None
    machine.load(machine.program)
    network = machine.program.plan.network
    trainer = Trainer(machine, strategies.recipe_of(strategy, network, seed=seed, **fields))
    kept = examples_kept(material, trainer, strategy, EXAMPLES, seed, REPLAY_BYTES)
    tests = tested(material, trainer, strategy)
    before = count_right(trainer, tests)
    strategies.begin(trainer, strategy, kept, material.new_class)
    if VARIANTS[name] is None:
        after = [
            trained_logits(trainer, kept, latents).argmax(axis=1) == labels
            for latents, labels in tests
        ]
    else:
        strategies.learn(trainer, strategy, kept, material.new_class)
        after = count_right(trainer, tests)
    change = share(after[1]) - share(before[1])
    return share(after[0]), change, share(np.concatenate(after))
