"""The vendor's network description: the only file that knows its keys.

KEYS is the table: what each key is called, how its value is read, what it means, and whether its
behaviour is built.  Errors carry file, line and column.  Source: the vendor's YAML chapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, Max78kError, NotEmulated

SIZE_LIMIT = 1 << 20  # bytes of a description
DEPTH_LIMIT = 20  # nested YAML collections


@dataclass(frozen=True)
class Value:
    """A value with its place in the file."""

    value: Any
    line: int
    column: int


@dataclass(frozen=True)
class LayerDescription:
    """One entry of ``layers``: values by canonical key, and the line where it starts."""

    line: int
    values: dict[str, Value]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self.values[key].value if key in self.values else default

    def line_of(self, key: str) -> int:
        """Line of a key, or of the layer."""
        return self.values[key].line if key in self.values else self.line


@dataclass(frozen=True)
class Description:
    """A whole file: ``arch``, ``dataset``, ``output_map`` and the layers."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)
    layers: tuple[LayerDescription, ...] = ()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a global key, or the default."""
        return self.values[key].value if key in self.values else default


# --- how values are read; each raises ValueError with what would be right


def read_integer(value) -> int:
    """An integer (booleans are not)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("an integer, for example 1")
    return value


def read_count(value) -> int:
    """A positive integer of sensible size."""
    if read_integer(value) < 1 or value > 1 << 20:
        raise ValueError("a positive integer")
    return value


def read_offset(value) -> int:
    """A byte offset; integers or hexadecimal text."""
    if isinstance(value, str):
        value = hexadecimal(value, "0x2000")
    if not 0 <= read_integer(value) < 1 << 32:
        raise ValueError("a byte offset, for example 0x2000")
    return value


def hexadecimal(text: str, example: str) -> int:
    """Hexadecimal text with optional 0x, dots and underscores."""
    try:
        return int(text.replace(".", "").replace("_", ""), 16)
    except ValueError:
        raise ValueError(f"a hexadecimal number, for example {example}") from None


def read_processors(value) -> int:
    """A 64-bit processor map."""
    if isinstance(value, str):
        value = hexadecimal(value, "0x000000000000ffff")
    if not 1 <= read_integer(value) < 1 << 64:
        raise ValueError("a map of 1 to 64 processors, for example 0x000000000000ffff")
    return value


def read_boolean(value) -> bool:
    """true or false (the vendor also takes numbers)."""
    if isinstance(value, str) or value is None or isinstance(value, list):
        raise ValueError("true or false")
    return bool(value)


def read_pair(value) -> tuple[int, int]:
    """One integer for both dimensions, or [rows, columns]."""
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise ValueError("an integer or [rows, columns]")
    return read_count(pair[0]), read_count(pair[1])


def read_size(value) -> tuple[int, int]:
    """[rows, columns]; one integer means [n, 1]."""
    pair = value if isinstance(value, list) else [value, 1]
    return read_pair(pair)


def read_kernel(value) -> tuple[int, int]:
    """ "3x3", "1x1", or for 1-D convolutions an integer."""
    parts = str(value).lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) <= 3 for part in parts):
        raise ValueError("3x3, 1x1, or an integer for Conv1d")
    rows = int(parts[0])
    return rows, int(parts[1]) if len(parts) == 2 else 1


def read_text(value) -> str:
    """Text."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError("text")
    return str(value)


def read_groups(value) -> tuple[int, ...]:
    """One quadrant or a list of them."""
    groups = value if isinstance(value, list) else [value]
    if not groups or not all(read_integer(group) in range(4) for group in groups):
        raise ValueError("a quadrant from 0 to 3, or a list of them")
    return tuple(groups)


def read_any(value):
    """Anything; for keys that are recognised and not used."""
    return value


def choice(**choices: Any) -> Callable[[Any], Any]:
    """A reader for one of some words, in any case."""

    def read_choice(value):
        word = str(value).lower()
        if word not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return choices[word]

    return read_choice


def read_weight_bits(value) -> int:
    """1, 2, 4 or 8."""
    if str(value).lower() in ("bin", "binary"):
        raise NotEmulated("binary (+1/-1) weights are a MAX78002 feature")
    if isinstance(value, bool) or value not in (1, 2, 4, 8):
        raise ValueError("1, 2, 4 or 8")
    return value


OPERATIONS = dict(
    conv1d="conv1d",
    conv2d="conv2d",
    convtranspose2d="convtranspose2d",
    none="passthrough",
    passthrough="passthrough",
    linear="linear",
    fc="linear",
    mlp="linear",
    add="add",
    sub="sub",
    xor="xor",
    bitwisexor="xor",
    bitwise_xor="xor",
    **{"or": "or"},
    bitwiseor="or",
    bitwise_or="or",
)
BUILT_OPERATIONS = ("conv2d", "linear")
LATER = "not emulated yet"
OTHER_CHIP = "a MAX78002 feature"


@dataclass(frozen=True)
class Key:
    """One key of a layer.

    ``status`` is empty when the key's behaviour is built; otherwise any value other than
    ``harmless`` raises NotEmulated with the status.
    """

    name: str
    read: Callable[[Any], Any]
    meaning: str
    aliases: tuple[str, ...] = ()
    status: str = ""
    harmless: tuple = ()


KEYS = (
    Key("op", choice(**OPERATIONS), "main operation", ("operation", "operator", "convolution")),
    Key("processors", read_processors, "processors that read the input, a 64-bit map"),
    Key("output_processors", read_processors, "processors that the output goes to"),
    Key("in_channels", read_count, "input channels (default: from weights and the layer before)"),
    Key("out_channels", read_count, "output channels (default: from the weights)"),
    Key("in_dim", read_size, "input rows and columns"),
    Key("in_offset", read_offset, "byte offset of the input in each data-memory instance"),
    Key("out_offset", read_offset, "byte offset of the output"),
    Key("kernel_size", read_kernel, "kernel rows x columns"),
    Key("pad", read_integer, "zeros around the (pooled) input"),
    Key("max_pool", read_pair, "maximum pooling before the operation"),
    Key("avg_pool", read_pair, "average pooling before the operation"),
    Key("pool_stride", read_pair, "stride of the pooling"),
    Key("activate", choice(relu="relu", abs="abs", none=None), "activation", ("activation",)),
    Key("quantization", read_weight_bits, "width of a weight in bits"),
    Key(
        "output_shift", read_integer, "shift of the accumulator, added to that of the weight width"
    ),
    Key("output_width", read_integer, "8, or 32 for the raw accumulator of the last layer"),
    Key("data_format", choice(chw=True, big=True, hwc=False, little=False), "CHW or HWC input"),
    Key("flatten", read_boolean, "2-D data to features of a linear layer"),
    Key("bias_group", read_groups, "quadrants whose bias memory may be used", ("bias_quadrant",)),
    Key("name", read_text, "name of the layer"),
    Key("stride", read_pair, "stride of the operation, always 1", (), LATER, ((1, 1),)),
    Key("sequence", read_integer, "order of execution"),
    Key("in_sequences", read_any, "layers whose outputs are read", (), LATER),
    Key("next_sequence", read_any, "layer executed next", (), OTHER_CHIP),
    Key("eltwise", read_any, "element-wise operation before the main one", (), LATER),
    Key("operands", read_integer, "operands of the element-wise operation", (), LATER),
    Key("pool_first", read_boolean, "pool before the element-wise operation", (), LATER, (True,)),
    Key("dilation", read_pair, "dilation of a Conv1d", (), LATER, ((1, 1),)),
    Key("streaming", read_boolean, "streaming mode", (), LATER, (False,)),
    Key("write_gap", read_integer, "channels skipped between outputs", (), LATER, (0,)),
    Key(
        "read_gap", read_integer, "channels skipped between inputs", ("in_skip",), OTHER_CHIP, (0,)
    ),
    Key("in_channel_skip", read_integer, "input channels skipped", (), LATER, (0,)),
    Key("in_crop", read_any, "rows cropped from the input", (), LATER, ([0, 0],)),
    Key("groups", read_integer, "groups of a convolution", ("conv_groups",), OTHER_CHIP, (1,)),
    Key("output_pad", read_integer, "extra rows of a transposed convolution", (), LATER, (0,)),
    Key("pool_dilation", read_pair, "dilation of the pooling", (), OTHER_CHIP, ((1, 1),)),
    Key("output", read_boolean, "the layer is an output", (), LATER, (False,)),
    Key("weight_source", read_any, "layer whose weights are used", (), LATER),
    Key("bypass", read_boolean, "bypass the kernels", (), OTHER_CHIP, (False,)),
    Key("calcx4", read_boolean, "four kernels at a time", (), OTHER_CHIP, (False,)),
    Key("readahead", read_boolean, "read ahead", (), OTHER_CHIP, (False,)),
    Key("tcalc", read_boolean, "calculation order", (), OTHER_CHIP, (False,)),
    Key("snoop_sequence", read_any, "layer of the snoop unit", (), OTHER_CHIP),
    Key("simulated_sequence", read_any, "order in the vendor's simulator", (), OTHER_CHIP),
    Key("buffer_shift", read_integer, "shift of the data buffer", (), LATER),
    Key("buffer_insert", read_integer, "rows put into the data buffer", (), LATER),
)

GLOBAL_KEYS = (
    Key("arch", read_text, "architecture, as in the checkpoint"),
    Key("dataset", read_text, "data set; gives the input shape when nothing else does"),
    Key("layers", read_any, "the layers"),
    Key("output_map", read_processors, "processors that the last output goes to"),
    Key("weights", read_any, "test data of the vendor; not used"),
    Key("bias", read_any, "test data of the vendor; not used"),
    Key("unload", read_any, "custom unloading", (), LATER),
    Key("snoop", read_any, "snoop unit", (), OTHER_CHIP),
    Key("data_buffer", read_any, "data buffer", (), LATER),
)


def key_names(keys: tuple[Key, ...]) -> dict[str, Key]:
    """Keys by name and alias."""
    return {name: key for key in keys for name in (key.name, *key.aliases)}


LAYER_NAMES, GLOBAL_NAMES = key_names(KEYS), key_names(GLOBAL_KEYS)


def read_description(config_file: str | Path) -> Description:
    """Read a network description; raises InputError or NotEmulated with file, line and column."""
    file = str(config_file)
    try:
        raw = Path(config_file).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the network description: {error.strerror}", file=file
        ) from None
    if len(raw) > SIZE_LIMIT:
        raise InputError(f"{len(raw):,} bytes; a description has at most {SIZE_LIMIT:,}", file=file)
    root = parse(raw, file)
    if not isinstance(root, yaml.MappingNode):
        raise InputError("a description is a mapping with arch, dataset and layers", file=file)
    values = read_mapping(root, GLOBAL_NAMES, file, "the description")
    for key in ("arch", "dataset", "layers"):
        if key not in values:
            raise InputError(f"the key '{key}' is missing", file=file)
    return Description(file, values, read_layers(root, file))


def parse(raw: bytes, file: str) -> yaml.Node | None:
    """YAML nodes with their marks; nothing is constructed, aliases to collections are refused."""
    try:
        loader = yaml.SafeLoader(raw.decode("utf-8"))
        depth, collections = 0, []
        while True:
            event = loader.peek_event()
            if isinstance(event, yaml.AliasEvent):
                mark = event.start_mark
                raise InputError(
                    "YAML aliases are not supported; write the value out",
                    file=file, line=mark.line + 1, column=mark.column + 1,
                )  # fmt: skip
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH_LIMIT:
                raise InputError(f"more than {DEPTH_LIMIT} nested levels", file=file)
            collections.append(loader.get_event())
            if isinstance(event, yaml.StreamEndEvent):
                break
        return yaml.compose(raw.decode("utf-8"), yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = error.problem or error.context
        raise InputError(
            f"not valid YAML: {problem}", file=file, line=line, column=column
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", file=file) from None


def read_mapping(
    node: yaml.MappingNode, names: dict[str, Key], file: str, owner: str
) -> dict[str, Value]:
    """Values of a mapping by canonical key, each read by its row of the table."""
    values: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if name not in names:
            advice = closest(name, names)
            raise InputError(
                f"unknown key '{name}' in {owner}{advice}", file=file, line=line, column=column
            )
        key = names[name]
        if key.name in values:
            raise InputError(
                f"'{name}' is given twice (also as '{key.name}' in line {values[key.name].line})",
                file=file, line=line, column=column,
            )  # fmt: skip
        values[key.name] = Value(read_value(key, name, value_node, file), line, column)
    return values


def closest(name: str, names: dict[str, Key]) -> str:
    """Advice for a misspelt key."""
    from difflib import get_close_matches

    matches = get_close_matches(name, names, 1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def read_value(key: Key, name: str, node: yaml.Node, file: str) -> Any:
    """One value; faults carry the place of the value."""
    place: dict[str, Any] = dict(
        file=file, line=node.start_mark.line + 1, column=node.start_mark.column + 1
    )
    if key.read is read_any and not key.status:
        return None
    try:
        value = construct(node)
        read = key.read(value)
        if key.status and read not in key.harmless:
            raise NotEmulated(f"'{name}: {shorten(value)}' is {key.status}")
        return read
    except ValueError as error:
        shown = shorten(value) if "value" in locals() else "this value"
        raise InputError(f"'{name}: {shown}' is not {error}", **place) from None
    except Max78kError as error:
        raise type(error)(error.message, **place) from None


def shorten(value: Any) -> str:
    """A value for a message, at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def construct(node: yaml.Node) -> Any:
    """A scalar or a flat list of scalars as Python values."""
    loader = yaml.SafeLoader("")
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > 4096:
            raise ValueError("a value of at most 4,096 characters")
        if node.tag == "tag:yaml.org,2002:null":
            return "none" if node.value.lower() == "none" else None
        return loader.construct_object(node)
    if isinstance(node, yaml.SequenceNode) and len(node.value) <= 64:
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return [construct(item) for item in node.value]
    raise ValueError("a single value or a short flat list")


def read_layers(root: yaml.MappingNode, file: str) -> tuple[LayerDescription, ...]:
    """The entries of ``layers``, in order of execution."""
    node = next(value for key, value in root.value if key.value == "layers")
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise InputError("'layers' is a list with at least one layer", file=file, line=line)
    layers = []
    for index, entry in enumerate(node.value):
        line = entry.start_mark.line + 1
        if not isinstance(entry, yaml.MappingNode):
            raise InputError(f"layer {index} is not a mapping of keys", file=file, line=line)
        layers.append(
            LayerDescription(line, read_mapping(entry, LAYER_NAMES, file, f"layer {index}"))
        )
    check_names(layers, file)
    return order_layers(layers, file)


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
                file=file,
                line=line,
            )
        if name.lower() in ("stop", "input"):
            raise InputError(f"'{name}' is a reserved name", file=file, line=line)
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
                f"sequence {sequence} is {problem}", file=file, line=layer.line_of("sequence")
            )
        numbered[sequence] = layer
        sequence += 1
    return tuple(numbered[number] for number in sorted(numbered))
