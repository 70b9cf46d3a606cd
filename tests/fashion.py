"""The network that this project ships, loaded once for the tests that train or generate."""

from __future__ import annotations

from functools import cache

import numpy as np

import networks
from max78k_sim import Machine, Network, Program, compile_network, load_network
from trainer.data.datasets import load_dataset
from trainer.loop import Pool

DIRECTORY = networks.DIRECTORY / "fashion"
CONFIG, CHECKPOINT = DIRECTORY / "network.yaml", DIRECTORY / "checkpoint.pth.tar"
NETWORK_OPTIONS = ("--config-file", str(CONFIG), "--checkpoint-file", str(CHECKPOINT))


@cache
def network() -> Network:
    return load_network(CONFIG, CHECKPOINT)


@cache
def program() -> Program:
    return compile_network(network())


def machine() -> Machine:
    chip = Machine()
    chip.load(program())
    return chip


@cache
def pool(new: int = 6, replay: int = 2) -> Pool:
    """A few examples: ``new`` bags, and ``replay`` of every other class."""
    data = load_dataset("fashion", "train")
    labels = np.asarray(data.labels)
    counts = {label: new if label == 8 else replay for label in range(10)}
    order = [8, *(label for label in range(10) if label != 8)]
    chosen = np.concatenate([np.flatnonzero(labels == n)[: counts[n]] for n in order])
    return Pool(data.images[chosen], labels[chosen].astype(np.int64), new)
