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

PROTOCOL_BYTES = 2_400  # of the program that talks, but for its sample (docs/protocol.md)


def replay_from(options: Namespace, program: Program, recipe: Recipe) -> Replay:
    """What the board keeps of examples; InputError where that does not fit beside the training."""
    balanced = options.replay_policy == "balanced"
    replay = Replay(options.replay, options.replay_bits, balanced, REPLAY_SALT, DRAW_SALT)
    if options.replay:
        require_room(options, program, recipe, replay)
    return replay


def require_room(options: Namespace, program: Program, recipe: Recipe, replay: Replay) -> None:
    """InputError where kept examples do not fit beside the training step, with how many would."""
    copy = kernel_copy(program, recipe, options.sram, options.kernel_copy)
    size = replay.example_bytes(program)
    taken = sum(bytes_taken(program, recipe, copy).values()) + PROTOCOL_BYTES + size
    each = size + PLACE_BYTES
    room = replay.room(program)
    if taken + room * each > options.sram << 10:
        most = max((options.sram << 10) - taken, 0) // each
        raise InputError(
            f"--replay {replay.bytes}: {room} examples of {each} bytes and {taken:,} bytes of the "
            f"training step and the program are more than {options.sram} KB of SRAM (--sram); "
            + (f"--replay {most * size} would fit" if most else "not one example would fit")
        )


def shown(options: Namespace, program: Program, recipe: Recipe, pool: Pool) -> tuple[Pool, Order]:
    """A pool and the order in which it is shown: the recipe's, or with --replay the board's."""
    if not options.replay:
        return pool, schedule_of(pool, recipe)
    replay = replay_from(options, program, recipe)
    return rehearsal(pool, recipe, replay.room(program), options.replay_bits, options.replay_policy)
