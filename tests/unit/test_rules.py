"""Every rule is broken once: a description, and the words that refuse it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from max78k_sim.devices import MAX78000
from max78k_sim.errors import Max78kError
from max78k_sim.loading import find_faults, load_network
from max78k_sim.network import Draft, faults
from max78k_sim.program import compile_network
from max78k_sim.rules import RULES
from max78k_sim.yaml_keys import GLOBAL_KEYS, KEYS
from tests.builders import FIRST, network_of, two_layers

from .test_data_buffer import RAISED as OF_BUFFERS

HEAD = "arch: a\ndataset: x\nlayers:\n"
ONE = "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x2000"
LINE = "op: conv1d, processors: 1, out_channels: 1, out_offset: 0x4000"
PASS = "op: passthrough, out_offset: 0x2000"
STREAM = "op: conv2d, processors: 1, out_channels: 1, streaming: true"
WIDE = "op: conv2d, processors: 0xffffffffffffffff, out_offset: 0x4000"
KERNEL = np.ones((1, 1, 3, 3), np.int8)
FIFO = {"fifo": True}
BOTH = {"fifo": True, "fast_fifo": True}

# rule, layers (flow mappings; a later key wins over ONE's and is written alone), input shape,
# switches, part of the message
ROWS = [
    ("layer-count", [ONE] * 33, (1, 4, 4), {}, "layer 32 (layer32): 33 layers: MAX78000 runs at m"),
    ("in-channels", [f"{ONE}, in_channels: 1025"], (1, 4, 4), {}, "in_channels is 1025; the chip "),
    ("out-channels", ["op: conv2d, processors: 1, out_channels: 1025"], (1, 4, 4), {},
     "out_channels is 1025; the chip takes 1 to 1024"),
    ("processors", [ONE], (2, 4, 4), {},
     "processors 0x0000000000000001 has 1 processors, but 2 cha"),
    ("output-processors", [f"{ONE}, output_processors: 3"], (1, 4, 4), {},
     "has 2 processors, but 1 channels in 1 pass(es) take 1; for example output_processors: 0x00"),
    ("pool-size", [f"{ONE}, max_pool: 17"], (1, 20, 20), {}, "pooling (17, 17): each side is 1 to"),
    ("pool-stride", [f"{ONE}, max_pool: 2, pool_stride: 17"], (1, 20, 20), {},
     "pool_stride 17: it"),
    ("rows-and-columns", [ONE], (1, 2, 1024), {},
     "input (2, 1024), pooled (2, 1024), output (2, 1"),
    ("padding", [f"{ONE}, pad: 3"], (1, 4, 4), {}, "pad 3: conv2d takes 0, 1, 2"),
    ("kernel-size", [f"{ONE}, kernel_size: 5x5"], (1, 9, 9), {},
     "kernel_size (5, 5): conv2d takes "),
    ("padding-in-kernel", [f"{ONE}, kernel_size: 1x1"], (1, 4, 4), {},
     "pad 1 with a (1, 1) kernel"),
    ("flatten-kernel", [f"{ONE}, flatten: true"], (1, 4, 4), {}, "flatten with a 3x3 kernel; use "),
    ("linear-input", ["op: linear, processors: 1, out_channels: 1"], (1, 4, 4), {},
     "linear reads 1x1 data, its input is (4, 4); add flatten: true"),
    ("flatten-pooling", ["op: linear, processors: 1, out_channels: 1, flatten: true, max_pool: 2"],
     (1, 4, 4), {}, "flatten and pooling in one layer; pool in the layer before"),
    ("flatten-pixels", ["op: linear, processors: 1, out_channels: 1, flatten: true"], (1, 16, 17),
     {}, "flatten of 272 pixels; at most 256"),
    ("flatten-features", ["op: linear, processors: 0xfffffffff, out_channels: 1, flatten: true"],
     (72, 16, 16), {}, "flatten of 18432 values; at most 16384"),
    ("flatten-passes", ["op: linear, processors: 0xfffffffff, out_channels: 1, flatten: true"],
     (65, 2, 2), {}, "the last pass has to be full; use 72 channels"),
    ("output-shift", [f"{ONE}, quantization: 4, output_shift: 12"], (1, 4, 4), {},
     "output_shift 12 is outside of -19 to 11, the range for 4-bit weights"),
    ("wide-activation", [f"{ONE}, output_width: 32, activate: ReLU"], (1, 4, 4), {},
     "output_width 32 with an activation; the chip applies none: activate: None"),
    ("wide-read", [f"{ONE}, output_width: 32", "op: conv2d, processors: 1, out_channels: 1"],
     (1, 4, 4), {}, "layer 0 (layer0): output_width 32 is for a last layer; remove it"),
    ("operand-count", ["op: add, processors: 1, operands: 17"], (17, 4, 4), {},
     "operands 17; an element-wise layer has 2 to 16"),
    ("eltwise-conv1d", [f"{LINE}, eltwise: add, pad: 0"], (2, 16, 1), {},
     "an element-wise operation with a Conv1d; use a layer of its own"),
    ("pool-last", ["op: add, processors: 1, operands: 3, pool_first: false, max_pool: 2"],
     (3, 4, 4), {}, "pool_first: false with 3 operands; at most 2"),
    ("pool-first", [f"{ONE}, pool_first: false"], (1, 4, 4), {}, "pool_first: false without both "),
    ("eltwise-passes", ["op: add, processors: 0xfffffffff, operands: 3, max_pool: 2"],
     (216, 4, 4), {}, "3 operands of 72 channels with a convolution or pooling; at most 64 "
     "channels"),
    ("eltwise-sources",
     [f"{ONE}, write_gap: 1",
      "op: conv2d, processors: 1, out_channels: 2, in_sequences: -1, in_offset: 0",
      "op: add, processors: 1, in_sequences: [0, 1], in_offset: 0x2000"],
     (1, 4, 4), {}, "operands of 1 channels (layer0) and 2 (layer1); they have the same number"),
    ("write-gap", [f"{ONE}, write_gap: 16"], (1, 4, 4), {},
     "write_gap 16: with 1 output pass(es) "),
    ("passthrough-keys", [f"{PASS}, processors: 1, activate: ReLU"], (1, 4, 4), {},
     "activate in a pass-through layer; remove it"),
    ("passthrough-width", [f"{PASS}, processors: 1, output_width: 32"], (1, 4, 4), {},
     "output_width 32 in a pass-through layer; it writes 8 bits"),
    ("passthrough-pooling", [f"{PASS}, processors: 0xfffffffff, max_pool: 2, pool_stride: 2"],
     (72, 4, 4), {}, "pooling of 72 channels to (2, 2): more than 64 are pooled to 1x1 only"),
    ("passthrough-map", [f"{PASS}, processors: 0x11, output_processors: 0x11"], (2, 4, 4), {},
     "packs the channels of each quadrant; for quadrant 0 use 0x0003"),
    ("dilation-operation", [f"{ONE}, dilation: 2"], (1, 4, 4), {},
     "dilation 2 of conv2d; only Con"),
    ("dilation-taps", [f"{LINE}, kernel_size: 5, dilation: 3, pad: 0"], (1, 64, 1), {},
     "dilation 3 of 5 taps; at most 2, or 3 taps"),
    ("dilation-alone", [f"{LINE}, kernel_size: 3, dilation: 5, pad: 1"], (1, 64, 1), {},
     "padding or pooling with dilation 5; use neither"),
    ("dilation-offset", ["op: conv1d, processors: 1, out_channels: 1, in_offset: 0x2000, pad: 0, "
                         "kernel_size: 3, dilation: 5"],
     (1, 64, 1), {}, "out_offset 0x0: dilation 5 writes 0x14 bytes before it; use 0x14 or more"),
    ("transposed-unpooled", ["op: convtranspose2d, processors: 1, out_channels: 1, pad: 1, "
                             "max_pool: 2, pool_stride: 2"], (1, 4, 4), {},
     "pooling (2, 2) with stride 2 before a transposed convolution"),
    ("dilation-wide", ["op: conv1d, processors: 1, out_channels: 1, out_offset: 0x2000, pad: 0, "
                       "kernel_size: 3, dilation: 5, output_width: 32, activate: None"],
     (1, 64, 1), {}, "output_width 32 with dilation 5 of 3 taps: the generator moves its start"),
    ("offset-word", [f"{ONE}, in_offset: 2"], (1, 4, 4), {},
     "in_offset 0x2 is not a multiple of 4"),
    ("input-fits", [ONE], (1, 100, 100), {},
     "input 100x100x4 = 40,000 B (0x9c40) at in_offset 0x0 ends at 0x9c40, past 0x8000, the end of "
     "a data-memory instance; no offset would do; use fewer pixels, or stream it (streaming: true "
     "and --fifo), or data_format: CHW"),
    ("output-fits",
     ["op: conv2d, processors: 1, out_channels: 4, output_processors: 15, out_offset: 0x2000",
      "op: conv2d, processors: 15, out_channels: 4, out_offset: 0x6000",
      "op: add, processors: 15, in_sequences: [0, 1], in_offset: 0x2000"],
     (1, 60, 40), {},
     "layer 1 (layer1): output 60x40x4 = 9,600 B (0x2580) at out_offset 0x6000 ends at 0x8580, "
     "past "
     "0x8000, the end of a data-memory instance; highest legal out_offset 0x5a80; live neighbours: "
     "output of layer0 0x2000-0x457f"),
    ("offset-range", [f"{STREAM}, in_offset: 0x9000"], (1, 16, 16), FIFO,
     "in_offset 0x9000 is past"),
    ("chw-layer", [ONE, "op: conv2d, processors: 1, out_channels: 1, data_format: CHW"],
     (1, 4, 4), {}, "data_format CHW is for the first layer only; remove it"),
    ("chw-processors", ["op: conv2d, processors: 3, out_channels: 1, data_format: CHW"], (2, 4, 4),
     {}, "share a data-memory instance; CHW input takes every fourth processor, for example 0x00"),
    ("chw-flatten", ["op: linear, processors: 1, out_channels: 1, flatten: true, data_format: CHW"],
     (1, 4, 4), {}, "flatten of CHW input is not emulated; use data_format: HWC"),
    ("input-shape", [ONE, "op: conv2d, processors: 1, out_channels: 1, in_dim: [3, 4]"], (1, 4, 4),
     {}, "reads (1, 3, 4) (channels, rows, columns); layer0 writes (1, 4, 4)"),
    ("concatenation",
     ["op: conv2d, processors: 1, out_channels: 2, output_processors: 3, out_offset: 0x2000",
      "op: conv2d, processors: 1, out_channels: 2, output_processors: 12, out_offset: 0x2000, "
      "in_sequences: -1, in_offset: 0",
      "op: conv2d, processors: 15, out_channels: 1, in_sequences: [0, 1], in_offset: 0x2000"],
     (1, 4, 4), {}, "concatenates 2 channels of layer0 with layer1 in one word; all parts but "
     "the "),
    ("concatenation-order",
     ["op: conv2d, processors: 1, out_channels: 4, output_processors: 0xf0, out_offset: 0x2000",
      "op: conv2d, processors: 1, out_channels: 4, output_processors: 15, out_offset: 0x2000, "
      "in_sequences: -1, in_offset: 0",
      "op: conv2d, processors: 0xff, out_channels: 1, in_sequences: [0, 1], in_offset: 0x2000"],
     (1, 4, 4), {}, "channels are read by ascending processor: list layer1 first"),
    ("streaming-fifo", [STREAM], (1, 16, 16), {}, "streaming: true needs FIFOs; add --fifo"),
    ("streaming-start", [ONE, STREAM], (1, 16, 16), FIFO,
     "streaming: true after a layer that does"),
    ("streaming-layers", [STREAM] * 9, (1, 16, 16), FIFO,
     "layer 8 (layer8): at most 8 layers stre"),
    ("streaming-flatten", ["op: linear, processors: 1, out_channels: 1, flatten: true, "
                           "streaming: true"],
     (1, 16, 16), FIFO, "flatten and streaming in one layer"),
    ("streaming-end", [f"{STREAM}, pad: 0"], (1, 16, 16), FIFO,
     "pad 0 in the last streaming layer; it has to be padded; use pad: 1"),
    ("streaming-size", ["op: conv2d, processors: 0xffffffffffffffff, out_channels: 1, "
                        "streaming: true"],
     (192, 1000, 1000), FIFO, "1000 x 1000 pixels in 3 pass(es) is 3,000,000; less than 2,097,152"),
    ("fifo-channels", ["op: conv2d, processors: 0x1f, out_channels: 1"], (5, 4, 4), BOTH,
     "the fast FIFO for 5 channels of HWC input; at most 4"),
    ("fifo-processors", ["op: conv2d, processors: 0x10, out_channels: 1"], (1, 4, 4), FIFO,
     "no FIFO feeds processor 4; FIFOs feed 0-3, 16-19, 32-35, 48-51"),
    ("fast-fifo-width", [f"{ONE}, output_width: 32"], (1, 4, 4), BOTH,
     "output_width 32 of the fir"),
    ("fast-fifo-operation", [f"{PASS}, processors: 1"], (1, 4, 4), BOTH,
     "a pass-through first laye"),
    ("fixed-stride", [f"{ONE}, stride: 2"], (1, 4, 4), {},
     "stride [2, 2] of conv2d; the chip has st"),
    ("fixed-output-pad", [f"{ONE}, output_pad: 1"], (1, 4, 4), {},
     "output_pad 1 of conv2d; the chip"),
    ("processors-given", ["op: conv2d"], (1, 4, 4), {},
     "layer 0: 'processors' is missing, for exam"),
    ("square-pool-stride", [f"{ONE}, max_pool: 2, pool_stride: [2, 1]"], (1, 4, 4), {},
     "pool_stride [2, 1]: rows and columns have the same stride"),
    ("operands-eltwise", [f"{ONE}, operands: 2"], (1, 4, 4), {},
     "operands without an element-wise "),
    ("operand-channels", ["op: add, processors: 1"], (3, 4, 4), {},
     "an input of 3 channels for 2 o"),
    ("sequence-names", [f"{ONE}, in_sequences: other"], (1, 4, 4), {},
     "no earlier layer has the na"),
    ("concatenated-size",
     [ONE, f"{ONE}, pad: 0", "op: conv2d, processors: 3, out_channels: 1, in_sequences: [0, 1]"],
     (1, 4, 4), {}, "in_sequences of different sizes [(4, 4), (2, 2)]; give in_dim"),
    ("input-known", [ONE], None, {}, "the input shape is not known; add in_channels and in_dim"),
    ("outputs-known", ["op: conv2d, processors: 1"], (1, 4, 4), {},
     "give a checkpoint file, or out"),
    ("stop-after", [ONE], (1, 4, 4), {"stop_after": 1}, "stop_after 1: the layers are 0 to 0"),
    ("bias-group", [f"{ONE}, bias_group: 3"], (1, 4, 4), {"bias": True},
     "bias_group 3 is not in us"),
    ("kernel-memory", ["op: conv2d, processors: 0xfffffffff, out_channels: 1024"], (72, 4, 4), {},
     "kernels take 2048 kernel words in each of 36 processors"),
    ("quadrant-0", ["op: conv2d, processors: 0x10000, out_channels: 1, "
                    "output_processors: 0x10000, out_offset: 0x2000"],
     (1, 4, 4), {}, "quadrant 0 is not used; give some layer a processor from 0 to 15"),
    ("overwritten-input",
     [ONE, "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x2020",
      "op: add, processors: 1, in_sequences: [0, 1], in_offset: 0x2000"],
     (1, 4, 4), {}, "layer 1 (layer1): its output overwrites 0x2020-0x203f of data-memory "
     "instance 0 "
     "of its own input (the output of layer 0 (layer0)): output pixel 0 is written where input "
     "pixel 8 is still to be read; "),
    ("overwritten-input",
     ["op: conv2d, processors: 1, out_channels: 1, out_offset: 0x1000",
      "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x2000",
      "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x1020, in_offset: 0x2000",
      "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x3000, in_sequences: 0, "
      "in_offset: 0x1000"],
     (1, 4, 4), {}, "layer 2 (layer2): its output overwrites 0x1020-0x103f of data-memory "
     "instance 0, "
     "where the output of layer 0 (layer0), input channels 0 of layer 3 (layer3), is still to be "
     "read; out_offset 0x7fc0 is free beside the output of layer0 0x1000-0x103f, the output of "
     "layer1 0x2000-0x203f; --overlap-data accepts it"),
    ("overwritten-output",
     [f"{ONE}, output: true", "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x3000",
      "op: conv2d, processors: 1, out_channels: 1, out_offset: 0x2000"],
     (1, 4, 4), {}, "where the output of layer 0 (layer0) is kept (output: true)"),
    ("overwritten-stream",
     [f"{STREAM}, out_offset: 4", f"{STREAM}, out_offset: 0x2000"], (1, 16, 16), FIFO,
     "ring buffer of layer 1 (layer1) 0x0004-0x00ab overlaps the ring buffer of layer 0 (layer0) "
     "0x0000-0x0007 in data-memory instances 0, and both are in use at the same time; in_offset "
     "0x"),
    ("ring-fits", [f"{STREAM}, out_offset: 0x7ffc", STREAM], (1, 16, 16), FIFO,
     "past 0x8000, the end of a data-memory instance; highest legal in_offset 0x7f58"),
]  # fmt: skip

TEXTS = [  # rule, whole text, part of the message
    ("yaml-syntax", "arch: [a\n", "not valid YAML"),
    ("yaml-aliases", "arch: &x a\ndataset: *x\n", "YAML aliases are not supported"),
    ("yaml-nesting", "a: " + "[" * 30, "more than 20 nested levels"),
    ("yaml-mapping", "- 1\n", "a description is a mapping with arch, dataset and layers"),
    ("yaml-size", " " * (1 << 20) + "#", "a description has at most 1,048,576"),
    ("mandatory-keys", "arch: a\ndataset: b\n", "the key 'layers' is missing"),
    ("known-keys", HEAD + "  - max_poll: 2\n", "did you mean 'max_pool'?"),
    ("keys-once", HEAD + "  - op: conv2d\n    op: linear\n", "'op' is given twice"),
    ("layer-list", HEAD.strip() + " 5\n", "'layers' is a list with at least one layer"),
    ("layer-names", HEAD + "  - name: stop\n", "'stop' is a reserved name"),
    ("layer-order", HEAD + "  - sequence: -1\n", "sequence -1 is negative"),
]
WEIGHTS = [  # rule, arrays, part of the message
    ("weight-shape", {"w0": np.ones((2, 1, 3, 3), np.int8)}, "layer0 takes (1, 1, 3, 3)"),
    ("weight-range", {"w0": KERNEL * 9}, "4 holds -8 to 7; use quantization"),
    ("bias-count", {"w0": KERNEL, "b0": np.ones(2, np.int8)}, "2 bias values for 'w0'; layer0 has"),
    ("layer-weights", {"w0": KERNEL, "w1": KERNEL}, "weights 'w1' have no layer"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


def description(layers: list[str]) -> str:
    return HEAD + "".join(f"  - {{{layer}}}\n" for layer in layers)


def refusal(file: Path, checkpoint, shape, switches) -> Max78kError:
    """The error of loading and placing a description."""
    with pytest.raises(Max78kError) as caught:
        compile_network(load_network(file, checkpoint, input_shape=shape, **switches))
    return caught.value


@pytest.mark.parametrize(
    ("rule", "layers", "shape", "switches", "message"), ROWS, ids=[row[0] for row in ROWS]
)
def test_a_description_that_breaks_a_rule(file, rule, layers, shape, switches, message):
    file.write_text(description(layers))
    switches = dict(switches)
    checkpoint = None
    if switches.pop("bias", False):
        checkpoint = file.with_name("w.npz")
        np.savez(checkpoint, w0=KERNEL, b0=np.ones(1, np.int8))
    found = find_faults(file, checkpoint, input_shape=shape, **switches)
    errors = {error.rule: error for error in found}
    assert rule in errors, found
    shown = str(errors[rule])
    assert shown.startswith(str(file)) or rule == "stop-after"
    assert message in shown
    row = next(row for row in RULES if row.name == rule)
    assert type(errors[rule]) is row.kind


@pytest.mark.parametrize(("rule", "text", "message"), TEXTS, ids=[row[0] for row in TEXTS])
def test_a_text_that_breaks_a_rule(file, rule, text, message):
    file.write_text(text)
    (error,) = find_faults(file)
    assert error.rule == rule and message in str(error) and str(error).startswith(str(file))


@pytest.mark.parametrize(("rule", "arrays", "message"), WEIGHTS, ids=[row[0] for row in WEIGHTS])
def test_weights_that_break_a_rule(file, rule, arrays, message):
    file.write_text(description([f"{ONE}, quantization: 4"]))
    np.savez(file.with_name("w.npz"), **arrays)
    (error,) = find_faults(file, file.with_name("w.npz"), input_shape=(1, 4, 4))
    assert error.rule == rule and message in str(error)


@pytest.mark.parametrize("key", (*GLOBAL_KEYS, *KEYS), ids=lambda key: key.name)
def test_a_value_that_breaks_a_keys_rule(file, key):
    if not any(rule.name == f"key-{key.name}" for rule in RULES):
        return
    line = f"{key.name}: {{a: 1}}\n"
    here = key in GLOBAL_KEYS
    text = (line + HEAD.replace(f"{key.name}: x\n", "") + "  - op: conv2d\n") if here else (
        f"{HEAD}  - {line}"
    )  # fmt: skip
    file.write_text(text.replace("arch: a\n", "") if key.name == "arch" else text)
    if key.name == "dataset":
        file.write_text("arch: a\ndataset: {a: 1}\nlayers:\n  - op: conv2d\n")
    (error,) = find_faults(file)
    assert error.rule == f"key-{key.name}" and f"'{key.name}" in str(error)


def elsewhere() -> list[str]:
    """Rules that other tests of this file raise; those of the rolling buffer have a file."""
    return [
        "has-layers", "activation", "output-width", "in-sequences", "yaml-file", "architecture",
        "weights-given", "bias-memory", "register-field",
        *(f"key-{key.name}" for key in (*GLOBAL_KEYS, *KEYS)),
    ]  # fmt: skip


def test_every_rule_is_broken_by_some_row():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    raised = {row[0] for row in (*ROWS, *TEXTS, *WEIGHTS)} | set(elsewhere()) | OF_BUFFERS
    assert set(names) <= raised, set(names) - raised


def test_what_a_description_cannot_say(file, tmp_path):
    """Rules that the reader enforces already, and those that need more than a description."""

    def rules(*layers):
        return [error.rule for error in faults(Draft("x", MAX78000, layers, (None,) * len(layers)))]

    assert rules() == ["has-layers"]
    assert rules(replace(FIRST, activation="tanh")) == ["activation"]
    assert rules(replace(FIRST, output_bits=16)) == ["output-width"]
    assert rules(replace(FIRST, inputs=(5,))) == ["in-sequences"]
    assert find_faults(file)[0].rule == "yaml-file"
    two = (
        replace(FIRST, in_channels=0),
        replace(two_layers().layers[1], in_size=(3, 3), pool=(2, 2)),
    )
    assert rules(*two) == ["in-channels", "flatten-pooling", "input-shape"]


def test_rules_of_a_compiled_network(file):
    file.write_text(description([ONE]))
    error = refusal(file, None, (1, 4, 4), {})
    assert error.rule == "weights-given" and "layer 0 (layer0): has no weights" in str(error)
    wide = replace(FIRST, in_channels=1, processors=1, out_channels=1024,
                   output_processors=(1 << 64) - 1)  # fmt: skip
    with pytest.raises(Max78kError, match="bias of 1024 bytes: of 512 in quadrant 0") as caught:
        compile_network(network_of(replace(wide, kernel_shape=(1, 1), padding=0)))
    assert caught.value.rule == "bias-memory"
    deep = replace(FIRST, in_channels=1, processors=1, out_channels=1, output_processors=1,
                   in_size=(60, 60), pool=(16, 16), stride=16, out_offset=0x4000)  # fmt: skip
    with pytest.raises(Max78kError, match="stream_start = 57600: 14 bits hold 0 to") as caught:
        compile_network(network_of(deep, fifo=True))
    assert caught.value.rule == "register-field"


def test_find_faults_finds_several(file):
    file.write_text(description([f"{ONE}, calcx4: true, groups: 2"]))
    assert [error.rule for error in find_faults(file)] == ["key-calcx4", "key-groups"]
    file.write_text(description([f"{ONE}, pad: 3, max_pool: 17, output_shift: 20"]))
    found = find_faults(file, input_shape=(1, 20, 20))
    assert [error.rule for error in found] == ["pool-size"]  # basic: the rest says nothing useful
    file.write_text(description([f"{ONE}, output_shift: 20, output_processors: 3", ONE]))
    found = find_faults(file, input_shape=(1, 4, 4))
    assert [(error.rule, error.line) for error in found] == [
        ("output-processors", 4), ("output-shift", 4),
    ]  # fmt: skip
    file.write_text(description([ONE]))
    assert find_faults(file, input_shape=(1, 4, 4)) == []
