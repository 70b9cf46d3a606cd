"""The networks that are measured: shapes as the vendor published them, weights by chance.

Weights and biases are normal with a standard deviation of 25, rounded, clipped to -128..127 (the
vendor's trained networks lie between 6 and 60); shifts are such that outputs neither vanish nor
saturate.  With a folder of golden cases, its trained weights are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim import Machine, Network, Program, compile_network, load_network
from max78k_sim.validation.golden import GoldenFolder

FOLDER = Path(__file__).parent / "networks"
DEVIATION = 25
SEED = 7
CASES = {  # name -> folder of a golden case with the same shapes
    "mnist": "demo-mnist",
    "kws20_v3": "demo-kws20-v3",
    "simplenet": "net-cifar100-simple-synthw",
    "unet": "net-camvid-unet-large",
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its weights, and what is computed from it once."""

    name: str
    network: Network

    @cached_property
    def program(self) -> Program:
        """The network compiled."""
        return compile_network(self.network)

    @property
    def multiplications(self) -> int:
        """Multiply-accumulate operations of one image."""
        return sum(layer.multiplications for layer in self.network.layers)

    def machine(self) -> Machine:
        """A chip of its own, loaded."""
        chip = Machine()
        chip.load(self.program)
        return chip

    def samples(self, count: int, seed: int = SEED) -> np.ndarray:
        """Random int8 [sample, channel, row, column] in the whole range."""
        random = np.random.default_rng(seed)
        return random.integers(-128, 128, (count, *self.network.input_shape), np.int8)


@cache
def load(name: str, corpus: Path | None = None) -> Subject:
    """One of CASES, described in ``networks/<name>.yaml``, or as a golden case has it."""
    if corpus is not None:
        return Subject(name, GoldenFolder(corpus / CASES[name]).network())
    return Subject(name, load_described(FOLDER / f"{name}.yaml"))


def load_described(description: Path) -> Network:
    """A description with random weights."""
    with TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        write_weights(description, weights)
        return load_network(description, weights)


def write_weights(description: Path, file: Path) -> None:
    """Random weights for a description, as an npz that load_network and max78k read."""
    random = np.random.default_rng(SEED)
    arrays: dict[str, np.ndarray] = {}
    for layer in load_network(description).layers:
        if layer.has_kernels:
            arrays[f"w{layer.index}"] = normal(random, layer.kernel_tensor_shape)
            arrays[f"b{layer.index}"] = normal(random, (layer.out_channels,))
    np.savez(file, allow_pickle=False, **arrays)


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """int8 of any shape."""
    return random.normal(0, DEVIATION, shape).round().clip(-128, 127).astype(np.int8)
