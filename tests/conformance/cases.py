"""Golden cases as data: which there are, which this project claims, and how they are loaded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from max78k_sim.checkpoint import read_checkpoint
from max78k_sim.devices import MAX78000
from max78k_sim.loading import Options, build_network, load_network, read_sample
from max78k_sim.network import Network
from max78k_sim.yaml_reader import read_description

# Features of meta.json that this project executes; a case with any other is not run.
EXECUTED = re.compile(
    r"act_\w+|bias|no_bias|chw|conv2d|conv2d_(1x1|3x3|pad\d)|(avg|max)pool(_\d+x\d+s\d+)?|linear|"
    r"flatten|(in|out)_chan%4|(in|out)_multipass|q8|out32|shift_nonzero|avg-pool-rounding"
)
EXPECTED_COUNTS = {"corpus": 140, "fuzz": 19}  # so that no case drops out unnoticed

# Cases whose vendor files contradict each other; see harness.check_layer_in_isolation.
DENSE_BIAS = (
    "output map 0xfffefffefffefffe has gaps: the vendor packs its bias bytes densely, but the "
    "registers give a byte to every output position, gaps counted; its software model follows "
    "neither"
)
VENDOR_CONTRADICTIONS = {
    "test-cifar10-abs-biasckpt": DENSE_BIAS,
    "test-cifar10-chw-biasckpt": DENSE_BIAS,
}
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

    @property
    def is_claimed(self) -> bool:
        """Whether every feature is one that this project executes."""
        return all(EXECUTED.fullmatch(feature) for feature in self.features)

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
        flags = self.meta["flags"]
        options: dict = {"avg_pool_rounding": "--avg-pool-rounding" in flags}
        for flag, following in zip(flags, [*flags[1:], ""], strict=True):
            if flag == "--no-bias":  # with a list of layers, or of all layers
                layers = following.split(",") if following[:1].isdigit() else range(32)
                options["no_bias"] = tuple(map(int, layers))
            elif flag == "--output-width":
                options["output_width"] = int(following)
            elif flag == "--stop-after":
                options["stop_after"] = int(following)
        return options

    def network(self) -> Network:
        """The network from params.npz, with the total shifts that meta.json gives."""
        layers = self.meta["layers"]
        stored = read_checkpoint(self.folder / "params.npz")
        shifted = tuple(
            replace(item, output_shift=layer["output_shift"] - (8 - layer["quant"]))
            for item in stored.layers
            for layer in layers
            if layer["layer"] == item.index
        )
        options = self.options()
        return build_network(
            read_description(self.folder / "network.yaml"),
            replace(stored, layers=shifted),
            MAX78000,
            self.sample.shape,
            Options(**options),
        )

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

    def registers(self) -> dict[int, int]:
        """Last word that the generated program writes to each register before and at the start."""
        words: dict[int, int] = {}
        functions = json.loads((self.folder / "registers.json").read_text())
        for function in ("cnn_init", "cnn_configure", "cnn_start"):
            for operation, address, value, *_ in functions[function]:
                assert operation == "w", f"{self.name}: {function} has operation {operation}"
                words[int(address, 16)] = int(value, 16)
        return words


def cases_in(folder: Path) -> list[Case]:
    """Every case below a folder, claimed or not, by name."""
    return [Case(file.parent) for file in sorted(folder.glob("*/meta.json"))]


def claimed_cases(folder: Path) -> list[Case]:
    """The cases below a folder that this project claims to execute."""
    return [case for case in cases_in(folder) if case.is_claimed]
