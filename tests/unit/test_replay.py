"""Traces: eight programs that ran on silicon, one of our own, and what is said of a wrong one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import cli
from max78k_sim.bus import Bus, driver
from max78k_sim.errors import InputError
from max78k_sim.machine import Machine
from max78k_sim.programs.negative_control import KINDS, OUTCOMES, Control, control
from max78k_sim.programs.replay import (
    READ,
    Recorder,
    Trace,
    find_start,
    finish,
    load_trace,
    replay,
    save_trace,
)
from tests import fashion
from tests.conftest import NO_CORPUS, corpus, has_corpus

PROGRAMS = {  # accesses, words checked
    "aisegment_unet": (108456, 8192),
    "cats-dogs": (47700, 2),
    "cifar-10": (78564, 10),
    "cifar-100-mixed": (45022, 100),
    "cifar-100-residual": (98028, 100),
    "faceid": (83269, 128),
    "kws20_v3": (48886, 21),
    "mnist": (18344, 10),
}
OUTPUT = 0x50402000  # of networks/fashion: see max78k map


def replayed(trace: Trace):
    bus = Bus(Machine(), timed=True)
    return finish(trace, bus, replay(trace, bus))


@pytest.mark.corpus
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_ran_on_silicon(name):
    trace = load_trace(corpus() / "programs" / f"{name}.npz")
    result = replayed(trace)
    assert result.first == () and result.differences == 0 and result.warnings == ()
    assert (result.accesses, result.words) == PROGRAMS[name]
    assert result.reads == int((trace.kind == READ).sum()) and result.interrupts == 1


@pytest.mark.corpus
def test_all_programs_are_replayed():
    if not has_corpus():
        pytest.skip(NO_CORPUS)
    assert {file.stem for file in (corpus() / "programs").glob("*.npz")} == set(PROGRAMS)


@pytest.fixture(scope="module")
def recorded() -> Trace:
    """Two inferences of the shipped network, recorded."""
    recorder = Recorder(Bus(Machine(), timed=True))
    program, sample = fashion.program(), np.load(fashion.DIRECTORY / "sample.npy")
    driver.load(recorder, program)
    driver.run(recorder, program, sample)
    driver.run(recorder, program, sample[:, ::-1])
    return recorder.trace("ours", ((OUTPUT, 0xFFFFFFFF, 40),))


def test_a_recorded_program_is_replayed(recorded, tmp_path):
    save_trace(recorded, tmp_path / "ours.npz")
    trace = load_trace(tmp_path / "ours.npz")
    for name in ("kind", "size", "address", "value"):
        np.testing.assert_array_equal(getattr(trace, name), getattr(recorded, name))
    result = replayed(trace)
    assert result.differences == 0 and result.interrupts == 2 and result.words == 40
    assert result.reads > 80 and trace.checks[0][2].any()


def changed(trace: Trace, access: int, value: int) -> Trace:
    values = trace.value.copy()
    values[access] = value
    return replace(trace, value=values)


def test_a_wrong_read_is_found_and_named(recorded):
    access = int(np.flatnonzero(recorded.kind == READ)[-1])
    result = replayed(changed(recorded, access, 0xDEAD))
    assert result.differences == 1
    text = str(result.first[0])
    assert text.startswith(
        f"access {access:,}: 0x{int(recorded.address[access]):08x}: data memory,"
    )
    assert text.endswith("expected 0x0000dead")


def test_a_wrong_check_word_is_found(recorded):
    ((address, _, words),) = recorded.checks
    wrong = replace(recorded, checks=((address, 0xFF, words ^ 0x101),))
    result = replayed(wrong)
    assert result.differences == 40
    assert "at the end: 0x50402000: data memory, instance 0" in str(result.first[0])
    assert str(result.first[0]).endswith("under mask 0x000000ff")


def test_status_may_be_polled_more_or_less_often(recorded):
    """Once or thrice, before or after the end of the run; its last value counts."""
    bus = Bus(Machine(), timed=True)
    start = find_start(recorded, bus.device)
    control = int(recorded.address[start])
    running = int(recorded.value[start])

    def with_polls(*values: int) -> Trace:
        polled = {"kind": READ, "size": 4, "address": control}
        columns = {
            name: np.insert(getattr(recorded, name), start + 1, [polled.get(name, 0)] * len(values))
            for name in ("kind", "size", "address", "value")
        }
        columns["value"][start + 1 : start + 1 + len(values)] = values
        return replace(recorded, **columns)

    over = running | 1 << 12
    for values in ((running,), (running, running, running), (over,), (running, running, over)):
        assert replayed(with_polls(*values)).differences == 0, values
    assert replayed(with_polls(running | 2)).differences == 1


def test_an_interrupt_that_is_not_pending(recorded):
    start = find_start(recorded, Bus(Machine()).device)
    result = replayed(changed(recorded, start, int(recorded.value[start]) & ~1))
    assert "an interrupt is delivered, but none is pending" in str(result.first)


def test_an_illegal_access_is_a_difference(recorded):
    address = recorded.address.copy()
    address[0] = 0x50002000
    result = replayed(replace(recorded, address=address))
    assert "access 0: write of 0x0 (4 bytes) at 0x50002000: nothing answers" in str(result.first[0])


WRONG_FILES = [  # what is changed, message
    ({"kind": None}, "not a trace: it has no kind"),
    ({"size": np.zeros(3, np.uint8)}, "size does not have a value for every access"),
    ({"kind": np.array([7, 0])}, "kind has 7, the limit is 2"),
    ({"address": np.array([0.5, 1.0])}, "address is not a row of integers"),
    ({"check_val": np.zeros(5, np.uint32)}, "check_len does not add up"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_FILES)
def test_files_that_are_not_traces(tmp_path, change, message):
    rows = {name: np.zeros(2, np.uint32) for name in ("kind", "size", "address", "value")}
    checks = {f"check_{name}": np.zeros(1, np.uint32) for name in ("addr", "mask", "len")}
    arrays = rows | checks | {"check_val": np.zeros(0, np.uint32)} | change
    file = tmp_path / "trace.npz"
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError) as caught:
        load_trace(file)
    assert message in str(caught.value) and str(file) in str(caught.value)


UNREADABLE = [b"", b"no", b"PK\x03\x04 and no more", b"\x93NUMPY\x01\x00"]
UNREADABLE += [b"\x93NUMPY\x01\0\x10\0{'a': (         \n"]  # which numpy tokenises


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_trace(tmp_path / "none.npz")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_trace(tmp_path)


@pytest.mark.parametrize("content", UNREADABLE)
def test_no_npz(tmp_path, content):
    file = tmp_path / "text.npz"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged, or not a trace \(\.npz\)"):
        load_trace(file)


# --- the negative control


def test_the_control_finds_what_is_corrupted(recorded):
    prepared = Control(recorded)
    bias = prepared.draw("bias", np.random.default_rng(1))
    assert bias is not None and prepared.trial(*bias) in ("program", "layers")
    region = prepared.bus.device.region("layer register")
    last = 4 * region.units * 0 + 15 * region.entries + 4  # POST of layer 4 in quadrant 0
    assert prepared.trial("layer register", last, 12) == "program"  # its bias is off
    enables = 14 * region.entries
    assert prepared.trial("layer register", enables, 0) == "refused"  # no processor
    assert prepared.trial("kernel", 4 * 767, 0) == "unseen"  # a word that no layer uses


def test_control_counts_every_trial(recorded):
    outcomes = control(recorded, 4)
    assert set(outcomes) == set(KINDS)
    assert all(found.total() == 4 and set(found) <= set(OUTCOMES) for found in outcomes.values())
    assert outcomes == control(recorded, 4), "drawn by a seed"


# --- the command


def test_command(recorded, tmp_path, capsys):
    right, wrong = tmp_path / "right.npz", tmp_path / "wrong.npz"
    save_trace(recorded, right)
    access = int(np.flatnonzero(recorded.kind == READ)[-1])
    save_trace(changed(recorded, access, 0xDEAD), wrong)
    assert cli.main(["replay", str(right), "--control", "1"]) == 0
    shown = capsys.readouterr().out
    assert "right" in shown and "register" in shown and "unseen" in shown
    assert cli.main(["replay", str(right), str(wrong)]) == 1
    assert f"wrong: access {access:,}: 0x" in capsys.readouterr().out
    assert cli.main(["replay", "--json", str(wrong)]) == 1
    (program,) = json.loads(capsys.readouterr().out)["programs"]
    assert program["differences"] == 1 and len(program["first"]) == 1
    assert cli.main(["replay", str(tmp_path / "none.npz")]) == 2
