"""The map as a C header: it compiles, and its own test agrees with Python's addresses."""

from __future__ import annotations

import subprocess

import pytest

from firmware.layout import layout_check, layout_header
from max78k_sim.allocation import allocate
from tests import fashion
from tests.conformance.cases import Case
from tests.conftest import CASES

SAMPLE = sorted(path.parent.name for path in CASES.glob("*/meta.json"))[::8]
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


def check(plan, directory, change=lambda text: text) -> tuple[int, str]:
    """Exit code and output of the header's test, compiled beside it."""
    (directory / "layout.h").write_text(change(layout_header(plan)))
    (directory / "layout_check.c").write_text(layout_check(plan, "layout.h"))
    command = ["cc", *FLAGS, "-o", "check", "layout_check.c"]
    subprocess.run(command, cwd=directory, check=True)
    done = subprocess.run([directory / "check"], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_the_shipped_network(tmp_path):
    assert check(fashion.program().plan, tmp_path) == (0, "PASS: 250 runs, 160 elements\n")


@pytest.mark.parametrize("case", SAMPLE)
def test_golden_cases(case, tmp_path):
    code, out = check(allocate(Case(CASES / case).network()), tmp_path)
    assert code == 0 and out.startswith("PASS: "), out


WRONG = (
    ("RUN(KERNEL, 2u, 5u, 96u, 0x50194600u, 64u", "RUN(KERNEL, 2u, 5u, 96u, 0x50194610u, 64u"),
    ("RUN(KERNEL, 2u, 5u, 96u, 0x50194600u, 64u", "RUN(KERNEL, 2u, 5u, 97u, 0x50194600u, 64u"),
    ("OUTPUT, 0u, 7u, 2048u, 0x5081a000u, 784u", "OUTPUT, 0u, 7u, 2048u, 0x5081a000u, 783u"),
    ("RUN(BIAS, 4u, 0u,", "RUN(BIAS, 3u, 0u,"),
    ("% 16u * 0x4000u", "% 16u * 0x8000u"),
    ("CNN_FC_BIAS_ADDRESS 0x50108000u", "CNN_FC_BIAS_ADDRESS 0x50108004u"),
    ("CNN_CONV3_KERNEL_WORD 96u", "CNN_CONV3_KERNEL_WORD 95u"),
)  # fmt: skip


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_a_wrong_number_is_noticed(right, wrong, tmp_path):
    def change(text: str) -> str:
        assert text.count(right) == 1
        return text.replace(right, wrong)

    code, out = check(fashion.program().plan, tmp_path, change)
    assert code == 1 and out.startswith("FAIL: ") and "PASS" not in out
