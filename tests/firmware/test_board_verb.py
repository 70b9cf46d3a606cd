"""max78k board, against the emulated board at a pseudo-terminal; errors for people."""

from __future__ import annotations

import json
import os
import threading
from argparse import Namespace
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board import Board
from firmware.board.elf import read_elf
from firmware.board.terminal import connect
from firmware.protocol.identity import network_digest, trained_runs
from firmware.protocol.patch import Patch, decode_patch, encode_patch, read_patch, write_patch
from firmware.protocol.program import PLACE_BYTES, Replay
from firmware.size import uses
from max78k_sim import Machine, cli, compile_network, load_network, placement
from max78k_sim.errors import InputError
from max78k_sim.verbs.board import require
from max78k_sim.verbs.kept_examples import program_bytes
from tests import fashion
from tests.firmware.emulated_board import build_program
from tests.firmware.protocol_board import RECIPE
from trainer.data.datasets import load_dataset
from trainer.loop import Trainer
from trainer.schedule import Schedule

DATA = ("--new-images", "6", "--replay-images", "2", "--new-class", "8", "--test-images", "10")
SHOW = ("--steps", "2", "--batch", "2", "--rate-shift", "6", "--seed", "5", *DATA)


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    """A program that keeps ten examples."""
    return build_program(tmp_path_factory.mktemp("board"), RECIPE, "--replay", "8000")


@pytest.fixture(scope="module")
def port(elf):
    """The name of a pseudo-terminal at which the emulated board listens."""
    board = Board(elf)
    ended = threading.Event()
    with ExitStack() as opened:
        name = connect(board, "pty", opened)

        def run():
            while not ended.is_set():
                board.run(cycles=2_000_000)

        thread = threading.Thread(target=run)
        thread.start()
        yield name
        ended.set()
        thread.join()


def ask(port, *arguments):
    return cli.main(["board", "--port", port, *fashion.NETWORK_OPTIONS, *arguments])


@pytest.mark.arm
def test_train_evaluate_and_pull(port, tmp_path, capsys):
    """What comes back is what the trainer has after the same examples."""
    out, patch = tmp_path / "pulled.pth.tar", tmp_path / "learnt.patch"
    actions = ("--train", "--evaluate", "--pull", str(out), "--dump", str(patch))
    assert ask(port, *actions, *SHOW, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["trained"]["examples"] == result["board"]["learnt"] == 4
    assert result["evaluated"]["examples"] == 10 and result["changed"] == ["fc"]
    machine = trained()
    place = machine.program.plan.placement("fc", "kernel")
    pulled = load_network(fashion.CONFIG, out).parameters[4].kernel
    kernel = placement.read(machine.memory, place)
    assert np.array_equal(pulled.reshape(kernel.shape), kernel)
    for address, words in read_patch(patch).runs:
        assert np.array_equal(machine.memory.read(address, len(words)), words)
    assert ask(port, "--load", str(patch), "--save", *SHOW) == 0
    text = capsys.readouterr().out
    assert "saved: number 1, in slot 0\n" in text and "CRC errors: 0 here, 0 there" in text
    assert ask(port, "--forget", *SHOW) == 0


def examples():
    """Images and labels that DATA chooses: six new ones, and two of each other class."""
    data = load_dataset("fashion", "train")
    labels = np.asarray(data.labels, np.int64)
    old = [np.flatnonzero(labels == label)[:2] for label in range(10) if label != 8]
    chosen = np.concatenate([np.flatnonzero(labels == 8)[:6], *old])
    return np.asarray(data.images[chosen]), labels[chosen]


def trained():
    """The same training in Python."""
    images, labels = examples()
    machine = fashion.machine()
    trainer = Trainer(machine, RECIPE)
    schedule = Schedule(6, 18, 2, RECIPE.new_share, RECIPE.seed)
    for step in range(2):
        shown = schedule.batch_at(step)
        trainer.train_batch(images[shown], labels[shown])
    return machine


@pytest.mark.arm
def test_train_with_what_the_board_keeps(port, tmp_path, capsys):
    patch, forgotten = tmp_path / "learnt.patch", tmp_path / "flashed.patch"
    write_patch(forgotten, flashed_patch())
    actions = ("--load", str(forgotten), "--train", "--rehearse", "--dump", str(patch))
    assert ask(port, *actions, *SHOW, "--json") == 0
    result = json.loads(capsys.readouterr().out)["trained"]
    assert (result["offered"], result["examples"], result["steps"]) == (18, 2, 2)
    simulated = ("train", *fashion.NETWORK_OPTIONS, *SHOW, "--replay", "8000")
    assert cli.main([*simulated, "--out", str(tmp_path / "out")]) == 0
    network = load_network(fashion.CONFIG, tmp_path / "out" / "trained.pth.tar")
    machine = Machine(network.device)
    machine.load(compile_network(network))
    for address, words in read_patch(patch).runs:
        assert np.array_equal(machine.memory.read(address, len(words)), words)
    capsys.readouterr()
    assert ask(port, "--train", "--rehearse", "--batch", "1", *DATA) == 2
    assert "a step shows a new example and kept ones, here 6 new" in capsys.readouterr().err


@pytest.mark.arm
def test_kept_examples_are_counted_beside_what_the_program_takes(elf):
    _, sram = uses(read_elf(elf))
    program, replay = fashion.program(), Replay(8_000, 8, True, 0, 0)
    size, room = replay.example_bytes(program), replay.room(program)
    counted = program_bytes(program, RECIPE, False, size) + room * (size + PLACE_BYTES)
    assert 0 <= counted - (sram.used + sram.kept) < 1 << 10


REFUSED = [  # what is asked of a program that can only run, what it is told to do about it
    ("train", "does not train; generate it with --train --protocol"),
    ("rehearse", "keeps no examples; generate it with --train --protocol --replay BYTES"),
    ("save", "does not save; generate it with --train --protocol --save"),
    ("forget", "does not save; generate it with --train --protocol --save"),
]


@pytest.mark.parametrize(("action", "advice"), REFUSED)
def test_what_the_program_cannot_do_is_refused_before_anything_is_done(action, advice):
    class Poor:
        def can(self, feature):
            return False

    asked = dict.fromkeys(("train", "rehearse", "save", "forget", "pull"), False) | {action: True}
    with pytest.raises(InputError, match=advice):
        require(Namespace(**asked), Poor())


def flashed_patch() -> Patch:
    """What the last layer holds before anything is learnt."""
    program, memory = fashion.program(), fashion.machine().memory
    runs = trained_runs(program.plan, [4])
    words = tuple((run.address, memory.read(run.address, run.words)) for run in runs)
    return Patch(program.plan.network.name, network_digest(program), words)


@pytest.mark.arm
def test_another_network_is_refused(port, capsys):
    folder = fashion.DIRECTORY.parent / "digits"
    files = ("--config-file", str(folder / "network.yaml"))
    files += ("--checkpoint-file", str(folder / "checkpoint.pth.tar"))
    assert cli.main(["board", "--port", port, *files]) == 2
    error = capsys.readouterr().err
    assert "max78k: error: the board has ai85net5fashion (digest " in error
    assert "give the files that its program was generated from" in error


ERRORS = (
    ("/dev/no-such-port", "max78k: error: /dev/no-such-port: no such port; "),
    ("/dev/null", "max78k: error: /dev/null: is no serial port, or not one of 115,200 baud\n"),
    ("socket://x", "socket://x: this kind of port needs pyserial: pip install 'max78k[board]'"),
)


@pytest.mark.parametrize(("name", "text"), ERRORS)
def test_ports_that_are_none(name, text, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    assert ask(name) == 2
    assert text in capsys.readouterr().err


def test_a_port_where_nobody_answers(capsys):
    ours, theirs = os.openpty()
    assert ask(os.ttyname(theirs), "--timeout", "0.01", "--baud", "921600") == 2
    os.close(ours)
    os.close(theirs)
    error = capsys.readouterr().err
    assert "max78k: error: no answer to 'hello' in 0.0 s, 20 times; is it the right port" in error


# --- patch files

RUNS = ((0x50180000, np.arange(8, dtype=np.uint32)), (0x50108000, np.ones(3, np.uint32)))
PATCH = Patch("net", b"12345678", RUNS)


def test_a_patch_and_back(tmp_path):
    write_patch(tmp_path / "a.patch", PATCH)
    got = read_patch(tmp_path / "a.patch")
    assert (got.name, got.digest) == (PATCH.name, PATCH.digest)
    for (a, words), (b, same) in zip(PATCH.runs, got.runs, strict=True):
        assert a == b and np.array_equal(words, same)


def test_a_patch_that_is_damaged_says_so(tmp_path):
    data = encode_patch(PATCH)
    for place in range(len(data)):
        with pytest.raises(InputError, match=r"is damaged|is no patch|of version"):
            decode_patch(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        with pytest.raises(InputError, match=r"is damaged|is no patch"):
            decode_patch(data[:place])
    with pytest.raises(InputError, match="cannot be read"):
        read_patch(tmp_path / "none.patch")
