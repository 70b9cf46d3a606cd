"""Training on the chip: forward on the accelerator, backward by reading and writing addresses.

A Trainer holds only what the microcontroller would hold in SRAM: the velocities.  Kernels, biases,
activations and logits are read from the chip's memory each time.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from max78k_sim import placement
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.machine import Machine
from max78k_sim.memory import Memory
from max78k_sim.network import Layer

from . import losses, optimizers, quantized_update
from .gradients import GRADIENTS
from .kernel_store import KernelStore
from .schedule import Schedule

TRAINED_REGIONS = ("kernel", "bias")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    The learning rate is ``rate_mantissa / 2**rate_shift`` for the sum of a batch's gradients, in
    real units (weights and data between -1 and 1).  Momentum is ``1 - 2**-momentum_shift``.
    ``new_share`` / 256 of the examples shown are of the new class.
    """

    layer: str = "fc"
    rate_mantissa: int = 1
    rate_shift: int = 10
    momentum_shift: int = 3
    batch: int = 8
    steps: int = 300
    new_share: int = 64
    seed: int = 1

    def __post_init__(self):
        ranges = {
            "rate_mantissa": (1, 255),
            "rate_shift": (-16, 30),
            "momentum_shift": (0, 7),
            "batch": (1, 256),
            "steps": (1, 1 << 24),
            "new_share": (0, 256),
            "seed": (0, 0xFFFFFFFF),
        }
        for field, (lowest, highest) in ranges.items():
            value = getattr(self, field)
            if not lowest <= value <= highest:
                raise InputError(f"{field} {value} is not in {lowest} to {highest}")
        if (
            optimizers.largest_velocity(self.batch, self.momentum_shift)
            >= optimizers.VELOCITY_LIMIT
        ):
            raise InputError(
                f"batch {self.batch} with momentum_shift {self.momentum_shift} could overflow the "
                f"32-bit velocities; batch * 2**momentum_shift has to stay below 512"
            )

    def update_rate(self, weight_shift: int) -> tuple[int, int]:
        """(mantissa, right shift) that turn a velocity into weight steps.

        ``weight_shift`` is the layer's total shift: weights count 2**shift / 128.
        """
        shift = losses.ERROR_BITS + weight_shift + self.rate_shift
        if not 1 <= shift <= 32:
            raise InputError(
                f"rate_shift {self.rate_shift} with a weight shift of {weight_shift}: the total "
                f"right shift would be {shift}, it is 1 to 32"
            )
        return self.rate_mantissa, shift


@dataclass(frozen=True)
class Pool:
    """Labelled examples, new class first.  images: int8 [n, c, h, w]; labels: int64 [n]."""

    images: np.ndarray
    labels: np.ndarray
    new: int


def memory_digest(memory: Memory) -> str:
    """SHA-256 over all kernel memory, then all bias memory, as little-endian words."""
    digest = hashlib.sha256()
    for region in TRAINED_REGIONS:
        digest.update(memory.arrays[region].astype("<u4").tobytes())
    return digest.hexdigest()


def trained_layer(machine: Machine, name: str) -> Layer:
    """The layer to train; InputError or NotEmulated where this trainer cannot."""
    if machine.program is None:
        raise InputError("the machine has no program; call load(compile_network(network)) first")
    network = machine.program.plan.network
    layer = network.layer(name)
    if layer.op not in GRADIENTS:
        raise NotEmulated(f"training of {layer.op} layers ({name}); so far: {', '.join(GRADIENTS)}")
    if layer.index != len(network.layers) - 1 or layer.output_bits != 32:
        raise NotEmulated(f"training of {name}: so far only the last layer, with output_width: 32")
    if layer.weight_bits != 8 or layer.eltwise:
        raise NotEmulated(
            f"training of {name}: so far only 8-bit weights (quantization: 8), and one operand"
        )
    plan = machine.program.plan
    features, logits = plan.placement(name, "input"), plan.placement(name, "output")
    if np.intersect1d(features.words, logits.words).size:
        raise InputError(
            f"{name} writes its output over its input (in_offset 0x{layer.in_offset:x}, out_offset "
            f"0x{layer.out_offset:x}); training reads both after a run: choose another out_offset"
        )
    return layer


class Trainer:
    """Trains one layer of the program that a Machine has loaded."""

    def __init__(self, machine: Machine, recipe: Recipe):
        self.machine, self.recipe = machine, recipe
        self.layer = trained_layer(machine, recipe.layer)
        assert machine.program is not None
        plan = machine.program.plan
        name = self.layer.name
        self.features = plan.placement(name, "input")
        self.logits = plan.placement(name, "output")
        self.stores = {
            kind: KernelStore(machine.memory, plan.placement(name, kind))
            for kind in TRAINED_REGIONS
            if (name, kind) in plan.placements
        }
        self.velocity = {
            kind: np.zeros(store.placement.shape, np.int64) for kind, store in self.stores.items()
        }
        self.rate = recipe.update_rate(self.layer.output_shift)
        self.step = 0  # steps done

    def predict(self, image: np.ndarray) -> int:
        """Class of an image: int8 [channel, row, column] through the accelerator."""
        return int(self.machine.run(image).reshape(-1).argmax())

    def show(self, image: np.ndarray, label: int) -> bool:
        """Run one example and add its gradient to the velocities; whether it was right."""
        self.machine.run(image)
        return self.learn_from_memory(label)

    def learn_from_memory(self, label: int) -> bool:
        """Add the gradient of the example whose activations and logits lie in data memory."""
        logits = placement.read(self.machine.memory, self.logits).reshape(-1)
        features = placement.read(self.machine.memory, self.features).reshape(-1)
        error = losses.softmax_error(logits, label, self.layer.output_shift)
        gradients = GRADIENTS[self.layer.op](error, features)
        for kind, gradient in zip(TRAINED_REGIONS, gradients, strict=True):
            if kind in self.velocity:
                self.velocity[kind] += gradient
        return int(logits.argmax()) == label

    def begin(self) -> None:
        """Before a batch: the velocities decay."""
        for velocity in self.velocity.values():
            optimizers.decay(velocity, self.recipe.momentum_shift)

    def apply(self) -> None:
        """After a batch: read the kernels at their addresses, step, write what changed."""
        first = 0
        for kind, store in self.stores.items():
            velocity = self.velocity[kind]
            draw = quantized_update.draws(self.recipe.seed, self.step, velocity.size, first)
            weights = quantized_update.update(store.read(), velocity, self.rate, draw)
            store.write_changed(weights)
            first += velocity.size
        self.step += 1

    def train_batch(self, images: np.ndarray, labels: np.ndarray) -> int:
        """One step: show a batch, then apply.  Returns how many were right before the step."""
        self.begin()
        right = sum(
            self.show(image, int(label)) for image, label in zip(images, labels, strict=True)
        )
        self.apply()
        return right

    @property
    def slots_written(self) -> dict[str, int]:
        """Kernel words and bias bytes written since the start, by region."""
        return {kind: store.slots_written for kind, store in self.stores.items()}


@dataclass(frozen=True)
class Progress:
    """One step as it happened."""

    step: int
    batch: int
    right: int  # of the batch, before the step


def train(
    trainer: Trainer, pool: Pool, snapshot: Path | None = None, snapshot_every: int = 20
) -> Iterator[Progress]:
    """Train to the end of the recipe, yielding after every step.

    With ``snapshot``, the state is saved there (atomically) and picked up again: a run that was
    killed at any moment ends with the same bytes as one that was not.
    """
    recipe = trainer.pretrain_recipe
    schedule = Schedule(
        pool.new, len(pool.labels) - pool.new, recipe.batch, recipe.new_share, recipe.seed
    )
    mark = fingerprint(trainer, pool)
    if snapshot is not None and snapshot.exists():
        restore(trainer, snapshot, mark)
    while trainer.step < recipe.steps:
        chosen = schedule.batch_at(trainer.step)
        right = trainer.train_batch(pool.images[chosen], pool.labels[chosen])
        if snapshot is not None and (
            trainer.step % snapshot_every == 0 or trainer.step == recipe.steps
        ):
            save(trainer, snapshot, mark)
        yield Progress(trainer.step, recipe.batch, right)


def fingerprint(trainer: Trainer, pool: Pool) -> str:
    """SHA-256 of everything that decides the outcome: program, recipe and examples."""
    assert trainer.machine.program is not None
    digest = hashlib.sha256(repr(sorted(asdict(trainer.pretrain_recipe).items())).encode())
    for write in (*trainer.machine.program.writes, *trainer.machine.program.start):
        digest.update(write.address.to_bytes(4, "little") + write.words.astype("<u4").tobytes())
    for part in (pool.images, pool.labels.astype("<i8"), np.array([pool.new], "<i8")):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def save(trainer: Trainer, file: Path, mark: str) -> None:
    """Write a snapshot to a temporary name, flush it to disk and rename it."""
    memory = trainer.machine.memory
    arrays: dict[str, Any] = {
        f"memory_{region}": memory.arrays[region] for region in TRAINED_REGIONS
    }
    arrays |= {f"velocity_{kind}": value for kind, value in trainer.velocity.items()}
    written = trainer.slots_written
    counts = np.array([trainer.step, *(written.get(kind, 0) for kind in TRAINED_REGIONS)], np.int64)
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("wb") as stream:
        np.savez(stream, mark=np.frombuffer(mark.encode(), np.uint8), counts=counts, **arrays)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def restore(trainer: Trainer, file: Path, mark: str) -> None:
    """The inverse of ``save``; InputError when the snapshot is of another run or is damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if bytes(stored["mark"]) != mark.encode():
                raise InputError(
                    "this snapshot is of another network, recipe or data set; choose another "
                    "output directory, or delete the file to start anew",
                    file=file,
                )
            counts = stored["counts"]
            memory = {region: stored[f"memory_{region}"] for region in TRAINED_REGIONS}
            velocity = {kind: stored[f"velocity_{kind}"] for kind in trainer.velocity}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"not a snapshot ({error}); delete it to start anew", file=file) from None
    for region, words in memory.items():
        trainer.machine.memory.arrays[region][:] = words
        trainer.machine.memory.versions[region] += 1
    for kind, value in velocity.items():
        trainer.velocity[kind][:] = value
    trainer.step = int(counts[0])
    for kind, count in zip(TRAINED_REGIONS, counts[1:], strict=True):
        if kind in trainer.stores:
            trainer.stores[kind].slots_written = int(count)
