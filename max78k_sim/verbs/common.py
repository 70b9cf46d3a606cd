"""What several verbs need: networks, recipes and data from options, and whole files or none."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, Max78kError
from ..layer_builder import Options
from ..loading import find_faults, load_network, read_sample
from ..network import Network
from ..program import Program, compile_network
from ..whole_files import write_whole


def network_from(options: Namespace, shape: tuple[int, int, int] | None = None) -> Network:
    """The network that the vendor's switches name.

    ``shape``: (channels, rows, columns) of its samples, where it is known from them alone.
    """
    files, switches = network_arguments(options, shape)
    network = load_network(*files, **switches)
    for problem in shape_faults(options, network):
        raise problem
    return network


def faults_from(options: Namespace) -> tuple[Network | None, list[Max78kError]]:
    """That network, if it breaks no rule, and everything that is wrong with it."""
    files, switches = network_arguments(options)
    problems = find_faults(*files, **switches)
    try:
        network = load_network(*files, **switches)
    except Max78kError:
        return None, problems
    return network, [*problems, *shape_faults(options, network)]  # problems are of its placement


def shape_faults(options: Namespace, network: Network) -> list[InputError]:
    """Where --input-shape is not what the first layer reads (its in_channels and in_dim win)."""
    asked = options.input_shape
    if asked is None or asked == network.input_shape:
        return []
    first = network.layers[0]
    shape, reads = (",".join(map(str, each)) for each in (asked, network.input_shape))
    message = f"--input-shape {shape}: {first.name} reads {reads}, by in_channels and in_dim"
    return [InputError(f"{message}; leave --input-shape out", file=network.file, line=first.line)]


def network_arguments(
    options: Namespace, shape: tuple[int, int, int] | None = None
) -> tuple[tuple, dict[str, Any]]:
    """What load_network takes, from the command line's options, and then from samples."""
    shape = options.input_shape or shape
    if shape is None and getattr(options, "sample_input", None):
        shape = read_sample(options.sample_input).shape
    if shape is not None and len(shape) != 3:
        raise InputError(f"--input-shape {shape}: channels, rows and columns, for example 1,28,28")
    switches = {field.name: getattr(options, field.name) for field in fields(Options)}
    files = options.config_file, options.checkpoint_file, options.device
    return files, {"input_shape": shape, **switches}


def compiled(network: Network) -> Program:
    """The network's Program; what a user should know about it goes to stderr."""
    program = compile_network(network)
    for warning in program.plan.warnings:
        print(f"max78k: warning: {warning}", file=sys.stderr)
    return program


def recipe_from(options: Namespace, network: Network):
    """A trainer.recipe.Recipe: its defaults, and what was asked for."""
    from trainer.recipe import Recipe

    asked = {field.name: getattr(options, field.name, None) for field in fields(Recipe)}
    given = {name: value for name, value in asked.items() if value is not None}
    names = given.get("layers", ())
    given["layers"] = tuple(network.layer(name).name for name in names)
    return Recipe(**given)


def new_class_from(options: Namespace, network: Network) -> int:
    """The class to learn, by default the last one; InputError where the network has no such."""
    classes = network.output_shape[0]
    label = classes - 1 if options.new_class is None else options.new_class
    if not 0 <= label < classes:
        raise InputError(f"--new-class {label}: the network has classes 0 to {classes - 1}")
    return label


def pool_from(options: Namespace, dataset, new_class: int):
    """Examples for training, in the data set's order: of the new class, then of each old class."""
    from trainer.loop import Pool

    if options.new_images < 1:
        raise InputError(f"--new-images {options.new_images}: at least 1 is needed")
    if options.replay_images < 0:
        raise InputError(f"--replay-images {options.replay_images}: 0 (none) or more")
    labels = np.asarray(dataset.labels, np.int64)
    new = np.flatnonzero(labels == new_class)[: options.new_images]
    if not len(new):
        found = ", ".join(map(str, np.unique(labels)))
        raise InputError(
            f"{dataset.name}: no training images of class {new_class}; there are those of {found}"
        )
    replay = [
        np.flatnonzero(labels == label)[: options.replay_images]
        for label in np.unique(labels)
        if label != new_class
    ]
    chosen = np.concatenate([new, *replay])
    return Pool(dataset.images[chosen], labels[chosen], len(new))


def spread(dataset, count: int) -> np.ndarray:
    """Indices of about ``count`` images, the same number of each class."""
    labels = np.asarray(dataset.labels)
    classes = np.unique(labels)
    if not len(classes):
        raise InputError(f"{dataset.name}: no test images; give at least five of each class")
    each = -(-count // len(classes))
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes]))


def part_of(dataset, count: int):
    """A data set of about ``count`` images; all of them for 0."""
    if count < 0:
        raise InputError(f"--test-images {count}: 0 (all) or more")
    return dataset.subset(spread(dataset, count)) if count else dataset


def seeds_from(options: Namespace, default: int) -> tuple[int, ...]:
    """Those of --seeds; InputError before the first run for one that there cannot be."""
    from trainer.recipe import RANGES

    seeds = options.seeds or (default,)
    lowest, highest = RANGES["seed"]
    for seed in seeds:
        if not lowest <= seed <= highest:
            raise InputError(f"--seeds {seed}: a seed is {lowest} to {highest}")
        if seeds.count(seed) > 1:
            raise InputError(f"--seeds: {seed} is given twice; a seed is one run")
    return seeds


def progress(console, *columns, disable: bool = False):
    """A rich progress bar with what is done of what, and the time; ``disable``: shows nothing."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*bar, *columns, TimeElapsedColumn(), console=console, disable=disable)


def write_json(file: Path, content: Any) -> None:
    """JSON, indented, keys in their order."""
    write_whole(file, lambda name: name.write_text(json.dumps(content, indent=2) + "\n"))


def export_parameters(file: Path, network: Network, machine) -> None:
    """The weights that the chip holds now, as an .npz that load_network reads back."""
    from .. import placement

    plan = machine.program.plan
    arrays: dict[str, Any] = {}
    for layer in network.layers:
        if not layer.has_kernels:
            continue
        kernel = placement.read(machine.memory, plan.placement(layer.name, "kernel"))
        arrays[f"w{layer.index}"] = kernel
        if (layer.name, "bias") in plan.placements:
            place = plan.placement(layer.name, "bias")
            arrays[f"b{layer.index}"] = placement.read(machine.memory, place)
        arrays[f"bits{layer.index}"] = np.array(layer.weight_bits)
        arrays[f"shift{layer.index}"] = np.array(layer.output_shift - 8 + layer.weight_bits)
    write_whole(file, lambda name: np.savez_compressed(name, **arrays))
