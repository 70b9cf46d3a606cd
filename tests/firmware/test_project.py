"""Generated projects: every write is the Program's, every value comes back, every test passes."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from firmware.cosim.host import compiler
from firmware.exec import run_project
from firmware.project.project import Choices, make_project
from max78k_sim import cli
from max78k_sim.bus import Bus, driver
from max78k_sim.errors import InputError
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.program import Program, compile_network
from tests import fashion
from tests.conformance.cases import Case
from tests.conftest import CASES, CORPUS, ROOT, has_corpus
from tests.firmware import generated
from tests.strategies import NIGHTLY

TWIN = Path(__file__).with_name("project_twin.c")
STUBS = ROOT / "firmware" / "exec" / "stubs"
STRICT = (
    *("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wwrite-strings", "-Wcast-align", "-Werror"),
)
FIRST = 0x50000000
NUMBER = re.compile(r"0x[0-9a-f]{8}")
LOAD = ("init", "configure", "weights", "bias")
# Outputs of 32 bits, hundreds of channels, several passes, sub-byte weights, FIFOs, linear layers.
CHOSEN = ("0", "58", "64", "118", "150", "220", "246", "258", "274", "318", "354", "522")
ALL = tuple(sorted(path.parent.name for path in CASES.glob("*/meta.json")))


@cache
def case(name: str) -> tuple[Program, np.ndarray]:
    golden = Case(CASES / name)
    return compile_network(golden.network()), golden.sample


def write_project(program: Program, sample, folder: Path, **choices):
    subject = generated.Subject("case", program, sample)
    return generated.write_project(subject, folder, **{"max_verify_length": None} | choices)


class Twin:
    """cnn.c and softmax.c of a project, compiled for this computer."""

    def __init__(self, folder: Path, *options: str):
        library = folder / "twin.so"
        files = [str(folder / name) for name in ("cnn.c", "softmax.c")] + [str(TWIN)]
        places = [f"-I{folder}", f"-I{STUBS}"]
        command = [compiler(), *STRICT, *options, "-DCNN_HOST", "-shared", "-fPIC", *places]
        done = subprocess.run(
            [*command, "-o", library, *files], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        self.library = ctypes.CDLL(str(library))
        self.library.twin_accesses.restype = ctypes.c_void_p
        self.library.twin_window.restype = ctypes.c_void_p

    def writes(self, *functions: str) -> np.ndarray:
        """int64 [n, 3]: size, address, value of everything that these functions write."""
        count = ctypes.c_uint32.in_dll(self.library, "twin_count")
        count.value = 0
        for function in functions:
            assert getattr(self.library, function)() == 1, function
        rows = (ctypes.c_uint32 * (3 * count.value)).from_address(self.library.twin_accesses())
        return np.array(rows, np.int64).reshape(-1, 3)

    def fill(self, machine: Machine) -> np.ndarray:
        """The memories of a machine become readable; returns the window."""
        words = (0x51100000 - FIRST) // 4
        window = np.ctypeslib.as_array(
            (ctypes.c_uint32 * words).from_address(self.library.twin_window())
        )
        for name in ("kernel", "data", "quadrant register"):
            region = machine.device.region(name)
            array = machine.memory.arrays[name].reshape(region.groups, region.units, -1)
            for group in range(region.groups):
                for unit in range(region.units):
                    first = (region.address(group, unit) - FIRST) // 4
                    window[first : first + array.shape[2]] = array[group, unit]
        return window

    def unload(self, shape, bits: int) -> np.ndarray:
        """What cnn_unload gives."""
        values = np.zeros(shape, np.int32 if bits == 32 else np.int8)
        space = np.full((values.nbytes + 3) // 4, 0xA5A5A5A5, np.uint32)
        assert self.library.cnn_unload(space.ctypes.data_as(ctypes.c_void_p)) == 1
        return space.view(values.dtype)[: values.size].reshape(shape)


def planned(writes) -> np.ndarray:
    """int64 [n, 3]: a Program's writes, word by word."""
    parts = [
        np.stack(
            [
                np.full(len(write.words), 4),
                write.address + 4 * np.arange(len(write.words)),
                write.words.astype(np.int64),
            ],
            axis=1,
        )
        for write in writes
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)


def of_stage(program: Program, stage: str):
    return [write for write in program.writes if write.stage == stage]


@pytest.mark.parametrize("name", ALL if NIGHTLY else CHOSEN)
def test_every_write_is_the_programs_and_every_value_comes_back(name, tmp_path):
    check_functions(*case(name), tmp_path)


if NIGHTLY and has_corpus():

    @pytest.mark.corpus
    @pytest.mark.parametrize("folder", sorted(CORPUS.glob("*/*/meta.json"))[::6], ids=str)
    def test_the_same_of_the_corpus(folder, tmp_path):
        golden = Case(folder.parent)
        check_functions(compile_network(golden.network()), golden.sample, tmp_path)


def check_functions(program: Program, sample: np.ndarray, tmp_path: Path) -> None:
    """The functions of cnn.c, one by one, against the Program and a Machine."""
    project = write_project(program, sample, tmp_path, mexpress=False)
    twin = Twin(tmp_path)
    for stage, function in zip(
        LOAD, ("cnn_init", "cnn_configure", "cnn_load_weights", "cnn_load_bias"), strict=True
    ):
        assert np.array_equal(twin.writes(function), planned(of_stage(program, stage))), stage
    assert np.array_equal(twin.writes("cnn_start"), planned(program.start))
    machine = Machine(program.device)
    machine.load(program)
    outputs = machine.run(sample)
    window = twin.fill(machine)
    place = program.plan.placement(len(program.plan.layers) - 1, "output")
    assert np.array_equal(twin.unload(place.shape, place.bits), outputs)
    assert np.array_equal(project.outputs, outputs)
    assert twin.library.cnn_verify_weights() == 1
    kernels = planned(of_stage(program, "weights"))
    if len(kernels):
        window[(kernels[-2, 1] - FIRST) // 4] ^= 1
        assert twin.library.cnn_verify_weights() == 0
    stopped = twin.writes("cnn_stop", "cnn_continue")
    master = program.start[-1].address
    assert stopped[:, 1].tolist() == [master] * 2 and (stopped[:, 2] & 1).tolist() == [0, 1]


@pytest.mark.parametrize("name", CHOSEN[::3])
def test_packed_streams_leave_the_same_kernels(name, tmp_path):
    program, sample = case(name)
    write_project(program, sample, tmp_path, timer=2)
    twin = Twin(tmp_path)
    functions = ("cnn_init", "cnn_load_weights", "cnn_load_bias", "cnn_configure")
    bus, expected = Bus(Machine()), Bus(Machine())
    for size, address, value in twin.writes(*functions).tolist():
        bus.write(address, size, value)
    driver.load(expected, program)
    for name, words in expected.machine.memory.arrays.items():
        assert np.array_equal(bus.machine.memory.arrays[name], words), name
    plain = Machine(program.device)
    plain.load(program)
    assert np.array_equal(bus.machine.memory.arrays["kernel"], plain.memory.arrays["kernel"])
    window = twin.fill(plain)
    assert twin.library.cnn_verify_weights() == 1
    address = of_stage(program, "weights")[-1].address
    window[(address + 4 - FIRST) // 4] ^= 0x100
    assert twin.library.cnn_verify_weights() == 0


GAPS = """arch: gaps
dataset: cifar10
layers:
  - {op: conv2d, kernel_size: 3x3, pad: 1, processors: 0xf0, in_channels: 4, out_channels: 70,
     in_dim: [5, 6], out_offset: 0x2000, write_gap: 2, output_width: WIDTH}
"""


@pytest.mark.parametrize("width", (8, 32))
def test_unloading_with_gaps_between_the_values(width, tmp_path):
    """The vendor's own cnn_unload is wrong here: it multiplies instance and quadrant, too."""
    (tmp_path / "network.yaml").write_text(GAPS.replace("WIDTH", str(width)))
    rng = np.random.default_rng(7)
    kernel = rng.integers(-90, 90, (70, 4, 3, 3)).astype(np.int8)
    np.savez(tmp_path / "weights.npz", w0=kernel, b0=rng.integers(-90, 90, 70).astype(np.int8))
    files = tmp_path / "network.yaml", tmp_path / "weights.npz"
    program = compile_network(load_network(*files, input_shape=(4, 5, 6)))
    sample = rng.integers(-128, 128, (4, 5, 6)).astype(np.int8)
    write_project(program, sample, tmp_path / "c")
    machine = Machine(program.device)
    machine.load(program)
    outputs = machine.run(sample)
    twin = Twin(tmp_path / "c")
    twin.fill(machine)
    assert np.array_equal(twin.unload(outputs.shape, width), outputs)
    assert run_project(tmp_path / "c").verdict == "pass"


def test_softmax_is_the_real_one(tmp_path):
    write_project(*case("64"), tmp_path, softmax=True)
    library = Twin(tmp_path).library
    rng = np.random.default_rng(3)
    for spread in (1, 1000, 20_000, 1 << 20, (1 << 31) - 1):
        for count in (1, 2, 10, 600):
            values = rng.integers(-spread, spread, count).astype(np.int32)
            found = np.zeros(count, np.int16)
            pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (values, found))
            library.softmax_q17p14_q15(next(pointers), count, next(pointers))
            shares = np.exp((values - float(values.max())) / 16384)
            expected = np.minimum(32768 * shares / shares.sum(), 32767)
            assert np.abs(found - expected).max() <= 2, (spread, count)


OPTIONS = (
    ("22", {"mexpress": False, "wfi": False}, "PASS"),
    ("118", {"timer": 0, "max_verify_length": 20}, "inference time: "),
    ("246", {"compact_data": False}, "PASS"),
    ("258", {"softmax": True, "timer": 3}, "-> Class 511:"),
    ("30", {"softmax": True, "boost": (2, 5), "clock_divider": 4}, "-> Class 9:"),
)


@pytest.mark.parametrize(("name", "choices", "text"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_known_answers_pass_on_this_computer(name, choices, text, tmp_path):
    project = write_project(*case(name), tmp_path, **choices)
    assert project.checked == min(project.words, choices.get("max_verify_length", 1 << 30))
    result = run_project(tmp_path)
    assert (result.verdict, result.reason, result.runs) == ("pass", "returned", 1)
    assert text in result.uart and not result.faults and not result.warnings


EVERY = {"softmax": True, "energy": True, "forever": True, "timer": 1, "boost": (1, 0)}
MAINS = (
    ("30", {}),
    ("22", {}),
    ("30", EVERY | {"train": True}),
    ("22", EVERY | {"wfi": False}),
    ("30", {"kat": False}),
    ("22", EVERY | {"kat": False}),
    ("30", EVERY | {"kat": False, "compact_data": False, "mexpress": False}),
)


@pytest.mark.parametrize(("name", "choices"), MAINS)
def test_every_main_is_strict_c(name, choices, tmp_path):
    write_project(*case(name), tmp_path, **choices)
    command = [compiler(), *STRICT, f"-I{STUBS}", "-fsyntax-only", str(tmp_path / "main.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_through_the_fast_fifo(tmp_path):
    program, sample = case("130")
    network = replace(program.plan.network, fast_fifo=True)
    write_project(compile_network(network), sample, tmp_path)
    assert "0x400c0410u" in (tmp_path / "main.c").read_text()
    assert run_project(tmp_path).verdict == "pass"


def test_without_a_known_answer(tmp_path):
    project = write_project(*case("64"), tmp_path, kat=False)
    assert project.checked == 0 and not (tmp_path / "sampleoutput.h").exists()
    result = run_project(tmp_path)
    assert (result.verdict, result.exit_code) == (
        "none",
        0,
    ) and "nothing was compared" in result.uart


def shorter_energy(folder: Path) -> None:
    file = folder / "main.c"
    file.write_text(f"#define CNN_ENERGY_RUNS 3\n{file.read_text()}")


def test_energy_repeats_every_part(tmp_path):
    write_project(*case("64"), tmp_path, energy=True, forever=False)
    shorter_energy(tmp_path)
    result = run_project(tmp_path)
    assert (result.verdict, result.reason, result.runs) == ("pass", "returned", 4)


# File, and which of its numbers is changed: a word of the answer, of the kernels, of the input.
WRONG = (("sampleoutput.h", 3), ("weights.h", 3), ("sampledata.h", 0))


@pytest.mark.parametrize(("name", "number"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_word_fails(name, number, tmp_path):
    write_project(*case("30"), tmp_path)
    file = tmp_path / name
    found = list(NUMBER.finditer(file.read_text()))[number]
    changed = f"0x{int(found[0], 0) ^ 0x7F7F7F7F:08x}"
    file.write_text(found.string[: found.start()] + changed + found.string[found.end() :])
    result = run_project(tmp_path)
    assert result.verdict == "fail" and "Data mismatch (" in result.uart
    assert "*** FAIL *** (output)" in result.uart


# --- for Arm


@pytest.mark.arm
@pytest.mark.parametrize("name", ("digits", "220", "274"))
def test_known_answers_pass_on_the_emulated_board(name, tmp_path):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs arm-none-eabi-gcc (Debian: gcc-arm-none-eabi)")
    subject = generated.find(name, None)
    generated.write_project(subject, tmp_path, softmax=True, timer=1, debugwait=0)
    assert generated.without_sdk(tmp_path, None) == "PASS"


if os.environ.get("MAXIM_PATH"):  # the vendor's SDK

    @pytest.mark.arm
    @pytest.mark.parametrize("board", generated.BOARDS)
    def test_the_sdk_builds_it(board, tmp_path):
        generated.write_project(generated.find("digits", None), tmp_path, softmax=True)
        route = generated.with_sdk(board)
        assert route(tmp_path, Path(os.environ["MAXIM_PATH"])) == "PASS"


# --- the command


def command(*words: str, out: Path) -> int:
    files = ("--config-file", str(fashion.DIRECTORY / "network.yaml"))
    files += ("--checkpoint-file", str(fashion.DIRECTORY / "checkpoint.pth.tar"))
    return cli.main(["generate", *files, *words, "--out", str(out)])


def test_the_command_makes_up_a_sample_and_says_so(tmp_path, capsys):
    assert command("--prefix", "mine", "--stop-after", "1", "--softmax", out=tmp_path) == 0
    said = capsys.readouterr().out
    assert "the sample is made up; --sample-input takes yours" in said
    assert "made-up values: no --sample-input was given" in (tmp_path / "log.txt").read_text()
    assert "made-up" in (tmp_path / "main.c").read_text()
    assert "PROJECT ?= mine" in (tmp_path / "project.mk").read_text()
    assert "#define CNN_NUM_OUTPUTS 12288" in (tmp_path / "cnn_network.h").read_text()
    again = tmp_path / "again"
    command("--prefix", "mine", "--stop-after", "1", "--softmax", out=again)
    assert (again / "sampledata.h").read_text() == (tmp_path / "sampledata.h").read_text()


def test_with_training_both_known_answers_pass(tmp_path, capsys):
    assert command("--train", "--energy", out=tmp_path) == 0
    assert f"make -C {tmp_path} check" in capsys.readouterr().out
    shorter_energy(tmp_path)
    result = run_project(tmp_path)
    assert result.verdict == "pass" and result.uart.count("PASS") == 2, result.uart
    assert "training steps" in result.uart and (result.reason, result.runs) == ("returned", 4)


ONE_SAMPLE = ("--train", "--batch", "1", "--momentum-shift", "0")
STEPS = (  # what is said of the step that a project has
    (ONE_SAMPLE, "of a linear layer for one sample (cnn_linear.c); kernels also in SRAM"),
    (
        (*ONE_SAMPLE, "--no-kernel-copy"),
        "of a linear layer for one sample (cnn_linear.c); kernels not copied",
    ),
    (
        ("--train", "--rounding", "nearest"),
        "of any layers; that of a linear layer for one sample takes batches of 1, "
        "momentum_shift 0, stochastic rounding",
    ),
)


@pytest.mark.parametrize(("words", "step"), STEPS, ids=("copy", "no copy", "any layers"))
def test_the_step_is_chosen_and_named(words, step, tmp_path, capsys):
    command(*words, out=tmp_path)
    assert f"training step: {step}\n" in capsys.readouterr().out
    assert f"training step: {step}\n" in (tmp_path / "log.txt").read_text()


def test_a_copy_is_refused_where_there_is_none(tmp_path, capsys):
    assert command("--train", "--kernel-copy", out=tmp_path) == 2
    assert (
        "--kernel-copy: only the step of a linear layer for one sample keeps one; it takes batches "
        "of 1, momentum_shift 0" in capsys.readouterr().err
    )


def test_a_project_that_takes_the_place_of_another_has_its_own_step(tmp_path):
    linear = {"cnn_linear.c", "cnn_linear.h", "cnn_linear_config.h", "cnn_stream.c"}
    general = {"cnn_update.c", "cnn_backward.h", "cnn_layers.c", "cnn_data_gradients_m4.c"}
    for words, there, gone in (
        (ONE_SAMPLE, linear, general),
        (("--train",), general, linear),
        (ONE_SAMPLE, linear, general),
        ((), set(), linear | general),
    ):
        command(*words, out=tmp_path)
        names = {path.name for path in tmp_path.iterdir()}
        assert there <= names and not gone & names, words


@pytest.mark.parametrize("words", ((), ("--no-kernel-copy",)))
def test_with_one_sample_a_step_the_known_answer_passes(words, tmp_path):
    command(*ONE_SAMPLE, "--rate-shift", "4", *words, out=tmp_path)
    check = ["make", "-C", tmp_path, "check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0 and "PASS: 6 training steps, 1728 kernel words" in done.stdout
    result = run_project(tmp_path)
    assert result.verdict == "pass" and result.uart.count("PASS") == 2, result.uart
    header = tmp_path / "cnn_linear_config.h"
    text = header.read_text()
    assert "#define CNN_LINEAR_SHIFT 21 " in text
    header.write_text(text.replace("CNN_LINEAR_SHIFT 21", "CNN_LINEAR_SHIFT 22"))
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode != 0 and "have CRC-32 0x" in done.stdout


@pytest.mark.arm
def test_with_one_sample_a_step_the_known_answer_passes_on_the_emulated_board(tmp_path):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs arm-none-eabi-gcc (Debian: gcc-arm-none-eabi)")
    command(*ONE_SAMPLE, "--rate-shift", "4", "--debugwait", "0", out=tmp_path)
    assert generated.without_sdk(tmp_path, None) == "PASS"


BAD = (
    (("--timer", "4"), "--timer 4: one of 0, 1, 2, 3"),
    (("--clock-divider", "3"), "--clock-divider 3: one of 1, 2, 4, 8, 16"),
    (("--max-verify-length", "0"), "--max-verify-length 0: words, at least 1"),
    (("--boost", "2"), "--boost 2: port and pin, for example 2.5"),
    (("--boost", "9.1"), "--boost: ports 0 to 3, pins 0 to 7; for example 2.5"),
    (("--prefix", "!!"), "--prefix '!!': letters or digits"),
    (("--board-name", "a b"), "--board-name 'a b': for example EvKit_V1, FTHR_RevA"),
    (("--debugwait", "-1"), "--debugwait -1: seconds, 0 or more"),
    (("--sample-input", "none.npy"), "none.npy: cannot read the sample: No such file"),
)


@pytest.mark.parametrize(("words", "text"), BAD, ids=[row[0][0] + row[0][1] for row in BAD])
def test_bad_values_are_named(words, text, tmp_path, capsys):
    assert command(f"{words[0]}={words[1]}", out=tmp_path / "c") == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "c").write_text("a file")
    assert command(out=tmp_path / "c") == 2
    assert "cannot make this directory: File exists" in capsys.readouterr().err


def test_tables_that_do_not_fit_are_warned_of(tmp_path):
    program, sample = case("64")
    project = make_project(program, Choices("case", sample=sample))
    assert not project.warnings
    too_many = replace(project, flash=600_000).warnings
    assert "take 600,000 bytes of flash, of which the chip has 524,288" in too_many[0]
    assert "--max-verify-length 1000" in too_many[0]


def test_a_sample_of_another_shape(tmp_path):
    program, _ = case("30")
    with pytest.raises(InputError, match="shape"):
        make_project(program, Choices("case", sample=np.zeros((1, 2, 3), np.int8)))
