"""The vendor's description: what is read, and what is refused, where and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from max78k_sim.errors import HardwareLimit, InputError, Max78kError, NotEmulated
from max78k_sim.loading import load_network
from max78k_sim.yaml_keys import GLOBAL_KEYS, KEYS, LATER, OPERATIONS, OTHER_CHIP
from max78k_sim.yaml_reader import read_description
from tests.conformance.cases import cases_in
from tests.conftest import CASES, corpus

HEAD = "arch: a\ndataset: mnist\nlayers:\n"
LAYER = "  - op: conv2d\n    processors: 1\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


def read(file: Path, text: str | bytes):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_description(file)


BAD = [  # text, place after the file's name (line:column, line, or nothing), message
    ("", "", "a description is a mapping with arch, dataset and layers"),
    ("- 1\n", "", "a description is a mapping with arch, dataset and layers"),
    ("arch: a\nlayers: []\n", "", "the key 'dataset' is missing"),
    ("arch: a\ndataset: b\n", "", "the key 'layers' is missing"),
    ("arch: a\ndataset: b\nlayers: []\n", "3", "'layers' is a list with at least one layer"),
    ("arch: a\ndataset: b\nlayers: 5\n", "3", "'layers' is a list with at least one layer"),
    (HEAD + "  - 5\n", "4", "layer 0 is not a mapping of keys"),
    (HEAD + "  - [op, conv2d]\n", "4", "layer 0 is not a mapping of keys"),
    ("arch: [a\n", "2:1", "not valid YAML: expected ',' or ']'"),
    ("arch: a\n\tb: c\n", "2:1", "not valid YAML: found character '\\t'"),
    (b"arch: \xff\n", "", "not valid YAML: 'utf-8' codec can't decode byte 0xff"),
    ("arch: a\x00b\n", "", "not valid YAML: unacceptable character #x0000"),
    ("arch: &x a\ndataset: *x\n", "2:10", "YAML aliases are not supported; write it out"),
    ("a: " + "[" * 30, "1:23", "more than 20 nested levels"),
    ("arch: a\narchitecture: b\n", "2:1", "unknown key 'architecture' in the description"),
    (HEAD + LAYER + "    max_poll: 2\n", "6:5", "in layer 0; did you mean 'max_pool'?"),
    (HEAD + LAYER + "    [1, 2]: 2\n", "6:5", "unknown key '?' in layer 0"),
    (HEAD + LAYER + "    op: linear\n", "6:5", "'op' is given twice (also as 'op' in line 4)"),
    (HEAD + LAYER + "    operator: linear\n", "6:5", "'operator' is given twice (also as 'op'"),
    (HEAD + LAYER + "    pad: one\n", "6:10", "'pad: one' is not an integer, for example 1"),
    (HEAD + LAYER + "    pad: true\n", "6:10", "'pad: True' is not an integer"),
    (HEAD + LAYER + "    pad: 1.0\n", "6:10", "'pad: 1.0' is not an integer"),
    (HEAD + LAYER + "    pad:\n", "6:9", "'pad: None' is not an integer"),
    (HEAD + LAYER + "    pad: {a: 1}\n", "6:10", "is not a single value or a short flat list"),
    (HEAD + LAYER + "    in_channels: 0\n", "6:18", "'in_channels: 0' is not a positive integer"),
    (HEAD + LAYER + "    in_dim: [1, 2, 3]\n", "6:13", "is not an integer or [rows, columns]"),
    (HEAD + LAYER + "    max_pool: [0, 1]\n", "6:15", "'max_pool: [0, 1]' is not a positive integ"),
    (HEAD + LAYER + "    in_offset: -4\n", "6:16", "'in_offset: -4' is not a byte offset"),
    (HEAD + LAYER + "    in_offset: 0xyz\n", "6:16", "is not a hexadecimal number, for example 0x"),
    (HEAD + "  - processors: 0\n", "4:17", "'processors: 0' is not a map of 1 to 64 processors"),
    (HEAD + "  - processors: 0x1ffffffffffffffff\n", "4:17", "is not a map of 1 to 64 processors"),
    (HEAD + LAYER + "    kernel_size: 3x3x3\n", "6:18", "is not 3x3, 1x1, or an integer for Conv"),
    (HEAD + LAYER + "    activate: tanh\n", "6:15", "'activate: tanh' is not one of relu, abs, no"),
    (HEAD + LAYER + "    quantization: 3\n", "6:19", "'quantization: 3' is not 1, 2, 4 or 8"),
    (HEAD + LAYER + "    quantization: 8.0\n", "6:19", "'quantization: 8.0' is not 1, 2, 4 or 8"),
    (HEAD + LAYER + "    flatten: maybe\n", "6:14", "'flatten: maybe' is not true or false"),
    (HEAD + LAYER + "    bias_group: 4\n", "6:17", "is not a quadrant from 0 to 3, or a list of"),
    (HEAD + LAYER + "    bias_group: []\n", "6:17", "is not a quadrant from 0 to 3, or a list of"),
    (HEAD + LAYER + "    data_format: NCHW\n", "6:18", "is not one of chw, big, hwc, little"),
    (HEAD + LAYER + "    name: stop\n", "6", "'stop' is a reserved name"),
    (HEAD + 2 * (LAYER + "    name: a\n"), "9", "the name 'a' is used in line 6 already"),
    (HEAD + 2 * (LAYER + "    sequence: 1\n"), "9", "sequence 1 is used twice"),
    (HEAD + LAYER + "    sequence: -1\n", "6", "sequence -1 is negative"),
    (HEAD + LAYER + "    name: " + "x" * 5000 + "\n", "6:11", "is not a value of at most"),
    (HEAD + LAYER + "    pad: 0x" + "f" * 4000 + "\n", "6:10", "is not a value of at most"),
    (HEAD + LAYER + "    name: !!python/name:os.system x\n", "6:11", "is not a plain value"),
    (HEAD + LAYER + "    name: !!bool x\n", "6:11", "is not a plain value"),
    (HEAD + LAYER + "    name: !!timestamp x\n", "6:11", "is not a plain value"),
    (HEAD + LAYER + "    name: 2020-02-31\n", "6:11", "is not a plain value"),
    (HEAD + LAYER + "    pad: !!int x\n", "6:10", "is not a plain value"),
    ("arch: [[]]\ndataset: b\nlayers: []\n", "1:7", "is not a single value or a short flat list"),
    ("arch: a\x85b: c\n", "2", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), BAD)
def test_bad_text(file, text, place, message):
    with pytest.raises(InputError) as caught:
        read(file, text)
    shown = str(caught.value)
    prefix = f"{file}:{place}: " if place else f"{file}: "
    assert shown.startswith(prefix if message else f"{file}:{place}")
    assert message in shown and "\n" not in shown


def test_a_key_is_shown_on_one_line(file):
    with pytest.raises(InputError) as caught:
        read(file, HEAD + LAYER + '    "pa\\nd\\e[2J": 1\n')
    assert str(caught.value).isprintable()


def test_a_file_that_cannot_be_read(file):
    with pytest.raises(InputError, match="cannot read the network description: No such file"):
        read_description(file)
    with pytest.raises(InputError, match="Is a directory"):
        read_description(file.parent)
    with pytest.raises(InputError, match=r"1,048,577 bytes; a description has at most 1,048,576"):
        read(file, b" " * (1 << 20) + b"#")


GOOD = """---
# comment
arch: net
dataset: MNIST
output_map: 0x0000000000000ff0
layers:
  - name: second
    sequence: 5
    operation: MLP
    flatten: true
    processors: 0x0000.0000.0000_00ff
    output_width: 32
    activation: none
    bias_quadrant: [0, 1]
    quantization: 4
  - name: 1
    sequence: 2
    op: Conv2d
    kernel_size: 3X3
    processors: 1
    max_pool: [2, 3]
    pool_stride: 2
    activate: ReLU
    in_dim: 28
    data_format: BIG
    in_offset: "0x2000"
    output_shift: -3
    pool_first: true
    stride: [1, 1]
"""


def test_what_is_read(file):
    description = read(file, GOOD)
    assert description.get("arch") == "net" and description.get("output_map") == 0xFF0
    first, second = description.layers  # by sequence
    assert {key: value.value for key, value in first.values.items()} == {
        "name": "1", "sequence": 2, "op": "conv2d", "kernel_size": (3, 3), "processors": 1,
        "max_pool": (2, 3), "pool_stride": (2, 2), "activate": "relu", "in_dim": (28, 1),
        "data_format": True, "in_offset": 0x2000, "output_shift": -3, "pool_first": True,
        "stride": (1, 1),
    }  # fmt: skip
    assert {key: value.value for key, value in second.values.items()} == {
        "name": "second", "sequence": 5, "op": "linear", "flatten": True, "processors": 0xFF,
        "output_width": 32, "activate": None, "bias_group": (0, 1), "quantization": 4,
    }  # fmt: skip
    assert (first.line, first.line_of("op"), first.line_of("pad")) == (16, 18, 16)


# A value that each key takes, in YAML; keys whose behaviour is not built refuse it.
VALUES = {
    "op": "conv2d", "processors": "1", "output_processors": "1", "kernel_size": "3x3",
    "activate": "ReLU", "data_format": "CHW", "name": "one", "in_sequences": "[0]",
    "next_sequence": "stop", "eltwise": "add", "pool_first": "false", "weight_source": "one",
    "dilation": "2", "stride": "2", "pool_dilation": "2", "groups": "2", "in_crop": "[1, 1]",
    "quantization": "8",
}  # fmt: skip
REFUSALS = {LATER: NotEmulated, OTHER_CHIP: HardwareLimit}
SWITCHES = ("flatten", "streaming", "output", "bypass", "calcx4", "readahead", "tcalc")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_works_or_says_why_not(file, key):
    value = VALUES.get(key.name, "true" if key.name in SWITCHES else "1")
    for name in (key.name, *key.aliases):
        text = f"{HEAD}  - {name}: {value}\n"
        if not key.status:
            assert key.name in read(file, text).layers[0].values
            continue
        with pytest.raises(REFUSALS[key.status]) as caught:
            read(file, text)
        message = str(caught.value)
        assert message.startswith(f"{file}:4:") and f"layer 0: '{name}: " in message
        assert f"{key.status}; leave it out" in message and caught.value.rule == f"key-{key.name}"


@pytest.mark.parametrize("key", [key for key in KEYS if key.harmless], ids=lambda key: key.name)
def test_the_value_that_changes_nothing_is_taken(file, key):
    for harmless in key.harmless:
        value = list(harmless) if isinstance(harmless, tuple) else harmless
        read(file, f"{HEAD}  - {key.name}: {str(value).lower()}\n")


@pytest.mark.parametrize("key", GLOBAL_KEYS, ids=lambda key: key.name)
def test_every_global_key(file, key):
    text = HEAD + LAYER
    if key.name == "data_buffer":
        text += "data_buffer: [{name: a, processors: 1, channels: 1, dim: 1, offset: 0}]\n"
    elif f"{key.name}:" not in text:
        text += f"{key.name}: 1\n"
    if key.status:
        with pytest.raises(REFUSALS[key.status], match=f"'{key.name}: 1' is {key.status}; leave"):
            read(file, text)
    else:
        assert key.name in read(file, text).values


def test_what_cannot_be_built_matters_in_the_layers_that_are_used(file):
    text = HEAD + LAYER + LAYER + "    calcx4: true\n"
    with pytest.raises(
        HardwareLimit, match=r":8:13: layer 1: 'calcx4: True' is a MAX78002 feature"
    ):
        read(file, text)
    assert len(read_description(file, stop_after=0).layers) == 2


@pytest.mark.parametrize("word", OPERATIONS)
def test_every_operation_is_known(file, word):
    assert read(file, f"{HEAD}  - op: {word}\n").layers[0].get("op") == OPERATIONS[word]


def check_every_description(folders) -> int:
    read_well = 0
    for case in (case for folder in folders for case in cases_in(folder)):
        try:
            file = case.folder / "network.yaml"
            load_network(file, input_shape=case.sample.shape, **case.options())
            read_well += 1
        except (NotEmulated, HardwareLimit, InputError) as error:
            assert isinstance(error, Max78kError) and str(error).startswith(str(case.folder))
            assert "give a checkpoint file" in str(error), error
    return read_well


def test_every_committed_description_loads_without_weights():
    assert check_every_description([CASES]) > 0


@pytest.mark.corpus
def test_every_description_of_the_corpus_loads_or_is_refused_with_its_place():
    assert check_every_description([corpus() / "corpus", corpus() / "fuzz"]) > 50
