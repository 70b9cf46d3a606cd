"""Templates, and the C names of layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from string import Template

from max78k_sim.allocation import Plan

DIRECTORY = Path(__file__).parent
WORDS_A_LINE = 8


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


def number_lines(values: Iterable[int], ending: str = "", suffix: str = "u") -> str:
    """Numbers, eight to a line; without ``suffix`` other programs can read them, too."""
    texts = [f"0x{int(value):08x}{suffix}" for value in values]
    lines = [texts[n : n + WORDS_A_LINE] for n in range(0, len(texts), WORDS_A_LINE)]
    return "".join(f"    {', '.join(line)},{ending}\n" for line in lines)


def number(value: int) -> str:
    """A 32-bit number."""
    return f"0x{value:08x}u"


def comment(text: str) -> str:
    """A text that ends no comment, and no line."""
    return " ".join(text.split()).replace("*/", "* /").replace("\\", "/")
