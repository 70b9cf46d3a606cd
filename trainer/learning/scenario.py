"""Scenarios, run: the network of a scenario learns once a seed, and what came of it is counted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from max78k_sim.arithmetic import saturate
from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluator
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network

from ..data.datasets import load_for
from ..data.streams import Dataset, first_of_each
from .experiment import Material, Outcome, Part, class_incremental, experiment
from .scenario_file import Scenario

NOISE_SEED = 0x5CE7E


@dataclass(frozen=True)
class Result:
    """A scenario's outcomes, one a seed, and the joint network's share of right answers.

    ``gap``: that share less the mean of the outcomes; both None without a joint network.
    """

    scenario: Scenario
    outcomes: tuple[Outcome, ...]
    joint: float | None
    gap: float | None

    def json(self) -> str:
        """As JSON, one line."""
        return json.dumps(asdict(self))


def run_scenario(scenario: Scenario, folder: Path | None = None) -> Result:
    """Learn once a seed, and count; ``folder``: where latents are kept between runs, if anywhere.

    InputError, NotEmulated or HardwareLimit for what cannot be done.
    """
    machine = machine_of(scenario.network, scenario.checkpoint)
    material = MATERIALS[scenario.kind](scenario, machine)
    require_samples(scenario, material)
    material.folder = folder
    overrides = dict(scenario.recipe or {})
    if scenario.layers is not None:
        overrides["layers"] = scenario.layers
    joint = joint_share(scenario, material)
    outcomes = tuple(
        experiment(
            material, scenario.strategy, scenario.examples, seed, scenario.replay, overrides
        )
        for seed in scenario.seeds
    )  # fmt: skip
    after = float(np.mean([outcome.overall[1] for outcome in outcomes]))
    return Result(scenario, outcomes, joint, None if joint is None else joint - after)


def require_samples(scenario: Scenario, material: Material) -> None:
    """InputError where there is nothing to learn from, or nothing to count."""
    for name, part in (("new", material.new), ("old", material.old)):
        for side, data in (("to learn from", part.shown), ("to count", part.test)):
            if not len(data):
                raise InputError(
                    f"{scenario.data}: no {name} samples {side}; a {scenario.kind} scenario "
                    "needs new and old ones in the training and in the test part"
                    + ("" if scenario.test_images is None else ", within test_images")
                )


def machine_of(network: str, checkpoint: str) -> Machine:
    """The chip with a network."""
    described = load_network(network, checkpoint)
    machine = Machine(described.device)
    machine.load(compile_network(described))
    return machine


def classes_of(machine: Machine) -> int:
    """Outputs of the loaded network."""
    assert machine.program is not None
    return machine.program.plan.network.output_shape[0]


def joint_share(scenario: Scenario, material: Material) -> float | None:
    """Share of all test samples that the joint network gets right."""
    if scenario.joint_network is None or scenario.joint_checkpoint is None:
        return None
    evaluator = Evaluator(machine_of(scenario.joint_network, scenario.joint_checkpoint))
    shape, needed = evaluator.network.input_shape, material.new.test.images.shape[1:]
    if shape != needed:
        raise InputError(f"joint_network {scenario.joint_network}: takes {shape}, not {needed}")
    tests = material.new.test, material.old.test
    counted = evaluator.evaluate([(test.images, test.labels) for test in tests])
    return counted.of(range(classes_of(material.machine)))


def parts_of(machine: Machine, specification: str, limit: int | None) -> Part:
    """A data set's training part, and ``limit`` samples (None: all) of its test part."""
    assert machine.program is not None
    network = machine.program.plan.network
    shown, test = (load_for(network, specification, split) for split in ("train", "test"))
    return Part(shown, test.subset(first_of_each(test.labels, limit)))


def with_new_class(scenario: Scenario, machine: Machine) -> Material:
    """One class of the data is new."""
    whole_part = parts_of(machine, scenario.data, scenario.test_images)
    classes, label = classes_of(machine), scenario.new_class
    if label is None or not 0 <= label < classes:
        raise InputError(f"new_class {label}: the network has classes 0 to {classes - 1}")
    return class_incremental(machine, whole_part.shown, whole_part.test, label)


def with_noise(scenario: Scenario, machine: Machine) -> Material:
    """The data, and the same data with noise."""
    assert scenario.noise is not None
    old = parts_of(machine, scenario.data, scenario.test_images)
    shown, test = (
        noised(data, scenario.noise, stream) for stream, data in enumerate((old.shown, old.test))
    )
    return Material(machine, Part(shown, test), old)


def noised(data: Dataset, deviation: int, stream: int) -> Dataset:
    """Normal noise over every value, saturated; the same for the same data and ``stream``."""
    random = np.random.default_rng(NOISE_SEED + stream)
    noise = np.rint(deviation * random.standard_normal(data.images.shape, np.float32))
    images = saturate(data.images + noise.astype(np.int32)).astype(np.int8)
    return Dataset(data.name, images, data.labels, data.class_names)


def with_user(scenario: Scenario, machine: Machine) -> Material:
    """The data, and those of somebody else."""
    assert scenario.user_data is not None
    both = scenario.user_data, scenario.data
    new, old = (parts_of(machine, each, scenario.test_images) for each in both)
    return Material(machine, new, old)


MATERIALS = {
    "class-incremental": with_new_class,
    "domain-shift": with_noise,
    "user-adaptation": with_user,
}
