"""The vendor's network description: YAML text -> Description, every value read by its key's row.

Errors carry file, line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import HardwareLimit, InputError, Max78kError, NotEmulated, printable
from .yaml_keys import BUFFER_KEYS, GLOBAL_KEYS, KEYS, OTHER_CHIP, Key, read_any

SIZE_LIMIT = 1 << 20  # bytes of a description
DEPTH_LIMIT = 20  # nested YAML collections
LIST_LIMIT = 64  # items of a list
TEXT_LIMIT = 1000  # characters of a value; an integer of so many digits can still be printed
PLAIN_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "str"))


@dataclass(frozen=True)
class Value:
    """A value with its place in the file."""

    value: Any
    line: int
    column: int


@dataclass(frozen=True)
class LayerDescription:
    """One entry of ``layers``: values by canonical key, and the line where it starts.

    ``refused``: what cannot be built of it, which matters only if the layer is used.
    """

    line: int
    values: dict[str, Value]
    refused: tuple[Max78kError, ...] = ()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self.values[key].value if key in self.values else default

    def line_of(self, key: str) -> int:
        """Line of a key, or of the layer."""
        return self.values[key].line if key in self.values else self.line


@dataclass(frozen=True)
class Description:
    """A whole file: ``arch``, ``dataset``, ``output_map``, the layers, and a rolling buffer."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)
    layers: tuple[LayerDescription, ...] = ()
    data_buffer: LayerDescription | None = None
    refused: tuple[Max78kError, ...] = ()  # global keys that cannot be built

    def refused_until(self, stop_after: int | None) -> tuple[Max78kError, ...]:
        """What cannot be built of the global keys and the layers that are used."""
        used = self.layers if stop_after is None else self.layers[: stop_after + 1]
        return (*self.refused, *(error for layer in used for error in layer.refused))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a global key, or the default."""
        return self.values[key].value if key in self.values else default


def key_names(keys: tuple[Key, ...]) -> dict[str, Key]:
    """Keys by name and alias."""
    return {name: key for key in keys for name in (key.name, *key.aliases)}


LAYER_NAMES, GLOBAL_NAMES = key_names(KEYS), key_names(GLOBAL_KEYS)
BUFFER_NAMES = key_names(BUFFER_KEYS)
BUFFER_NEEDS = ("name", "processors", "channels", "dim", "offset")


def read_description(config_file: str | Path, stop_after: int | None = None) -> Description:
    """Read a network description; raises Max78kError with file, line and column.

    What cannot be built is refused in the layers up to ``stop_after`` (by default all); what is
    not well formed, everywhere.
    """
    description = parse_description(config_file)
    for error in description.refused_until(stop_after):
        raise error
    return description


def parse_description(config_file: str | Path) -> Description:
    """A description of which some may not be built; raises InputError if it is not well formed."""
    file = str(config_file)
    try:
        raw = Path(config_file).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the network description: {error.strerror}", file=file, rule="yaml-file"
        ) from None
    if len(raw) > SIZE_LIMIT:
        message = f"{len(raw):,} bytes; a description has at most {SIZE_LIMIT:,}"
        raise InputError(message, file=file, rule="yaml-size")
    root = parse(raw, file)
    if not isinstance(root, yaml.MappingNode):
        message = "a description is a mapping with arch, dataset and layers"
        raise InputError(message, file=file, rule="yaml-mapping")
    refused: list[Max78kError] = []
    values = read_mapping(root, GLOBAL_NAMES, file, "the description", refused)
    for key in ("arch", "dataset", "layers"):
        if key not in values:
            message = f"the key '{key}' is missing"
            raise InputError(message, file=file, rule="mandatory-keys")
    layers = read_entries(root, "layers", LAYER_NAMES, file)
    buffer = read_buffer(root, file)
    check_names([buffer, *layers] if buffer else layers, file)
    return Description(file, values, order_layers(layers, file), buffer, tuple(refused))


def parse(raw: bytes, file: str) -> yaml.Node | None:
    """YAML nodes with their marks; nothing is constructed, and aliases are refused."""
    try:
        return CarefulLoader(raw.decode("utf-8"), file).get_single_node()
    except yaml.MarkedYAMLError as error:
        place = mark_place(error.problem_mark or error.context_mark)
        problem = error.problem or error.context
        message = f"not valid YAML: {problem}"
        raise InputError(message, file=file, rule="yaml-syntax", **place) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"not valid YAML: {' '.join(str(error).split())}"
        raise InputError(message, file=file, rule="yaml-syntax") from None


class CarefulLoader(yaml.SafeLoader):
    """No aliases (they can blow a small file up) and no deep nesting."""

    def __init__(self, text: str, file: str):
        super().__init__(text)
        self.file, self.depth = file, 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """A node with all that it holds, unless that is refused."""
        event = self.peek_event()
        nested = isinstance(event, yaml.CollectionStartEvent)
        self.depth += nested
        place = mark_place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            message = "YAML aliases are not supported; write it out"
            raise InputError(message, file=self.file, rule="yaml-aliases", **place)
        if self.depth > DEPTH_LIMIT:
            message = f"more than {DEPTH_LIMIT} nested levels"
            raise InputError(message, file=self.file, rule="yaml-nesting", **place)
        node = super().compose_node(parent, index)
        self.depth -= nested
        return node


def mark_place(mark: Any) -> dict[str, int]:
    """Line and column, counted from 1, of a YAML mark (which counts from 0)."""
    return {"line": mark.line + 1, "column": mark.column + 1} if mark else {}


def read_mapping(
    node: yaml.MappingNode, names: dict[str, Key], file: str, owner: str, refused: list[Max78kError]
) -> dict[str, Value]:
    """Values of a mapping by canonical key, each read by its row of the table.

    What is well formed and cannot be built is added to ``refused``.
    """
    values: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if name not in names:
            advice = closest(name, names)
            raise InputError(
                f"unknown key '{printable(name)}' in {owner}{advice}",
                file=file, line=line, column=column, rule="known-keys",
            )  # fmt: skip
        key = names[name]
        if key.name in values:
            raise InputError(
                f"'{name}' is given twice (also as '{key.name}' in line {values[key.name].line})",
                file=file, line=line, column=column, rule="keys-once",
            )  # fmt: skip
        try:
            values[key.name] = Value(read_value(key, name, value_node), line, column)
        except Max78kError as error:
            place = mark_place(value_node.start_mark)
            of_layer = "" if names is GLOBAL_NAMES else owner
            placed = error.at(file, **place, owner=of_layer, rule=f"key-{key.name}")
            if isinstance(error, InputError):
                raise placed from None
            refused.append(placed)
    return values


def closest(name: str, names: dict[str, Key]) -> str:
    """Advice for a misspelt key."""
    from difflib import get_close_matches

    matches = get_close_matches(name, names, 1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def read_value(key: Key, name: str, node: yaml.Node) -> Any:
    """One value; InputError where it is not well formed, another error where it is not built."""
    if key.read is read_any and not key.status:
        return None
    refusal = HardwareLimit if key.status == OTHER_CHIP else NotEmulated
    try:
        if key.status and not isinstance(node, yaml.ScalarNode) and not key.harmless:
            raise refusal(f"'{name}' is {key.status}{harmless_text(key)}")
        value = construct(node)
        read = key.read(value)
        if key.status and read not in key.harmless:
            raise refusal(f"'{name}: {shorten(value)}' is {key.status}{harmless_text(key)}")
        return read
    except ValueError as error:
        shown = shorten(value) if "value" in locals() else "this value"
        raise InputError(f"'{name}: {shown}' is not {error}") from None


def harmless_text(key: Key) -> str:
    """What would work instead of a value that cannot be built."""
    shown = [list(value) if isinstance(value, tuple) else value for value in key.harmless]
    values = " or ".join(f"{key.name}: {str(value).lower()}" for value in shown)
    return f"; leave it out, or {values}" if values else "; leave it out"


def shorten(value: Any) -> str:
    """A value for a message, at most 60 characters."""
    text = printable(value)
    return text if len(text) <= 60 else text[:57] + "..."


def construct(node: yaml.Node) -> Any:
    """A scalar or a flat list of scalars as Python values."""
    loader = yaml.SafeLoader("")
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > TEXT_LIMIT:
            raise ValueError(f"a value of at most {TEXT_LIMIT:,} characters")
        if node.tag == "tag:yaml.org,2002:null":
            return "none" if node.value.lower() == "none" else None
        if node.tag not in PLAIN_TAGS:
            raise ValueError("a plain value: a number, text, true or false")
        try:
            return loader.construct_object(node)
        except (ValueError, LookupError):  # a tag such as !!int that the text does not fit
            raise ValueError("a plain value: a number, text, true or false") from None
    if isinstance(node, yaml.SequenceNode) and len(node.value) <= LIST_LIMIT:
        scalars = [item for item in node.value if isinstance(item, yaml.ScalarNode)]
        if len(scalars) == len(node.value):
            return [construct(item) for item in scalars]
    raise ValueError("a single value or a short flat list")


def read_entries(
    root: yaml.MappingNode, name: str, names: dict[str, Key], file: str
) -> list[LayerDescription]:
    """The entries of a global list of mappings, in the order of the file."""
    node = next(value for key, value in root.value if key.value == name)
    line = node.start_mark.line + 1
    one = name.removesuffix("s")
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        message = f"'{name}' is a list with at least one {one}"
        raise InputError(message, file=file, line=line, rule="layer-list")
    entries = []
    for index, entry in enumerate(node.value):
        line = entry.start_mark.line + 1
        if not isinstance(entry, yaml.MappingNode):
            message = f"{one} {index} is not a mapping of keys"
            raise InputError(message, file=file, line=line, rule="layer-list")
        refused: list[Max78kError] = []
        values = read_mapping(entry, names, file, f"{one} {index}", refused)
        entries.append(LayerDescription(line, values, tuple(refused)))
    return entries


def read_buffer(root: yaml.MappingNode, file: str) -> LayerDescription | None:
    """The rolling buffer, if there is one; it has to be described whole."""
    if not any(key.value == "data_buffer" for key, _ in root.value):
        return None
    entries = read_entries(root, "data_buffer", BUFFER_NAMES, file)
    if len(entries) > 1:
        message = f"{len(entries)} entries of 'data_buffer'; one is emulated"
        raise NotEmulated(message, file=file, line=entries[1].line, rule="buffer-count")
    if entries[0].refused:
        raise entries[0].refused[0]
    for key in BUFFER_NEEDS:
        if key not in entries[0].values:
            message = f"data_buffer has no '{key}'; it takes {', '.join(BUFFER_NEEDS)}"
            raise InputError(message, file=file, line=entries[0].line, rule="buffer-keys")
    return entries[0]


def check_names(layers: list[LayerDescription], file: str) -> None:
    """Names are unique, and 'stop' and 'input' mean something else."""
    seen: dict[str, int] = {}
    for layer in layers:
        name = layer.get("name")
        if name is None:
            continue
        line = layer.line_of("name")
        if name.lower() in seen:
            raise InputError(
                f"the name '{name}' is used in line {seen[name.lower()]} already",
                file=file, line=line, rule="layer-names",
            )  # fmt: skip
        if name.lower() in ("stop", "input"):
            message = f"'{name}' is a reserved name"
            raise InputError(message, file=file, line=line, rule="layer-names")
        seen[name.lower()] = line


def order_layers(layers: list[LayerDescription], file: str) -> tuple[LayerDescription, ...]:
    """Layers by ``sequence``; each defaults to that of the layer before, plus 1."""
    numbered: dict[int, LayerDescription] = {}
    sequence = 0
    for layer in layers:
        sequence = layer.get("sequence", sequence)
        if sequence in numbered or sequence < 0:
            problem = "used twice" if sequence in numbered else "negative"
            raise InputError(
                f"sequence {sequence} is {problem}",
                file=file, line=layer.line_of("sequence"), rule="layer-order",
            )  # fmt: skip
        numbered[sequence] = layer
        sequence += 1
    return tuple(numbered[number] for number in sorted(numbered))
