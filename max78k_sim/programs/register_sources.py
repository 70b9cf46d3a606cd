"""What a program writes to registers, from the forms in which programs come.

Each gives the last word that each register gets up to the first start, by address.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from ..devices import MAX78000
from ..errors import InputError
from ..memory import Memory
from .replay import WRITE, find_start, load_trace

REGISTER_REGIONS = ("quadrant register", "layer register", "fifo register", "fast fifo register")
FUNCTIONS = ("cnn_init", "cnn_configure", "cnn_start")  # in the order in which they are called
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
FUNCTION = re.compile(r"\b(\w+)\s*\(([^(){};]*)\)\s*\{")
REGISTER_WRITE = re.compile(
    r"\*\s*\(\s*\(\s*volatile\s+uint32_t\s*\*\s*\)\s*(0x[0-9a-fA-F]+)[uUlL]*\s*\)"
    r"\s*=\s*(0x[0-9a-fA-F]+|\d+)[uUlL]*\s*;"
)
ELF_MAGIC = b"\x7fELF"


def is_elf(name: str) -> bool:
    """Whether a file is an Arm program: what that writes is known when it ran."""
    path = Path(name)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(ELF_MAGIC)) == ELF_MAGIC


def read_registers(name: str) -> dict[int, int]:
    """Registers of a trace (.npz), a golden case or C project (folder), or a C file."""
    path = Path(name)
    if path.is_dir():
        if (path / "registers.json").is_file():
            return from_golden(path / "registers.json")
        sources = sorted(path.glob("*.c"))
        if not sources:
            raise InputError("it has neither registers.json (a golden case) nor C files", file=path)
        return from_c(path, *sources)
    if not path.is_file():
        raise InputError("there is no such file", file=path)
    if path.suffix == ".npz":
        return from_trace(path)
    return from_golden(path) if path.suffix == ".json" else from_c(path)


def kept(words: dict[int, int], file: Path) -> dict[int, int]:
    """Only registers; InputError when there are none."""
    memory = Memory(MAX78000)
    places = {address: memory.find(address) for address in words}
    found = {
        address: words[address]
        for address, place in places.items()
        if place is not None and place[0] in REGISTER_REGIONS
    }
    if not found:
        raise InputError("it writes no register of the accelerator", file=file)
    return found


def from_trace(file: Path) -> dict[int, int]:
    """Writes up to the access that starts the accelerator."""
    trace = load_trace(file)
    end = find_start(trace, MAX78000) + 1
    chosen = np.flatnonzero((trace.kind[:end] == WRITE) & (trace.size[:end] == 4))
    pairs = zip(trace.address[chosen].tolist(), trace.value[chosen].tolist(), strict=True)
    return kept(dict(pairs), file)


def from_golden(file: Path) -> dict[int, int]:
    """registers.json of the golden layout."""
    try:
        functions = json.loads(file.read_text(encoding="utf-8"))
        words = {
            int(address, 16): int(value, 16)
            for function in FUNCTIONS
            for operation, address, value, *_ in functions.get(function, ())
            if operation == "w"
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"not a golden case's registers: {error}", file=file) from None
    return kept(words, file)


def from_c(named: Path, *sources: Path) -> dict[int, int]:
    """``*((volatile uint32_t *) 0x50100010) = 0x0001001b;`` in cnn_init, _configure and _start.

    ``named`` is what the user gave; ``sources`` are the files of a project, if it is a folder.
    """
    bodies: dict[str, str] = {}
    for file in sources or (named,):
        bodies |= function_bodies(COMMENT.sub(" ", file.read_text("utf-8", errors="replace")))
    words = {
        int(address, 16): int(value, 0)
        for function in FUNCTIONS
        for body in called(bodies, function)
        for address, value in REGISTER_WRITE.findall(body)
    }
    return kept(words, named)


def called(bodies: dict[str, str], function: str) -> list[str]:
    """The body of a function; or, where it has another name, of those that begin with its name."""
    if function in bodies:
        return [bodies[function]]
    return [body for name, body in bodies.items() if name.startswith(f"{function}_")]


def function_bodies(text: str) -> dict[str, str]:
    """Name -> body of every C function; comments are gone already."""
    bodies, place = {}, 0
    while found := FUNCTION.search(text, place):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        bodies[found[1]] = text[found.end() : end]
        place = end
    return bodies
