"""The registers as a C header: it compiles, and its own test agrees with the tables."""

from __future__ import annotations

import subprocess

import pytest

from firmware.register_header import registers_check, registers_header
from max78k_sim.devices.max78000 import MAX78000 as DEVICE
from tests.firmware.test_layout import FLAGS


def check(directory, change=lambda text: text) -> tuple[int, str]:
    """Exit code and output of the header's test, compiled beside it."""
    (directory / "registers.h").write_text(change(registers_header(DEVICE)))
    (directory / "check.c").write_text(registers_check(DEVICE, "registers.h"))
    subprocess.run(["cc", *FLAGS, "-o", "check", "check.c"], cwd=directory, check=True)
    done = subprocess.run([directory / "check"], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_every_register_and_field(tmp_path):
    code, out = check(tmp_path)
    layer_registers = len(DEVICE.layer_registers) * 4 * 32
    assert code == 0 and out.startswith("PASS: ")
    assert int(out.split()[1]) > layer_registers + 3 * 100


WRONG = (
    ("#define CNN_CTRL(quadrant) (0x50100000u", "#define CNN_CTRL(quadrant) (0x50100004u"),
    ("CNN_CTRL_FIFO(value) (((uint32_t)(value) & 0x1u) << 15)",
     "CNN_CTRL_FIFO(value) (((uint32_t)(value) & 0x1u) << 14)"),
    ("CNN_CTRL_WAIT_STATES_OF(word) ((uint32_t)(word) >> 1 & 0x3u)",
     "CNN_CTRL_WAIT_STATES_OF(word) ((uint32_t)(word) >> 1 & 0x7u)"),
)  # fmt: skip


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_a_wrong_number_is_noticed(right, wrong, tmp_path):
    def change(text: str) -> str:
        assert text.count(right) == 1
        return text.replace(right, wrong)

    code, out = check(tmp_path, change)
    assert code == 1 and out.startswith("FAIL: CNN_CTRL")
