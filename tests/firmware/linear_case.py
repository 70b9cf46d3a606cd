"""A linear layer's steps in C, and what the Python trainer makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from firmware.generate import generate
from max78k_sim import Machine, compile_network, placement
from max78k_sim.layer import Layer
from max78k_sim.network import Network
from max78k_sim.verbs.training import training_step
from tests.builders import network_of
from trainer.loop import Trainer, together
from trainer.recipe import Recipe

RECIPE = Recipe(rate_shift=7, momentum_shift=0, batch=1, steps=64)


def linear_network(channels: int, size: tuple[int, int], classes: int) -> Network:
    """One linear layer, one processor a channel."""
    layer = Layer(
        index=0,
        name="last",
        op="linear",
        in_channels=channels,
        out_channels=classes,
        in_size=size,
        processors=(1 << channels) - 1,
        output_processors=(1 << classes) - 1,
        kernel_shape=(1, 1),
        flatten=True,
        out_offset=0x2000,
        output_bits=32,
        line=3,
    )
    return network_of(layer)


class LinearCase:
    """A network with a Trainer, and random samples for both sides."""

    def __init__(self, network: Network, recipe: Recipe = RECIPE, seed: int = 0):
        self.program, self.recipe = compile_network(network), recipe
        self.machine = Machine(self.program.device)
        self.machine.load(self.program)
        self.trainer = Trainer(self.machine, recipe)
        self.random = np.random.default_rng(seed)
        layer = network.layers[-1]
        plan = self.program.plan
        self.data, self.sums = (plan.placement(layer.name, kind) for kind in ("input", "output"))

    def files(self, directory: Path, copy: bool) -> Path:
        """Generated C, cnn_linear_config.h among it."""
        step = training_step(self.program, self.recipe, copy=copy)
        generate(self.program.plan, directory, step)
        assert (directory / "cnn_linear_config.h").exists()
        return directory

    def show(self, memory) -> int:
        """Write a random sample's activations and sums; its label."""
        values = self.random.integers(-128, 128, self.data.shape)
        logits = self.random.integers(-30_000, 30_000, self.sums.shape)
        placement.write(memory, self.data, values)
        placement.write(memory, self.sums, logits)
        return int(self.random.integers(len(logits)))

    def learn(self, label: int) -> None:
        """The Trainer's step from what its memory shows."""
        sample = self.trainer.maps_in_memory()
        self.trainer.learn(together([sample]), np.array([label]))
