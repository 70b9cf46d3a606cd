"""``max78k explain``: what ``map --what`` and ``map --where`` say, also without a network."""

from __future__ import annotations

from argparse import Namespace

from ..allocation import allocate
from ..devices import find_device
from ..elements import NAME, select
from ..errors import InputError
from .common import network_from
from .map import ADDRESS, print_what, print_where, read_range


def main(options: Namespace) -> None:
    """Print a sentence for every address or element."""
    plan = allocate(network_from(options)) if options.config_file else None
    for what in options.what:
        if ADDRESS.fullmatch(what):
            print_what(plan or find_device(options.device), *read_range(what))
        elif NAME.fullmatch(what) is None:
            raise InputError(
                f"{what!r} is neither an address (0x50180042) nor an element "
                "(conv2.weight[3,5,1,2])"
            )
        elif plan is None:
            raise InputError(f"{what}: elements need a network; give --config-file")
        else:
            print_where(plan, select(plan, what))
