"""A fault put into a reference is found: the layer, the place, and the cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import arithmetic
from max78k_sim.network import Network, Parameters
from max78k_sim.program import compile_network
from max78k_sim.validation.recording import dump, records
from max78k_sim.validation.references import Reference
from max78k_sim.validation.validation import compare
from tests.builders import FIRST, network_of, parameters_of

SAMPLE = np.random.default_rng(3).integers(-128, 128, (3, 6, 6)).astype(np.int8)


def network() -> Network:
    """Three layers: convolution, average pooling and convolution, linear to 32 bits."""
    first = replace(
        FIRST,
        in_channels=3,
        out_channels=8,
        in_size=(6, 6),
        processors=0b111,
        output_processors=0xFF,
        activation="relu",
        output_shift=-2,
    )
    second = replace(
        first,
        name="second",
        in_channels=8,
        out_channels=4,
        processors=0xFF,
        output_processors=0xF,
        pool=(2, 2),
        pool_average=True,
        stride=2,
        in_offset=0x2000,
        out_offset=0x1000,
    )
    third = replace(
        FIRST,
        name="third",
        op="linear",
        kernel_shape=(1, 1),
        padding=0,
        in_channels=4,
        out_channels=6,
        in_size=(3, 3),
        processors=0xF,
        output_processors=0x3F,
        flatten=True,
        in_offset=0x1000,
        output_bits=32,
    )
    return network_of(first, second, third)


def change(item: Network, layer: int, **fields) -> Network:
    layers = list(item.layers)
    layers[layer] = replace(layers[layer], **fields)
    return replace(item, layers=tuple(layers))


def parameterised(item: Network, layer: int, function) -> Network:
    parameters = list(item.parameters)
    assert parameters[layer] is not None
    parameters[layer] = function(parameters[layer])
    return replace(item, parameters=tuple(parameters))


def without_bias(parameters: Parameters) -> Parameters:
    return Parameters(parameters.kernel, np.zeros_like(parameters.bias))


def outputs_of(item: Network, sample=SAMPLE) -> dict[int, np.ndarray]:
    return {
        done.layer.index: done.output.astype(np.int64)
        for done in records(compile_network(item), sample)
    }


def report_of(faulty: Network | dict[int, np.ndarray], run=SAMPLE, **reference):
    outputs = outputs_of(faulty, run) if isinstance(faulty, Network) else faulty
    program = compile_network(network())
    return compare(program, Reference("test", "arrays", outputs, **reference), SAMPLE)


RIGHT = network()
# what is wrong in the reference, its layer, the cause, and what the sentence says
FAULTS = (
    (change(RIGHT, 0, output_shift=-1), 0, "output_shift", "output_shift -1, here it is -2"),
    (change(RIGHT, 1, output_shift=-5), 1, "output_shift", "output_shift -5, here it is -2"),
    (change(RIGHT, 0, activation=None), 0, "activation", "activation none, here it is relu"),
    (change(RIGHT, 1, activation="abs"), 1, "activation", "activation abs, here it is relu"),
    (
        replace(RIGHT, average_rounding=True),
        1,
        "avg_pool_rounding",
        "rounds average pooling; add --avg-pool-rounding",
    ),
    (change(RIGHT, 1, pool_average=False), 1, "pooling", "takes the maximum in pooling"),
    (parameterised(RIGHT, 0, without_bias), 0, "bias", "has no bias (--no-bias drops it here)"),
    (parameterised(RIGHT, 2, without_bias), 2, "bias", "has no bias"),
    (
        parameterised(RIGHT, 1, lambda p: replace(p, kernel=p.kernel[:, :, ::-1, ::-1])),
        1,
        "kernel layout",
        "rotated by 180 degrees",
    ),
    (
        parameterised(RIGHT, 0, lambda p: replace(p, kernel=p.kernel.transpose(0, 1, 3, 2))),
        0,
        "kernel layout",
        "rows and columns exchanged",
    ),
    (
        parameterised(
            RIGHT,
            2,
            lambda p: replace(
                p, kernel=p.kernel.reshape(6, 9, 4).transpose(0, 2, 1).reshape(6, 36)
            ),
        ),
        2,
        "kernel layout",
        "flattens HWC",
    ),
)  # fmt: skip


@pytest.mark.parametrize("faulty, layer, cause, words", FAULTS)
def test_a_network_that_is_wrong(faulty, layer, cause, words):
    report = report_of(faulty)
    fault = report.first_fault
    assert not report.equal and fault is not None and fault.layer == layer
    (finding,) = fault.causes
    assert finding.certain and finding.cause == cause and words in finding.sentence
    assert finding.different == finding.explained == fault.isolated.different
    others = [item.isolated.different for item in report.layers if item.layer != layer]
    assert not any(others), "only the layer at fault is wrong by itself"


def finished(sums: np.ndarray, requantised) -> np.ndarray:
    return np.maximum(arithmetic.saturate(requantised(sums)), 0)


def swap(array: np.ndarray) -> np.ndarray:
    order = np.arange(len(array))
    order[[1, 5]] = 5, 1
    return array[order]


def spoil(array: np.ndarray) -> np.ndarray:
    wrong = array.copy()
    wrong[2, 3, 4:6] += 9
    return wrong


def shift_channel(array: np.ndarray) -> np.ndarray:
    wrong = array.copy()
    wrong[4][(wrong[4] > 0) & (wrong[4] < 120)] += 2
    return wrong


SUMS = {
    done.layer.index: done.accumulator.astype(np.int64)
    for done in records(compile_network(RIGHT), SAMPLE)
}
# layer, its output as the reference has it (from ours), the cause, certain, what it says
ARRAYS = (
    (0, swap, "order", True, "channels are permuted: channel 1 there is channel 5 here"),
    (0, lambda a: a.transpose(0, 2, 1), "order", True, "rows and columns are exchanged"),
    (0, lambda a: finished(SUMS[0], lambda s: s >> 9), "rounding", True, "rounds down"),
    (
        0,
        lambda a: np.maximum(((SUMS[0] + 256 >> 9) + 128 & 255) - 128, 0),
        "saturation",
        True,
        "wraps around at 8 bits",
    ),
    (1, lambda a: SUMS[1], "output_width", True, "has 32-bit output, here it is 8-bit"),
    (
        2,
        lambda a: arithmetic.saturate(arithmetic.requantise(SUMS[2], 0)),
        "output_width",
        True,
        "has 8-bit output, here it is 32-bit",
    ),
    (0, np.zeros_like, "not run", True, "all zeros"),
    (0, spoil, "overwritten", False, "lie together, 0x5040205a to 0x5040205e"),
    (0, lambda a: a * (np.arange(8) != 6)[:, None, None], "channels", False, "channels 6 are zero"),
    (0, shift_channel, "bias", False, "as of another bias: +2 in channel 4"),
    (0, lambda a: np.where(a % 5 == 1, a + 1, a), "rounding", False, "no value is off by more"),
    (0, lambda a: a[:7], "shape", False, "has 7x6x6, here it is 8x6x6"),
)  # fmt: skip


@pytest.mark.parametrize("layer, function, cause, certain, words", ARRAYS)
def test_an_output_that_is_wrong(layer, function, cause, certain, words):
    outputs = outputs_of(RIGHT)
    outputs[layer] = function(outputs[layer])
    fault = report_of(outputs).first_fault
    assert fault is not None and fault.layer == layer
    assert (fault.causes[0].cause, fault.causes[0].certain) == (cause, certain), fault.causes
    assert words in fault.causes[0].sentence


SAMPLES = (
    (SAMPLE.view(np.uint8) ^ 0x80).view(np.int8), SAMPLE[::-1], SAMPLE.transpose(0, 2, 1),
    SAMPLE.transpose(1, 2, 0).reshape(3, 6, 6),
)  # fmt: skip
WORDS = ("128 was not subtracted", "reverse order", "rows and columns", "HWC where CHW is taken")


@pytest.mark.parametrize("sample, words", list(zip(SAMPLES, WORDS, strict=True)))
def test_another_input(sample, words):
    """Whether the reference brings its input or not."""
    report = report_of(RIGHT, sample)
    assert report.first_fault.layer == 0 and report.input is None
    assert report.first_fault.causes[0].cause == "input"
    assert words in report.first_fault.causes[0].sentence
    report = report_of(RIGHT, sample, sample=sample.astype(np.int64))
    assert report.first_fault is report.input and words in report.input.causes[0].sentence
    assert not any(layer.isolated.different for layer in report.layers), "the layers are right"
    assert any(layer.accumulated.different for layer in report.layers)


def test_the_first_value_and_its_address():
    outputs = outputs_of(RIGHT)
    outputs[1][3, 2, 1] ^= 1
    first = report_of(outputs).first_fault.first
    place = compile_network(RIGHT).plan.placement("second", "output")
    assert (first.channel, first.row, first.column) == (3, 2, 1)
    assert first.address == place.address[3, 2, 1] and first.expected == first.ours ^ 1


def test_accumulators_say_where_to_look():
    sums = {0: SUMS[0], 1: SUMS[1] + 1}
    report = report_of(change(RIGHT, 0, activation=None), accumulators=sums)
    assert [layer.sums_equal for layer in report.layers] == [True, False, None]


def test_equal():
    report = report_of(RIGHT)
    assert report.equal and report.first_fault is None
    assert all(layer.isolated is None for layer in report.layers)


def test_eltwise_operands_exchanged():
    two = replace(
        FIRST, op="passthrough", eltwise="sub", operands=2, kernel_shape=(1, 1), padding=0,
        in_channels=2, out_channels=2, output_processors=0b11,
    )  # fmt: skip
    item = Network("n", network().device, (two,), (None,))
    sample = np.random.default_rng(1).integers(-60, 60, (4, 4, 5)).astype(np.int8)
    outputs = {number: -values for number, values in outputs_of(item, sample).items()}
    report = compare(compile_network(item), Reference("test", "arrays", outputs), sample)
    assert "operands of sub are exchanged" in report.first_fault.causes[0].sentence


def test_causes_explain_part_of_it():
    """A wrong shift, and one value beside: probable, with its share."""
    outputs = outputs_of(change(RIGHT, 0, output_shift=-1))
    outputs[0][0, 0, 0] ^= 3
    finding = report_of(outputs).first_fault.causes[0]
    assert finding.cause == "output_shift" and not finding.certain
    assert 0 < finding.explained < finding.different


def test_a_dump_is_equal_to_itself():
    program = compile_network(RIGHT)
    arrays = dump(program.plan, list(records(program, SAMPLE)))
    outputs = {number: arrays[f"layer{number}"].astype(np.int64) for number in range(3)}
    assert report_of(outputs).equal
    assert parameters_of(RIGHT.layers[0]).kernel.shape == (8, 3, 3, 3)
