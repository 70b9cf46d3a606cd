"""``max78k explain``: addresses to sentences, and elements to addresses."""

from __future__ import annotations

import re
from argparse import Namespace

from ..allocation import allocate
from ..devices import find_device
from ..errors import InputError
from ..explain import explain, where
from .common import network_from

ELEMENT = re.compile(r"([^.\[\]]+)\.(kernel|bias|input|output)\[([\d, ]+)\]")


def main(options: Namespace) -> None:
    """Print a sentence for every address or element."""
    plan = allocate(network_from(options)) if options.config_file else None
    for what in options.what:
        element = ELEMENT.fullmatch(what)
        if element is None:
            print(explain(plan or find_device(options.device), read_address(what)))
            continue
        if plan is None:
            raise InputError(f"{what}: elements need a network; give --config-file")
        layer, kind, index = element.groups()
        print(where(plan, layer, kind, tuple(int(part) for part in index.split(","))))


def read_address(text: str) -> int:
    """A byte address, hexadecimal with 0x or decimal."""
    try:
        return int(text, 0)
    except ValueError:
        raise InputError(
            f"{text!r} is neither an address (0x50180042) nor an element (conv2.kernel[3,5,1,2])"
        ) from None
