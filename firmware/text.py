"""Templates, and the C names of layers."""

from __future__ import annotations

from pathlib import Path
from string import Template

from max78k_sim.allocation import Plan

DIRECTORY = Path(__file__).parent


def fill(template: str, **values: object) -> str:
    """A template with its values; a missing one is a KeyError."""
    return Template((DIRECTORY / "templates" / template).read_text()).substitute(values)


def identifier(name: str) -> str:
    """A layer's name as part of a C identifier."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)


def prefixes(plan: Plan) -> dict[str, str]:
    """C prefix of each layer: cnn_<name>, made unique where names fall together."""
    names: dict[str, str] = {}
    for layer in plan.network.layers:
        name = f"cnn_{identifier(layer.name)}"
        names[layer.name] = f"{name}_{layer.index}" if name in names.values() else name
    return names
