"""The golden layout: a folder with one network, what it computes, and all that it writes.

``network.yaml``, ``sample.npy``, ``params.npz`` and ``meta.json`` (switches, and each layer's total
shift and weight width) say what runs; ``expected.npz`` holds every layer's values, ``memory.npz``
runs of words, ``registers.json`` what each function of the generated program writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import FAULTS, read_checkpoint
from ..devices import find_device
from ..errors import InputError, printable
from ..layer_builder import Options
from ..loading import build_network, read_sample
from ..network import Network
from ..switches import ALL_LAYERS
from ..yaml_reader import read_description

FUNCTIONS = ("cnn_init", "cnn_configure", "cnn_start")  # that write registers
ALL_BITS = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive words: ``address`` in bytes, ``words`` uint32 [n]; bits out of ``mask`` are free.

    ``part``: what of the chip they are, by the name in memory.npz (mram, bias, input, l0, ...).
    """

    part: str
    address: int
    words: np.ndarray
    mask: int = ALL_BITS


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz file; InputError for anything else."""
    try:
        with open(file, "rb") as opened:
            stored = np.load(opened, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("a .npy file with one array; give an .npz file")
            return {name: stored[name] for name in stored.files}
    except FAULTS as error:
        raise InputError(f"not an .npz file of arrays: {printable(error)}", file=file) from None


def read_json(file: Path) -> Any:
    """A JSON file; InputError with what is wrong."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"not a JSON file: {error}", file=file) from None


@dataclass(frozen=True)
class GoldenFolder:
    """One folder in the golden layout; files are read when asked for."""

    folder: Path

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).is_file()

    @cached_property
    def meta(self) -> dict:
        """The generator's switches, and each layer as it understood it."""
        meta = read_json(self.folder / "meta.json")
        if not isinstance(meta, dict):
            raise InputError("no JSON object", file=self.folder / "meta.json")
        return meta

    @property
    def sample(self) -> np.ndarray:
        """The input [channel, row, column]."""
        return read_sample(self.folder / "sample.npy")

    def options(self) -> dict[str, Any]:
        """The generator's switches as options of load_network."""
        flags = [str(flag) for flag in self.meta.get("flags", [])]
        options: dict[str, Any] = {"avg_pool_rounding": "--avg-pool-rounding" in flags}
        for flag, following in zip(flags, [*flags[1:], ""], strict=True):
            if flag == "--no-bias":  # with a list of layers, or of all layers
                listed = following[:1].isdigit()
                options["no_bias"] = self._numbers(flag, following) if listed else ALL_LAYERS
            elif flag in ("--output-width", "--stop-after"):
                options[flag[2:].replace("-", "_")] = self._numbers(flag, following)[0]
            elif flag in ("--fifo", "--fast-fifo", "--overlap-data"):
                options[flag[2:].replace("-", "_")] = True
        return options

    def _numbers(self, flag: str, text: str) -> tuple[int, ...]:
        """The integers behind a switch."""
        try:
            return tuple(map(int, text.split(",")))
        except ValueError:
            raise InputError(
                f"flags: {flag} {text!r}: integers", file=self.folder / "meta.json"
            ) from None

    def network(self) -> Network:
        """The network from params.npz, with the shifts and widths that meta.json gives."""
        try:
            layers = {layer["layer"]: layer for layer in self.meta["layers"]}
            widths = {number: int(layer["quant"]) for number, layer in layers.items()}
            shifts = {number: int(layer["output_shift"]) for number, layer in layers.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"no shift and width of every layer: {error!r}", file=self.folder / "meta.json"
            ) from None
        stored = read_checkpoint(self.folder / "params.npz")
        shifted = tuple(
            replace(
                item,
                weight_bits=widths[item.index],
                output_shift=shifts[item.index] - (8 - widths[item.index]),
            )
            for item in stored.layers
            if item.index in layers
        )
        return build_network(
            read_description(self.folder / "network.yaml"),
            replace(stored, layers=shifted),
            find_device("MAX78000"),
            self.sample.shape,
            Options(**self.options()),
        )

    def registers(self) -> dict[int, int]:
        """Last word that the generated program writes to each register before and at the start."""
        file, words = self.folder / "registers.json", {}
        functions = read_json(file)
        try:
            for function in FUNCTIONS:
                for operation, address, value, *_ in functions.get(function, ()):
                    if operation == "w":  # the others wait for self-tests and check them
                        words[int(address, 16)] = int(value, 16)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"not lists of writes: {error}", file=file) from None
        return words

    @cached_property
    def _memory(self) -> dict[str, np.ndarray]:
        return read_arrays(self.folder / "memory.npz")

    def runs(self, part: str) -> Iterator[Run]:
        """The runs of one part of memory.npz: mram, bias, input, output, l0, ..."""
        arrays = self._memory
        if f"{part}_addr" not in arrays:
            return
        try:
            lengths = arrays[f"{part}_len"]
            words = arrays[f"{part}_val"].astype(np.uint32)
            masks = arrays.get(f"{part}_mask", np.full(len(lengths), ALL_BITS, np.uint32))
            pieces = np.split(words, np.cumsum(lengths)[:-1]) if len(lengths) else []
            for address, piece, mask in zip(arrays[f"{part}_addr"], pieces, masks, strict=True):
                yield Run(part, int(address), piece, int(mask))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(
                f"{part}: not runs of words: {error}", file=self.folder / "memory.npz"
            ) from None
