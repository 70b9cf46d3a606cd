"""Snapshots: what a training run would have to remember, in one file that is whole or not there."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from max78k_sim.errors import InputError

from .kernel_store import TRAINED_REGIONS

if TYPE_CHECKING:
    from .loop import Pool, Trainer
    from .schedule import Order


def fingerprint(trainer: Trainer, pool: Pool, order: Order) -> str:
    """SHA-256 of everything that decides the outcome: program, recipe, examples, their order."""
    assert trainer.machine.program is not None
    digest = hashlib.sha256(repr(sorted(asdict(trainer.recipe).items())).encode())
    for write in (*trainer.machine.program.writes, *trainer.machine.program.start):
        digest.update(write.address.to_bytes(4, "little") + write.words.astype("<u4").tobytes())
    teacher = np.zeros(0, np.uint8) if pool.teacher is None else pool.teacher
    for part in (pool.images, pool.labels.astype("<i8"), np.array([pool.new], "<i8"), teacher):
        digest.update(np.ascontiguousarray(part).tobytes())
    for step in range(trainer.recipe.steps):
        digest.update(order.batch_at(step).tobytes())
    return digest.hexdigest()


def states(trainer: Trainer):
    """(name, array) of all that the trainer keeps in SRAM."""
    for (index, kind), parameter in trainer.parameters.items():
        for name, array in parameter.state():
            yield f"{index}_{kind}_{name}", array


def save(trainer: Trainer, file: Path, mark: str) -> None:
    """Write a snapshot to a temporary name, flush it to disk and rename it."""
    memory = trainer.machine.memory
    arrays: dict[str, Any] = {
        f"memory_{region}": memory.arrays[region] for region in TRAINED_REGIONS
    }
    arrays |= {f"state_{name}": array for name, array in states(trainer)}
    written = [store.slots_written for store in trainer.stores.values()]
    counts = np.array([trainer.step, *written], np.int64)
    right = np.array(trainer.right, np.int64)
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("wb") as stream:
        np.savez(
            stream,
            mark=np.frombuffer(mark.encode(), np.uint8),
            counts=counts,
            right=right,
            **arrays,
        )
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def restore(trainer: Trainer, file: Path, mark: str) -> None:
    """The inverse of ``save``; InputError when the snapshot is of another run or is damaged."""
    arrays = trainer.machine.memory.arrays
    mine = {f"memory_{region}": arrays[region] for region in TRAINED_REGIONS}
    mine |= {f"state_{name}": array for name, array in states(trainer)}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if bytes(stored["mark"]) != mark.encode():
                raise InputError(
                    "this snapshot is of another network, recipe or data set; choose another "
                    "output directory, or delete the file to start anew",
                    file=file,
                )
            found = {name: stored[name] for name in mine}
            counts, right = stored["counts"], stored["right"]
        for name, array in found.items():
            if (array.shape, array.dtype) != (mine[name].shape, mine[name].dtype):
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
        check_counts(trainer, counts, right)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"not a snapshot ({error}); delete it to start anew", file=file) from None
    for name, array in found.items():
        mine[name][...] = array
    for region in TRAINED_REGIONS:
        trainer.machine.memory.versions[region] += 1
    trainer.step, trainer.right = int(counts[0]), right.tolist()
    for store, count in zip(trainer.stores.values(), counts[1:], strict=True):
        store.slots_written = int(count)


def check_counts(trainer: Trainer, counts: np.ndarray, right: np.ndarray) -> None:
    """ValueError unless these can be the counts of a run of this recipe."""
    if counts.dtype != np.int64 or right.dtype != np.int64:
        raise ValueError(f"counts are {counts.dtype} and {right.dtype}")
    if counts.shape != (1 + len(trainer.stores),) or counts.min() < 0:
        raise ValueError(f"counts have shape {counts.shape}, or are below 0")
    if right.shape != (counts[0],) or counts[0] > trainer.recipe.steps:
        steps = trainer.recipe.steps
        raise ValueError(f"there are {right.shape} steps, not {counts[0]} of {steps}")
    if len(right) and not 0 <= right.min() <= right.max() <= trainer.recipe.batch:
        raise ValueError(f"more were right than the {trainer.recipe.batch} of a batch")
