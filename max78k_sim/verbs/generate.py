"""``max78k generate``: C for the board."""

from __future__ import annotations

from argparse import Namespace

from firmware.generate import generate

from .common import compiled, make_directory, network_from, recipe_from
from .training import layer_in_c, training_check, training_step


def main(options: Namespace) -> None:
    """Write the map and, with --train, the training step and its known-answer test."""
    network = network_from(options)
    program = compiled(network)
    directory = make_directory(options.out)
    if not options.train:
        files = generate(program.plan, directory)
    else:
        recipe = recipe_from(options, network)
        layer = layer_in_c(network, recipe)
        step, check = training_step(recipe, layer), training_check(program, recipe)
        files = generate(program.plan, directory, step, check)
    for file in files:
        print(file)
    if options.train:
        print(f"known-answer test on this computer: make -C {directory} check")
