"""The vendor's keys: one row each, with how its value is read, what it means, and whether it works.

Source: the vendor's YAML chapter; names that only its generator knows are recognised too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import HardwareLimit

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


def read_sequences(value) -> tuple[int | str, ...]:
    """One layer or a list of them: numbers from -1, or names."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, (int, str)) for item in items):
        raise ValueError("a layer or a list of layers, for example [2, 3]")
    return tuple(items)


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
        raise HardwareLimit(
            "binary (+1/-1) weights are a MAX78002 feature; use 1, which is -1 and 0, or 2"
        )
    if type(value) is not int or value not in (1, 2, 4, 8):
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
BUILT_OPERATIONS = ("conv2d", "conv1d", "convtranspose2d", "linear", "passthrough")
ELTWISE_OPERATIONS = ("add", "sub", "xor", "or")
LATER = "not emulated yet"
OTHER_CHIP = "a MAX78002 feature"
NO_VALUE = "\0"  # a value that no key takes: the error says what it would take


@dataclass(frozen=True)
class Key:
    """One key of a layer.

    ``status`` is empty when the key's behaviour is built; otherwise any value other than
    ``harmless`` is refused with the status: NotEmulated, or HardwareLimit for the other chip's.
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
    Key("stride", read_pair, "stride of the operation: 1, or 2 of a ConvTranspose2d"),
    Key("sequence", read_integer, "order of execution"),
    Key("in_sequences", read_sequences, "layers whose outputs are read; -1 is the input"),
    Key("next_sequence", read_any, "layer executed next", (), OTHER_CHIP),
    Key(
        "eltwise",
        choice(add="add", sub="sub", xor="xor", **{"or": "or"}),
        "element-wise operation before the main one",
    ),
    Key("operands", read_integer, "operands of the element-wise operation, 2 to 16"),
    Key("pool_first", read_boolean, "pool before the element-wise operation"),
    Key("dilation", read_pair, "dilation of a Conv1d"),
    Key("streaming", read_boolean, "read the input as it appears, through a ring buffer"),
    Key("write_gap", read_integer, "words skipped between outputs"),
    Key(
        "read_gap", read_integer, "channels skipped between inputs", ("in_skip",), OTHER_CHIP, (0,)
    ),
    Key("in_channel_skip", read_integer, "input channels skipped", (), LATER, (0,)),
    Key("in_crop", read_any, "rows cropped from the input", (), LATER, ([0, 0],)),
    Key("groups", read_integer, "groups of a convolution", ("conv_groups",), OTHER_CHIP, (1,)),
    Key("output_pad", read_integer, "extra rows of a ConvTranspose2d: 1"),
    Key("pool_dilation", read_pair, "dilation of the pooling", (), OTHER_CHIP, ((1, 1),)),
    Key("output", read_boolean, "the layer is an output"),
    Key("weight_source", read_any, "layer whose weights are used", (), LATER),
    Key("bypass", read_boolean, "bypass the kernels", (), OTHER_CHIP, (False,)),
    Key("calcx4", read_boolean, "four kernels at a time", (), OTHER_CHIP, (False,)),
    Key("readahead", read_boolean, "read ahead", (), OTHER_CHIP, (False,)),
    Key("tcalc", read_boolean, "calculation order", (), OTHER_CHIP, (False,)),
    Key("snoop_sequence", read_any, "layer of the snoop unit", (), OTHER_CHIP),
    Key("simulated_sequence", read_any, "order in the vendor's simulator", (), OTHER_CHIP),
    Key("buffer_shift", read_count, "rows that a pass-through layer shifts the data buffer"),
    Key("buffer_insert", read_count, "rows that the layer appends to the data buffer"),
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
    Key("data_buffer", read_any, "rolling buffer, kept from one inference to the next"),
)

BUFFER_KEYS = (
    Key("name", read_text, "name, for in_sequences"),
    Key("processors", read_processors, "processors that read the buffer"),
    Key("channels", read_count, "channels"),
    Key("dim", read_size, "rows and columns"),
    Key("offset", read_offset, "byte offset in each data-memory instance"),
    Key("width", read_integer, "bits of a value", (), LATER, (8,)),
)


def value_text(key: Key) -> str:
    """What a key takes: its reader's description, or its message for a wrong value."""
    if key.read is read_any:
        return ""
    text = (key.read.__doc__ or "").strip().split("\n")[0].split(" (")[0].rstrip(".")
    if not text:
        try:
            key.read(NO_VALUE)
        except ValueError as error:
            text = str(error)
    return text[:1].lower() + text[1:]
