"""``max78k map``: where everything lies; addresses and elements, both ways."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

from ..allocation import Plan, allocate
from ..device import Device
from ..elements import Selection, select
from ..errors import InputError
from ..explain import explain, explain_range, places_between, plan_and_chip, where
from ..map_files import addresses_json, map_csv, map_json, selections_csv, selections_json
from ..map_text import data_picture, element_lines, render_map
from .common import network_from, write_whole

NUMBER = r"(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)"
LONGEST_RANGE = 1 << 16  # bytes
ADDRESS = re.compile(rf"{NUMBER}(?:\+{NUMBER})?")


def main(options: Namespace) -> None:
    """Print the map of a network, or what was asked about it."""
    refuse_contradictions(options)
    plan = allocate(network_from(options))
    if options.where:
        answer_where(plan, [select(plan, text) for text in options.where], options)
    elif options.what:
        answer_what(plan, options)
    else:
        whole_map(plan, options)


def refuse_contradictions(options: Namespace) -> None:
    """One question, one kind of output."""
    groups = (("where", "what"), ("json", "csv", "c_header"))
    refused = (("where", "c_header"), ("what", "c_header"), ("what", "csv"))
    for group in (*groups, *refused):
        given = [f"--{name.replace('_', '-')}" for name in group if getattr(options, name)]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} do not go together; give one of them")


def whole_map(plan: Plan, options: Namespace) -> None:
    """The whole map as what was asked for."""
    if options.json:
        print(json.dumps(map_json(plan), indent=2))
    elif options.csv:
        write_text(options.csv, map_csv(plan))
    elif options.c_header:
        write_header(plan, options.c_header)
    else:
        show(render_map(plan), data_picture(plan))


def write_header(plan: Plan, name: str) -> None:
    """The C header and, where it is a file, its test beside it."""
    from firmware.layout import layout_check, layout_header

    write_text(name, layout_header(plan))
    if name != "-":
        header = Path(name)
        check = header.with_name(f"{header.stem}_check.c")
        write_text(str(check), layout_check(plan, header.name))
        print(f"{header}\n{check}")


def write_text(name: str, text: str) -> None:
    """To a file, whole or not at all; - prints."""
    if name == "-":
        print(text, end="")
    else:
        write_whole(Path(name), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def show(*parts) -> None:
    """Renderables on the terminal."""
    from rich.console import Console

    Console().print(*parts, sep="\n")


# --- elements and addresses


def answer_where(plan: Plan, chosen: list[Selection], options: Namespace) -> None:
    """Where elements lie: a sentence for one, a table for several."""
    if options.json:
        print(json.dumps(selections_json(plan, chosen), indent=2))
    elif options.csv:
        write_text(options.csv, selections_csv(plan, chosen))
    else:
        for selection in chosen:
            print_where(plan, selection)


def print_where(plan: Plan, chosen: Selection) -> None:
    """One selection as text."""
    if len(chosen.index) == 1:
        print(where(plan, chosen.layer, chosen.kind, tuple(chosen.index[0].tolist())))
    else:
        print("\n".join(element_lines(plan, chosen)))


def answer_what(source: Plan | Device, options: Namespace) -> None:
    """What lies at addresses."""
    asked = [read_range(text) for text in options.what]
    if not options.json:
        for first, length in asked:
            print_what(source, first, length)
        return
    _, chip = plan_and_chip(source)
    addresses: list[int] = []
    for first, length in asked:
        places = places_between(chip, first, first + (length or 1))
        addresses += [address for address, place in places if place or not length]
    print(json.dumps(addresses_json(source, addresses), indent=2))


def print_what(source: Plan | Device, first: int, length: int | None) -> None:
    """One address (``length`` None) or range as text."""
    lines = [explain(source, first)] if length is None else explain_range(source, first, length)
    print("\n".join(lines))


def read_range(text: str) -> tuple[int, int | None]:
    """(first byte address, length or None): hexadecimal with 0x, or decimal."""
    match = ADDRESS.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text!r} is not an address (0x50184a10, or 0x50184a10+64 for 64 bytes); "
            "an element is asked for with --where"
        )
    first, length = match.groups()
    if length is not None and not 0 < int(length, 0) <= LONGEST_RANGE:
        raise InputError(
            f"{text!r}: a range has 1 to {LONGEST_RANGE} bytes; for the whole map give --csv"
        )
    return int(first, 0), None if length is None else int(length, 0)
