"""max78k size: sections and symbols of an Arm program, and what does not fit."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("elftools", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board.elf import read_elf
from firmware.size import uses
from max78k_sim import cli
from tests.firmware.arm import program

pytestmark = pytest.mark.arm

UNLIMITED = "-Wl,--defsym=unlimited=1"  # of runtime/arm/board.ld


def test_what_fits(capsys):
    elf = program("hello")
    flash, sram = uses(read_elf(elf))
    assert {section.name for section in flash.sections} >= {".text", ".data"}
    assert flash.used == sum(section.size for section in flash.sections) < 4096
    assert flash.symbols[0].name == "vectors" and flash.symbols[0].size == 120 * 4
    assert sram.stack == 4096 and sram.left == (128 << 10) - sram.used - 4096
    assert cli.main(["size", str(elf)]) == 0
    said = capsys.readouterr().out
    assert "flash: " in said and "of 524,288 bytes (0%)" in said and "480  vectors" in said
    assert "beside 4,096 for the stack" in said
    assert cli.main(["size", str(elf), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["left"] == sram.left


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
)


@pytest.mark.parametrize(("options", "text", "biggest"), BIG, ids=["flash", "SRAM"])
def test_what_does_not_fit(options, text, biggest, capsys):
    assert cli.main(["size", str(program("big", *options, UNLIMITED))]) == 2
    said = capsys.readouterr().err
    assert text in said and biggest in said


def test_what_is_no_program(tmp_path, capsys):
    (tmp_path / "x.elf").write_text("text")
    assert cli.main(["size", str(tmp_path / "x.elf")]) == 2
    assert "not an ELF file" in capsys.readouterr().err
