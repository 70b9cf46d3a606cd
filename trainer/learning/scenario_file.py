"""Scenarios: what a network has learnt, what it meets, and how it learns that, in a YAML file.

KINDS and FIELDS say what such a file may hold; docs/scenarios.md prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from max78k_sim.errors import InputError, Max78kError, printable

from ..recipe import Recipe
from ..yaml_mapping import read_mapping
from .strategies import STRATEGIES

LARGEST = 1 << 24

# ---- what a file may hold ------------------------------------------------------------------------


def whole(lowest: int, highest: int) -> Callable:
    """An integer of a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"is an integer from {lowest} to {highest}")
        if not lowest <= value <= highest:
            raise ValueError(f"is {lowest} to {highest}")
        return value

    return read


def one_of(*names: str) -> Callable:
    """One of some words."""

    def read(value: object) -> str:
        if value not in names:
            raise ValueError(f"is one of: {'; '.join(names)}")
        return str(value)

    return read


def text(value: object) -> str:
    """Any text that can be printed."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("is text")
    return value


def list_of(read: Callable, what: str) -> Callable:
    """A list, not empty, without repetitions."""

    def read_all(value: object) -> tuple:
        if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
            raise ValueError(f"is a list of different {what}, for example [{EXAMPLES[what]}]")
        return tuple(read(item) for item in value)

    return read_all


EXAMPLES = {"seeds": "1, 2, 3", "layers": "fc"}


def recipe_fields(value: object) -> dict[str, Any]:
    """Fields of trainer.recipe.Recipe, whose own checks follow."""
    known = [each.name for each in fields(Recipe) if each.name not in ("layers", "seed")]
    if not isinstance(value, dict) or set(map(str, value)) - set(known):
        raise ValueError(f"holds fields of a recipe: {', '.join(known)}")
    found: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each for name, each in value.items()
    }
    for name, each in found.items():
        default = getattr(Recipe, name)
        if type(each) is not type(default):
            raise ValueError(f"holds {name} {each!r}; it is like {default!r}")
    Recipe(**found)
    return found


@dataclass(frozen=True)
class Field:
    """A key of a scenario: how its value is read, what it means, which kinds have it."""

    read: Callable[[object], Any]
    meaning: str
    required: bool = False
    default: Any = None
    kinds: tuple[str, ...] = ()  # none: all of them


KINDS = {
    "class-incremental": "a class that the network has never seen",
    "domain-shift": "the same classes, with noise over every sample",
    "user-adaptation": "the same classes from other people, or another place",
}
FIELDS = {
    "kind": Field(one_of(*KINDS), "what is new", required=True),
    "network": Field(text, "the vendor's YAML file, from the scenario's own place", required=True),
    "checkpoint": Field(text, "its quantised checkpoint", required=True),
    "data": Field(text, "as max78k train takes it: npz:FILE, wav:DIRECTORY, ...", required=True),
    "new_class": Field(
        whole(0, 1023), "the class to learn", required=True, kinds=("class-incremental",)
    ),
    "noise": Field(
        whole(1, 127), "its standard deviation, in steps of the input", required=True,
        kinds=("domain-shift",),
    ),
    "user_data": Field(
        text, "as data: the samples of the new user", required=True, kinds=("user-adaptation",)
    ),
    "examples": Field(whole(1, LARGEST), "new examples that are shown", default=100),
    "replay": Field(whole(1, LARGEST), "bytes for old examples", default=65536),
    "strategy": Field(one_of(*STRATEGIES), "how to learn", default="whitened"),
    "layers": Field(list_of(text, "layers"), "names of the layers that are trained"),
    "seeds": Field(list_of(whole(0, 0xFFFFFFFF), "seeds"), "a run each", default=(1,)),
    "recipe": Field(recipe_fields, "fields of the recipe that differ from the strategy's"),
    "test_images": Field(whole(1, LARGEST), "how many of the test part count, all classes alike"),
    "joint_network": Field(text, "a network that learnt everything at once, to compare with"),
    "joint_checkpoint": Field(text, "its quantised checkpoint"),
}  # fmt: skip
FILES = ("network", "checkpoint", "joint_network", "joint_checkpoint")
LOCATED = ("data", "user_data")


@dataclass(frozen=True)
class Scenario:
    """A scenario as it was read: see FIELDS; files are paths that can be opened from here."""

    kind: str
    network: str
    checkpoint: str
    data: str
    new_class: int | None = None
    noise: int | None = None
    user_data: str | None = None
    examples: int = 100
    replay: int = 65536
    strategy: str = "whitened"
    layers: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (1,)
    recipe: Mapping[str, Any] | None = None
    test_images: int | None = None
    joint_network: str | None = None
    joint_checkpoint: str | None = None


# ---- reading ------------------------------------------------------------------------------------


def read_scenario(file: str | Path) -> Scenario:
    """A scenario from a file; InputError with file, line, field, value and what would be legal."""
    place = Path(file)
    values, lines = read_mapping(place)
    if not values:
        raise InputError("is no YAML mapping: lines of 'field: value'", file=file)
    kind = checked(place, lines, "kind", values.get("kind"))
    for name in values:
        if name not in FIELDS:
            known = ", ".join(legal_fields(kind))
            message = f"field '{printable(name)}' is not known; a {kind} scenario has: {known}"
            raise InputError(message, file=place, line=lines[name])
        if name not in legal_fields(kind):
            message = f"{name}: a {kind} scenario has none; {', '.join(FIELDS[name].kinds)} has"
            raise InputError(message, file=place, line=lines[name])
    found = {name: checked(place, lines, name, values.get(name)) for name in legal_fields(kind)}
    if (found["joint_network"] is None) != (found["joint_checkpoint"] is None):
        raise InputError("joint_network and joint_checkpoint: give both or neither", file=place)
    for name in FILES:
        if found[name] is not None:
            found[name] = str(place.parent / found[name])
    for name in LOCATED:
        if ":" in (found.get(name) or ""):
            how, _, location = found[name].partition(":")
            found[name] = f"{how}:{place.parent / location}"
    return Scenario(**found)


def legal_fields(kind: str) -> list[str]:
    """Fields that a scenario of a kind may have."""
    return [name for name, field in FIELDS.items() if not field.kinds or kind in field.kinds]


def checked(file: Path, lines: Mapping[str, int], name: str, value: object) -> Any:
    """A field's value, or its default."""
    field = FIELDS[name]
    if name not in lines:
        if field.required:
            raise InputError(f"{name} is missing: {field.meaning}", file=file)
        return field.default
    try:
        return field.read(value)
    except ValueError as error:
        message = f"{name} {printable(repr(value))}: it {error}"
        raise InputError(message, file=file, line=lines[name]) from None
    except Max78kError as error:
        raise error.at(file, lines[name], owner=name) from None


def field_table() -> str:
    """FIELDS as a table for people."""
    rows = ["| field | meaning | default |", "| --- | --- | --- |"]
    for name, field in FIELDS.items():
        kinds = f" ({', '.join(field.kinds)})" if field.kinds else ""
        default = "" if field.default is None else field.default
        default = "required" if field.required else default
        rows.append(f"| {name} | {field.meaning}{kinds} | {default} |")
    return "\n".join(rows) + "\n"
