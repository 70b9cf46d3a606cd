"""Phases of a training step: which function belongs to which, of the code as it was compiled.

The compiler puts functions into others, so an address is looked up in its line table: the innermost
function that is named here, or stands in a file that is, decides.  Others (addresses, arithmetic)
count to the phase that called them.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from max78k_sim.errors import InputError

if TYPE_CHECKING:
    from ..board.elf import Image

PHASES = ("other", "read", "forward", "gradient", "update", "write")
OTHER, READ, FORWARD, GRADIENT, UPDATE, WRITE = range(len(PHASES))
TRAINING = (READ, GRADIENT, UPDATE, WRITE)  # an access to the accelerator reads or writes in them
CLOCK = 100_000_000  # Hz, of the processor, that programs select
FUNCTIONS = {  # of runtime/, before the files that they stand in
    READ: ("read_logits", "load_slot", "unpack", "read_activations", "cnn_stream_read", "read_two",
           "put_slot"),
    FORWARD: ("cosim_infer", "cosim_run_to"),
    GRADIENT: ("cnn_train_learn", "cnn_train_predict", "find_rates", "cnn_linear_learn"),
    UPDATE: ("cnn_train_begin", "cnn_update_begin", "cnn_train_apply"),
    WRITE: ("store_slot", "pack"),
}  # fmt: skip
FILES = {
    READ: ("cnn_activations.c", "cnn_weights.c", "cnn_fast_read.c"),
    FORWARD: ("cnn.c",),
    GRADIENT: ("cnn_loss.c", "cnn_backward.c", "cnn_at_once.c", "cnn_blocks.c", "cnn_operands.c",
               "cnn_products.c", "cnn_weight_gradients_m4.c", "cnn_data_gradients_m4.c",
               "cnn_state.c"),
    UPDATE: ("cnn_update.c", "cnn_weight_step.c", "cnn_fast_step.c", "cnn_changes.c",
             "cnn_narrow_step.c", "cnn_linear.c"),
    WRITE: ("cnn_stream.c",),
    OTHER: ("cnn_cosim.c",),
}  # fmt: skip
PHASE_OF = {name: phase for rows in (FUNCTIONS, FILES) for phase in rows for name in rows[phase]}
ADDR2LINE = "arm-none-eabi-addr2line"
HALFWORD = 2


@dataclass(frozen=True)
class Spent:
    """What something took: ``cycles`` and ``accesses`` to the accelerator are [phase].

    ``waiting``: processor cycles asleep, or at the entry and end of interrupts; ``accelerator``:
    cycles of its own clock.
    """

    cycles: np.ndarray
    accesses: np.ndarray
    waiting: int
    accelerator: int
    instructions: int

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.cycles - other.cycles,
            self.accesses - other.accesses,
            self.waiting - other.waiting,
            self.accelerator - other.accelerator,
            self.instructions - other.instructions,
        )


@dataclass(frozen=True)
class Sram:
    """Bytes: of variables with and without initial values, and of the stack at its deepest."""

    data: int
    bss: int
    stack: int

    @property
    def total(self) -> int:
        """What the program needs."""
        return self.data + self.bss + self.stack


def phase_of_blocks(image: Image) -> Callable[[int, int], int]:
    """A function (address, bytes) -> phase + 1 of a block of code, 0 where nothing decides.

    A block belongs to the phase that most of it belongs to.  Numbers start at 1 because 0 stands
    for the phase before (``Cpu.phase_of``).
    """
    phases = {}
    for address, around in functions_around(image):
        names = (name for pair in around for name in pair)
        known = next((name for name in names if name in PHASE_OF), None)
        if known is not None:
            phases[address] = PHASE_OF[known]

    def phase_of(address: int, size: int) -> int:
        places = range(address, address + size, HALFWORD)
        votes = Counter(phases[place] for place in places if place in phases)
        return votes.most_common(1)[0][0] + 1 if votes else 0

    return phase_of


def functions_around(image: Image) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Each address of code, and functions and files that it stands in, the innermost first."""
    asked = "".join(
        f"0x{address:x}\n"
        for function in image.functions
        for address in range(function.address, function.address + function.size, HALFWORD)
    )
    lines = answers(image.file, asked).splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("0x")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        files = (Path(line.partition(":")[0]).name for line in lines[start + 2 : end : 2])
        yield int(lines[start], 16), list(zip(lines[start + 1 : end : 2], files, strict=True))


def answers(elf: Path, asked: str) -> str:
    """What addr2line says: of each address itself, then a function and a line of each level."""
    command = [ADDR2LINE, "--exe", str(elf), "--functions", "--inlines", "--addresses"]
    try:
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(f"no {ADDR2LINE}; install gcc-arm-none-eabi") from None
    return done.stdout
