"""Golden cases as data: which there are, what is known of some, and how they are loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from max78k_sim.loading import load_network, read_sample
from max78k_sim.network import Network
from max78k_sim.validation.golden import GoldenFolder

EXPECTED_COUNTS = {"corpus": 462, "fuzz": 238}  # so that no case drops out unnoticed

# What the vendor's tool contradicts itself in: found by rules (contradictions.py), never by name
# but for the last.
DENSE_BIAS = (
    "bias and an output map with gaps: the vendor packs the bias bytes densely, but the registers "
    "give a byte to every output position, gaps counted; its software model follows neither"
)
WRONG_KERNELS = (
    "sub-byte weights, several input passes and a short last one: the vendor's loader drops "
    "weights and shifts the rest; its software model uses the right ones"
)
GAPS_IN_WORDS = (
    "gaps in the output map, with kernels that do not fill a word: the vendor's loader does not "
    "put kernels where the registers read them; its software model does not read them there"
)
ROUNDED_1D = (
    "1-D average pooling with rounding: the register rounds, the vendor's software model does not"
)
SPLIT_OPERANDS = (
    "element-wise layers that read one input: memory interleaves the operands, the vendor's "
    "software model (without --legacy-test) takes them apart otherwise"
)
SPLIT_CASES = ("test-multilayer-eltwise",)
SHIFTED_BUFFER = (
    "a shifted rolling buffer: the vendor's software model gives the whole buffer with rows as "
    "channels, and its memory image lies accordingly; the registers copy the rows that stay"
)
# Cases that name a checkpoint which was not the one that they were made from.
OTHER_CHECKPOINT = {
    "net-cifar10-hwc-ai85": "the stored file of that name is of another architecture, "
    "ai85nascifarnet",
}


@dataclass(frozen=True)
class Case:
    """One golden case: a folder; README.md there says what its files hold."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def meta(self) -> dict:
        """The generator's switches, and each layer as it understood it."""
        return json.loads((self.folder / "meta.json").read_text())

    @property
    def features(self) -> list[str]:
        """What the case exercises."""
        return self.meta["features"]

    @cached_property
    def sample(self) -> np.ndarray:
        """Input [channel, row, column]."""
        return read_sample(self.folder / "sample.npy")

    @property
    def checkpoint(self) -> Path | None:
        """The original checkpoint, where it is stored."""
        stored = self.folder.parent / "_checkpoints" / f"{self.meta['checkpoint']}.xz"
        return stored if stored.is_file() else None

    def options(self) -> dict:
        """The generator's switches as options of load_network."""
        return GoldenFolder(self.folder).options()

    def network(self) -> Network:
        """The network from params.npz, with the total shifts that meta.json gives."""
        return GoldenFolder(self.folder).network()

    def network_of_checkpoint(self) -> Network:
        """The network from the original checkpoint, as a user loads it."""
        return load_network(
            self.folder / "network.yaml",
            self.checkpoint,
            input_shape=self.sample.shape,
            **self.options(),
        )

    def array(self, file: str):
        """The arrays of expected.npz or memory.npz."""
        return np.load(self.folder / f"{file}.npz", allow_pickle=False)

    @cached_property
    def functions(self) -> dict[str, list[list[str]]]:
        """What each function of the generated program does: operation, address, value, ..."""
        return json.loads((self.folder / "registers.json").read_text())

    def writes(self, function: str) -> list[tuple[int, int]]:
        """(address, word) of the plain writes of one function, in order."""
        return [
            (int(address, 16), int(value, 16))
            for operation, address, value, *_ in self.functions.get(function, ())
            if operation == "w"  # the others wait for self-tests, check them, or copy
        ]


def cases_in(folder: Path) -> list[Case]:
    """Every case below a folder, by name."""
    return [Case(file.parent) for file in sorted(folder.glob("*/meta.json"))]
