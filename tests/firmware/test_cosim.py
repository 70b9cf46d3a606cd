"""max78k cosim: three sides train in step; a fault is found at its first word, and named."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

import networks as shipped
from firmware.cosim.compare import compare_memory, compare_outputs
from firmware.cosim.phases import PHASE_OF
from firmware.training.sources import LINEAR_SOURCES, TRAIN_SOURCES
from max78k_sim import cli
from max78k_sim.verbs import cosim_run
from max78k_sim.verbs.training_memory import kernel_copy
from tests import fashion
from trainer.recipe import Recipe

ARGUMENTS = ["cosim", *fashion.NETWORK_OPTIONS, "--steps", "3", "--batch", "2", "--new-images", "6"]
WRONG = ("CNN_TRAIN_MOMENTUM_SHIFT 3", "CNN_TRAIN_MOMENTUM_SHIFT 2")


def run(capsys, *more: str) -> tuple[int, dict]:
    """Exit code, and what the first run came to."""
    code = cli.main([*ARGUMENTS, "--json", *more])
    return code, json.loads(capsys.readouterr().out)[0]


def test_c_on_this_computer_is_the_simulation(capsys):
    code, found = run(capsys, "--no-arm")
    assert code == 0 and found["identical"] and found["steps"] == 3
    assert found["written"]["kernel"] > 0
    assert found["sides"] == ["simulation", "C on this computer"] and found["step"] is None


def test_data_of_any_network_can_be_random(capsys):
    code, found = run(capsys, "--no-arm", "--data", "random")
    assert code == 0 and found["identical"]


@pytest.mark.arm
def test_c_on_the_arm_is_the_simulation(capsys, tmp_path):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    code, found = run(capsys, "--out", str(tmp_path))
    assert code == 0 and found["identical"] and found["sides"][2] == "C on the emulated Arm"
    step, sram = found["step"], found["step"]["sram"]
    assert all(step["cycles"][phase] for phase in ("read", "forward", "gradient", "update"))
    assert step["accelerator_cycles"] == 2 * (45_709 + 340)  # as the vendor's log says, and ours
    assert abs(step["cycles_asleep"] - 2 * step["accelerator_cycles"]) < 100
    assert set(step["accesses"]) == set(step["cycles"]) and step["accesses"]["gradient"] == 0
    elf = tmp_path / "seed-1" / "arm" / "build" / "cosim.elf"
    _, sizes = subprocess.check_output(["arm-none-eabi-size", elf], text=True).splitlines()
    assert [sram["data"], sram["bss"]] == [int(each) for each in sizes.split()[1:3]]
    assert 64 < sram["stack"] < 4096


def options_of(name: str) -> list[str]:
    """A shipped network's files."""
    folder = shipped.DIRECTORY / name
    files = ("--config-file", "network.yaml"), ("--checkpoint-file", "checkpoint.pth.tar")
    return [word for option, file in files for word in (option, str(folder / file))]


# network, option, cycles of the processor for a step, at most: the step of any layers takes 180,000
ONE_SAMPLE = (
    ("fashion", "--kernel-copy", 22_500),
    ("fashion", "--no-kernel-copy", 25_500),
    ("digits", "--kernel-copy", 29_000),
    ("keywords", "--no-kernel-copy", 31_000),
    ("fashion", "--fifo", 22_500),
)


@pytest.mark.arm
@pytest.mark.parametrize(("name", "option", "most"), ONE_SAMPLE)
def test_one_sample_a_step(capsys, name, option, most):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    recipe = ("--batch", "1", "--momentum-shift", "0", "--rate-shift", "5", "--steps", "4")
    words = ["cosim", *options_of(name), "--data", "random", *recipe, option, "--json"]
    assert cli.main(words) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["identical"] and found["steps"] == 4 and found["written"]["kernel"] > 50
    assert sum(found["step"]["cycles"].values()) < most
    assert found["step"]["sram"]["total"] < 8 << 10


@pytest.mark.parametrize(("kilobytes", "held"), ((96, True), (7, False)))
def test_a_copy_of_the_kernels_is_kept_where_it_fits(kilobytes, held):
    recipe = Recipe(batch=1, momentum_shift=0)
    assert kernel_copy(fashion.program(), recipe, kilobytes) == held
    assert kernel_copy(fashion.program(), recipe, kilobytes, True)
    assert not kernel_copy(fashion.program(), recipe, kilobytes, False)
    assert not kernel_copy(fashion.program(), Recipe(), kilobytes)


@pytest.mark.arm
def test_a_wrong_constant_on_the_arm_is_found_and_named(capsys, monkeypatch):
    side = pytest.importorskip("firmware.cosim.board_side", reason="needs max78k[emulate]")
    build = side.build

    def wrong(directory, plan):
        header = directory / "cnn_train_config.h"
        assert WRONG[0] in header.read_text()
        header.write_text(header.read_text().replace(*WRONG))
        return build(directory, plan)

    monkeypatch.setattr(side, "build", wrong)
    assert cli.main(ARGUMENTS) == 1
    text = " ".join(capsys.readouterr().out.split())
    named = (
        r"DIFFERENT step [23]: fc kernel \[out \d+, in \d+\] \(in is channel \d+, row \d, column "
        r"\d\), 0x501\w{5}: C on the emulated Arm has 0x\w{8}, the simulation 0x\w{8} \("
    )
    assert re.search(named, text), text


def test_a_wrong_constant_on_this_computer_is_found(capsys, monkeypatch):
    made = cosim_run.training_step

    def wrong(*given):
        step = made(*given)
        step.constants["LOG2_E"] += 1 << 8
        return step

    monkeypatch.setattr(cosim_run, "training_step", wrong)
    code, found = run(capsys, "--no-arm")
    assert code == 1 and "C on this computer has 0x" in found["difference"]


# region, layer, kind, element, what is said of it
NAMED = (
    ("kernel", "conv2", "kernel", (3, 5, 1, 2), "conv2 kernel [out 3, in 5, row 1, column 2] (tap"),
    ("kernel", "fc", "kernel", (9, 0), "fc kernel [out 9, in 0] (in is channel 0, row 0, column"),
    ("bias", "conv1", "bias", (7,), "conv1 bias [out 7]"),
)


@pytest.mark.parametrize(("region", "layer", "kind", "index", "said"), NAMED)
def test_the_element_of_a_word_is_named(region, layer, kind, index, said):
    plan = fashion.program().plan
    ours, theirs = fashion.machine().memory, fashion.machine().memory
    address = int(plan.placement(layer, kind).address[index])
    word = int(theirs.read(address & ~3)[0])
    changed = word ^ 0x40 << 8 * (address & 3)
    theirs.write(address & ~3, [changed])
    found = compare_memory(plan, 4, "C", ours, theirs, region)
    assert found is not None and found.what.startswith(said), found
    assert (found.step, found.address, found.words) == (4, address & ~3, 1)
    assert (found.expected, found.found) == (word, changed)
    assert str(found).endswith("(1 word differs there)")
    assert compare_memory(plan, 4, "C", ours, ours, region) is None


def test_every_file_that_trains_has_a_phase():
    files = {f"{name}.c" for name in (*TRAIN_SOURCES, *LINEAR_SOURCES)}
    assert files - set(PHASE_OF) == {"cnn_train.c"}  # whose functions have


def test_an_output_is_named():
    plan = fashion.program().plan
    ours = np.arange(20).reshape(2, 10)
    theirs = ours.copy()
    theirs[1, 3] = -1
    found = compare_outputs(plan, 1, "C", ours, theirs)
    assert found is not None and found.found == 0xFFFFFFFF and found.expected == 13
    assert found.what == "fc output [channel 3] of sample 2 of the batch"
    assert compare_outputs(plan, 1, "C", ours, ours) is None


@pytest.mark.arm
def test_phases_add_up_and_callees_count_to_their_caller():
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    from firmware.board import Board
    from tests.firmware.arm import program

    board = Board(program("hello"))
    main = board.image.symbol("main")
    inside = range(main.address, main.address + main.size)
    board.cpu.phase_of = lambda address, size: int(address in inside)
    board.run()
    phases = board.cpu.phases
    assert phases[0] and phases[1] and not phases[2:].any()
    assert abs(int(phases.sum()) // 5 - board.cycles) < 2
    alone = board.cpu.hits()
    assert phases[1] > sum(fifths for at, (_, _, fifths) in alone.items() if at in inside)


def test_an_interrupt_ends_after_a_whole_step(capsys, monkeypatch):
    made = cosim_run.batches

    def interrupted(task):
        for number, batch in enumerate(made(task)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    monkeypatch.setattr(cosim_run, "batches", interrupted)
    code, found = run(capsys, "--no-arm")
    assert code == 0 and 1 <= found["steps"] <= 2 and found["identical"]


@pytest.mark.arm
def test_layers_run_again_on_the_arm(capsys, monkeypatch, tmp_path):
    """Without other offsets, fc's output lies on conv3's, which conv4 learns from."""
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    monkeypatch.setattr(cosim_run, "memory_plan", lambda *_: SimpleNamespace(changes=()))
    layers = ("--layers", "conv4,fc", "--rate-shift", "5", "--out", str(tmp_path))
    code, found = run(capsys, *layers)
    header = (tmp_path / "seed-1" / "cnn_train_config.h").read_text()
    assert "#define CNN_TRAIN_RUNS 1\n" in header
    assert code == 0 and found["identical"] and found["written"]["kernel"] > 10
    assert found["step"]["accelerator_cycles"] > 2 * (45_709 + 340)  # an inference and a part each
