"""The rolling buffer: data memory that one inference leaves for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network

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


CHANGES = [  # replaced, by what, kind of error, line, message
    ("in_offset: 0x7ff0", "in_offset: 0x7fe8", InputError, 19,
     "in_offset 0x7fe8 and 0x10 bytes; past is 0x7fec to 0x8000"),
    ("out_offset: 0x7fec", "out_offset: 0x7fe8", InputError, 19,
     "out_offset 0x7fe8; buffer_shift 1 of in_offset 0x7ff0 takes out_offset: 0x7fec"),
    ("out_offset: 0x7ffc", "out_offset: 0x7ff8", InputError, 28,
     "output 0x7ff8 to 0x7ffc; past is 0x7fec to 0x8000, and buffer_insert 1 writes its last rows, "
     "from out_offset: 0x7ffc"),
    ("s: past\n    processors: 0x00000000000000f0", "s: past\n    processors: 0x0000000000000f00",
     InputError, 19, "processors 0x0000000000000f00; past has 0x00000000000000f0"),
    ("in_sequences: features", "in_sequences: past\n    in_dim: 1\n    buffer_shift: 1",
     InputError, 28, "in_offset 0x2000 and 0x4 bytes; past is 0x7fec to 0x8000"),
    ("in_sequences: features", "in_sequences: features\n    buffer_shift: 1",
     InputError, 28, "buffer_shift is for a pass-through layer with in_sequences: past"),
    ("in_sequences: past", "in_sequences: pats", InputError, 19,
     "in_sequences: no earlier layer has the name 'pats'"),
    ("    name: features\n", "    name: features\n    in_sequences: past\n",
     InputError, 10, "the first layer reads the sample; remove in_sequences"),
    ("    offset: 0x7fec\n", "", InputError, 2,
     "data_buffer has no 'offset'; it takes name, processors, channels, dim, offset"),
    ("    offset: 0x7fec\n", "    offset: 0x7fec\n    width: 32\n", NotEmulated, 7,
     "'width: 32' is not emulated yet"),
    (LAYERS, "  - name: other\n" + LAYERS, NotEmulated, 7,
     "2 entries of 'data_buffer'; one is emulated"),
    ("name: past", "name: insert", InputError, 29, "the name 'insert' is used in line 2 already"),
    (BUFFER, "", InputError, 13, "in_sequences: no earlier layer has the name 'past'"),
    (BUFFER, "data_buffer: []\n", InputError, 1,
     "'data_buffer' is a list with at least one data_buffer"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "kind", "line", "message"), CHANGES)
def test_refusals_name_place_and_remedy(description, old, new, kind, line, message):
    assert old in DESCRIPTION
    with pytest.raises(kind) as raised:
        load(description, DESCRIPTION.replace(old, new, 1))
    assert message in str(raised.value) and raised.value.line == line, str(raised.value)


def test_shift_without_a_buffer(description):
    text = LAYERS.replace("in_sequences: past", "in_sequences: features")
    with pytest.raises(InputError, match="buffer_shift and buffer_insert need a data_buffer"):
        load(description, text)
