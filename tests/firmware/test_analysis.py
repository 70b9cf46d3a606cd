"""clang-tidy and cppcheck have nothing to say of any C that ``generate`` writes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware.generate import generate
from max78k_sim import cli
from max78k_sim.verbs.training import training_step
from networks import DIRECTORY
from tests.firmware.arm import COMPILER
from tests.firmware.train_steps import program_of
from trainer.recipe import Recipe

FASHION = DIRECTORY / "fashion"
OPTIONS = (
    *("generate", "--config-file", str(FASHION / "network.yaml")),
    *("--checkpoint-file", str(FASHION / "checkpoint.pth.tar")),
)
ONE_SAMPLE = ("--train", "--batch", "1", "--momentum-shift", "0")
PROJECTS = {  # options of generate
    "inference": ("--softmax", "--timer", "0"),
    "step of any layers": ("--train", "--layers", "conv4,fc"),
    "step of one sample, protocol, flash, kept examples": (
        *(*ONE_SAMPLE, "--protocol", "--save", "--replay", "8000", "--replay-bits", "4"),
    ),
}
NARROW = "step of 4-bit weights"
OF_NARROW = (  # what is compiled otherwise than for all layers in batches
    *("cnn_at_once.c", "cnn_changes.c", "cnn_fast_step.c", "cnn_layers.c", "cnn_narrow_step.c"),
    *("cnn_state.c", "cnn_update.c", "cnn_weight_step.c"),
)
CHECKS = (
    *("-*", "bugprone-*", "clang-analyzer-*", "misc-*", "performance-*", "portability-*"),
    "-performance-no-int-to-ptr",  # registers are addresses
    "-bugprone-easily-swappable-parameters",
    "-bugprone-reserved-identifier",  # the C library's _write
    "-bugprone-signed-char-misuse",  # int8 numbers are no characters
    "-misc-unused-parameters",
)
TARGET = ("--target=arm-none-eabi", "-mcpu=cortex-m4", "-mthumb", "-std=gnu99", "-O2")
CPPCHECK = (
    *("cppcheck", "--quiet", "--enable=warning,style,performance,portability", "--inline-suppr"),
    *("--std=c99", "--platform=unix32", "--suppress=missingIncludeSystem", "--error-exitcode=1"),
    *("-D__GNUC__", "-D__ARM_FEATURE_DSP", "-D__OPTIMIZE__"),
)
COUNT = re.compile(r"\d+ warnings? generated\.")  # of headers that are not the project's
LONG_TABLE = re.compile(r"((?:    0x[^\n]*\n){8})(?:    0x[^\n]*\n)+")

pytestmark = pytest.mark.analysis


def write_project(name: str, folder: Path) -> None:
    """All C of one; of narrow weights the step alone, because no shipped network has them."""
    if name in PROJECTS:
        assert cli.main([*OPTIONS, *PROJECTS[name], "--out", str(folder)]) == 0
        return
    program = program_of("digits", 4)
    recipe = Recipe(layers=("fc",), batch=1, momentum_shift=0, rate_shift=6)
    generate(program.plan, folder, training_step(program, recipe))


@pytest.fixture(scope="module", params=(*PROJECTS, NARROW))
def project(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysed") / "c"
    write_project(request.param, folder)
    return folder


def sources(folder: Path) -> list[str]:
    whole = (folder / "main.c").exists()
    paths = folder.rglob("*.c") if whole else map(folder.joinpath, OF_NARROW)
    return sorted(str(path.relative_to(folder)) for path in paths)


def found_by(command: list[str], folder: Path) -> str:
    """What a tool writes; skips the test where there is none."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]} (Debian: {command[0]})")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if not COUNT.fullmatch(line)]
    return "\n".join(filter(None, (done.stdout, *errors)))


def headers_of_the_c_library() -> list[str]:
    """Where the compiler for Arm has them, as options."""
    command = [COMPILER, "-xc", "-E", "-v", "-"]
    said = subprocess.run(command, input="", capture_output=True, text=True, check=True).stderr
    listed = said.partition("search starts here:\n#include <...> search starts here:\n")[2]
    return [f"-isystem{line.strip()}" for line in listed.partition("End of")[0].splitlines()]


@pytest.mark.arm
def test_clang_tidy_finds_nothing(project):
    command = ["clang-tidy", "--quiet", f"-checks={','.join(CHECKS)}", *sources(project), "--"]
    command += [*TARGET, "-I.", "-Iarm", *headers_of_the_c_library()]
    assert found_by(command, project) == ""


def test_cppcheck_finds_nothing(project, tmp_path):
    """Tables are cut short: it would expand them for minutes."""
    folder = shutil.copytree(project, tmp_path / "c")
    for header in folder.glob("*.h"):
        header.write_text(LONG_TABLE.sub(r"\1", header.read_text("utf-8")), "utf-8")
    assert found_by([*CPPCHECK, "-I.", "-Iarm", *sources(folder)], folder) == ""


def test_what_is_wrong_is_found(tmp_path):
    (tmp_path / "wrong.c").write_text("int wrong(void)\n{\n    int a[2];\n    return a[2];\n}\n")
    assert "out of bounds" in found_by([*CPPCHECK, "wrong.c"], tmp_path)
    command = ["clang-tidy", "--quiet", f"-checks={','.join(CHECKS)}", "wrong.c", "--"]
    assert "clang-analyzer" in found_by(command, tmp_path)
