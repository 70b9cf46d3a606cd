"""Co-simulation: builds the sides, lets them train in step, and adds up what a step took."""

from __future__ import annotations

import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firmware.cosim.compare import Batches, Difference, HostSide, Side, lockstep
from firmware.cosim.host import HostTrainer, compile_library
from firmware.cosim.phases import CLOCK, PHASES, Sram
from firmware.generate import generate
from firmware.project.project import Choices, make_project
from trainer.data.datasets import load_for
from trainer.loop import Pool, Trainer, memory_digest
from trainer.recipe import Recipe
from trainer.schedule import schedule_of
from trainer.step_cost import ACCELERATOR_WATTS, PROCESSOR_WATTS

from ..latency import ACCELERATOR_HERTZ
from ..machine import Machine
from ..network import Network
from ..program import Program, compile_network
from .common import new_class_from, pool_from
from .training import exponents_of, training_step
from .training_memory import kernel_copy, memory_plan

if TYPE_CHECKING:
    from firmware.cosim.board_side import BoardSide

RANDOM_SAMPLES = 256
OWN_PROGRAM = ("main.c", "sampledata.h")  # of a project; cnn_cosim.c takes their place


@dataclass(frozen=True)
class Task:
    """What is trained, and on which sides; ``copy``: of the kernels in SRAM, where C can."""

    program: Program
    recipe: Recipe
    pool: Pool
    arm: bool
    copy: bool = True

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self.program.plan.network


@dataclass(frozen=True)
class Cost:
    """A step on the board, on average: cycles and accesses by phase, asleep, of the accelerator."""

    cycles: tuple[int, ...]  # [phase], of the processor
    accesses: tuple[int, ...]  # [phase], to the accelerator
    waiting: int
    accelerator: int  # cycles of its own clock
    samples: int
    sram: Sram
    rate: float  # steps a second of processor time here, of the emulated side alone
    mips: float

    def processor(self, waits: int) -> int:
        """Cycles in which the processor works."""
        return sum(self.cycles) + waits * sum(self.accesses)

    @property
    def formula(self) -> str:
        """Those, in the waits."""
        return f"{sum(self.cycles):,} + {sum(self.accesses):,} w cycles"

    @staticmethod
    def milliseconds(cycles: float) -> float:
        """Of the processor's clock."""
        return cycles / CLOCK * 1e3

    def total_milliseconds(self, waits: int) -> float:
        """Work and sleep."""
        return self.milliseconds(self.processor(waits) + self.waiting)

    def millijoules(self, waits: int) -> float:
        """Estimate with published powers; a sleeping processor is taken to need nothing."""
        accelerator = ACCELERATOR_WATTS * self.accelerator / ACCELERATOR_HERTZ
        return (PROCESSOR_WATTS * self.processor(waits) / CLOCK + accelerator) * 1e3

    @property
    def constants(self) -> str:
        """Of the estimate."""
        return (
            f"{PROCESSOR_WATTS * 1e3:.1f} mW while the processor works, "
            f"{ACCELERATOR_WATTS * 1e3:.1f} mW while the accelerator does (published for this "
            "chip; the second +-30 %)"
        )

    @property
    def summary(self) -> dict[str, Any]:
        """Every number."""
        return {
            "cycles": dict(zip(PHASES, self.cycles, strict=True)),
            "accesses": dict(zip(PHASES, self.accesses, strict=True)),
            "cycles_asleep": self.waiting,
            "accelerator_cycles": self.accelerator,
            "milliseconds": [round(self.total_milliseconds(waits), 4) for waits in (0, 1)],
            "millijoules": [round(self.millijoules(waits), 4) for waits in (0, 1)],
            "sram": asdict(self.sram) | {"total": self.sram.total},
            "steps_a_second": round(self.rate, 2),
            "mips": round(self.mips, 1),
        }


@dataclass(frozen=True)
class Outcome:
    """One run: ``steps`` that were compared, and where the first difference is."""

    task: Task
    layers: tuple[str, ...]
    sides: tuple[str, ...]
    steps: int
    difference: Difference | None
    digest: str
    written: dict[str, int]  # kernel words and bias bytes, by memory
    cost: Cost | None
    warnings: tuple[str, ...]  # of the emulated board

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Every number."""
        return {
            "network": self.task.network.name,
            "layers": self.layers,
            "seed": self.task.recipe.seed,
            "batch": self.task.recipe.batch,
            "steps": self.steps,
            "sides": self.sides,
            "identical": self.difference is None,
            "difference": None if self.difference is None else str(self.difference),
            "sha256": self.digest,
            "written": self.written,
            "step": None if self.cost is None else self.cost.summary,
        }


class Simulation:
    """The Side that the others are compared with."""

    name = "simulation"

    def __init__(self, trainer: Trainer):
        self.trainer, self.memory = trainer, trainer.machine.memory

    def step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch."""
        maps = self.trainer.maps(images)
        self.trainer.learn(maps, labels)
        last = self.trainer.network.layers[-1].index
        return maps[last].reshape(len(images), -1).astype(np.int64)


class Stopwatch:
    """The emulated side, and the processor time that its steps took in all."""

    def __init__(self, side: BoardSide):
        self.side, self.name, self.memory, self.seconds = side, side.name, side.memory, 0.0

    def step(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One batch."""
        before = time.process_time()
        outputs = self.side.step(images, labels)
        self.seconds += time.process_time() - before
        return outputs


# --- what is run


def prepare(options: Namespace, program: Program, recipe: Recipe) -> Task:
    """The task that options describe; outputs lie elsewhere where the way back needs them."""
    memory = memory_plan(program, recipe, options.sram, options.kernel_copy)
    if memory.changes:
        program = compile_network(memory.plan.network)
    copy = kernel_copy(program, recipe, options.sram, options.kernel_copy)
    network = program.plan.network
    classes = network.output_shape[0]
    if options.data == "random":
        random = np.random.default_rng(recipe.seed)
        images = random.integers(-128, 128, (RANDOM_SAMPLES, *network.input_shape)).astype(np.int8)
        labels = random.integers(classes, size=RANDOM_SAMPLES)
        return Task(program, recipe, Pool(images, labels, RANDOM_SAMPLES // 2), options.arm, copy)
    new_class = new_class_from(options, network)
    pool = pool_from(options, load_for(network, options.data, "train"), new_class)
    return Task(program, recipe, pool, options.arm, copy)


def run(task: Task, directory: Path, done: Callable[[int], object]) -> Outcome:
    """Generate, compile, and train on every side; ``done`` is called with the steps so far."""
    trainer = Trainer(loaded(task), task.recipe)
    if not trainer.scales:
        trainer.choose_scales(*next(batches(task)))
    step = training_step(task.program, task.recipe, exponents_of(trainer), task.copy)
    generate(task.program.plan, directory, step, project=project_files(task.program))
    machine = loaded(task)
    host = HostTrainer(compile_library(directory), machine.memory, task.recipe.seed)
    sides: list[Side] = [Simulation(trainer), HostSide(machine, host)]
    board = board_side(task, directory) if task.arm else None
    if board is not None:
        sides.append(board)
    steps, difference = 0, None
    with until_interrupted(batches(task)) as shown:
        for found in lockstep(task.program.plan, sides, shown):
            steps, difference = steps + 1, found
            done(steps)
    if not steps:
        raise KeyboardInterrupt
    return Outcome(
        task,
        tuple(task.network.layers[index].name for index in trainer.backward.trained),
        tuple(side.name for side in sides),
        steps,
        difference,
        memory_digest(trainer.machine.memory),
        trainer.slots_written,
        None if board is None else cost(task, board, steps),
        () if board is None else tuple(board.side.warnings),
    )


def project_files(program: Program) -> dict[str, str]:
    """A whole project's, but for its own program."""
    files = make_project(program, Choices(prefix="cosim", kat=False, train=True)).files
    return {name: text for name, text in files.items() if name not in OWN_PROGRAM}


def board_side(task: Task, directory: Path) -> Stopwatch:
    """The emulated board; only here, what it needs is imported."""
    from firmware.cosim.board_side import BoardSide, build

    plan = task.program.plan
    return Stopwatch(BoardSide(build(directory, plan), plan))


def cost(task: Task, board: Stopwatch, steps: int) -> Cost:
    """Of a step, on average."""
    spent, seconds = board.side.spent() - board.side.loaded, max(board.seconds, 1e-9)
    return Cost(
        tuple(round(each / steps) for each in spent.cycles.tolist()),
        tuple(round(each / steps) for each in spent.accesses.tolist()),
        round(spent.waiting / steps),
        round(spent.accelerator / steps),
        task.recipe.batch,
        board.side.sram,
        steps / seconds,
        spent.instructions / seconds / 1e6,
    )


def loaded(task: Task) -> Machine:
    """A chip with the network in it."""
    machine = Machine(task.program.device)
    machine.load(task.program)
    return machine


@contextmanager
def until_interrupted(shown: Batches) -> Iterator[Batches]:
    """Batches up to Ctrl-C: the step that is being done is finished, and what was found is told."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield takewhile(lambda _: not asked, shown)
    finally:
        signal.signal(signal.SIGINT, before)


def batches(task: Task) -> Batches:
    """What ``max78k train`` shows, in its order."""
    pool, recipe = task.pool, task.recipe
    schedule = schedule_of(pool, recipe)
    for step in range(recipe.steps):
        chosen = schedule.batch_at(step)
        yield pool.images[chosen], pool.labels[chosen]
