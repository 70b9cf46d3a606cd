"""The harness finds a single wrong bit, at the level where it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import CASES, ROOT

from .__main__ import main
from .cases import Case
from .harness import check_case

NAME = "8"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / NAME
    shutil.copytree(CASES / NAME, folder)
    return Case(folder)


def flip(case: Case, file: str, name: str) -> None:
    """Change bit 0 of the first element that is not 0 of one array."""
    arrays = dict(case.array(file))
    arrays[name] = arrays[name].copy()
    flat = arrays[name].reshape(-1)
    flat[np.flatnonzero(flat)[0]] ^= 1
    np.savez(case.folder / f"{file}.npz", **arrays)


def levels_that_fail(case: Case) -> set[str]:
    return {name for name, level in check_case(case).items() if level.faults}


def test_the_case_itself_passes(case):
    assert levels_that_fail(case) == set()


@pytest.mark.parametrize(
    ("file", "name", "level"),
    [
        ("expected", "layer0", "outputs"),
        ("memory", "mram_val", "kernel memory"),
        ("memory", "bias_val", "bias memory"),
        ("memory", "input_val", "input image"),
        ("memory", "l0_val", "data memory"),
        ("memory", "output_val", "data memory"),
    ],
)
def test_one_bit(case, file, name, level):
    flip(case, file, name)
    assert levels_that_fail(case) == {level}


def test_a_wrong_register(case):
    file = case.folder / "registers.json"
    functions = json.loads(file.read_text())
    address, value = functions["cnn_configure"][-1][1:3]
    functions["cnn_configure"][-1][2] = hex(int(value, 16) ^ 1)
    file.write_text(json.dumps(functions))
    result = check_case(case)
    assert levels_that_fail(case) == {"registers", "write order"}
    expected = f"registers: cnn_configure: 0x{int(address, 16):08x} is 0x"
    assert result.faults[0].startswith(expected)


def test_a_wrong_allocation(case):
    file = case.folder / "meta.json"
    meta = json.loads(file.read_text())
    meta["layers"][0]["kernel_offs"] += 4
    file.write_text(json.dumps(meta))
    assert levels_that_fail(case) == {"allocation"}


def test_a_case_that_does_not_load(case):
    (case.folder / "network.yaml").write_text("arch: a\n")
    assert levels_that_fail(case) == {"loads"}


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Exit status and output of ``python -m tests.conformance``."""
    monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
    status = main()
    return status, capsys.readouterr().out


def test_the_command_prints_a_table_and_fails_for_a_wrong_bit(case, monkeypatch, capsys):
    folder = str(case.folder.parent)
    status, shown = command(monkeypatch, capsys, "--corpus", folder)
    assert status == 0 and shown.startswith("feature ") and "1 cases of 1 run" in shown
    flip(case, "expected", "layer0")
    status, shown = command(monkeypatch, capsys, "--corpus", folder)
    assert status == 1 and f"FAILED {case.folder}: outputs: layer0: 1 of" in shown


def test_the_command_fails_when_it_runs_nothing(tmp_path, monkeypatch, capsys):
    status, shown = command(monkeypatch, capsys, "--corpus", str(CASES), "no-such-case")
    assert status == 1 and "0 comparisons" in shown
    line = [sys.executable, "-m", "tests.conformance", "--corpus", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no golden cases in" in done.stderr
