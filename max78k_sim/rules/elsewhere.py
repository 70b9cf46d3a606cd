"""Rules that are enforced where the values are made: in the reader, the builder, the allocation.

An error that such a place raises carries the row's name; tests hold the two together.
"""

from __future__ import annotations

from ..errors import HardwareLimit, InputError, Max78kError, NotEmulated
from ..yaml_keys import BUFFER_KEYS, GLOBAL_KEYS, KEYS, OTHER_CHIP, Key, read_any, value_text
from .rule import DESCRIPTION, GENERATOR, LIMITATIONS, PROJECT, REGISTERS, Rule

Row = tuple[str, str, str, type[Max78kError]]  # name, source, statement, kind
UNDOCUMENTED = ("name", "output", "output_pad")  # keys that the chapter does not describe

READER: tuple[Row, ...] = (
    ("yaml-file", PROJECT, "The description is a file that can be read.", InputError),
    ("yaml-size", PROJECT, "A description has at most 1 MiB.", InputError),
    ("yaml-syntax", DESCRIPTION, "A description is YAML 1.1, in UTF-8.", InputError),
    (
        "yaml-aliases", PROJECT,
        "A description has no YAML aliases; they can be blown up.", InputError,
    ),
    ("yaml-nesting", PROJECT, "YAML collections are nested at most 20 deep.", InputError),
    ("yaml-mapping", DESCRIPTION, "A description is a mapping of global keys.", InputError),
    (
        "known-keys", DESCRIPTION,
        "Every key is one that the chapter or the generator knows.", InputError,
    ),
    ("keys-once", DESCRIPTION, "A key, under any of its names, is given once.", InputError),
    ("mandatory-keys", DESCRIPTION, "arch, dataset and layers are given.", InputError),
    (
        "layer-list", f"{DESCRIPTION}: layers",
        "layers is a list of mappings, one a layer.", InputError,
    ),
    (
        "buffer-keys", f"{DESCRIPTION}: data_buffer",
        "A rolling buffer has name, processors, channels, dim and offset.", InputError,
    ),
    ("buffer-count", PROJECT, "There is one rolling buffer at most.", NotEmulated),
    (
        "layer-names", f"{DESCRIPTION}: name",
        "Names are unique; 'stop' and 'input' are none.", InputError,
    ),
    (
        "layer-order", f"{DESCRIPTION}: sequence",
        "Each sequence number is used once, from 0.", InputError,
    ),
)  # fmt: skip
BUILDER: tuple[Row, ...] = (
    ("processors-given", f"{DESCRIPTION}: processors", "Every layer has processors.", InputError),
    ("fixed-stride", LIMITATIONS, "The stride is 1, of a ConvTranspose2d 2.", HardwareLimit),
    (
        "fixed-output-pad", LIMITATIONS,
        "The output padding of a ConvTranspose2d is 1; other operations have none.", HardwareLimit,
    ),
    (
        "square-pool-stride", LIMITATIONS,
        "A pooling stride is the same in both dimensions.", InputError,
    ),
    (
        "operands-eltwise", f"{DESCRIPTION}: operands",
        "Only element-wise layers have operands.", InputError,
    ),
    (
        "operand-channels", f"{DESCRIPTION}: operands",
        "A network's input has as many channels for each operand of its first layer.", InputError,
    ),
    (
        "sequence-names", f"{DESCRIPTION}: in_sequences",
        "in_sequences names layers that come before.", InputError,
    ),
    (
        "concatenated-size", f"{DESCRIPTION}: in_sequences",
        "Concatenated inputs have one size, or in_dim says what they are.", InputError,
    ),
    (
        "input-known", f"{DESCRIPTION}: in_dim",
        "The input's channels and size are given, or known from a sample or the data set.",
        InputError,
    ),
    (
        "outputs-known", f"{DESCRIPTION}: out_channels",
        "The number of outputs is given, or known from weights or the next layer.", InputError,
    ),
    (
        "weight-shape", f"{DESCRIPTION}: layers",
        "Weights have the shape that the layer takes.", InputError,
    ),
    (
        "weight-range", f"{DESCRIPTION}: quantization",
        "Weights fit the layer's weight width.", InputError,
    ),
    (
        "bias-count", f"{DESCRIPTION}: bias",
        "A bias has one value for each output channel.", InputError,
    ),
    (
        "architecture", f"{DESCRIPTION}: arch",
        "arch is the one that the checkpoint names.", InputError,
    ),
    (
        "layer-weights", f"{DESCRIPTION}: layers",
        "Checkpoint and description have the same layers.", InputError,
    ),
    ("stop-after", GENERATOR, "--stop-after names a layer.", InputError),
)  # fmt: skip
ALLOCATION: tuple[Row, ...] = (
    (
        "kernel-memory", LIMITATIONS,
        "The kernels of all layers fit 768 kernel words in each processor.", HardwareLimit,
    ),
    (
        "bias-memory", LIMITATIONS,
        "Biases fit 512 bytes in each quadrant, a layer's in one (so 512 output channels).",
        HardwareLimit,
    ),
    (
        "bias-group", f"{DESCRIPTION}: bias_group",
        "bias_group names quadrants that are in use.", InputError,
    ),
    ("quadrant-0", GENERATOR, "Some layer uses quadrant 0, processors 0 to 15.", HardwareLimit),
    (
        "overwritten-input", f"{DESCRIPTION}: in_offset",
        "An output is not written where data lies that it, or a later layer, is still to read "
        "(allowed with --overlap-data).",
        InputError,
    ),
    (
        "overwritten-buffer", PROJECT,
        "Only buffer_shift and buffer_insert write the rolling buffer (others are allowed with "
        "--overlap-data).",
        InputError,
    ),
    (
        "overwritten-output", GENERATOR,
        "No layer writes over a layer's output that has output: true (allowed with "
        "--overlap-data).",
        InputError,
    ),
    (
        "overwritten-stream", GENERATOR,
        "Ring buffers of a stream, and the output at its end, lie apart (allowed with "
        "--overlap-data).",
        InputError,
    ),
    (
        "ring-fits", GENERATOR,
        "A ring buffer ends within its data-memory instances.",
        HardwareLimit,
    ),
    (
        "register-field", REGISTERS,
        "Every count, size and step fits the bits that its register has for it.",
        HardwareLimit,
    ),
    ("weights-given", PROJECT, "To be executed, a layer with kernels has weights.", InputError),
)  # fmt: skip


def every_key() -> list[Key]:
    """Keys of layers and of the whole, and those of a rolling buffer that neither has."""
    names = {key.name for key in (*GLOBAL_KEYS, *KEYS)}
    return [*GLOBAL_KEYS, *KEYS, *(key for key in BUFFER_KEYS if key.name not in names)]


def key_rule(key: Key) -> Rule:
    """The values that one key of the description takes."""
    documented = not key.status and key.name not in UNDOCUMENTED
    source = f"{DESCRIPTION}: {key.name}" if documented else GENERATOR
    statement = f"{key.name}: {value_text(key)}."
    kind: type[Max78kError] = InputError
    if key.status:
        kind = HardwareLimit if key.status == OTHER_CHIP else NotEmulated
        harmless = " or ".join(str(value).lower() for value in key.harmless)
        only = f"; only {harmless} is taken" if harmless else ""
        statement = f"{key.name}: {key.status}{only}."
    return Rule(f"key-{key.name}", source, statement, kind, where="yaml_keys")


RULES = (
    *(
        Rule(name, source, statement, kind, where=where)
        for where, rows in (
            ("yaml_reader", READER),
            ("layer_builder, loading", BUILDER),
            ("allocation, program", ALLOCATION),
        )
        for name, source, statement, kind in rows
    ),
    *(key_rule(key) for key in every_key() if key.status or key.read is not read_any),
)
