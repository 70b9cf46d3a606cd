"""``max78k check`` and ``max78k validate`` as a user types them: text, JSON and exit codes."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from max78k_sim import cli
from tests import fashion
from tests.conftest import CASES, ROOT

NETWORK = fashion.NETWORK_OPTIONS
SAMPLE = ("--sample-input", str(fashion.DIRECTORY / "sample.npy"))


def run(capsys, *arguments):
    code = cli.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def dumped(capsys, tmp_path):
    file = tmp_path / "all.npz"
    assert run(capsys, "run", *NETWORK, *SAMPLE, "--dump", file)[0] == 0
    with np.load(file) as arrays:
        return file, dict(arrays)


def test_check(capsys):
    code, out, _ = run(capsys, "check", *NETWORK)
    assert code == 0 and out.endswith("\n\nfits\n")
    for line in (
        "ai85net5fashion on MAX78000",
        "conv2  max 2x2, conv2d 3x3 pad 2, relu: 32x28x28 -> 48x16x16",
        "layers: 5 of 32 layers (16%), 27 left",
        "kernels: 5,952 of 49,152 words (12%), 43,200 left",
        "kernels of one processor: 178 of 768 words (23%), 590 left (processor 0)",
        "biases of one quadrant: 64 of 512 bytes (12%), 448 left (quadrant 1)",
        "data of one instance: 4,160 of 32,768 bytes (13%), 28,608 left (instance 0, at once)",
        "time: 45,709 cycles; on silicon about 0.921 ms (estimate)",
    ):
        assert f"{line}\n" in out


def test_another_input_shape_is_a_problem(capsys):
    code, out, _ = run(capsys, "check", *NETWORK, "--input-shape", "3,28,28")
    assert code == 2 and "problem: " in out and "--input-shape 3,28,28: conv1 reads 1,28,28" in out
    assert run(capsys, "check", *NETWORK, "--input-shape", "1,28,28")[0] == 0


def test_check_as_json(capsys):
    code, out, _ = run(capsys, "check", *NETWORK, "--json")
    result = json.loads(out)
    assert code == 0 and result["fits"] and result["problems"] == []
    used = {item["name"]: item["left"] for item in result["use"]}
    assert used["kernels"] == 43_200 and result["cycles"] == 45_709


def test_check_without_weights(capsys, tmp_path):
    text = fashion.CONFIG.read_text() + "    out_channels: 10\n"
    (tmp_path / "network.yaml").write_text(text)
    code, out, _ = run(capsys, "check", "--config-file", tmp_path / "network.yaml")
    assert code == 0 and "not checked: weights, biases and their memory: no checkpoint" in out
    code, out, _ = run(
        capsys, "check", "--config-file", tmp_path / "network.yaml", "--device", "MAX78002"
    )
    assert "not checked: registers: MAX78002 is known by its addresses only" in out


PROBLEMS = (
    ("out_offset: 0x2000", "out_offset: 0x7600", "highest legal out_offset 0x73c0", 7),
    ("arch: ai85net5fashion", "arch: other", "arch 'other' is not the checkpoint's", 1),
)


@pytest.mark.parametrize("old, new, message, line", PROBLEMS)
def test_check_finds_a_problem(capsys, tmp_path, old, new, message, line):
    file = tmp_path / "network.yaml"
    text = fashion.CONFIG.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    arguments = ("check", "--config-file", file, *NETWORK[2:])
    code, out, _ = run(capsys, *arguments)
    assert code == 2 and message in out and "\n\nrefused: " in out
    code, out, _ = run(capsys, *arguments, "--json")
    problem = json.loads(out)["problems"][0]
    assert code == 2 and message in problem["message"] and problem["file"] == str(file)
    assert abs(problem["line"] - line) < 8


def test_check_finds_a_memory_that_is_full(capsys, tmp_path):
    layer = "  - {op: conv2d, processors: 0x1, out_channels: 1000, kernel_size: 3x3, pad: 1"
    text = f"arch: a\ndataset: mnist\nlayers:\n{layer}, in_dim: [2, 2]}}\n"
    (tmp_path / "network.yaml").write_text(text)
    code, out, _ = run(capsys, "check", "--config-file", tmp_path / "network.yaml")
    assert code == 2 and "kernels take 1024 kernel words" in out
    assert "conv2d 3x3 pad 1: 1x2x2 -> 1000x2x2" in out, "what was read is shown"


def test_validate_against_a_golden_folder(capsys):
    code, out, _ = run(capsys, "validate", "--against", CASES / "8")
    assert code == 0 and out.endswith("equal: 144 values of 1 layers and 7,626 words\n")
    assert "kernel memory: 6,912 words equal\n" in out and "registers: 40 words equal\n" in out


def test_validate_finds_what_differs(capsys):
    code, out, _ = run(capsys, "validate", "--against", CASES / "332")
    assert code == 1
    assert "first difference: layer 3 (layer3), channel 0, row 1, column 0, at 0x50402910" in out
    assert "cause (avg_pool_rounding): the reference truncates average pooling" in out
    assert "\nlayer3        170       154, up to 16       154, up to 16  avg_pool_rounding\n" in out
    assert out.endswith("\ndifferent: layer3\n")
    code, out, _ = run(capsys, "validate", "--against", CASES / "332", "--json")
    result = json.loads(out)
    last = result["layers"][-1]
    assert code == 1 and not result["equal"] and last["first"]["address"] == "0x50402910"
    assert last["isolated"] == {"values": 170, "different": 154, "largest": 16}
    assert last["causes"][0]["cause"] == "avg_pool_rounding"


def test_validate_against_a_dump(capsys, dumped):
    file, arrays = dumped
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE)
    assert code == 0 and out.endswith("equal: 41,738 values of 5 layers\n")
    floats = {name: arrays[f"layer{n}"] / 128 for n, name in enumerate(("conv1", "conv2"))}
    np.savez(file, **floats)
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE)
    assert code == 0 and "assumed: floats from -1 to 1 taken times 128\n" in out
    assert "not in the reference: conv3, conv4, fc\n" in out
    floats["conv1"][3, 0, 5] -= 1 / 128
    np.savez(file, **floats)
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE)
    assert code == 1 and "first difference: layer 0 (conv1), channel 3, row 0, column 5" in out


def test_validate_with_another_input(capsys, dumped, tmp_path):
    file, arrays = dumped
    sample = np.load(SAMPLE[1])
    np.savez(file, input=sample, **arrays)
    pixels = tmp_path / "pixels.npy"
    np.save(pixels, sample ^ -128)
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, "--sample-input", pixels)
    assert code == 1 and "first difference: the input, channel 0, row 0, column 0" in out
    assert "cause (input): 128 was not subtracted from the pixels (or twice)" in out
    assert out.endswith("\ndifferent: the input\n")


def test_validate_against_a_board(capsys, tmp_path, dumped):
    _, arrays = dumped
    address, value = int(arrays["address4"][5, 0, 0]), int(arrays["final"][5, 0, 0])
    word = value & 0xFFFFFFFF
    text = (
        f"Data mismatch (2/4) at address 0x{address:08x}: Expected 0x{word:08x}, read 0x00000001."
    )
    file = tmp_path / "board.txt"
    file.write_text(text)
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE)
    assert code == 1 and "fc output [channel 5, row 0, column 0]" in out
    assert f"fc channel 5, row 0, column 0: expected {value}, the board 1, here {value}\n" in out
    assert "the simulator gives what was expected: the board is wrong" in out
    assert "no cause of the table gives these values" in out
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE, "--json")
    found = json.loads(out)["words"][0]
    assert code == 1 and found["address"] == f"0x{address:08x}" and found["read"] == "0x00000001"
    assert found["values"][0]["read"] == 1
    file.write_text("*** PASS ***")
    code, out, _ = run(capsys, "validate", "--against", file, *NETWORK, *SAMPLE)
    assert code == 0 and "known-answer test passed" in out


BAD = (
    (("--against", "nothing", *NETWORK), "nothing: cannot be read: No such file or directory"),
    (("--against", "nothing"), "give --config-file (only a golden folder has"),
    (("--against", str(CASES / "8"), *NETWORK[2:]), "give --config-file (only a golden"),
    (("--against", str(CASES / "8"), *NETWORK[:2]), "give --checkpoint-file"),
    (("--against", "board.txt", *NETWORK), "give --sample-input: what the board ran"),
    (("--against", "arrays.npz", *NETWORK), "arrays without an input; give --sample-input"),
    (("--against", "rubbish.txt", *NETWORK), "of no known kind; give a folder in the golden"),
)


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_input(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "board.txt").write_text(
        "Data mismatch (1/4) at address 0x50400000: Expected 0x1, read 0x2"
    )
    (tmp_path / "rubbish.txt").write_text("rubbish")
    np.savez(tmp_path / "arrays.npz", conv1=np.zeros((32, 28, 28), np.int8))
    code, out, err = run(capsys, "validate", *arguments)
    assert code == 2 and out == "" and err.startswith("max78k: error: ") and message in err


def test_a_golden_folder_of_another_network(capsys, tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(CASES / "8", folder)
    code, out, err = run(capsys, "validate", "--against", folder, *NETWORK, *SAMPLE)
    assert code == 1, err
    assert "probable" not in out and "18x2x4, here it is 32x28x28" in out


PAGE = (ROOT / "docs" / "validate.md").read_text(encoding="utf-8")
SCREENS = re.findall(r"```text\n\$ max78k (.*)\n((?:.*\n)*?)```", PAGE)


def pytorch_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ai8x-training gives for a dump: floats by layer name, a batch of one."""
    names = ("conv1", "conv2", "conv3", "conv4")
    floats = {name: arrays[f"layer{n}"][None] / 128 for n, name in enumerate(names)}
    return {**floats, "fc": arrays["layer4"].reshape(1, 10) / 128 / 128}


@pytest.fixture
def desk(capsys, tmp_path, monkeypatch):
    """A folder with the files that the page names."""
    monkeypatch.chdir(tmp_path)
    for name in ("network.yaml", "checkpoint.pth.tar", "sample.npy"):
        shutil.copy(fashion.DIRECTORY / name, name)
    assert run(capsys, "run", *NETWORK, *SAMPLE, "--avg-pool-rounding", "--dump", "r.npz")[0] == 0
    with np.load("r.npz") as arrays:
        np.savez("pytorch.npz", **pytorch_arrays(dict(arrays)))
    (line,) = re.findall(r"^Data mismatch .*$", PAGE, re.MULTILINE)
    (tmp_path / "board.txt").write_text(line)


@pytest.mark.parametrize("command, screen", SCREENS, ids=["check", "run", "arrays", "board"])
def test_the_page_shows_what_is_printed(capsys, desk, command, screen):
    assert run(capsys, *command.split())[1] == screen
