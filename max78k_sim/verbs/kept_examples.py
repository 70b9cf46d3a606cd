"""Examples that a board keeps and learns again (--replay): how many, and what it then shows."""

from __future__ import annotations

from argparse import Namespace

from firmware.protocol.program import PLACE_BYTES, Replay
from trainer.learning.buffer import DRAW_SALT, rehearsal
from trainer.learning.replay import REPLAY_SALT
from trainer.loop import Pool
from trainer.recipe import Recipe
from trainer.schedule import Order, schedule_of

from ..errors import InputError
from ..program import Program
from .training_memory import bytes_taken, kernel_copy

# Of the program that talks, beside its training step and its sample: the protocol's 2.4 KB, and
# what every program has (vectors, the C library's streams).
PROGRAM_BYTES = 4_800


def replay_from(options: Namespace, program: Program, recipe: Recipe) -> Replay:
    """What the board keeps of examples; InputError where that does not fit beside the training."""
    balanced = options.replay_policy == "balanced"
    replay = Replay(options.replay, options.replay_bits, balanced, REPLAY_SALT, DRAW_SALT)
    if options.replay:
        if options.new_share is not None:
            raise InputError(
                f"--new-share {options.new_share}: with --replay the first example of each batch "
                "is new and the others are kept ones; leave it out"
            )
        require_room(options, program, recipe, replay)
    return replay


def require_room(options: Namespace, program: Program, recipe: Recipe, replay: Replay) -> None:
    """InputError where kept examples do not fit beside the training step, with how many would."""
    copy = kernel_copy(program, recipe, options.sram, options.kernel_copy)
    size, room = replay.example_bytes(program), replay.room(program)
    taken, each = program_bytes(program, recipe, copy, size), size + PLACE_BYTES
    if taken + room * each > options.sram << 10:
        most = max((options.sram << 10) - taken, 0) // each
        raise InputError(
            f"--replay {replay.bytes}: {room} examples of {each} bytes and {taken:,} bytes of the "
            f"training step and the program are more than {options.sram} KB of SRAM (--sram); "
            + (f"--replay {most * size} would fit" if most else "not one example would fit")
        )


def program_bytes(program: Program, recipe: Recipe, copy: bool, sample: int) -> int:
    """SRAM of all but the kept examples, the stack included; ``sample``: bytes of one."""
    return sum(bytes_taken(program, recipe, copy).values()) + PROGRAM_BYTES + sample


def shown(options: Namespace, program: Program, recipe: Recipe, pool: Pool) -> tuple[Pool, Order]:
    """A pool and the order in which it is shown: the recipe's, or with --replay the board's."""
    if not options.replay:
        return pool, schedule_of(pool, recipe)
    replay = replay_from(options, program, recipe)
    return rehearsal(pool, recipe, replay.room(program), options.replay_bits, options.replay_policy)
