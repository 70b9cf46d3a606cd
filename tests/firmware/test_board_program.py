"""The generated board program, built for Arm, on the emulated board: whole conversations."""

from __future__ import annotations

import subprocess
from argparse import Namespace

import pytest

pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.protocol.client import connect
from firmware.protocol.link import Link
from max78k_sim.verbs.generate_training import exponents_from
from max78k_sim.verbs.training import trainer_of
from tests import fashion
from tests.firmware.emulated_board import EmulatedBoard, build_program
from tests.firmware.faulty_line import FaultyLine
from tests.firmware.protocol_board import RECIPE
from trainer.loop import Trainer, memory_digest
from trainer.recipe import Recipe

pytestmark = pytest.mark.arm


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return build_program(tmp_path_factory.mktemp("program"))


def talk(board, seed, share):
    """(a client, its line)."""
    line = FaultyLine(board.receive, seed, share)
    return connect(Link(line, session=seed + 1, clock=line.clock), fashion.program()), line


def show(client, step):
    """A batch of the pool, learnt."""
    pool = fashion.pool()
    shown = range(step * RECIPE.batch, (step + 1) * RECIPE.batch)
    for n in shown:
        first, last = n == shown[0], n == shown[-1]
        client.example(pool.images[n], int(pool.labels[n]), learn=True, begin=first, apply=last)
    return pool.images[list(shown)], pool.labels[list(shown)]


@pytest.mark.parametrize("seed", range(3))
def test_the_board_learns_each_example_once(elf, seed):
    """Over a line that spoils a fourth of all frames: the trainer's memory after every step, and,
    saved, loaded at the next start."""
    board = EmulatedBoard(elf)
    machine = fashion.machine()
    assert memory_digest(board.memory) == memory_digest(machine.memory)
    trainer = Trainer(machine, RECIPE)
    client, line = talk(board, seed, 0.25)
    for step in range(RECIPE.steps):
        trainer.train_batch(*show(client, step))
        assert memory_digest(board.memory) == memory_digest(machine.memory)
    status = client.status()
    assert status["learnt"] == status["examples"] == RECIPE.steps * RECIPE.batch
    assert sum(line.happened.values()) > 3
    assert client.save() == {"slot": 0, "saved": 1}
    again = EmulatedBoard(elf, board.flash)
    assert memory_digest(again.memory) == memory_digest(machine.memory)
    assert talk(again, seed, 0)[0].greeting["saved"] == 1
    assert board.board.warnings == again.board.warnings == []


def test_hidden_layers_learn_and_are_kept(tmp_path):
    recipe = Recipe(steps=1, batch=2, rate_shift=6, seed=5, layers=("conv4", "fc"))
    board = EmulatedBoard(build_program(tmp_path, recipe))
    options = Namespace(new_class=None, data="fashion", new_images=100, replay_images=30, replay=0)
    exponents = exponents_from(options, fashion.program(), recipe)
    trainer = trainer_of(fashion.program(), recipe, exponents)
    client, _ = talk(board, 1, 0.5)
    assert client.trained == (3, 4)
    pool = fashion.pool()
    for n in range(2):
        label = int(pool.labels[n])
        client.example(pool.images[n], label, learn=True, begin=n == 0, apply=n == 1)
    trainer.train_batch(pool.images[:2], pool.labels[:2])
    digest = memory_digest(trainer.machine.memory)
    assert memory_digest(board.memory) == digest
    assert client.save()["saved"] == 1
    assert memory_digest(EmulatedBoard(board.board.image.file, board.flash).memory) == digest


def test_one_sample_a_step_is_learnt_and_what_is_written_between_steps_counts(tmp_path):
    """With a copy of the kernels in SRAM, which a patch must reach."""
    recipe = Recipe(steps=2, batch=1, momentum_shift=0, rate_shift=6, seed=5)
    board = EmulatedBoard(build_program(tmp_path, recipe))
    assert "#define CNN_LINEAR_COPY 1 " in (tmp_path / "cnn_linear_config.h").read_text()
    machine, pool = fashion.machine(), fashion.pool()
    trainer = Trainer(machine, recipe)
    client, _ = talk(board, 1, 0.25)
    patch = client.dump()
    for n in range(2):
        client.example(pool.images[n], int(pool.labels[n]), learn=True)
        trainer.train_batch(pool.images[n : n + 1], pool.labels[n : n + 1])
        assert memory_digest(board.memory) == memory_digest(machine.memory)
        client.load(patch)
        for address, words in patch.runs:
            machine.memory.write(address, words)


def test_a_forgotten_save_leaves_the_flashed_network(elf):
    board = EmulatedBoard(elf)
    client, _ = talk(board, 1, 0)
    show(client, 0)
    assert [client.save()["slot"] for _ in range(3)] == [0, 1, 0]
    client.forget()
    again = EmulatedBoard(elf, board.flash)
    assert memory_digest(again.memory) == memory_digest(fashion.machine().memory)


def test_a_program_that_reaches_into_the_slots_is_not_linked(tmp_path):
    build_program(tmp_path)
    header = tmp_path / "cnn_board_config.h"
    text = header.read_text()
    assert "#define CNN_STORE_AT 0x1007c000\n" in text
    header.write_text(text.replace("_AT 0x1007c000", "_AT 0x10010000"))
    done = subprocess.run(
        ["make", "-s", "-C", tmp_path, "arm"], capture_output=True, text=True, check=False
    )
    assert done.returncode and "the program reaches into the pages where it saves" in done.stderr
