"""``python -m max78k_sim.docs``: prints the tables of this package as pages of documentation.

The pages are committed, and a test compares them with the tables; ``make docs`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from . import provenance
from .device import Device, Region
from .devices import DEVICES
from .errors import HardwareLimit, InputError, NotEmulated
from .packing import KERNEL_BYTE, KERNEL_BYTES, KERNEL_SLOT
from .registers import Register
from .rules import RULES, Rule
from .switches import GENERATE, HERE, NOT_NEEDED, REFUSED, SWITCHES
from .yaml_keys import BUILT_OPERATIONS, GLOBAL_KEYS, KEYS, OPERATIONS, Key, value_text

FOLDER = Path(__file__).parents[1] / "docs"
HEADER = "*Generated from the tables in `max78k_sim` by `make docs`; do not edit.*"


def documents() -> dict[str, str]:
    """File name -> text of every generated page."""
    pages = {
        "memory-map.md": memory_map(),
        "registers.md": registers(),
        "rules.md": rules(),
        "provenance.md": provenance_page(),
        "yaml-keys.md": yaml_keys(),
        "switches.md": switches(),
    }
    return {name: "\n\n".join((title(text), *text[1:])) + "\n" for name, text in pages.items()}


def title(page: Sequence[str]) -> str:
    """The heading, and where the page comes from."""
    return f"# {page[0]}\n\n{HEADER}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


# --- memory map


def memory_map() -> list[str]:
    """Every region of every chip."""
    order = ", ".join(map(str, KERNEL_BYTE))
    return [
        "Memory map",
        "Every address is `base + quadrant * stride + unit * stride + entry * stride + 4 * word`; "
        "the table gives the number of each, and its stride in bytes after the sign @. A quadrant "
        "is 16 processors. Bits that an entry does not store read as 0.",
        f"A kernel word is {8 * KERNEL_BYTES} bits in a slot of {KERNEL_SLOT} bytes. A processor's "
        f"kernels are one stream of bytes; stream byte `s` lies in slot `s // {KERNEL_BYTES}` at "
        f"byte `({order})[s % {KERNEL_BYTES}]` of the slot.",
        *(part for device in DEVICES for part in device_map(device)),
    ]


def device_map(device: Device) -> list[str]:
    """The regions of one chip."""
    known = "" if device.executes else " Only its addresses are known here; it is not simulated."
    columns = ("memory", "first", "last", "quadrants", "units", "entries", "bits", "what it is")
    rows = [region_cells(region) for region in device.regions]
    source = f"Addresses match the vendor's generator.{known}"
    return [f"## {device.name}", source, table(columns, rows)]


def region_cells(region: Region) -> tuple[str, ...]:
    """One row of the memory map."""
    last = region.address(region.groups - 1, region.units - 1, region.entries - 1, region.words - 1)
    bits = "+".join(str(mask.bit_count()) for mask in region.word_masks[::-1] if mask)
    return (
        region.name,
        f"`0x{region.base:08x}`",
        f"`0x{last + 3:08x}`",
        count(region.groups, region.group_stride),
        count(region.units, region.unit_stride, region.unit_name),
        count(region.entries, region.entry_stride, region.entry_name),
        bits,
        region.meaning,
    )


def count(number: int, stride: int, name: str = "") -> str:
    """How many, of what, and how far apart."""
    if number == 1:
        return "1"
    return (f"{number:,} {name}s" if name else str(number)) + f" @ `0x{stride:x}`"


# --- registers


def registers() -> list[str]:
    """Fields of every register that the simulator decodes."""
    return ["Registers"] + [
        part
        for device in DEVICES
        if device.executes
        for part in (
            f"## {device.name}",
            "Names follow the User Guide's register index. Every register is 0 after a reset. Bits "
            "of no field have no known meaning; the simulator refuses them.",
            *(
                part
                for name, rows in device.registers.items()
                for part in register_tables(device, name, rows)
            ),
        )
    ]


def register_tables(device: Device, name: str, rows: Iterable[Register]) -> list[str]:
    """The registers of one region, each with its address and its fields."""
    region = device.region(name)
    parts = [f"### {name[0].upper()}{name[1:]}s: {region.meaning}"]
    for register in rows:
        parts.append(f"#### {register.name}: {register.meaning}")
        parts.append(f"`{register_address(region, register)}`")
        cells = [
            (bit_range(field.low, field.width), f"`{field.name}`", field.meaning)
            for field in register.fields
        ]
        parts.append(table(("bits", "field", "meaning"), cells) if cells else "No known bits.")
    return parts


def register_address(region: Region, register: Register) -> str:
    """The address of a register as a formula over quadrant and layer."""
    of_layer = region.units > 1
    base = region.address(0, *((register.unit, 0) if of_layer else (0, register.unit)))
    text = f"0x{base:08x}"
    if region.groups > 1:
        text += f" + 0x{region.group_stride:x} * quadrant"
    return f"{text} + {region.entry_stride} * layer" if of_layer else text


def bit_range(low: int, width: int) -> str:
    """Bits as a datasheet writes them: 7, or 15:8."""
    return str(low) if width == 1 else f"{low + width - 1}:{low}"


# --- rules

KINDS = {
    InputError: "what was asked for",
    HardwareLimit: "the chip",
    NotEmulated: "the simulator",
}


def rules() -> list[str]:
    """Every limit, by the chapter that states it."""
    chapters = list(dict.fromkeys(chapter(rule) for rule in RULES))
    columns = ("rule", "statement", "limit of", "checked in", "other sources")
    parts = [
        "Rules",
        f"What a network may be, in {len(RULES)} rules. A rule comes from a chapter of the "
        "vendor's guide, from what the vendor's generator refuses beyond it, from the widths of "
        "the registers, or from this project. An error that breaks a rule carries its name "
        "(`error.rule`); `load_network` raises the first, `find_faults` returns all.",
    ]
    for name in chapters:
        rows = [rule_cells(rule) for rule in RULES if chapter(rule) == name]
        parts += [f"## {name[0].upper()}{name[1:]}", table(columns, rows)]
    return parts


def chapter(rule: Rule) -> str:
    """The source without the key."""
    return rule.source.split(":")[0]


def rule_cells(rule: Rule) -> tuple[str, ...]:
    """One row of the table of rules."""
    where = rule.where or "rules/" + (rule.check.__module__.split(".")[-1] if rule.check else "")
    key = rule.source.partition(": ")[2]
    of_key = f" (`{key}`)" if key and not rule.name.startswith("key-") else ""
    return f"`{rule.name}`", rule.statement + of_key, KINDS[rule.kind], where, rule.note


# --- provenance


def provenance_page() -> list[str]:
    """The labels of claims, and what a network is warned of."""
    columns = ("name", "label", "what", "sources", "the simulator follows")
    rows = [
        (f"`{row.name}`", row.label, row.statement, row.sources, row.followed)
        for row in provenance.ROWS
    ]
    return [
        "Provenance",
        "Every claim of this project carries one of these labels.",
        table(("label", "meaning"), provenance.LABELS),
        "## What sources disagree on",
        "A network that depends on one of these rows is warned once, with its layers: by "
        "`Plan.warnings`, and on stderr by the command line.",
        table(columns, rows),
    ]


# --- keys of a description


def yaml_keys() -> list[str]:
    """What a network description may say, and what of it is built."""
    columns = ("key", "also called", "value", "meaning", "status")
    operations = ", ".join(f"`{name}`" for name in sorted(set(OPERATIONS.values())))
    built = ", ".join(f"`{name}`" for name in BUILT_OPERATIONS)
    return [
        "Keys of a network description",
        "The description is the vendor's YAML. An unknown key is an error; a known key whose "
        "behaviour is not built is refused, unless it has the value that changes nothing.",
        "## The description",
        table(columns, map(key_cells, GLOBAL_KEYS)),
        "## A layer",
        table(columns, map(key_cells, KEYS)),
        f"Operations: {operations}. Built: {built}.",
    ]


def key_cells(key: Key) -> tuple[str, ...]:
    """One row of the table of keys."""
    aliases = ", ".join(f"`{alias}`" for alias in key.aliases)
    return f"`{key.name}`", aliases, value_text(key), key.meaning, status_text(key)


def status_text(key: Key) -> str:
    """Whether the key's behaviour is built, and which values are accepted if not."""
    if not key.status:
        return "works"
    shown = (list(value) if isinstance(value, tuple) else value for value in key.harmless)
    values = ", ".join(f"`{str(value).lower()}`" for value in shown)
    return f"{key.status}; only {values} is accepted" if values else key.status


# --- the vendor's command line


def switches() -> list[str]:
    """What became of every switch of the vendor's generator."""
    parts = ["Switches of the vendor's generator"]
    for status, heading, text in (
        (
            HERE,
            "The same here",
            "They are switches of every command that reads a network, and (with underscores) "
            "arguments of `load_network` and `simulate`.",
        ),
        (
            GENERATE,
            "Of `max78k generate`",
            "They change the generated project, and nothing that is computed.",
        ),
        (
            REFUSED,
            "Refused",
            "They change a result or a placement in a way that is not built; the command says why.",
        ),
        (
            NOT_NEEDED,
            "Not needed",
            "They change the generated program, its files, its self-test or its log, and nothing "
            "that is computed. There is no such switch here.",
        ),
    ):
        rows = [
            (", ".join(f"`{name}`" for name in switch.names), switch.why)
            for switch in SWITCHES
            if switch.status == status
        ]
        parts += [f"## {heading}", text, table(("switch", "why"), rows)]
    return parts


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
