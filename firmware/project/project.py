"""A whole C project of a network: the vendor's functions, the sample, and known-answer tests.

``cnn.c``, ``cnn.h`` and ``softmax.c`` are the same for every network (``runtime/project/``); their
tables are made here, ``main.c`` in ``main.py``; ``tables.py`` computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from max78k_sim.device import WORD
from max78k_sim.errors import InputError
from max78k_sim.machine import check_sample
from max78k_sim.program import Program

from ..memories import FLASH
from ..size import ADVICE
from ..text import comment, fill, identifier, number, number_lines
from . import tables
from .main import main_source, sample_source

BOARDS = ("EvKit_V1", "FTHR_RevA")
TIMERS = 4
DIVIDERS = (1, 2, 4, 8, 16)
POWER = ("ON", "MEMORY", "ISOLATE", "RESET")  # registers of the power region, in order


@dataclass(frozen=True)
class Choices:
    """What a user chooses of a project; names are those of the vendor's switches.

    ``sample``: integers [channel, row, column], None for a made-up one; ``sample_name``: where it
    comes from; ``boost``: port and pin; ``train``: main.c also calls train_check().
    """

    prefix: str
    board_name: str = "EvKit_V1"
    sample: np.ndarray | None = None
    sample_name: str = ""
    softmax: bool = False
    timer: int | None = None
    mexpress: bool = True
    compact_data: bool = True
    kat: bool = True
    max_verify_length: int | None = None
    energy: bool = False
    forever: bool = False
    wfi: bool = True
    boost: tuple[int, int] | None = None
    clock_divider: int = 1
    debugwait: int = 2
    train: bool = False

    def __post_init__(self):
        for name, value, legal in (
            ("--timer", self.timer, (None, *range(TIMERS))),
            ("--clock-divider", self.clock_divider, DIVIDERS),
        ):
            if value not in legal:
                numbers = ", ".join(str(number) for number in legal if number is not None)
                raise InputError(f"{name} {value}: one of {numbers}")
        if self.debugwait < 0:
            raise InputError(f"--debugwait {self.debugwait}: seconds, 0 or more")
        if not identifier(self.board_name) == self.board_name:
            raise InputError(f"--board-name {self.board_name!r}: for example {', '.join(BOARDS)}")
        if self.boost is not None and not (self.boost[0] <= 3 and self.boost[1] <= 7):
            raise InputError("--boost: ports 0 to 3, pins 0 to 7; for example 2.5")
        if self.max_verify_length is not None and self.max_verify_length < 1:
            raise InputError(
                f"--max-verify-length {self.max_verify_length}: words, at least 1; without a test: "
                "--no-kat"
            )
        if not identifier(self.prefix).strip("_"):
            raise InputError(f"--prefix {self.prefix!r}: letters or digits, for example digits")

    def packed_in(self, stage: str) -> bool:
        """Whether kernel memory takes packed streams: while loaded, but not where training writes
        kernels by their words.
        """
        return self.mexpress and (stage == "init" or not self.train)


@dataclass(frozen=True)
class Project:
    """The generated files by name, and what the log says of them."""

    files: dict[str, str]
    sample: np.ndarray = field(repr=False)  # int8 [channel, row, column]
    outputs: np.ndarray = field(repr=False)  # [channel, row, column]
    checked: int  # words that the known-answer test compares
    words: int  # that hold the last layer's output
    flash: int  # bytes of the tables

    @property
    def warnings(self) -> list[str]:
        """What keeps the project from fitting the chip, as far as its tables tell."""
        most = FLASH.size
        if self.flash <= most:
            return []
        return [
            f"weights, sample and known answer take {self.flash:,} bytes of flash, of which the "
            f"chip has {most:,}: this project runs on a computer only; {ADVICE[FLASH.name]}"
        ]


def make_project(program: Program, choices: Choices) -> Project:
    """Every generated file of a project; InputError for a sample that does not fit."""
    plan = program.plan
    given = tables.made_up_sample(program) if choices.sample is None else choices.sample
    sample = check_sample(given, plan.network.input_shape)
    outputs, answer = tables.answer(program, sample)
    words = sum(len(run.words) for run in answer)
    if choices.max_verify_length is not None:
        answer = tables.first_words(answer, choices.max_verify_length)
    files = {
        "project.mk": fill(
            "project.mk.in", name=identifier(choices.prefix), board=choices.board_name
        ),
        "cnn_network.h": network_header(program, choices),
        "cnn_writes.h": writes_header(program, choices),
        "weights.h": weights_header(program, choices),
        "sampledata.h": sample_header(program, sample, choices),
        "main.c": main_source(program, sample, choices, sum(len(run.words) for run in answer)),
    }
    if choices.kat:
        files["sampleoutput.h"] = answer_header(program, answer)
    checked = sum(len(run.words) for run in answer) if choices.kat else 0
    tabled = checked + sum(len(words) for words in sample_arrays(program, sample))
    tabled += sum(len(words) for _, words in tables.kernel_runs(program, choices.mexpress))
    return Project(files, sample, outputs, checked, words, WORD * tabled)


# --- headers


def network_header(program: Program, choices: Choices) -> str:
    """cnn_network.h."""
    plan, device = program.plan, program.device
    place, last = tables.output_placement(program), plan.network.layers[-1]
    control = device.global_registers[0]
    power = (
        f"#define CNN_POWER_{name} {number(device.address('power register', entry=entry))}\n"
        for entry, name in enumerate(POWER)
    )
    quadrants = [device.address("quadrant register", group) for group in plan.groups]
    timer = f"\n/* Times each inference. */\n#define CNN_INFERENCE_TIMER MXC_TMR{choices.timer}\n"
    return fill(
        "cnn_network.h.in",
        network=comment(plan.network.name),
        device=device.name,
        output_layer=comment(last.name),
        channels=last.out_channels,
        rows=place.shape[1],
        columns=place.shape[2],
        outputs=place.address.size,
        bits=place.bits,
        row_step=tables.step_of(place, 1),
        column_step=tables.step_of(place, 2),
        timer="" if choices.timer is None else timer,
        packed=int(choices.mexpress),
        kernel_stride=f"{device.region('kernel').unit_stride:x}",
        quadrants=", ".join(map(number, quadrants)),
        master=number(quadrants[0]),
        enable=number(control.encode({"enable": 1})),
        interrupt=number(control.encode({"interrupt": 1})),
        power="".join(power),
    )


def writes_header(program: Program, choices: Choices) -> str:
    """cnn_writes.h."""
    stages = {
        stage: "".join(
            f"    {{{number(row.address)}, {number(row.value)}}}, /* {comment(row.note)} */\n"
            for row in tables.register_writes(program, stage, choices.packed_in(stage))
        )
        for stage in ("init", "configure", "start")
    }
    channels = tables.channel_addresses(tables.output_placement(program))
    name = comment(program.plan.network.name)
    return fill("cnn_writes.h.in", network=name, channels=number_lines(channels), **stages)


def weights_header(program: Program, choices: Choices) -> str:
    """weights.h: KERNELS and BIASES."""
    kernels = [
        value
        for address, words in tables.kernel_runs(program, choices.mexpress)
        for value in (address, len(words), *words.tolist())
    ]
    biases = [
        value
        for address, count, words in tables.bias_runs(program)
        for value in (address, count, *words.tolist())
    ]
    form = "packed streams" if choices.mexpress else "as words"
    text = [
        f"/* Kernels, {form}: address, words, ...; ends with 0. */\n",
        macro("KERNELS", [*kernels, 0]),
        "\n/* Biases: address, bytes, four of them to a word; ends with 0. */\n",
        macro("BIASES", [*biases, 0]),
    ]
    title = f"Weights of network {comment(program.plan.network.name)}."
    return fill("runs.h.in", title=title, guard="WEIGHTS_H", text="".join(text))


def sample_header(program: Program, sample: np.ndarray, choices: Choices) -> str:
    """sampledata.h: an array for each FIFO or run of words."""
    arrays = [
        macro(f"SAMPLE_INPUT_{n}", words) for n, words in enumerate(sample_arrays(program, sample))
    ]
    shape = " x ".join(map(str, sample.shape))
    title = f"Input of the known-answer test, {shape}: {sample_source(choices)}."
    text = "\n".join(arrays)
    return fill("runs.h.in", title=title, guard="SAMPLEDATA_H", text=text)


def sample_arrays(program: Program, sample: np.ndarray) -> list[np.ndarray]:
    """The words of each FIFO, or of each run in data memory."""
    if program.plan.network.fifo:
        return [fifo.words for fifo in tables.input_fifos(program, sample)]
    return [words for _, words in tables.input_runs(program, sample)]


def answer_header(program: Program, answer: Sequence[tables.CheckedRun]) -> str:
    """sampleoutput.h, in the vendor's form: address, mask, count, words; ends with 0."""
    values = [
        value
        for run in answer
        for value in (run.address, run.mask, len(run.words), *run.words.tolist())
    ]
    last = comment(program.plan.network.layers[-1].name)
    title = f"Expected output of layer {last}: address, mask, count, words, ...; ends with 0."
    text = macro("SAMPLE_OUTPUT", [*values, 0])
    return fill("runs.h.in", title=title, guard="SAMPLEOUTPUT_H", text=text)


def macro(name: str, values: Iterable[int]) -> str:
    """An initialiser as a macro, eight numbers to a line."""
    lines = number_lines(values, ending=" \\", suffix="")
    return f"#define {name} {{ \\\n{lines}}}\n"
