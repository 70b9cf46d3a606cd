"""max78k size: sections and symbols of an Arm program, and what does not fit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

pytest.importorskip("elftools", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board.elf import read_elf
from firmware.size import uses
from max78k_sim import cli
from tests.conftest import ROOT
from tests.firmware.arm import program

MAKEFILE = ROOT / "firmware" / "runtime" / "project" / "Makefile"
pytestmark = pytest.mark.arm

UNLIMITED = "-Wl,--defsym=unlimited=1"  # of runtime/arm/board.ld
SAVES = "-Wl,--defsym=cnn_store_first=0x1007c000"  # as a program with --save has it


def test_what_fits(capsys):
    elf = program("hello")
    flash, sram = uses(read_elf(elf))
    assert {section.name for section in flash.sections} >= {".text", ".data"}
    assert flash.used == sum(section.size for section in flash.sections) < 4096
    assert flash.symbols[0].name == "vectors" and flash.symbols[0].size == 120 * 4
    assert sram.kept == 4096 and sram.left == (128 << 10) - sram.used - 4096
    assert cli.main(["size", str(elf)]) == 0
    said = capsys.readouterr().out
    assert "flash: " in said and "of 524,288 bytes (0%)" in said and "480  vectors" in said
    assert "beside 4,096 for the stack" in said
    assert cli.main(["size", str(elf), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["left"] == sram.left
    assert cli.main(["size", str(program("hello", SAVES))]) == 0
    assert "left beside 16,384 for saves in two slots, from 0x1007c000" in capsys.readouterr().out


BIG = (
    (
        ("-DBIG_FLASH=600000",),
        "does not fit: flash has 524,288 bytes, the program takes 60",
        r"biggest: big_table (600,000), vectors (480), ",
    ),
    (
        ("-DBIG_SRAM=130000",),
        "SRAM has 131,072 bytes, the program takes 13",
        "big_buffer (130,000)",
    ),
    (
        ("-DBIG_FLASH=508000", SAVES),
        "with 16,384 for saves in two slots, from 0x1007c000 and from 0x1007e000 on; biggest: ",
        "big_table (508,000)",
    ),
)


@pytest.mark.parametrize(("options", "text", "biggest"), BIG, ids=["flash", "SRAM", "saves"])
def test_what_does_not_fit(options, text, biggest, capsys):
    assert cli.main(["size", str(program("big", *options, UNLIMITED))]) == 2
    said = capsys.readouterr().err
    assert text in said and biggest in said


def test_what_is_no_program(tmp_path, capsys):
    (tmp_path / "x.elf").write_text("text")
    assert cli.main(["size", str(tmp_path / "x.elf")]) == 2
    assert "not an ELF file" in capsys.readouterr().err


# What the project's Makefile takes of the SDK: where it builds, and a rule that links; all of flash
# is for the program.
SDK = (
    "BUILD_DIR = build\n"
    "all: $(BUILD_DIR)/$(PROJECT).elf\n"
    "$(BUILD_DIR)/$(PROJECT).elf: $(SRCS)\n"
    "\tmkdir -p build\n"
    "\tarm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -nostdlib -Wl,-e,main -Wl,-Ttext=0x10000000 "
    "-Wl,--defsym=cnn_store_first=$(SAVES) -o $@ $(SRCS)\n"
)
MAIN = """
static const unsigned char table[BYTES] __attribute__((used)) = {1};
unsigned char copied = 1, cleared[99999];
int main(void) { return 0; }
"""


@pytest.mark.parametrize(("size", "fits"), [(0x7A000, True), (0x7C000, False)])
def test_a_build_with_the_sdk_is_clear_of_saves(size, fits, tmp_path):
    """The vendor's linker script does not know them."""
    program("hello")  # or it is skipped
    rules = tmp_path / "sdk/Libraries/CMSIS/Device/Maxim/MAX78000/Source/GCC/max78000.mk"
    rules.parent.mkdir(parents=True)
    rules.write_text(SDK)
    (tmp_path / "sdk/Libraries/libs.mk").write_text("")
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(MAKEFILE, project)
    (project / "project.mk").write_text("PROJECT = saving\n")
    (project / "main.c").write_text(MAIN.replace("BYTES", str(size)))
    command = ["make", "-s", "-C", project, f"MAXIM_PATH={tmp_path}/sdk", "SAVES=0x1007c000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (project / "build" / "saving.elf").exists() == fits
    ends = r"build/saving.elf: does not fit: the program ends at 0x1007[c-f][0-9a-f]{3}, "
    slots = "and it saves in two slots of the flash, from 0x1007c000 and from 0x1007e000 on"
    assert fits or re.search(ends + slots, done.stderr)
