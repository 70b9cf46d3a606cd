"""Saves in flash: power may fail at any moment, and the last complete network is there."""

from __future__ import annotations

import ctypes
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.memories import FLASH, FLASH_PAGE
from firmware.protocol.identity import trained_runs
from firmware.protocol.program import (
    NOTHING,
    board_config,
    place_store,
    protocol_files,
)
from max78k_sim.errors import HardwareLimit
from tests import fashion
from tests.conftest import ROOT
from tests.firmware.arm import program
from tests.firmware.protocol_board import HostBoard, build, write_project
from tests.strategies import examples

PROTOCOL = ROOT / "firmware" / "runtime" / "protocol"
TRAINED = ("conv4", "fc")  # 11,834 bytes: two pages
INDICES = (3, 4)
PAGE, END = FLASH_PAGE, FLASH.end
CUTS = 200  # of a save on the emulated board, at instructions
BROKEN = 100  # ... in the middle of an operation of the flash


def leaves(random, before: bytes, after: bytes) -> bytes:
    """What an operation that was cut off leaves of bytes: of each bit, one or the other, or, of an
    erase, anything."""
    size, kind = len(after), int(random.integers(4))
    mask = [bytes(size), b"\xff" * size, random.bytes(size), sparse(random, size)][kind]
    mixed = bytes((old & ~m) | (new & m) for old, new, m in zip(before, after, mask, strict=True))
    return random.bytes(size) if kind == 2 and size == PAGE else mixed


def sparse(random, size: int) -> bytes:
    """One bit in eight."""
    return bytes(a & b & c for a, b, c in zip(*(random.bytes(size) for _ in range(3)), strict=True))


# --- where it lies, and what does not fit


def test_two_slots_at_the_end_of_the_flash():
    store = place_store(fashion.program(), INDICES)
    assert (store.pages, store.content) == (2, 11_834)
    assert store.first == END - 4 * PAGE
    text = board_config(fashion.program(), TRAINED, 1, 1, True, NOTHING)
    assert "#define CNN_STORE_FIRST 0x10078000u\n" in text


def test_kernels_that_do_not_fit_twice_are_refused(monkeypatch):
    monkeypatch.setattr("firmware.protocol.program.FLASH", FLASH._replace(size=128 << 10))
    with pytest.raises(HardwareLimit) as caught:
        protocol_files(fashion.program(), TRAINED, seed=1, batch=1, saves=True)
    assert caught.value.message == (
        "saving conv4, fc: two slots of 16,384 B (11,834 B of kernels and biases in pages of "
        "8,192), 53,568 B of flashed kernels and at least 49,152 B of code are 135,488 B; the "
        "flash has 131,072. Train fewer layers, or generate without --save"
    )


# --- on this computer: every operation


class Kept(HostBoard):
    """A board with a flash that can fail."""

    def __init__(self, library):
        super().__init__(library)
        self.flash = (ctypes.c_uint8 * (512 << 10)).in_dll(self.library, "host_flash")
        self.garbage = (ctypes.c_uint8 * PAGE).in_dll(self.library, "host_garbage")
        ctypes.memset(self.flash, 0xFF, len(self.flash))
        self.flashed = self.held()

    def set(self, name, value):
        ctypes.c_uint32.in_dll(self.library, name).value = value

    def learn(self, seed):
        """Other kernels; all that the memories hold then."""
        random, memory = np.random.default_rng(seed), self.machine.memory
        for run in trained_runs(fashion.program().plan, INDICES):
            words = random.integers(0, 1 << 32, run.words, dtype=np.uint32)
            memory.write(run.address, masked(words, run.kernels))
        return self.held()

    def held(self):
        return tuple(self.machine.memory.arrays[name].copy() for name in ("kernel", "bias"))

    def hold(self, held):
        for name, words in zip(("kernel", "bias"), held, strict=True):
            self.machine.memory.arrays[name][:] = words

    def save(self, cut_at=0):
        self.set("host_operations", 0)
        self.set("host_cut_at", cut_at)
        return self.library.host_save()

    def boot(self):
        """(number, what the memories hold) of a start-up."""
        self.hold(self.flashed)
        self.library.cnn_store_load()
        return self.number("cnn_store_loaded"), self.held()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def masked(words, kernels):
    """What the memory can hold of words."""
    if not kernels:
        return words & 0xFF
    return (words.reshape(-1, 4) & np.array([0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0], "u4")).reshape(-1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return two_layers(write_project(tmp_path_factory.mktemp("store")))


def two_layers(folder):
    """A project that saves TRAINED, whatever it trains."""
    text = board_config(fashion.program(), TRAINED, 1, 1, True, NOTHING)
    (folder / "cnn_board_config.h").write_text(text)
    return folder


@pytest.fixture
def board(project, tmp_path):
    return Kept(shutil.copy(build(project), tmp_path / "libcnn.so"))


def test_saves_alternate_and_the_newest_is_loaded(board):
    assert board.boot()[0] == 0
    for number in range(1, 6):
        learnt = board.learn(number)
        assert board.save() == 1
        loaded, found = board.boot()
        assert loaded == number and same(found, learnt)
    assert board.number("host_misuses") == 0
    assert board.library.cnn_store_forget() == 1
    assert board.boot()[0] == 0


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_power_fails_in_every_operation_of_a_save(board, saves):
    """Each leaves arbitrary contents; the start after it has the save before, or the new one."""
    random = np.random.default_rng(saves)
    known = {0: board.boot()[1]}
    for number in range(1, saves + 1):
        known[number] = board.learn(number)
        board.save()
    flash = bytes(board.flash)
    new = board.learn(99)
    assert board.save() == 1
    operations = board.number("host_operations")
    assert operations == 2 + 740 + 1  # erases, lines of content, the line that completes it
    first = range(1, 5), range(5, operations - 1, 1 if saves == 2 else 11)
    for cut in (*first[0], *first[1], operations - 1, operations):
        ctypes.memmove(board.flash, flash, len(flash))
        ctypes.memmove(board.garbage, leaves(random, b"\0" * PAGE, b"\xff" * PAGE), PAGE)
        board.hold(new)
        assert board.save(cut) == -1
        number, found = board.boot()
        if number == saves + 1:
            assert cut == operations and same(found, new)
        else:
            assert number == saves and same(found, known[saves]), cut
    assert board.number("host_misuses") == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 743), st.integers(1, 743))
@examples(60)
def test_power_that_fails_again_and_again(project, seed, first, second):
    """A cut save, a cut save on top of it, and one that ends."""
    board, random = Kept(build(project)), np.random.default_rng(seed)
    old = board.learn(1)
    board.save()
    for cut in (first, second):
        ctypes.memmove(board.garbage, random.bytes(PAGE), PAGE)
        new = board.learn(cut)
        board.save(cut)
        number, found = board.boot()
        assert number >= 1 and (same(found, old) or same(found, new))
        old = found
    new = board.learn(7)
    assert board.save() == 1
    assert same(board.boot()[1], new)


@given(st.data())
@examples(100)
def test_a_flipped_bit_is_never_loaded(project, data):
    board = Kept(build(project))
    first = board.learn(1)
    board.save()
    board.learn(2)
    board.save()
    place = data.draw(st.integers(0, 16 + 11_834 - 1)) + 2 * PAGE  # slot 1, the newest
    board.flash[END - 4 * PAGE - FLASH.base + place] ^= 1 << data.draw(st.integers(0, 7))
    number, found = board.boot()
    assert number == 1 and same(found, first)


def test_another_networks_save_is_not_loaded(board, tmp_path):
    board.learn(1)
    board.save()
    folder = two_layers(write_project(tmp_path / "other"))
    header = folder / "cnn_board_config.h"
    text = header.read_text()
    assert "_DIGEST {0x" in text
    header.write_text(text.replace("_DIGEST {0x", "_DIGEST {0x1 ^ 0x"))
    other = Kept(build(folder))
    ctypes.memmove(other.flash, bytes(board.flash), len(board.flash))
    assert board.boot()[0] == 1 and other.boot()[0] == 0


# --- on the emulated board


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("power")
    text = board_config(fashion.program(), TRAINED, 1, 1, True, NOTHING)
    (folder / "cnn_board_config.h").write_text(text)
    names = ("cnn_store.c", "cnn_flash.c", "cnn_crc.c")
    paths = [str(PROTOCOL / name) for name in names]
    return program("power_cut", f"-I{folder}", f"-I{PROTOCOL}", f"-I{PROTOCOL.parent}", *paths)


SLOTS = slice(END - 4 * PAGE, END)


def started(elf, flash):
    from firmware.board import Board

    board = Board(elf)
    board.memory[SLOTS] = flash
    return board


def boot(elf, flash):
    """(number, what the kernels hold) of a start-up."""
    board = started(elf, flash)
    board.on("booted", lambda board: board.stop("booted"))
    assert board.run(seconds=10).reason == "booted"
    return board.registers["r0"], contents(board)


def contents(board):
    memory = board.accelerator.bus.machine.memory
    runs = trained_runs(fashion.program().plan, INDICES)
    return b"".join(memory.read(run.address, run.words).tobytes() for run in runs)


def whole_save(elf, flash):
    """A start and a save to the end: (flash, what was saved, first and last instruction of it)."""
    board, marks = started(elf, flash), []
    for name in ("cnn_store_save", "saved"):
        board.on(name, lambda board: marks.append(board.cpu.instructions))
    assert board.run(seconds=10).reason == "loop"
    assert board.uart.split()[-1] == "1"
    return board.memory[SLOTS], contents(board), marks


def cut_saves(elf, flash, marks):
    """(flash, complete) after a power cut: at CUTS instructions, and in BROKEN operations."""
    board, found, random = started(elf, flash), [], np.random.default_rng(1)
    controller = board.devices.peripherals["FLC"]
    operations = 2 + 740 + 1
    broken = {*range(3), operations - 1, *random.integers(0, operations, BROKEN).tolist()}
    done = []

    def failing(address, before, after):
        tries = 20 if len(done) in (0, 1, operations - 1) else 1
        for _ in range(tries if len(done) in broken else 0):
            part = leaves(random, before, after)
            place = address - SLOTS.start
            whole = board.memory[SLOTS]
            found.append((whole[:place] + part + whole[place + len(part) :], part == after))
        done.append(address)
        return after

    controller.failing = failing
    board.run(instructions=marks[0])
    points = np.linspace(marks[0], marks[1], CUTS).astype(int).tolist()
    for before, after in pairwise(points):
        board.run(instructions=after - before)
        found.append((board.memory[SLOTS], len(done) == operations))
    assert len(done) == operations
    return found


@pytest.mark.arm
def test_power_fails_on_the_emulated_board(elf):
    """Two saves are there; while the third overwrites the first, power fails at every stage."""
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    flash = b"\xff" * (4 * PAGE)
    known = {}
    for number in (1, 2):
        flash, known[number], _ = whole_save(elf, flash)
    _, known[3], marks = whole_save(elf, flash)
    results, seen = {}, 0
    for cut, complete in cut_saves(elf, flash, marks):
        if cut not in results:
            results[cut] = boot(elf, cut)
        number, content = results[cut]
        assert number in (2, 3) and content == known[number]
        assert number == 2 or complete or cut[0:4] != b"\xff" * 4
        seen += 1
    assert seen >= CUTS + BROKEN
