"""``max78k demo``: the whole, once, on real images.

Simulate a network at its addresses, train it there, and show that the generated C does the same.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table

import networks
from firmware.cosim.host import HostTrainer, compile_library
from firmware.cost import step_cycles
from firmware.generate import generate
from trainer.data.datasets import Dataset, load_for
from trainer.loop import Pool, Trainer, memory_digest, train
from trainer.pictures import Point, draw_training
from trainer.recipe import Recipe
from trainer.schedule import schedule_of

from ..evaluator import Evaluation, Evaluator
from ..latency import PROCESSOR_HERTZ, latency, milliseconds
from ..loading import load_network
from ..machine import Machine
from ..map_text import render_map
from ..network import Network
from ..program import Program, compile_network
from ..whole_files import make_directory
from .common import (
    export_parameters,
    part_of,
    pool_from,
    progress,
    recipe_from,
    spread,
    write_json,
    write_whole,
)
from .training import training_check, training_step

NETWORK = networks.DIRECTORY / "fashion"
NEW_CLASS = 8  # bag
LIVE_IMAGES = 200  # held-out images that the live accuracy is measured on
LIVE_POINTS = 10  # how often


@dataclass(frozen=True)
class Run:
    """Everything that the demo works on."""

    network: Network
    program: Program
    recipe: Recipe
    pool: Pool
    test: Dataset
    new_class: int
    directory: Path
    console: Console

    @property
    def old_classes(self) -> tuple[int, ...]:
        """Classes that the network was pretrained on."""
        classes = range(self.network.output_shape[0])
        return tuple(label for label in classes if label != self.new_class)


@dataclass(frozen=True)
class Outcome:
    """What the simulated training came to."""

    before: Evaluation
    after: Evaluation
    points: tuple[Point, ...]
    digest: str
    written: dict[str, int]


def main(options: Namespace) -> int:
    """Run the demo; 1 when the C and the simulation differ."""
    started = time.monotonic()
    run = prepare(options)
    run.console.rule("1  the network, and where everything lies")
    run.console.print(render_map(run.program.plan))
    machine = Machine(run.network.device)
    machine.load(run.program)
    run.console.rule("2  exact accuracy before training")
    before = measure(run, machine, "before")
    run.console.rule("3  training on the chip")
    trainer = Trainer(machine, run.recipe)
    points = train_live(run, trainer)
    run.console.rule("4  exact accuracy after training")
    after = measure(run, machine, "after")
    written = trainer.slots_written
    outcome = Outcome(before, after, points, memory_digest(machine.memory), written)
    print_accuracies(run, outcome)
    picture = run.directory / "training.png"
    names, new = run.test.class_names, run.new_class
    write_whole(picture, lambda file: draw_training(file, before, after, points, names, new))
    export_parameters(run.directory / "trained.npz", run.network, machine)
    run.console.rule("5  the same training as C")
    equal, host = train_in_c(run, outcome)
    run.console.rule("6  result")
    finish(run, outcome, trainer, host, equal, time.monotonic() - started)
    snapshot_file(run).unlink(missing_ok=True)
    return 0 if equal else 1


def prepare(options: Namespace) -> Run:
    """Network, program, examples and held-out images."""
    console = Console()
    network = load_network(NETWORK / "network.yaml", NETWORK / "checkpoint.pth.tar")
    recipe = recipe_from(options, network)
    new_class = NEW_CLASS if options.new_class is None else options.new_class
    shown, test = (load_for(network, options.data, split) for split in ("train", "test"))
    test = part_of(test, options.test_images)
    pool = pool_from(options, shown, new_class)
    directory = make_directory(options.out)
    program = compile_network(network)
    return Run(network, program, recipe, pool, test, new_class, directory, console)


def measure(run: Run, machine: Machine, when: str) -> Evaluation:
    """Confusion over all held-out images."""
    with progress(run.console) as bar:
        task = bar.add_task(f"held-out images, {when}", total=len(run.test.labels))
        accuracy = Evaluator(machine).evaluate(
            [(run.test.images, run.test.labels)], lambda done: bar.advance(task, done)
        )
    old, new = accuracy.of(run.old_classes), accuracy.of([run.new_class])
    name = run.test.class_names[run.new_class]
    run.console.print(f"{when}: old classes {old:.2%}, new class ({name}) {new:.2%}")
    return accuracy


def train_live(run: Run, trainer: Trainer) -> tuple[Point, ...]:
    """Train to the end with a progress bar and accuracy as it goes; resumed where it stopped."""
    recipe, pool = run.recipe, run.pool
    run.console.print(
        f"{pool.new} images of '{run.test.class_names[run.new_class]}', "
        f"{len(pool.labels) - pool.new} of the other classes; {recipe.steps} steps of "
        f"{recipe.batch}; learning rate {recipe.rate_mantissa}/{2**recipe.rate_shift}, momentum "
        f"{1 - 2**-recipe.momentum_shift}, seed {recipe.seed}"
    )
    live = spread(run.test, LIVE_IMAGES)
    every = max(1, recipe.steps // LIVE_POINTS)
    points = [live_point(run, trainer, live)]
    right = shown = 0
    with progress(run.console, TextColumn("{task.fields[live]}")) as bar:
        task = bar.add_task("training steps", total=recipe.steps, live=live_text(points[-1], 0))
        for done in train(trainer, pool, snapshot_file(run)):
            if done.step - 1 > 0 and not shown:
                run.console.print(f"resumed after step {done.step - 1}")
            right, shown = right + done.right, shown + done.batch
            if done.step % every == 0 or done.step == recipe.steps:
                points.append(live_point(run, trainer, live))
            text = live_text(points[-1], right / shown)
            bar.update(task, completed=done.step, live=text)
        bar.update(task, completed=trainer.step)
    return tuple(points)


def snapshot_file(run: Run) -> Path:
    """Where a killed demo is resumed from; deleted when it has ended."""
    return run.directory / "snapshot.npz"


def live_point(run: Run, trainer: Trainer, live: np.ndarray) -> Point:
    """Accuracy on the fixed part of the held-out images."""
    shown = run.test.subset(live)
    accuracy = Evaluator(trainer.machine).evaluate([(shown.images, shown.labels)])
    return Point(trainer.step, accuracy.of(run.old_classes), accuracy.of([run.new_class]))


def live_text(point: Point, shown: float) -> str:
    """What stands behind the progress bar."""
    return f"old {point.old:.0%} · new {point.new:.0%} · shown {shown:.0%}"


def print_accuracies(run: Run, outcome: Outcome) -> None:
    """Accuracy of each class before and after."""
    table = Table("class", "before", "after", "change", title="accuracy on held-out images")
    rows: list[tuple[str, tuple[int, ...]]] = [
        (name + (" (new)" if label == run.new_class else ""), (label,))
        for label, name in enumerate(run.test.class_names)
    ]
    everything = tuple(range(len(run.test.class_names)))
    rows += [("old classes", run.old_classes), ("all classes", everything)]
    for name, classes in rows:
        before, after = outcome.before.of(classes), outcome.after.of(classes)
        if len(classes) > 1 and classes == run.old_classes:
            table.add_section()
        table.add_row(name, f"{before:.2%}", f"{after:.2%}", f"{100 * (after - before):+.2f}")
    run.console.print(table)


def train_in_c(run: Run, outcome: Outcome) -> tuple[bool, HostTrainer]:
    """Generate, compile and run the C on the memories of a second accelerator."""
    directory = run.directory / "c"
    files = generate(
        run.program.plan,
        directory,
        training_step(run.program, run.recipe),
        training_check(run.program, run.recipe),
    )
    run.console.print(f"{len(files)} C files in {directory}; compiling, warnings are errors")
    library = compile_library(directory)
    machine = Machine(run.network.device)
    machine.load(run.program)
    host = HostTrainer(library, machine.memory, run.recipe.seed)
    pool, recipe = run.pool, run.recipe
    schedule = schedule_of(pool, recipe)
    with progress(run.console) as bar:
        for step in bar.track(range(recipe.steps), description="the same steps in C"):
            host.begin()
            for index in schedule.batch_at(step):
                machine.run(pool.images[index])
                host.learn(int(pool.labels[index]))
            host.apply()
    digest = memory_digest(machine.memory)
    run.console.print(f"simulation  {outcome.digest}\nC           {digest}")
    equal = digest == outcome.digest and host.accesses()[2] == 0
    verdict = "[green]identical" if equal else "[red]DIFFERENT"
    run.console.print(f"all kernel and bias memory, by SHA-256: {verdict}[/]")
    return equal, host


def finish(
    run: Run, outcome: Outcome, trainer: Trainer, host: HostTrainer, equal: bool, seconds: float
) -> None:
    """The last screen, and the same as JSON."""
    summary = summarise(run, outcome, trainer, host, equal)
    write_json(run.directory / "result.json", summary)
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, text in describe(run, summary):
        table.add_row(f"[bold]{name}", text)
    run.console.print(table)
    run.console.print(f"{seconds:.0f} s in all")


def summarise(
    run: Run, outcome: Outcome, trainer: Trainer, host: HostTrainer, equal: bool
) -> dict[str, Any]:
    """Every number of the last screen."""
    recipe = run.recipe
    inference, layer = latency(run.network).on_silicon, run.network.layers[-1]
    step = step_cycles(layer.out_channels, layer.features, recipe.batch)
    accelerator = inference * recipe.batch
    return {
        "recipe": asdict(recipe),
        "new_class": run.test.class_names[run.new_class],
        "new_images": run.pool.new,
        "replay_images": len(run.pool.labels) - run.pool.new,
        "held_out_images": outcome.after.samples,
        "new_before": outcome.before.of([run.new_class]),
        "new_after": outcome.after.of([run.new_class]),
        "old_before": outcome.before.of(run.old_classes),
        "old_after": outcome.after.of(run.old_classes),
        "kernel_words_written": outcome.written["kernel"],
        "kernel_words_of_layer": trainer.stores[layer.index, "kernel"].slots,
        "kernel_words_of_network": run.program.plan.kernel_words_used,
        "bias_bytes_written": outcome.written.get("bias", 0),
        "sram_bytes": host.number("cnn_train_sram"),
        "inference_cycles": inference,
        "inference_milliseconds": milliseconds(inference),
        "step_processor_cycles": step,
        "step_milliseconds": milliseconds(step, PROCESSOR_HERTZ) + milliseconds(accelerator),
        "sha256": outcome.digest,
        "c_identical": equal,
        "points": [asdict(point) for point in outcome.points],
    }


def describe(run: Run, summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The last screen as (name, text) rows."""
    steps = run.recipe.steps
    of_step = summary["kernel_words_written"] / steps
    change = 100 * (summary["old_after"] - summary["old_before"])
    return [
        (
            f"new class ({summary['new_class']})",
            f"{summary['new_before']:.2%} -> {summary['new_after']:.2%}",
        ),
        (
            "old classes",
            f"{summary['old_before']:.2%} -> {summary['old_after']:.2%} ({change:+.2f} points), "
            f"on {summary['held_out_images']:,} held-out images",
        ),
        (
            "kernel words written",
            f"{summary['kernel_words_written']:,} in {steps} steps, {of_step:.0f} a step of the "
            f"{summary['kernel_words_of_layer']} of the layer; the network has "
            f"{summary['kernel_words_of_network']:,}",
        ),
        ("CPU SRAM", f"{summary['sram_bytes']:,} bytes (velocities, activations, one kernel word)"),
        (
            "inference",
            f"{summary['inference_cycles']:,} cycles at 50 MHz, "
            f"{summary['inference_milliseconds']:.2f} ms (estimate; the vendor's formula)",
        ),
        (
            "training step",
            f"{summary['step_processor_cycles']:,} processor cycles at 100 MHz and "
            f"{run.recipe.batch} inferences, {summary['step_milliseconds']:.1f} ms "
            "(estimate, no wait states)",
        ),
        ("C and simulation", "identical" if summary["c_identical"] else "DIFFERENT"),
        (
            "files",
            f"{run.directory}/training.png, result.json, trained.npz, "
            f"c/ (make -C {run.directory}/c check)",
        ),
    ]
