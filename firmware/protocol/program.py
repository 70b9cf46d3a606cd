"""The board's program that talks, learns and remembers: its files beside those of ``generate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from max78k_sim.device import WORD
from max78k_sim.errors import HardwareLimit, InputError, NotEmulated
from max78k_sim.program import Program

from ..memories import FLASH, FLASH_LINE, FLASH_PAGE
from ..text import fill, prefixes
from .header import protocol_header
from .identity import KERNEL_BYTES, network_digest, sample_runs, trained_runs

RUNTIME = (
    *("cnn_crc.h", "cnn_crc.c", "cnn_entropy.h", "cnn_entropy.c", "cnn_protocol_port.h"),
    *("cnn_protocol.c", "cnn_application.c", "cnn_flash.h", "cnn_flash.c"),
    *("cnn_store.h", "cnn_store.c", "cnn_replay.h", "cnn_replay.c"),
    *("cnn_serial.h", "cnn_serial.c", "main.c"),
)
PROTOCOL = {name: f"runtime/protocol/{name}" for name in RUNTIME}  # what is copied, from where
CODE_BYTES = 48 << 10  # that a program without its kernels takes at least: code, tables
SLOTS = 2
LOGIT_BITS, NARROW_BITS = 14, 7  # fraction bits of a 32-bit output, less its shift; of 8 bits
WIDE = 32
LABEL_BYTES = 2
PLACE_BYTES = 2  # of a kept example, beside it and its label: its place in the policy's list
LAST_LAYER = 2  # quadrant register that holds the number of the last layer


@dataclass(frozen=True)
class Store:
    """Where in flash two slots lie: ``first`` is an address, ``pages`` of one slot."""

    first: int
    pages: int
    content: int  # bytes that are kept


@dataclass(frozen=True)
class Replay:
    """What the program keeps of examples: ``bytes`` for them, ``bits`` (8 or 4) a value.

    ``balanced``: whether as many of each class as possible stay, else any example of the stream;
    the salts keep the draws of the policy and of examples apart from the others (the trainer's).
    """

    bytes: int
    bits: int
    balanced: bool
    policy_salt: int
    draw_salt: int

    def example_bytes(self, program: Program) -> int:
        """That one takes, with its label."""
        words = sum(words for _, words in sample_runs(program.plan))
        return WORD * words * self.bits // 8 + LABEL_BYTES

    def room(self, program: Program) -> int:
        """How many are kept; InputError where not one is."""
        size = self.example_bytes(program)
        if self.bytes < size:
            raise InputError(
                f"--replay {self.bytes}: one example takes {size:,} bytes ({self.bits} bits a "
                "value, and its label); give at least as many"
            )
        return self.bytes // size


NOTHING = Replay(0, 8, True, 0, 0)


def place_store(program: Program, trained: Sequence[int]) -> Store:
    """The store at the end of the flash; HardwareLimit where program and slots do not fit."""
    content = sum(run.bytes for run in trained_runs(program.plan, trained))
    pages = -(-(FLASH_LINE + content) // FLASH_PAGE)
    weights = sum(len(w.words) for w in program.writes if w.stage == "weights") // 4 * KERNEL_BYTES
    wanted = SLOTS * pages * FLASH_PAGE + weights + CODE_BYTES
    if wanted > FLASH.size:
        names = ", ".join(program.plan.network.layers[n].name for n in trained)
        raise HardwareLimit(
            f"saving {names}: two slots of {pages * FLASH_PAGE:,} B ({content:,} B of kernels and "
            f"biases in pages of {FLASH_PAGE:,}), {weights:,} B of flashed kernels and at least "
            f"{CODE_BYTES:,} B of code are {wanted:,} B; the flash has {FLASH.size:,}. Train fewer "
            "layers, or generate without --save"
        )
    return Store(FLASH.end - SLOTS * pages * FLASH_PAGE, pages, content)


def protocol_files(
    program: Program,
    trained: Sequence[str],
    *,
    seed: int,
    batch: int,
    saves: bool,
    replay: Replay = NOTHING,
) -> dict[str, str]:
    """Names and texts of the generated files, beside PROTOCOL.

    ``trained``: names of layers, none for a board that does not train; ``batch``: most examples of
    a step.  Raises NotEmulated for a network that gives no class, HardwareLimit for kernels that do
    not fit twice into the flash, and InputError for a replay that holds nothing.
    """
    return {
        "cnn_protocol.h": protocol_header(),
        "cnn_board_config.h": board_config(program, trained, seed, batch, saves, replay),
    }


def board_config(
    program: Program,
    trained: Sequence[str],
    seed: int,
    batch: int,
    saves: bool,
    replay: Replay,
) -> str:
    """cnn_board_config.h."""
    plan, last = program.plan, program.plan.network.layers[-1]
    if tuple(last.out_size) != (1, 1):
        rows, columns = last.out_size
        raise NotEmulated(
            f"{last.name} gives {rows}x{columns} positions: a board that answers with one class"
        )
    indices = sorted(plan.network.layer(name).index for name in trained)
    store = place_store(program, indices) if saves else Store(FLASH.end, 0, 0)
    runs = trained_runs(plan, indices) if saves else ()
    samples = sample_runs(plan)
    wide = last.output_bits == WIDE
    return fill(
        "cnn_board_config.h.in",
        network=plan.network.name,
        name=plan.network.name.replace("\\", "").replace('"', "'"),
        digest=", ".join(f"0x{byte:02x}" for byte in network_digest(program)),
        classes=last.out_channels,
        scores=f"{prefixes(plan)[last.name]}_output",
        wide=int(wide),
        fraction=LOGIT_BITS - last.output_shift if wide else NARROW_BITS,
        packed=f"{plan.device.global_registers[0].encode({'packed_kernels': 1}):08x}",
        last=last.index,
        last_at=LAST_LAYER * WORD,
        trains=int(bool(trained)),
        trained=f"{sum(1 << index for index in indices):08x}",
        batch=batch if trained else 0,
        seed=seed,
        room=replay.room(program) if replay.bytes else 0,
        bits=replay.bits,
        balanced=int(replay.balanced),
        policy_salt=f"{replay.policy_salt:08x}",
        draw_salt=f"{replay.draw_salt:08x}",
        sample_words=sum(words for _, words in samples),
        sample_runs="".join(f"    {{0x{a:08x}u, {n}u}}, \\\n" for a, n in samples),
        saves=int(saves),
        store_first=f"{store.first:08x}",
        store_pages=store.pages,
        content=store.content,
        store_runs="".join(
            f"    {{0x{run.address:08x}u, {run.entries}u, {int(run.kernels)}}}, \\\n"
            for run in runs
        ),
    )
