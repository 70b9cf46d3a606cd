"""``max78k generate``: C for the board."""

from __future__ import annotations

from argparse import Namespace

from firmware.generate import generate
from trainer.loop import Trainer

from ..machine import Machine
from .common import compiled, make_directory, network_from, recipe_from
from .training import training_check, training_step


def main(options: Namespace) -> None:
    """Write the map and, with --train, the training step and its known-answer test."""
    network = network_from(options)
    program = compiled(network)
    directory = make_directory(options.out)
    if not options.train:
        files = generate(program.plan, directory)
    else:
        recipe = recipe_from(options, network)
        machine = Machine(network.device)
        machine.load(program)
        layer = Trainer(machine, recipe).layer  # refuses what cannot be trained
        step, check = training_step(recipe, layer), training_check(program, recipe)
        files = generate(program.plan, directory, step, check)
    for file in files:
        print(file)
    if options.train:
        print(f"known-answer test on this computer: make -C {directory} check")
