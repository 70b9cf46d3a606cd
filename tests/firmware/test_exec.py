"""max78k exec: a small program of ours, good and bad, and the vendor's accesses to the letter."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from firmware.exec import run_project
from firmware.exec.project import ProgramError
from firmware.generate import generate
from max78k_sim import cli
from max78k_sim.bus import Bus, driver
from max78k_sim.errors import InputError, Max78kError
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from max78k_sim.programs.replay import READ, WRITE, Recorder, finish, load_trace, replay
from max78k_sim.verbs.training import training_check, training_step
from tests import builders, fashion
from trainer.recipe import Recipe

SOURCE = Path(__file__).with_name("exec_program.c")


@cache
def recorded() -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int], ...]]:
    """Writes up to the start, and reads after the interrupt, of a network of one layer."""
    network = builders.one_layer()
    program = compile_network(network)
    recorder = Recorder(Bus(Machine()))
    driver.load(recorder, program)
    driver.run(recorder, program, np.ones(network.input_shape, np.int8))
    kinds = [row[0] for row in recorder.rows]
    before = tuple(row[1:] for row in recorder.rows[: kinds.index(2)] if row[0] == WRITE)
    reads = [row for row in recorder.rows[kinds.index(2) :] if row[0] == READ]
    answer = tuple((address, value) for _, _, address, value in reads[4:])
    return tuple((address, size, value) for size, address, value in before), answer


def rows(table) -> str:
    return ", ".join("{" + ", ".join(f"{value:#x}" for value in row) + "}" for row in table)


def project(folder: Path, case: str, flip: int = 0) -> Path:
    """The C project; ``flip`` changes the first word of its known answer."""
    before, answer = recorded()
    (address, word), *rest = answer
    answer = ((address, word ^ flip), *rest)
    shutil.copy(SOURCE, folder / "main.c")
    lines = f"#define CASE {case}", f"#define BEFORE {{{rows(before)}}}"
    (folder / "case.h").write_text("\n".join((*lines, f"#define ANSWER {{{rows(answer)}}}", "")))
    return folder


@pytest.mark.parametrize("case", ["sleeps", "spins", "polls", "races", "delays"])
def test_every_way_to_wait_gets_the_answer(case, tmp_path):
    result = run_project(project(tmp_path, case), timeout=120)
    assert (result.verdict, result.reason, result.runs) == ("pass", "returned", 1)
    assert result.passed and result.uart == "*** PASS ***\n"
    assert result.words_read >= len(recorded()[1]) > 0


def test_a_loop_after_the_verdict_ends_it(tmp_path):
    result = run_project(project(tmp_path, "loops", flip=1))
    assert (result.verdict, result.reason, result.passed) == ("fail", "loop", False)


def test_copies_are_seen(tmp_path):
    result = run_project(project(tmp_path, "copies"))
    assert result.verdict == "pass" and not result.faults


@pytest.mark.parametrize(
    "case, passed", [("returns_zero", True), ("returns_one", False), ("forgets", False)]
)
def test_without_a_verdict(case, passed, tmp_path):
    result = run_project(project(tmp_path, case))
    assert (result.verdict, result.passed) == ("none", passed)
    assert result.reason == ("asleep" if case == "forgets" else "returned")


WRONG = {
    "bytes": "read of 1 byte at 0x50400001: the accelerator takes accesses of 32 bits only"
    r".* in bytes \(main\.c:\d+\)",
    "unpowered": r"the accelerator has no clock|has no power.* in start \(main\.c:\d+\)",
    "early": r"the accelerator is running .* in check \(main\.c:\d+\)",
    "crashes": r"the program crashed: SIGSEGV at address 0x00000008 in crashes \(main\.c:\d+\)",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case, tmp_path):
    with pytest.raises(ProgramError, match=WRONG[case]):
        run_project(project(tmp_path, case))


@pytest.mark.parametrize("case", ["hangs", "hangs_busy"])
def test_a_program_that_hangs_is_stopped(case, tmp_path):
    with pytest.raises(InputError, match=r"did not end within 1 s; .* --timeout 2"):
        run_project(project(tmp_path, case), timeout=1)


def test_faults_are_reported_when_asked(tmp_path):
    result = run_project(project(tmp_path, "bytes"), on_fault="report")
    assert result.uart == "read 0\n" and "32 bits only" in result.faults[0]


def test_names_of_a_network(tmp_path):
    program = compile_network(builders.one_layer())
    with pytest.raises(ProgramError, match="first input"):
        run_project(project(tmp_path, "bytes"), program=program)


NOT_C = {
    '#include "camera.h"\n': "main.c:1: needs camera.h, for which exec has no stub; .*emulate",
    "\nint main(void) { return MXC_Nothing(); }\n": "main.c:2: calls MXC_Nothing, which neither",
    "\nint other(void); int main(void) { return other(); }": "main.c:2: calls other, .* define",
    "int main(void) { return MXC_NONE; }": "main.c:1: uses MXC_NONE, which neither",
    "mxc_none_t x;": "main.c:1: uses the type mxc_none_t, which neither",
    "int main(void) { return 1 }": "main.c:1: expected ';' before",
    "int x;": "there is no main",
}


@pytest.mark.parametrize("text", NOT_C)
def test_what_does_not_compile_is_named(text, tmp_path):
    (tmp_path / "main.c").write_text(text)
    with pytest.raises(Max78kError, match=NOT_C[text]):
        run_project(tmp_path)


def test_a_folder_without_c(tmp_path):
    with pytest.raises(InputError, match="no C file here, nor in src"):
        run_project(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        run_project(tmp_path / "none")


def test_the_generated_training_step_runs_as_on_the_board(tmp_path):
    program = fashion.program()
    recipe = Recipe(steps=12, batch=4, rate_shift=6)
    step, check = training_step(program, recipe), training_check(program, recipe)
    generate(program.plan, tmp_path, step, check)
    result = run_project(tmp_path, program=program, timeout=120)
    assert (result.verdict, result.exit_code) == ("pass", 0), result.uart


def test_the_command(tmp_path, capfd):
    folder, trace = str(project(tmp_path, "sleeps")), tmp_path / "trace.npz"
    assert cli.main(["exec", folder, "--record", str(trace)]) == 0
    out, err = capfd.readouterr()
    assert out == "*** PASS ***\n" and "main returned; verdict: pass" in err
    bus = Bus(Machine(), timed=True)
    found = load_trace(trace)
    result = finish(found, bus, replay(found, bus))
    assert result.differences == 0 and result.interrupts == 1
    project(tmp_path, "sleeps", flip=1)
    assert cli.main(["exec", folder]) == 1
    assert "*** FAIL *** at 0x" in capfd.readouterr().out
    assert cli.main(["exec", str(project(tmp_path, "bytes"))]) == 2
    assert "max78k: error: read of 1 byte at 0x50400001" in capfd.readouterr().err
    assert cli.main(["exec", folder, "--timeout", "0"]) == 2


def test_sources_in_folders_that_the_makefile_names(tmp_path):
    folder, common = tmp_path / "project", tmp_path / "common"
    folder.mkdir()
    common.mkdir()
    (common / "helper.h").write_text("int helper(void);\n")
    (common / "helper.c").write_text("int helper(void) { return 0; }\n")
    (common / "other.c").write_text("#error not named\n")
    (folder / "main.c").write_text('#include "helper.h"\nint main(void) { return helper(); }\n')
    (folder / "Makefile").write_text(
        "SRCS = main.c\nSRCS += helper.c $(MORE)  # and none\nVPATH += ../common/\n"
        "IPATH := ../common $(MAXIM_PATH)/Include\n"
    )
    result = run_project(folder, timeout=60)
    assert result.passed and (result.reason, result.exit_code) == ("returned", 0)
