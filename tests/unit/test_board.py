"""What a board prints: whose value lies at the address, who is right, and what the board did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from max78k_sim.errors import InputError
from max78k_sim.machine import Machine
from max78k_sim.network import Network
from max78k_sim.program import compile_network
from max78k_sim.validation.board import BoardReport, compare_board
from max78k_sim.validation.references import read_reference
from tests.unit.test_validation import RIGHT, SAMPLE, change, parameterised, without_bias

SHORT = replace(RIGHT, layers=RIGHT.layers[:2], parameters=RIGHT.parameters[:2])  # ends in 8 bits


def words_after(network: Network, layers: int | None = None, sample=SAMPLE) -> Machine:
    """A machine that ran, or stopped after some layers."""
    machine = Machine()
    machine.load(compile_network(network))
    for trace in machine.traces(sample):
        if trace.layer == layers:
            break
    return machine


def board_output(network: Network, answer: Machine, board: Machine, layer: str = "second") -> str:
    """What a generated program prints for a board's memory: a line for each wrong word."""
    lines = ["*** CNN Inference Test ***"]
    for address, count in compile_network(network).plan.placement(layer, "output").runs:
        expected, read = answer.memory.read(address, count), board.memory.read(address, count)
        lines += [
            f"Data mismatch ({n + 1}/{count}) at address 0x{address + 4 * n:08x}: "
            f"Expected 0x{int(expected[n]):08x}, read 0x{int(read[n]):08x}."
            for n in range(count)
            if expected[n] != read[n]
        ]
    return "\n".join([*lines, "*** FAIL ***"])


def report_of(tmp_path: Path, text: str, network: Network = SHORT) -> BoardReport:
    file = tmp_path / "board.txt"
    file.write_text(text)
    return compare_board(compile_network(network), read_reference(file, network), SAMPLE)


FAULTS = (
    (change(SHORT, 1, output_shift=-3), "output_shift"),
    (change(SHORT, 1, activation=None), "activation"),
    (replace(SHORT, average_rounding=True), "avg_pool_rounding"),
    (parameterised(SHORT, 1, without_bias), "bias"),
)


@pytest.mark.parametrize("faulty, cause", FAULTS)
def test_a_board_that_runs_another_network(tmp_path, faulty, cause):
    """All lines, and the first one alone (where a program stops)."""
    text = board_output(SHORT, words_after(SHORT), words_after(faulty))
    report = report_of(tmp_path, text)
    assert not report.equal and report.causes[0].cause == cause and report.causes[0].certain
    assert {word.layer for word in report.words} == {"second"}
    assert "the board is wrong" in report.words[0].verdict
    first = "\n".join(text.splitlines()[:2])
    assert cause in [found.cause for found in report_of(tmp_path, first).causes]


def test_the_values_of_a_word(tmp_path):
    answer = words_after(SHORT)
    place = compile_network(SHORT).plan.placement("second", "output")
    address = int(place.address[0, 2, 1])
    word = int(answer.memory.read(address)[0])
    line = f"Data mismatch (8/9) at address 0x{address:08x}: Expected 0x{word:08x}, read 0x0000ff80"
    (found,) = report_of(tmp_path, line).words
    values = [(value.channel, value.row, value.column, value.read) for value in found.values]
    assert values == [(0, 2, 1, -128), (1, 2, 1, -1), (2, 2, 1, 0), (3, 2, 1, 0)]
    assert [value.ours for value in found.values] == [value.expected for value in found.values]
    assert found.ours == word and "second output [channel 0, row 2, column 1" in found.where


def test_words_of_32_bits(tmp_path):
    text = board_output(
        RIGHT, words_after(RIGHT), words_after(parameterised(RIGHT, 2, without_bias)), "third"
    )
    report = report_of(tmp_path, text, RIGHT)
    assert report.causes[0].cause == "bias" and report.words[0].layer == "third"
    (value,) = report.words[0].values
    bias = int(RIGHT.parameters[2].bias[value.channel])
    assert value.expected - value.read == 128 * bias


def test_who_is_right(tmp_path):
    """The known answer is of another network: ours is what the board read; or of a third one."""
    stale = words_after(change(SHORT, 1, output_shift=-3))
    report = report_of(tmp_path, board_output(SHORT, stale, words_after(SHORT)))
    assert {word.verdict.split(":")[0] for word in report.words} == {
        "the simulator gives what the board read"
    }
    other = words_after(change(SHORT, 1, output_shift=0))
    report = report_of(tmp_path, board_output(SHORT, stale, other))
    assert "the simulator gives neither" in report.words[0].verdict


def test_a_run_that_did_not_end(tmp_path):
    """The last layer writes where the input lies: the board read what the first layer left."""
    network = change(SHORT, 1, out_offset=0)
    answer, early = words_after(network), words_after(network, 0)
    report = report_of(tmp_path, board_output(network, answer, early), network)
    assert report.causes[0].cause == "stopped"
    assert "what lies there before the run" in report.causes[0].sentence


def test_zeros(tmp_path):
    text = board_output(SHORT, words_after(SHORT), Machine())
    assert "not run" in [found.cause for found in report_of(tmp_path, text).causes]


def test_noise_has_no_cause(tmp_path):
    answer, noisy = words_after(SHORT), words_after(SHORT)
    place = compile_network(SHORT).plan.placement("second", "output")
    address = int(place.address[1, 1, 1]) & ~3
    noisy.memory.write(address, noisy.memory.read(address) ^ np.uint32(0x00400000))
    report = report_of(tmp_path, board_output(SHORT, answer, noisy))
    assert report.causes == () and len(report.words) == 1


def test_an_address_without_an_output(tmp_path):
    line = "Data mismatch (1/1) at address 0x50407ffc: Expected 0x00000000, read 0x00000001."
    (word,) = report_of(tmp_path, line).words
    assert word.layer is None and word.values == () and "no layer uses" in word.where
    assert "the board is wrong" in word.verdict
    with pytest.raises(InputError, match=r"board\.txt: .*0x20000000"):
        report_of(tmp_path, line.replace("50407ffc", "20000000"))


def test_a_board_that_passes(tmp_path):
    report = report_of(tmp_path, "*** CNN Inference Test ***\n\n*** PASS ***\n")
    assert report.equal and report.words == ()
