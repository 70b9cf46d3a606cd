"""Peripherals, register by register, as a program reaches them."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board import Board, FirmwareError
from firmware.board.peripherals.table import ROWS
from tests.firmware.arm import program

pytestmark = pytest.mark.arm

SRAM = 0x20010000
DMA = (0x40028108, 0x4002810C, 0x40028110, 0x40028100)  # source, destination, count, control
# name, (address, word) writes, (address, word) that is read afterwards
BEHAVIOURS = (
    ("GPIO set", [(0x40008018, 0x0F), (0x4000801C, 0xF0)], (0x40008018, 0xFF)),
    ("GPIO clear", [(0x40008018, 0xFF), (0x40008020, 0x0F)], (0x40008018, 0xF0)),
    ("GPIO reads its output", [(0x4000800C, 1), (0x40008018, 0)], (0x40008024, 0xFFFFFFFE)),
    ("GCR resets end", [(0x40000004, 0x800)], (0x40000004, 0)),
    ("GCR oscillators are ready", [(0x40000008, 1 << 19)], (0x40000008, 0x3E082000)),
    ("UART is ready to send", [], (0x40042004, 0x50)),
    ("UART baud clock", [(0x40042000, 1 << 15)], (0x40042000, 0x88000)),
    ("timer clock", [(0x40010010, 0x4000)], (0x40010018, 8)),
    ("timer enabled", [(0x40010010, 0xC000)], (0x40010018, 0xC)),
    ("timer count", [(0x40010000, 7)], (0x40010000, 7)),
    ("timer flag", [], (0x4001000C, 0x01000100)),
    ("RTC ready", [(0x40006010, 1)], (0x40006010, 0x11)),
    ("TRNG ready", [], (0x4004D004, 1)),
    ("ICC ready", [(0x4002A100, 1)], (0x4002A100, 0x10001)),
    ("SIMO ready", [], (0x40004440, 0xF)),
    (
        "DMA copies",
        [(SRAM, 0x12345678), *zip(DMA, (SRAM, SRAM + 8, 4, 0x440001), strict=True)],
        (SRAM + 8, 0x12345678),
    ),
    (
        "flash programs ones to zeros",
        [(0x40029000, 0x70000), (0x40029030, 0x0F0F0F0F), (0x40029008, 0x20000011)],
        (0x10070000, 0x0F0F0F0F),
    ),
    ("flash stays when locked", [(0x40029000, 0x70000), (0x40029008, 0x11)], (0x40029024, 2)),
    ("NVIC enable", [(0xE000E10C, 1 << 5)], (0xE000E18C, 1 << 5)),
    ("NVIC pending", [(0xE000E200, 6), (0xE000E280, 2)], (0xE000E200, 4)),
    ("NVIC priority has three bits", [(0xE000E400, 0xFF)], (0xE000E400, 0xE0)),
    ("accelerator power", [(0x40005800, 0xF)], (0x40005800, 0xF)),
)


@pytest.mark.parametrize(
    ("writes", "expected"), [row[1:] for row in BEHAVIOURS], ids=[row[0] for row in BEHAVIOURS]
)
def test_behaviour(writes, expected):
    board = Board(program("hello"))
    for address, word in writes:
        board.memory.store_word(address, word)
    address, word = expected
    assert f"{board.memory.load_word(address):08x}" == f"{word:08x}"


def test_flash_is_erased_before_it_is_written_again():
    board = Board(program("hello"))
    for address, word in ((0x40029000, 0x70000), (0x40029030, 0x0F), (0x40029008, 0x20000011)):
        board.memory.store_word(address, word)
    board.memory.store_word(0x40029030, 0x07)  # fewer bits: no erase is needed
    board.memory.store_word(0x40029008, 0x20000011)
    board.memory.store_word(0x40029030, 0x17)
    with pytest.raises(FirmwareError, match="flash 0x10070000, which holds 07000000, with"):
        board.memory.store_word(0x40029008, 0x20000011)
    board.memory.store_word(0x40029008, 0x20005504)  # erase the page
    board.memory.store_word(0x40029008, 0x20000011)
    assert board.memory.load_word(0x10070000) == 0x17


def test_a_serial_port_receives():
    board = Board(program("hello"))
    board.send(b"ab")
    assert board.memory.load_word(0x40042004) >> 8 & 0xF == 2
    assert [board.memory.load_word(0x40042020) for _ in range(2)] == [ord("a"), ord("b")]
    assert board.memory.load_word(0x40042004) == 0x50


def test_an_unknown_address_is_storage_and_warned_of_once():
    board = Board(program("hello"))
    board.memory.store_word(0x400A0000, 5)
    board.memory.store_word(0x400A0000, 6)
    assert board.memory.load_word(0x400A0000) == 6
    (warning,) = board.warnings
    assert warning.startswith("0x400a0000 belongs to no peripheral that is known")
    assert "in reset" in warning


def test_rows_do_not_overlap():
    ends = sorted((row.base, row.base + row.size) for row in ROWS)
    assert all(end <= base for (_, end), (base, _) in pairwise(ends))
    assert len({row.name for row in ROWS}) == len(ROWS)
