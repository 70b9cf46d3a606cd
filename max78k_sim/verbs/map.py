"""``max78k map``: where everything lies."""

from __future__ import annotations

import json
from argparse import Namespace

from ..allocation import allocate
from ..report import map_json, render_map
from .common import network_from


def main(options: Namespace) -> None:
    """Print the map of a network."""
    plan = allocate(network_from(options))
    if options.json:
        print(json.dumps(map_json(plan), indent=2))
        return
    from rich.console import Console

    Console().print(render_map(plan))
