"""The map: rows, memory use, JSON and text of one small network, by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from max78k_sim import load_network
from max78k_sim.allocation import allocate
from max78k_sim.latency import latency
from max78k_sim.map_files import map_json
from max78k_sim.map_text import data_picture, kernel_picture, render_map, use_lines
from max78k_sim.network import Layer, Network, Parameters
from max78k_sim.report import map_rows, memory_use, operation, ranges

DESCRIPTION = """
arch: small
dataset: none
layers:
  - {name: first, op: conv2d, in_channels: 1, in_dim: [8, 8], data_format: CHW, processors: 0x1,
     out_channels: 32, out_offset: 0x2000, activate: ReLU}
  - {name: second, op: conv2d, processors: 0xffffffff, out_channels: 4, avg_pool: 2,
     pool_stride: 2, quantization: 4}
  - {name: "third[/b]", op: conv2d, processors: 0xf, out_channels: 4, out_offset: 0x2000, pad: 1,
     quantization: 4}
  - {name: fourth, op: conv2d, processors: 0xf, out_channels: 4, quantization: 4}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    file = tmp_path_factory.mktemp("small") / "network.yaml"
    file.write_text(DESCRIPTION)
    bare = load_network(file)
    kernels = [np.ones(layer.kernel_tensor_shape, np.int8) for layer in bare.layers]
    biases = [np.ones(32, np.int8), None, None, np.zeros(4, np.int8)]
    parameters = tuple(map(Parameters, kernels, biases))
    return allocate(Network("small", bare.device, bare.layers, parameters))


def test_rows(plan):
    first, second, third, fourth = map_rows(plan)
    assert (first.in_shape, first.out_shape) == ((1, 8, 8), (32, 8, 8))
    assert (first.kernel_first, first.kernel_last, first.kernel_words) == (0, 31, 32)
    assert first.kernel_address == 0x50180000
    assert (first.bias_quadrant, first.bias_bytes, first.bias_address) == (0, 32, 0x50108000)
    assert (first.output.start, first.output.end) == (0x2000, 0x2000 + 8 * 8 * 4)
    assert first.output.address == 0x50402000
    assert first.multiplications == 64 * 9 * 32
    assert second.processor_ranges == "0-31"
    assert (second.kernel_first, second.kernel_words) == (32, 2)
    assert (second.bias_quadrant, second.bias_address) == (None, None)
    assert fourth.kernel_shared_with == "third[/b]"
    assert fourth.kernel_address == third.kernel_address
    assert tuple(row.cycles for row in map_rows(plan)) == latency(plan).layers


def test_operation_in_order_of_execution():
    layer = Layer(0, "a", "conv2d", 1, 1, (9, 9), 1, 1, activation="abs", padding=2)
    assert operation(layer) == "conv2d 3x3 pad 2, abs"
    pooled = Layer(0, "a", "conv2d", 1, 1, (9, 9), 1, 1, pool=(3, 2), stride=2, weight_bits=4)
    assert operation(pooled) == "max 3x2, stride 2, conv2d 3x3, 4-bit weights"
    last = Layer(0, "a", "linear", 1, 1, (9, 9), 1, 1, flatten=True, output_bits=32)
    assert operation(last) == "flatten, linear, 32-bit output"


def test_memory_use(plan):
    use = memory_use(plan)
    assert use.kernel_words == int((plan.kernel_map >= 0).sum()) == 32 + 2 * 32 + 2 * 4
    assert (use.kernel_words_available, use.kernel_bytes) == (49_152, 9 * use.kernel_words)
    assert use.bias_bytes == (32, 0, 0, 0)
    assert use.data_peak == (8 * 8 * 4 + 4 * 4 * 4,) + (8 * 8 * 4,) * 7 + (0,) * 8
    assert (use.data_bytes_available, use.bias_bytes_available) == (32_768, 512)


def test_ranges():
    assert ranges((0, 1, 2, 5)) == "0-2,5"
    assert ranges(()) == ""


def test_json_is_json(plan):
    read = json.loads(json.dumps(map_json(plan)))
    assert list(read) == [
        "network",
        "device",
        "has_weights",
        "layers",
        "quadrants",
        "memory",
        "cycles",
        "warnings",
    ]
    assert read["layers"][0]["processors"] == "0x0000000000000001"
    assert read["layers"][0]["output"] == {"start": 8192, "end": 8448, "address": "0x50402000"}
    assert read["layers"][1]["bias_address"] is None
    assert read["cycles"]["total"] == 1 + sum(read["cycles"]["layers"])


def test_without_weights(plan):
    network = plan.network
    bare = allocate(Network("bare", network.device, network.layers, (None,) * 4))
    assert map_json(bare)["has_weights"] is False
    assert use_lines(bare)[1] == "biases: not placed, because no weights were given"
    assert [row.kernel_shared_with for row in map_rows(bare)] == [None] * 4


def test_kernel_picture(plan):
    _, legend, *lines, names = kernel_picture(plan, 192).split("\n")
    assert legend == "(4 to a mark: the layer with most of them; dots are free)"
    assert lines == [
        f"{processors:>7}  {marks:.<192}"
        for processors, marks in (
            ("0", "0000000012"),
            ("1-3", "........12"),
            ("4-31", "........1"),
            ("32-63", ""),
        )
    ]
    assert names.split() == ["0=first", "1=second", "2=third[/b]", "3=fourth"]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_map_loses_nothing_when_it_is_narrow(plan, width):
    stream = io.StringIO()
    Console(file=stream, width=width).print(render_map(plan))
    text = stream.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, 73)
    assert "=third[/b]" in text  # a name is never markup
    assert "kernels: 104 of 49,152 words (0%), 936 B" in text
    if width >= 100:  # nothing is folded; the map of 64 bits is left out where it would be
        (line,) = [line for line in text.splitlines() if "=third[/b]  50180240" in line]
        assert line.split()[:2] == ["fourth", "0-3"]
        assert ("00000000ffffffff" in text) == (width == 120)
    if width >= 100:
        assert "conv2d 3x3 pad 1, relu" in text
    assert ("." * 60 in text) == (width >= 80)  # the picture has fewer columns


def test_data_picture(plan):
    _, _, legend, head, *lines = data_picture(plan).split("\n")
    assert legend == "(1,024 to a mark: < read, > written, # both, dots neither)"
    assert head.split() == ["layer", "read", "written", "0", "to", "7fff"]
    assert [line.split() for line in lines] == [
        ["first", "0", "0-7", f"{'<.......>':.<32}"],
        ["second", "0-7", "0", f"{'>.......<':.<32}"],
        ["third[/b]", "0", "0", f"{'<.......>':.<32}"],
        ["fourth", "0", "0", f"{'>.......<':.<32}"],
    ]
