"""Study: noise over every sample; what a network makes of it, before and after some examples."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from rich.progress import Progress

from max78k_sim.errors import InputError

from ..learning.experiment import REPLAY_BYTES, Material, Part, experiment
from ..learning.scenario import machine_of, noised
from .bases import Bases, files_of
from .pages import write_table

EXAMPLES = 100
DEVIATIONS = (4, 8, 16)  # of normal noise, in steps of the 8-bit input
STRATEGIES = ("last layer", "bias only", "replay latent", "learning without forgetting")
SHOWN, TEST = 0, 1  # streams of noise


def study(options: Namespace, bases: Bases) -> None:
    """Every strategy at every strength of noise, on the network that knows all classes."""
    if bases.joint is None:
        raise InputError("no network knows all classes; put one into joint/", file=options.bases)
    seeds, rows = range(1, options.seeds + 1), []
    with Progress() as bar:
        progress = bar.add_task("noise", total=len(DEVIATIONS) * len(STRATEGIES) * len(seeds))
        for deviation in DEVIATIONS:
            material = material_of(bases, deviation)
            for name in STRATEGIES:
                outcomes = []
                for seed in seeds:
                    outcomes.append(experiment(material, name, EXAMPLES, seed))
                    bar.advance(progress)
                noisy, clean = (
                    100 * np.mean([getattr(each, part) for each in outcomes], axis=0)
                    for part in ("new", "old")
                )
                rows.append([deviation, name, f"{noisy[0]:.2f}", f"{noisy[1]:.2f}",
                             f"{clean[0]:.2f}", f"{clean[1]:.2f}"])  # fmt: skip
    heads = ["noise", "strategy", "noisy before %", "noisy after %", "clean before %",
             "clean after %"]  # fmt: skip
    text = (
        f"The network knows all classes. It is shown {EXAMPLES} samples under normal noise of a "
        "standard deviation in steps of the 8-bit input, with labels, and what it kept of samples "
        f"without it within {REPLAY_BYTES >> 10} KB, where the strategy replays. Means of "
        f"{len(seeds)} seeds on {len(bases.test)} test samples, with noise and without."
    )
    write_table(options, "Noise", text, heads, rows)


def material_of(bases: Bases, deviation: int) -> Material:
    """The network of all classes; what is new is the same data with noise."""
    assert bases.joint is not None
    noisy = Part(noised(bases.shown, deviation, SHOWN), noised(bases.test, deviation, TEST))
    folder = bases.work / f"latents-noise-{deviation}"
    machine = machine_of(*files_of(bases.joint))
    return Material(machine, noisy, Part(bases.shown, bases.test), None, folder)
