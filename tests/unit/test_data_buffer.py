"""The rolling buffer: data memory that one inference leaves for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from max78k_sim.allocation import allocate
from max78k_sim.errors import InputError, Max78kError
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from max78k_sim.yaml_keys import BUFFER_KEYS

BUFFER = """data_buffer:
  - name: past
    processors: 0x00000000000000f0
    dim: 5
    channels: 4
    offset: 0x7fec
"""
LAYERS = """arch: rolling
dataset: none
layers:
  - op: conv2d
    name: features
    processors: 0x0000000000000003
    output_processors: 0x00000000000000f0
    in_channels: 2
    in_dim: [3, 3]
    out_offset: 0x2000
    kernel_size: 3x3
    pad: 0
  - op: passthrough
    name: shift
    in_sequences: past
    processors: 0x00000000000000f0
    output_processors: 0x00000000000000f0
    in_dim: 4
    in_offset: 0x7ff0
    out_offset: 0x7fec
    buffer_shift: 1
  - op: passthrough
    name: insert
    in_sequences: features
    processors: 0x00000000000000f0
    output_processors: 0x00000000000000f0
    in_offset: 0x2000
    out_offset: 0x7ffc
    buffer_insert: 1
  - op: conv1d
    name: over_time
    in_sequences: past
    processors: 0x00000000000000f0
    output_processors: 0x0000000000000007
    out_channels: 3
    in_dim: 5
    in_offset: 0x7fec
    out_offset: 0x1000
    kernel_size: 5
    pad: 0
    output_width: 32
"""
DESCRIPTION = BUFFER + LAYERS


def random_weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


NEWEST, OVER_TIME = random_weights((4, 2, 3, 3), 1), random_weights((3, 4, 5), 2)


@pytest.fixture
def description(tmp_path: Path) -> Path:
    np.savez(tmp_path / "weights.npz", w0=NEWEST.reshape(8, 9), w3=OVER_TIME.reshape(12, 5))
    return tmp_path / "network.yaml"


def load(description: Path, text: str = DESCRIPTION):
    description.write_text(text)
    weights = description.with_name("weights.npz")
    return load_network(description, weights, input_shape=(2, 3, 3))


def test_each_inference_shifts_and_appends(description):
    machine = Machine()
    machine.load(compile_network(load(description)))
    past = np.zeros((4, 5), np.int64)  # [channel, time]
    for number in range(7):
        sample = random_weights((2, 3, 3), 10 + number)
        total = (NEWEST.astype(np.int64) * sample).sum((1, 2, 3))
        newest = np.clip((total + 64) >> 7, -128, 127)
        past = np.concatenate([past[:, 1:], newest[:, None]], 1)
        expected = (OVER_TIME.astype(np.int64) * past).sum((1, 2))
        assert machine.run(sample).reshape(-1).tolist() == expected.tolist(), number


CHANGES = [  # replaced, by what, rule, line, message
    ("in_offset: 0x7ff0", "in_offset: 0x7fe8", "buffer-read", 19,
     "in_offset 0x7fe8 and 0x10 bytes; past is 0x7fec to 0x8000"),
    ("out_offset: 0x7fec", "out_offset: 0x7fe8", "buffer-shift", 19,
     "out_offset 0x7fe8; buffer_shift 1 of in_offset 0x7ff0 takes out_offset: 0x7fec"),
    ("out_offset: 0x7ffc", "out_offset: 0x7ff8", "buffer-insert", 28,
     "output 0x7ff8 to 0x7ffc; past is 0x7fec to 0x8000, and buffer_insert 1 writes its last rows, "
     "from out_offset: 0x7ffc"),
    ("s: past\n    processors: 0x00000000000000f0", "s: past\n    processors: 0x0000000000000f00",
     "buffer-read", 19, "processors 0x0000000000000f00; past has 0x00000000000000f0"),
    ("in_sequences: features", "in_sequences: past\n    in_dim: 1\n    buffer_shift: 1",
     "buffer-read", 28, "in_offset 0x2000 and 0x4 bytes; past is 0x7fec to 0x8000"),
    ("in_sequences: features", "in_sequences: features\n    buffer_shift: 1",
     "buffer-shift", 28, "buffer_shift is for a pass-through layer with in_sequences: past"),
    ("in_sequences: past", "in_sequences: pats", "sequence-names", 19,
     "in_sequences: no earlier layer has the name 'pats'"),
    ("    name: features\n", "    name: features\n    in_sequences: past\n",
     "in-sequences", 10, "the first layer reads the sample; remove in_sequences"),
    ("    offset: 0x7fec\n", "", "buffer-keys", 2,
     "data_buffer has no 'offset'; it takes name, processors, channels, dim, offset"),
    ("    offset: 0x7fec\n", "    offset: 0x7fec\n    width: 32\n", "key-width", 7,
     "'width: 32' is not emulated yet"),
    (LAYERS, "  - name: other\n" + LAYERS, "buffer-count", 7,
     "2 entries of 'data_buffer'; one is emulated"),
    ("name: past", "name: insert", "layer-names", 29,
     "the name 'insert' is used in line 2 already"),
    (BUFFER, "", "sequence-names", 13, "in_sequences: no earlier layer has the name 'past'"),
    (BUFFER, "data_buffer: []\n", "layer-list", 1,
     "'data_buffer' is a list with at least one data_buffer"),
]  # fmt: skip
KEY_RULES = {f"key-{key.name}" for key in BUFFER_KEYS}
RAISED = {row[2] for row in CHANGES} | {"buffer-declared", "overwritten-buffer"} | KEY_RULES


@pytest.mark.parametrize(("old", "new", "rule", "line", "message"), CHANGES)
def test_refusals_name_place_and_remedy(description, old, new, rule, line, message):
    assert old in DESCRIPTION
    with pytest.raises(Max78kError) as raised:
        load(description, DESCRIPTION.replace(old, new, 1))
    error = raised.value
    assert (message in str(error), error.line, error.rule) == (True, line, rule), str(error)


@pytest.mark.parametrize("key", BUFFER_KEYS, ids=lambda key: key.name)
def test_every_key_is_read_by_its_row(description, key):
    lines = [line for line in BUFFER.splitlines() if f" {key.name}:" not in line]
    text = "\n".join(lines).replace("    ", "  - ", 1) if key.name == "name" else "\n".join(lines)
    with pytest.raises(InputError) as raised:
        load(description, f"{text}\n    {key.name}: {{a: 1}}\n{LAYERS}")
    assert raised.value.rule == f"key-{key.name}" and f"'{key.name}" in str(raised.value)


def test_shift_without_a_buffer(description):
    text = LAYERS.replace("in_sequences: past", "in_sequences: features")
    with pytest.raises(InputError, match="buffer_shift and buffer_insert need a data_buffer"):
        load(description, text)


def test_nothing_else_writes_the_buffer(description):
    text = DESCRIPTION.replace("out_offset: 0x2000", "out_offset: 0x7ff4")
    text = text.replace("in_offset: 0x2000", "in_offset: 0x7ff4")
    with pytest.raises(InputError) as raised:
        allocate(load(description, text))
    assert raised.value.rule == "overwritten-buffer" and raised.value.line == 10
    assert str(raised.value).endswith(
        "layer 0 (features): its output overwrites 0x7ff4-0x7ff7 of data-memory instance 1, where "
        "the rolling buffer past is kept; out_offset 0x7fe8 is free beside the rolling buffer past "
        "0x7fec-0x7fff; --overlap-data accepts it"
    )
