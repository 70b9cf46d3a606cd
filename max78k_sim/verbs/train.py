"""``max78k train``: train layers of a network on the simulated chip."""

from __future__ import annotations

import csv
import json
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import TextColumn

from trainer import losses
from trainer.data.datasets import Dataset, load_for
from trainer.evaluation import evaluate
from trainer.host.vendor_checkpoint import write_back
from trainer.loop import Pool, Trainer, memory_digest, train
from trainer.memory.plan import MemoryPlan
from trainer.memory.text import explain
from trainer.parameter import WideBias
from trainer.recipe import Recipe
from trainer.step_cost import StepCost, step_products

from ..errors import InputError
from ..evaluator import Evaluation
from ..latency import latency
from ..machine import Machine
from ..network import Network
from ..program import Program, compile_network
from ..whole_files import make_directory
from . import train_scenario
from .common import (
    compiled,
    export_parameters,
    network_from,
    new_class_from,
    part_of,
    pool_from,
    progress,
    recipe_from,
    seeds_from,
    write_json,
    write_whole,
)
from .kept_examples import replay_from, shown
from .training_memory import is_linear_step, memory_plan

SHOWN = 100  # of the last examples shown: how many were right


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and where results go."""

    network: Network
    program: Program
    memory: MemoryPlan
    pool: Pool
    test: Dataset
    new_class: int
    options: Namespace


def main(options: Namespace) -> None:
    """Train once a seed, resuming where an earlier run in the same directory stopped."""
    if options.scenario:
        train_scenario.main(options)
        return
    if not (options.config_file and options.checkpoint_file):
        raise InputError("give --config-file and --checkpoint-file, or --scenario")
    network = network_from(options)
    recipe = recipe_from(options, network)
    seeds = seeds_from(options, recipe.seed)
    task = prepare(options, network, recipe)
    if not options.json:
        print(*explain(task.memory), sep="\n")
    directory = make_directory(options.out)
    results = []
    for seed in seeds:
        folder = directory if len(seeds) == 1 else make_directory(str(directory / f"seed-{seed}"))
        results.append(run(task, replace(recipe, seed=seed), folder))
    whole = results[0] if len(seeds) == 1 else summary(results)
    write_json(directory / "result.json", whole)
    if options.json:
        print(json.dumps(whole))
        return
    print(f"new class {task.new_class}: {change(whole['new_before'], whole['new_after'])}")
    print(f"old classes: {change(whole['old_before'], whole['old_after'])}")
    if recipe.wide_bias:
        print("32-bit biases: wide_biases of result.json; trained.* are without them")
    print(f"{directory}/result.json, and of each run trained.pth.tar, trained.npz, steps.csv")


def prepare(options: Namespace, network: Network, recipe: Recipe) -> Task:
    """Data, and a plan of the memory that backward reads; InputError where something is wrong."""
    new_class = new_class_from(options, network)
    program = compiled(network)
    memory = memory_plan(program, recipe, options.sram, options.kernel_copy)
    if memory.changes:  # outputs elsewhere, so that backward finds what it needs
        program = compile_network(memory.plan.network)
    replay_from(options, program, recipe)  # before anything is read or written
    shown, test = (load_for(network, options.data, split) for split in ("train", "test"))
    test = part_of(test, options.test_images)
    return Task(
        program.plan.network, program, memory, pool_from(options, shown, new_class), test,
        new_class, options,
    )  # fmt: skip


def run(task: Task, recipe: Recipe, directory: Path) -> dict[str, Any]:
    """One training from the network as it is; everything is written into a folder."""
    machine = Machine(task.network.device)
    machine.load(task.program)
    trainer = Trainer(machine, recipe)
    pool, order = shown(task.options, task.program, recipe, task.pool)
    pool = with_teacher(task, pool, recipe)
    snapshot = directory / "snapshot.npz"
    before = evaluate(trainer, task.test.images, task.test.labels)
    console = Console(stderr=True)
    events = Events(directory, task.options.tensorboard, recipe)
    with progress(console, TextColumn("shown {task.fields[right]}")) as bar:
        counted = bar.add_task("training steps", total=recipe.steps, right="-")
        for done in train(trainer, pool, snapshot, order=order):
            share = recent(trainer.right, recipe.batch)
            bar.update(counted, completed=done.step, right=f"{share:.0%}")
            events.add(done.step, share)
    after = evaluate(trainer, task.test.images, task.test.labels)
    events.close()
    result = outcome(task, trainer, before, after)
    export_parameters(directory / "trained.npz", task.network, machine)
    write_checkpoint(task, machine, directory / "trained.pth.tar")
    write_whole(directory / "steps.csv", lambda file: write_steps(file, trainer.right))
    write_json(directory / "result.json", result)
    if not task.options.keep_snapshot:
        snapshot.unlink(missing_ok=True)
    return result


def write_checkpoint(task: Task, machine: Machine, file: Path) -> None:
    """What was learnt, in the vendor's format, where the network came in it."""
    source, options = str(task.options.checkpoint_file), task.options
    if not source.endswith(".npz"):
        write_back(task.network, machine.memory, source, file, options.skip_checkpoint_layers)


def recent(right: list[int], batch: int) -> float:
    """Share of the last examples that were right before their step."""
    steps = right[-max(1, SHOWN // batch) :]
    return sum(steps) / (batch * len(steps)) if steps else 0.0


def outcome(task: Task, trainer: Trainer, before, after) -> dict[str, Any]:
    """Every number of a run."""
    recipe, written = trainer.recipe, trainer.slots_written
    old = [label for label in range(task.network.output_shape[0]) if label != task.new_class]
    trained = tuple(task.network.layers[index].name for index in trainer.backward.trained)
    cost = StepCost(
        recipe.batch,
        step_products(task.network, trained),
        sum(parameter.velocity.size for parameter in trainer.parameters.values()),
        task.memory.bus_words,
        task.memory.accelerator_cycles or latency(task.network).on_silicon,
        keeps=recipe.batch > 1 or recipe.momentum_shift > 0 or recipe.optimizer == "adam",
        linear=is_linear_step(task.program, recipe),
    )
    return {
        "seed": recipe.seed,
        "new_before": share(before, [task.new_class]),
        "new_after": share(after, [task.new_class]),
        "old_before": share(before, old),
        "old_after": share(after, old),
        "steps": trainer.step,
        "written": written,
        "sram_bytes": task.memory.sram,
        "sram_peak": sum(task.memory.sram.values()),
        "accelerator_runs": task.memory.accelerator_runs,
        "bus_words": cost.bus_words,
        "processor_multiplications": sum(cost.products.values()),
        "estimates": {
            "processor_cycles_a_step": cost.processor_cycles,
            "milliseconds_a_step": round(cost.seconds * 1e3, 3),
            "millijoules_a_step": round(cost.joules * 1e3, 3),
        },
        "sha256": memory_digest(trainer.machine.memory),
        **wide_biases(trainer),
    }


def wide_biases(trainer: Trainer) -> dict[str, list[int]]:
    """What the processor adds to each sum, where it learnt that; no file of weights has room."""
    found = [each.values for each in trainer.parameters.values() if isinstance(each, WideBias)]
    return {"wide_biases": found[0].tolist()} if found else {}


def share(found: Evaluation, classes: list[int]) -> float | None:
    """Share of right answers, 0 to 1; None where there are no test images of these classes."""
    return found.of(classes) if found.confusion[classes].sum() else None


def change(before: float | None, after: float | None) -> str:
    """Two shares for people."""
    if before is None or after is None:
        return "no test images to measure on"
    return f"{before:.2%} -> {after:.2%}"


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of several runs, and each; None where there are no test images."""
    means: dict[str, Any] = {}
    for key in ("new_before", "new_after", "old_before", "old_after"):
        shares = [result[key] for result in results]
        means[key] = None if None in shares else float(np.mean(shares))
    return means | {"runs": results}


def write_steps(file: Path, right: list[int]) -> None:
    """CSV: how many examples of each batch were right before its step."""
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("step", "right"))
        rows.writerows(enumerate(right, 1))


class Events:
    """TensorBoard's events, where they are asked for."""

    def __init__(self, directory: Path, wanted: bool, recipe: Recipe):
        self.writer = None
        if wanted:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise InputError(
                    "--tensorboard needs tensorboardX; install the extra: "
                    "pip install 'max78k[tensorboard]'"
                ) from None
            self.writer = SummaryWriter(str(directory / "tensorboard"))
            self.writer.add_text("recipe", str(recipe))

    def add(self, step: int, share: float) -> None:
        """Share of the last examples that were right."""
        if self.writer is not None:
            self.writer.add_scalar("right", share, step)

    def close(self) -> None:
        """Everything is in the file."""
        if self.writer is not None:
            self.writer.close()


def with_teacher(task: Task, pool: Pool, recipe: Recipe) -> Pool:
    """The pool with what the untrained network says of it, where that counts."""
    if not recipe.teacher_share:
        return pool
    machine = Machine(task.network.device)
    machine.load(task.program)
    trainer = Trainer(machine, Recipe())
    logits = trainer.logits(trainer.maps(pool.images))
    shift = task.network.layers[-1].output_shift
    return replace(pool, teacher=losses.said(logits, shift))
