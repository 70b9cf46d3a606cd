"""``max78k generate``: a C project for the board."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from dataclasses import fields
from typing import Any

from firmware.generate import generate, write_files
from firmware.project.log import log_text
from firmware.project.project import Choices, Project, make_project
from firmware.protocol.program import PROTOCOL, protocol_files
from firmware.training.linear import describe
from trainer.recipe import Recipe

from ..errors import InputError
from ..loading import read_sample
from ..program import Program
from ..whole_files import make_directory
from .common import compiled, network_from, recipe_from
from .generate_training import prepare
from .kept_examples import replay_from


def main(options: Namespace) -> None:
    """Write the project and, with --train, the training step and its known-answer test."""
    if not options.train:
        refuse_recipe(options)
    network = network_from(options)
    program = compiled(network)
    choices = choices_from(options, network.name)
    step = check = None
    training = ""
    if options.train:
        recipe = recipe_from(options, network)
        program, step, check = prepare(options, program, recipe)
        training = describe(program.plan, step)
    project = make_project(program, choices)
    for warning in project.warnings:
        print(f"max78k: warning: {warning}", file=sys.stderr)
    command = shlex.join(["max78k", *sys.argv[1:]])
    log = log_text(program, choices, project, command, training)
    talking = protocol(program, options)
    directory = make_directory(options.out)
    files = generate(program.plan, directory, step, check, project.files | {"log.txt": log})
    for file in (*files, *(write_files(directory, talking, PROTOCOL) if talking else ())):
        print(file)
    if training:
        print(training)
    print("\n".join(closing(options, project, program)))


def refuse_recipe(options: Namespace) -> None:
    """InputError for what only a training step takes."""
    for name in (*(field.name for field in fields(Recipe)), "kernel_copy"):
        if getattr(options, name, None) is not None:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} says how the program learns; give --train, too")


def protocol(program: Program, options: Namespace) -> dict[str, str]:
    """Texts of the program that talks, in the place of the one that tests; {} where it does not."""
    for name in ("save", "replay"):
        if getattr(options, name) and not (options.train and options.protocol):
            raise InputError(
                f"--{name}: the program that learns at a serial port keeps what it learnt; give "
                "--train and --protocol, too"
            )
    if not options.protocol:
        return {}
    network = program.plan.network
    recipe = recipe_from(options, network)
    if recipe.wide_bias:
        raise InputError(
            "--wide-bias: the program at a serial port answers with, and saves, what the chip "
            "holds; leave out --wide-bias or --protocol"
        )
    trained = (recipe.layers or (network.layers[-1].name,)) if options.train else ()
    return protocol_files(
        program,
        trained,
        seed=recipe.seed,
        batch=recipe.batch,
        saves=options.save,
        replay=replay_from(options, program, recipe),
    )


def choices_from(options: Namespace, network: str) -> Choices:
    """What the command line says of a project; InputError for what is no legal value."""
    given: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(Choices)
        if hasattr(options, field.name)
    }
    given["prefix"] = options.prefix or network
    given["boost"] = boost_from(options.boost)
    if options.sample_input:
        given["sample"], given["sample_name"] = (
            read_sample(options.sample_input),
            options.sample_input,
        )
    return Choices(**given)


def boost_from(text: str | None) -> tuple[int, int] | None:
    """Port and pin, of "2.5"."""
    if text is None:
        return None
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--boost {text}: port and pin, for example 2.5")
    return int(parts[0]), int(parts[1])


def closing(options: Namespace, project: Project, program: Program) -> list[str]:
    """What to do with the files."""
    lines = []
    if not options.sample_input:
        lines.append("the sample is made up; --sample-input takes yours")
    if options.kat:
        lines.append(f"known answer: {project.checked:,} of {project.words:,} words of the output")
    out = shlex.quote(options.out)
    lines += [
        f"on this computer:     max78k exec {out}",
        f"for Arm, without SDK: make -C {out} arm",
        f"with the vendor's:    make -C {out} MAXIM_PATH=... BOARD={options.board_name}",
    ]
    if options.protocol:
        lines.append("then, at its serial port: max78k board --port /dev/ttyACM0 ...")
    if options.train:
        lines.append(f"known-answer test on this computer: make -C {out} check")
    return lines
