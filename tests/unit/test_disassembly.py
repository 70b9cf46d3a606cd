"""Registers in words: from every source the same, each layer by topic, differences by meaning."""

from __future__ import annotations

import json

import numpy as np
import pytest

from max78k_sim import cli
from max78k_sim.bus import Bus, driver
from max78k_sim.errors import InputError
from max78k_sim.explain import planned_words
from max78k_sim.machine import Machine
from max78k_sim.programs.disassembly import differences, disassemble
from max78k_sim.programs.register_sources import read_registers
from max78k_sim.programs.replay import Recorder, save_trace
from tests import fashion
from tests.conformance.cases import cases_in
from tests.conftest import CASES

POWER = 0x50001000
TOPICS = {  # layer of networks/fashion: topic, text
    (0, "operation"): "conv2d 3x3 pad 1, relu",
    (0, "input"): "1x28x28 CHW from word 0x0, processors 0000000000000001, 1 pass",
    (0, "kernels"): "32 of 8 bits, kernel words 16 to 47",
    (0, "bias"): "quadrant 3 from byte 0",
    (1, "operation"): "max 2x2, conv2d 3x3 pad 2, relu",
    (3, "operation"): "average 2x2, conv2d 3x3 pad 1, relu",
    (3, "output"): "16x4x4, 8 bits, to instance 0, word 0x0",
    (4, "operation"): "linear",
    (4, "input"): "256x1x1 HWC from word 0x0, processors 000000000000ffff, 16 passes",
    (4, "kernels"): "160 of 8 bits, kernel words 160 to 177",
    (4, "output"): "10x1x1, 32 bits, to instance 0, word 0x800",
}
C_PROJECT = """
/* *((volatile uint32_t *) 0x50100010) = 0x00000001; in a comment */
int cnn_init(void)
{
  *((volatile uint32_t *) 0x50001000) = 0x00000000; // AON control
  *((volatile uint32_t *) 0x50100008) = 0x00000001; // Layer count
  return CNN_OK;
}
int cnn_configure(void) {
  // *((volatile uint32_t *) 0x50100090) = 0x00000002;
  if (1) { *((volatile uint32_t *)0x50100010) = 0x0001001bU; }
  *( (volatile uint32_t*) 0x50100010 ) = 27;
}
int cnn_start(void) { *((volatile uint32_t *) 0x50100000) = 0x00000009; }
int cnn_unload(void) { *((volatile uint32_t *) 0x50100310) = 0x00000005; }
"""


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory) -> str:
    recorder = Recorder(Bus(Machine()))
    driver.load(recorder, fashion.program(), packed=False)
    driver.run(recorder, fashion.program(), np.load(fashion.DIRECTORY / "sample.npy"))
    file = tmp_path_factory.mktemp("registers") / "fashion.npz"
    save_trace(recorder.trace("fashion"), file)
    return str(file)


def without_power(words: dict[int, int]) -> dict[int, int]:
    return {address: word for address, word in words.items() if address != POWER}


def planned() -> dict[int, int]:
    return without_power(planned_words(fashion.program().plan))


def test_a_trace_and_a_plan_have_the_same_registers(trace_file):
    assert read_registers(trace_file) == planned()


def test_layers_in_words():
    texts = {text.number: text for text in disassemble(planned())}
    assert list(texts) == [None, 0, 1, 2, 3, 4]
    assert {key: texts[key[0]].topics[key[1]] for key in TOPICS} == TOPICS
    enables = [word for word in texts[1].registers if word.name == "EN"]
    assert [(word.quadrants, word.fields) for word in enables] == [
        ((0, 1), "processors 65535, kernels 65535")
    ]
    assert {word.name for word in texts[None].registers} == {"CTRL", "SRAM", "LCNT_MAX"}


@pytest.mark.parametrize("case", cases_in(CASES)[::9], ids=lambda case: case.name)
def test_golden_cases_are_described(case):
    words = read_registers(str(case.folder))
    written = {
        address: word
        for function in ("cnn_init", "cnn_configure", "cnn_start")
        for address, word in case.writes(function)
    }
    assert words == {address: word for address, word in written.items() if address != POWER}
    texts = disassemble(words)
    assert len(texts) == 1 + len(case.meta["layers"])
    assert all("operation" in text.topics for text in texts[1:])


def test_a_layer_that_cannot_run_says_why():
    words = planned()
    words[0x50100710] = 0
    (layer,) = [text for text in disassemble(words) if text.number == 0]
    assert layer.topics == {"refused": "layer 0: no processor is enabled (register EN is 0)"}


def test_c_projects(tmp_path):
    for name in ("cnn.c", "other.c"):
        (tmp_path / "cnn.c").unlink(missing_ok=True)
        (tmp_path / name).write_text(C_PROJECT)
        expected = {0x50100008: 1, 0x50100010: 27, 0x50100000: 9}
        assert read_registers(str(tmp_path)) == read_registers(str(tmp_path / name)) == expected
        (tmp_path / name).unlink()


def test_a_configuration_by_another_name(tmp_path):
    (tmp_path / "cnn.c").write_text(
        C_PROJECT.replace("cnn_configure(", "cnn_configure_layer_0to4(")
    )
    assert read_registers(str(tmp_path))[0x50100010] == 27


WRONG = [  # name, contents, message
    ("none", None, "none: there is no such file"),
    ("main.c", b"int main(void) { return 0; }", "it writes no register of the accelerator"),
    ("registers.json", b"[", "not a golden case's registers"),
]


@pytest.mark.parametrize(("name", "contents", "message"), WRONG)
def test_files_without_registers(tmp_path, name, contents, message):
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(InputError) as caught:
        read_registers(str(tmp_path / name))
    assert message in str(caught.value)


def test_a_folder_without_sources(tmp_path):
    with pytest.raises(InputError, match=r"it has neither registers\.json"):
        read_registers(str(tmp_path))


def test_differences_by_meaning():
    left, right = planned(), planned()
    right[0x50100790] = (left[0x50100790] & ~(15 << 13)) | 5 << 13  # POST of layer 0, quadrant 0
    for group in range(4):
        right[0x50100008 + 0x400000 * group] = 3
    del right[0x50100014]  # RCNT of layer 1
    found = differences(left, right)
    assert [(row.layer, row.quadrants, row.register, row.field, row.right) for row in found] == [
        (None, (0, 1, 2, 3), "LCNT_MAX", "last_layer", 3),
        (0, (0,), "POST", "shift", 5),
        (1, (0,), "RCNT", "row_count", 0),
        (1, (0,), "RCNT", "row_pad", 0),
    ]
    assert found[1].meaning == "shift amount" and differences(left, left) == ()


def test_command(trace_file, capsys, tmp_path):
    assert cli.main(["registers", trace_file]) == 0
    shown = capsys.readouterr().out
    assert "layer 3\n  operation average 2x2, conv2d 3x3 pad 1, relu\n" in shown
    assert "    LCTL0      0x" in shown
    assert cli.main(["registers", trace_file, *fashion.NETWORK_OPTIONS]) == 0
    assert capsys.readouterr().out == "no register differs\n"
    (tmp_path / "cnn.c").write_text(C_PROJECT)
    assert cli.main(["registers", trace_file, str(tmp_path)]) == 1
    assert "LCNT_MAX.last_layer" in capsys.readouterr().out
    assert cli.main(["registers", "--json", trace_file, str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)[0]["register"] == "SRAM"
    assert cli.main(["registers", "--json", trace_file]) == 0
    layers = json.loads(capsys.readouterr().out)
    assert [layer["number"] for layer in layers] == [None, 0, 1, 2, 3, 4]
    assert cli.main(["registers"]) == 2
    assert "give one program, or two to compare" in capsys.readouterr().err
