"""``max78k train``: train a network's last layer on the simulated chip."""

from __future__ import annotations

import json
from argparse import Namespace

from rich.console import Console

from trainer.datasets import load_dataset
from trainer.loop import Trainer, memory_digest, train

from ..errors import InputError
from ..evaluator import Evaluator
from ..machine import Machine
from .common import (
    compiled,
    export_parameters,
    make_directory,
    network_from,
    part_of,
    pool_from,
    progress,
    recipe_from,
    write_json,
)


def main(options: Namespace) -> None:
    """Train, resuming where an earlier run in the same directory stopped."""
    network = network_from(options)
    recipe = recipe_from(options, network)
    shown, test = (load_dataset(options.data, split) for split in ("train", "test"))
    test = part_of(test, options.test_images)
    classes = network.output_shape[0]
    new_class = classes - 1 if options.new_class is None else options.new_class
    if not 0 <= new_class < classes:
        raise InputError(f"--new-class {new_class}: the network has classes 0 to {classes - 1}")
    machine = Machine(network.device)
    machine.load(compiled(network))
    trainer = Trainer(machine, recipe)
    pool = pool_from(options, shown, new_class)
    directory = make_directory(options.out)
    snapshot = directory / "snapshot.npz"
    before = Evaluator(machine).evaluate([(test.images, test.labels)])
    console = Console(stderr=True)
    with progress(console) as bar:
        task = bar.add_task("training steps", total=recipe.steps)
        for done in train(trainer, pool, snapshot):
            bar.update(task, completed=done.step)
    after = Evaluator(machine).evaluate([(test.images, test.labels)])
    old = [label for label in range(classes) if label != new_class]
    result = {
        "new_before": before.of([new_class]),
        "new_after": after.of([new_class]),
        "old_before": before.of(old),
        "old_after": after.of(old),
        "written": trainer.slots_written,
        "sha256": memory_digest(machine.memory),
    }
    export_parameters(directory / "trained.npz", network, machine)
    write_json(directory / "result.json", result)
    if not options.keep_snapshot:
        snapshot.unlink(missing_ok=True)
    if options.json:
        print(json.dumps(result))
        return
    print(f"new class {new_class}: {result['new_before']:.2%} -> {result['new_after']:.2%}")
    print(f"old classes: {result['old_before']:.2%} -> {result['old_after']:.2%}")
    print(f"{directory}/trained.npz, result.json")
