"""Kernels of firmware/runtime on the emulated board: run, compared, counted by phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import unicorn

from firmware.board import Board
from firmware.board.cycles import FIFTHS
from firmware.memories import SRAM
from firmware.training.sources import LINEAR_SOURCES
from tests.conftest import ROOT
from tests.firmware.arm import program
from tests.firmware.linear_case import LinearCase
from tests.firmware.product_shapes import Shape, expected_data, expected_weights, numbers

RUNTIME = ROOT / "firmware" / "runtime"
PRODUCTS = tuple(RUNTIME / f"cnn_{of}_gradients_m4.c" for of in ("weight", "data"))
ERROR_BITS = 9  # so that no sum wraps
MOST_STEPS = 64  # of programs/linear.c
PRODUCT_PHASES = {  # of functions: what runs until the next of them begins
    "cnn_weight_gradients": "arrange",
    "cnn_data_gradients": "arrange",
    "arrange_errors": "arrange",
    "arrange_data": "arrange",
    "arrange_halves": "arrange",
    "arrange_weights": "arrange",
    "channel_gradients": "products",
    "row_sums": "products",
    "finished": "",
}
LINEAR_PHASES = {
    "cnn_train_begin": "activations",
    "find_rates": "soft-max, error",
    "cnn_train_apply": "packed mode",
    "take_packed": "packed mode",
    "cnn_stream_read": "read kernels",
    "step_processor": "update",
    "cnn_stream_write": "write kernels",
    "step_biases": "biases",
    "finished": "",
}
WHOLE_STEP = {"cnn_train_begin": "all", "finished": ""}


@dataclass
class Counted:
    """Cycles, accesses to the accelerator, and unaligned ones to SRAM, by phase."""

    cycles: Counter[str] = field(default_factory=Counter)
    accesses: Counter[str] = field(default_factory=Counter)
    unaligned: Counter[str] = field(default_factory=Counter)
    phase: str = ""


def counting(board: Board, phases: Mapping[str, str], unaligned: bool = False) -> Counted:
    """Count from the first of these functions to the one whose phase is "", again and again.

    ``unaligned`` accesses only where results are compared: unicorn's hooks on memory lose track of
    conditional instructions.
    """
    counted, names = Counted(), list(dict.fromkeys(phases.values()))
    found = {  # the compiler may have made a function of its own
        each.address: phases[name]
        for each in board.image.functions
        if (name := each.name.partition(".")[0]) in phases
    }
    inside = {
        each.address + n: names.index(found[each.address]) + 1
        for each in board.image.functions
        if each.address in found
        for n in range(0, each.size, 2)
    }
    board.cpu.phase_of = lambda address, size: inside.get(address, 0)
    before = np.zeros_like(board.cpu.phases)

    def entering(phase: str) -> Callable[[Board], None]:
        def enter(board: Board) -> None:
            if not phase:
                spent = (board.cpu.phases - before) // FIFTHS
                counted.cycles.update(
                    {name: int(spent[n]) for n, name in enumerate(names, 1) if name and spent[n]}
                )
            elif not counted.phase:
                if phase != names[0]:
                    return
                before[:] = board.cpu.phases
            counted.phase = phase

        return enter

    for address, phase in found.items():
        board.on(address, entering(phase))
    first, size = board.accelerator.base, board.accelerator.size

    def watch(kind: str, address: int, width: int, value: int) -> None:
        if counted.phase and first <= address < first + size:
            counted.accesses[counted.phase] += 1

    def on_sram(engine, kind: int, address: int, width: int, value: int, _) -> None:
        if counted.phase and address % width:
            counted.unaligned[counted.phase] += 1

    board.devices.watch = watch
    accesses = unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
    if unaligned:
        board.cpu.engine.hook_add(accesses, on_sram, begin=SRAM.base, end=SRAM.end)
    return counted


def put(board: Board, name: str, values, place: int = 0) -> None:
    """Store numbers in a variable of the program."""
    address, data = board.symbol(name) + place, bytes(values)
    board.memory[address : address + len(data)] = data


def products_program() -> Path:
    """The ELF of programs/products.c."""
    return program("products", "-I", str(RUNTIME), *map(str, PRODUCTS))


def run_products(shape: Shape, of_weights: bool) -> Counted:
    """Gradients of weights, or of data, on the board; AssertionError where the engine differs."""
    error, data, weights = numbers(shape, 1, ERROR_BITS)
    board = Board(products_program())
    counted = counting(board, PRODUCT_PHASES)
    values = data if of_weights else weights

    def start(board: Board) -> None:
        put(board, "how", shape.as_c())
        put(board, "count", np.uint32(shape.outputs if of_weights else 0).tobytes())
        put(board, "error", error.tobytes())
        put(board, "data", values.tobytes())

    board.on("main", start)
    assert board.run(seconds=10).verdict == "pass"
    expected = (expected_weights if of_weights else expected_data)(shape, error, values)
    assert expected.nbytes <= len(board["sums"]), shape
    found = board.array("sums", "int32")[: expected.size].reshape(expected.shape)
    assert np.array_equal(found, expected), shape
    return counted


def run_linear(
    case: LinearCase, directory: Path, copy: bool, steps: int, phases: bool = False
) -> Counted:
    """Steps of a linear layer on the board; AssertionError where the trainer's memory differs.

    What is counted is all steps together; ``phases``: built so that each is a function, which
    takes some cycles more; without, all cycles are the first phase's.
    """
    case.files(directory, copy)
    sources = [str(directory / f"{name}.c") for name in LINEAR_SOURCES]
    folders = ["-I", str(directory)]
    if phases:
        folders.append("-DCNN_PHASE=CNN_APART")
    board = Board(program("linear", *folders, *sources))
    counted = counting(board, LINEAR_PHASES if phases else WHOLE_STEP, True)
    chip, model = board.accelerator.bus.machine.memory, case.machine.memory
    done = []

    def begin(board: Board) -> None:
        for region in ("kernel", "bias"):
            chip.arrays[region][:] = model.arrays[region]
            chip.versions[region] += 1
        put(board, "steps", np.uint32(steps).tobytes())

    def show(board: Board) -> None:
        label = case.show(model)
        chip.arrays["data"][:] = model.arrays["data"]
        chip.versions["data"] += 1
        put(board, "labels", np.uint32(label).tobytes(), 4 * len(done))
        case.learn(label)

    def compare(board: Board) -> None:
        for region in ("kernel", "bias"):
            assert np.array_equal(chip.arrays[region], model.arrays[region]), (region, len(done))
        done.append(True)

    board.on("begin", begin)
    board.on("show", show)
    board.on("finished", compare)
    result = board.run(seconds=10)
    assert result.verdict == "pass" and len(done) == steps <= MOST_STEPS
    return counted
