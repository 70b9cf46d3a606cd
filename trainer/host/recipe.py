"""How a network is pretrained: the recipe and the policy of quantisation, as YAML says them.

A recipe lies beside the description of its network (networks/digits/recipe.yaml); the policy is
the vendor's ``--qat-policy``.  No torch here: what is wrong with them is said before it is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from max78k_sim.errors import InputError

from ..yaml_mapping import read_mapping

WEIGHT_BITS = (1, 2, 4, 8)
RECIPE_FILE = "recipe.yaml"
TYPES: dict[str, tuple[type, ...]] = {  # what YAML may give, by a field's annotation
    "int": (int,), "float": (int, float), "bool": (bool,), "str": (str,),
}  # fmt: skip
LOWEST_OPTIONS = {
    "first_classes": 1,
    "holdout_class": 0,
    "held_out_examples": 0,
    "helping_classes": 0,
    "float_epochs": 0,
    "quantised_epochs": 0,
    "batch_size": 2,
    "float_rate": 0,
    "quantised_rate": 0,
    "weight_decay": 0,
    "shift_pixels": 0,
    "turn_degrees": 0,
    "stretch": 0,
    "noise": 0,
    "gain": 0,
    "tilt": 0,
    "echo": 0,
    "seed": -1 << 63,
    "threads": 1,
}
HIGHEST_OPTIONS = {"seed": (1 << 64) - 1, "threads": 1024}  # the seed: torch's limits


@dataclass(frozen=True)
class Recipe:
    """How the training is run; the same recipe, threads and torch give the same network."""

    data: str | None = None  # a specification of trainer.data.datasets
    first_classes: int | None = None  # only so many of the data's classes
    holdout_class: int | None = None
    held_out_examples: int = 0  # so many of the held-out class are shown after all
    helping_classes: int = 0  # so many after the first: told apart in training, then dropped
    float_epochs: int = 18
    quantised_epochs: int = 6
    batch_size: int = 128
    float_rate: float = 4e-3  # peak of a one-cycle schedule
    quantised_rate: float = 8e-4  # falls to 0 along a half cosine
    weight_decay: float = 1e-2
    shift_pixels: int = 1  # augmentation: up to so many pixels (or samples of sound) either way
    mirror: bool = False  # half of the images
    turn_degrees: float = 0.0  # images: up to so much either way
    stretch: float = 0.0  # images and sounds: longer or shorter by up to this share
    noise: float = 0.0  # white, up to this standard deviation; 1.0 is full scale
    gain: float = 0.0  # louder or softer by up to so many powers of two
    tilt: float = 0.0  # sounds: highs or lows stronger; a sample's share of the next one, up to
    echo: float = 0.0  # sounds: themselves again a little later, up to so loud
    wave: bool = (
        False  # data are [channel, length]: sound, sample t at [t % channels, t // channels]
    )
    filters: bool = False  # a first layer, conv1d, starts as band filters of sound
    seed: int = 1
    threads: int = 2

    def __post_init__(self) -> None:
        for name, lowest in LOWEST_OPTIONS.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value < math.inf:
                finite = ", and no infinity" if value == math.inf else ""
                raise InputError(f"{name} is {value}; {lowest} or more is needed{finite}")
        for name, highest in HIGHEST_OPTIONS.items():
            if getattr(self, name) > highest:
                raise InputError(f"{name} is {getattr(self, name)}; {highest} at most")
        if self.helping_classes and self.first_classes is None:
            raise InputError("helping_classes come after first_classes, which is not given")


@dataclass(frozen=True)
class Policy:
    """The vendor's policy of quantisation-aware training; None leaves a choice to the training.

    ``overrides``: by layer, its ``weight_bits`` and ``shift_quantile``, the share of weights that
    the shift leaves unclipped.
    """

    start_epoch: int | None = None  # how many epochs of all are in float
    weight_bits: int | None = None
    shift_quantile: float | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, layer: str, key: str) -> Any:
        """What holds for a layer: its override, or what holds for all."""
        return self.overrides.get(layer, {}).get(key, getattr(self, key))


LAYER_KEYS = ("weight_bits", "shift_quantile")
POLICY_KEYS = ("start_epoch", *LAYER_KEYS, "overrides")


def read_recipe(file: str | Path) -> dict[str, Any]:
    """Fields of a Recipe from YAML; InputError for one that there is not, or of another type."""
    types = {each.name: str(each.type) for each in fields(Recipe)}
    values, _ = read_mapping(file)
    for name, value in values.items():
        if name not in types:
            raise InputError(f"'{name}' is not a key; there are: {', '.join(types)}", file=file)
        kind, *none = types[name].split(" | ")
        fits = isinstance(value, TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
        if not fits and not (none and value is None):
            raise InputError(f"{name} is {value!r}; it takes one of type {types[name]}", file=file)
    return values


def recipe_beside(config_file: str | Path) -> dict[str, Any]:
    """What the recipe.yaml in a description's folder says; nothing where there is none."""
    file = Path(config_file).with_name(RECIPE_FILE)
    return read_recipe(file) if file.is_file() else {}


def read_policy(file: str | Path) -> Policy:
    """The vendor's file: start_epoch, weight_bits, shift_quantile, and overrides by layer."""
    values, _ = read_mapping(file)
    check_policy(values, POLICY_KEYS, "", file)
    overrides = values.get("overrides") or {}
    if not isinstance(overrides, dict):
        raise InputError("'overrides' is a mapping of layers to weight_bits", file=file)
    for layer, keys in overrides.items():
        if not isinstance(keys, dict):
            raise InputError(f"overrides of {layer}: write weight_bits: 4 below it", file=file)
        check_policy(keys, LAYER_KEYS, f"{layer}: ", file)
    named = {str(layer): keys for layer, keys in overrides.items()}
    return Policy(**{**values, "overrides": named})


def check_policy(values: dict, known: tuple[str, ...], where: str, file: str | Path) -> None:
    """InputError for a key that is unknown here, or a value that it cannot have."""
    for key, value in values.items():
        if key not in known:
            raise InputError(
                f"{where}'{key}' is not a key; there are: {', '.join(known)}", file=file
            )
        whole = type(value) is int
        if key == "weight_bits" and (not whole or value not in WEIGHT_BITS):
            raise InputError(f"{where}weight_bits is {value!r}; legal: 1, 2, 4, 8", file=file)
        if key == "start_epoch" and (not whole or value < 0):
            raise InputError(f"start_epoch is {value!r}; a number of epochs from 0 up", file=file)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if key == "shift_quantile" and not (number and 0 < value <= 1):
            raise InputError(f"{where}shift_quantile is {value!r}; above 0, up to 1", file=file)
