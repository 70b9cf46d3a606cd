"""Training on the chip: forward on the accelerator, backward by reading and writing addresses.

A Trainer holds only what the microcontroller would hold in SRAM: the state of what is trained.
Kernels, biases, activations and logits are read from the chip's memory each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from max78k_sim import placement
from max78k_sim.arithmetic import FRACTION_BITS
from max78k_sim.batch import Batch
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.machine import Machine
from max78k_sim.memory import Memory
from max78k_sim.network import NETWORK_INPUT

from . import forward, losses, snapshots
from .backward import Backward, Gradient, Scale, channels_last
from .blocks import Block
from .kernel_store import TRAINED_REGIONS, KernelStore
from .optimizers import ADAM_BITS
from .parameter import Parameter, WideBias
from .recipe import Recipe
from .schedule import Order, schedule_of

LAST_EXPONENT = -losses.ERROR_BITS - FRACTION_BITS  # of the last layer's gradients, all exact
MARGIN_BITS = 1  # above the largest gradient that was seen when scales were chosen


@dataclass(frozen=True)
class Pool:
    """Labelled examples, new class first.

    ``images``: int8 [n, channel, row, column]; ``labels``: int64 [n]; ``new``: how many are of the
    new class; ``teacher``: uint8 [n, class], what the untrained network said, or None.
    """

    images: np.ndarray
    labels: np.ndarray
    new: int
    teacher: np.ndarray | None = None


def memory_digest(memory: Memory) -> str:
    """SHA-256 over all kernel memory, then all bias memory, as little-endian words."""
    digest = hashlib.sha256()
    for region in TRAINED_REGIONS:
        digest.update(memory.arrays[region].astype("<u4").tobytes())
    return digest.hexdigest()


class Trainer:
    """Trains layers of the program that a Machine has loaded.

    Where hidden layers learn, ``choose_scales`` comes before the first step.
    """

    def __init__(self, machine: Machine, recipe: Recipe, threads: int = 1):
        if machine.program is None:
            raise InputError(
                "the machine has no program; call load(compile_network(network)) first"
            )
        self.machine, self.recipe = machine, recipe
        self.plan = machine.program.plan
        self.network = self.plan.network
        self.batch = Batch(machine, threads)
        last = self.network.layers[-1]
        self.backward = Backward(self.network, recipe.layers or (last.name,))
        if last.output_bits != 32:
            raise NotEmulated(
                f"training with 8-bit outputs of {last.name}: the loss needs output_width: 32"
            )
        if last.out_size != (1, 1):
            raise NotEmulated(
                f"training of {last.name} with {last.out_size[0]}x{last.out_size[1]} outputs a "
                "class: the losses take one"
            )
        if recipe.wide_bias and last.index not in self.backward.trained:
            raise InputError(
                f"wide_bias: these are biases of {last.name}, which is not trained; add it to the "
                "layers, or leave wide_bias out"
            )
        self.stores = {
            (index, kind): KernelStore(
                machine.memory, self.plan.placement(self.network.layers[index].name, kind)
            )
            for index in self.backward.involved
            for kind in TRAINED_REGIONS
            if (self.network.layers[index].name, kind) in self.plan.placements
        }
        self.scales: dict[int, Scale] = {}
        self.parameters: dict[tuple[int, str], Parameter | WideBias] = {}
        if self.backward.trained == (last.index,):
            self.set_scales({last.index: LAST_EXPONENT})
        self.step = 0  # steps done
        self.right: list[int] = []  # of each step's examples, before it

    # ---- scales ---------------------------------------------------------------------------------

    def choose_scales(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Units of the gradients, from those of some examples, with one bit to spare."""
        self.choose_scales_of(self.maps(images), labels)

    def choose_scales_of(self, maps: Mapping[int, np.ndarray], labels: np.ndarray) -> None:
        """The same, from maps."""
        weights = self.weights()
        error, _ = self.error(maps, labels, None)
        largest = self.backward.largest(error, maps, weights)
        room = self.recipe.gradient_limit.bit_length() - 1 - MARGIN_BITS
        last, exponents = self.network.layers[-1].index, {}
        for depth, index in enumerate(reversed(self.backward.trained)):
            finest = self.recipe.finest(self.network.layers[index].output_shift, depth)
            exponents[index] = max(largest[index] - room, finest)
            if index == last:
                exponents[index] = LAST_EXPONENT
        self.set_scales(exponents)

    def set_scales(self, exponents: Mapping[int, int]) -> None:
        """Units of 2**exponent for each trained layer's gradients; the state starts at nothing."""
        recipe, last = self.recipe, self.network.layers[-1].index
        self.scales = {n: Scale(each, recipe.gradient_limit) for n, each in exponents.items()}
        self.parameters = {}
        for depth, index in enumerate(reversed(self.backward.trained)):
            layer, exponent = self.network.layers[index], exponents[index]
            plain = recipe.right_shift(layer.output_shift, exponent, depth)
            adam = recipe.optimizer == "adam"
            shift = recipe.right_shift(layer.output_shift, -ADAM_BITS, depth) if adam else plain
            for kind in TRAINED_REGIONS:
                if kind == "bias" and index == last and recipe.wide_bias:
                    bias = WideBias(layer.out_channels, recipe, plain)
                    self.parameters[index, kind] = bias
                elif kind in recipe.parts and (index, kind) in self.stores:
                    bits = layer.weight_bits if kind == "kernel" else 8
                    store = self.stores[index, kind]
                    self.parameters[index, kind] = Parameter(store, recipe, bits, shift)

    # ---- forward --------------------------------------------------------------------------------

    def weights(self) -> dict[int, tuple[np.ndarray, np.ndarray | None]]:
        """Kernel and bias (or None) of the layers on the way, as they lie in memory now."""
        found = {}
        for index in self.backward.involved:
            if (index, "kernel") in self.stores:
                bias = self.stores.get((index, "bias"))
                kernel = self.stores[index, "kernel"].read()
                found[index] = kernel, None if bias is None else bias.read()
        return found

    def maps(self, images: np.ndarray) -> dict[int, np.ndarray]:
        """What the way back needs, of many samples, by the accelerator: [s, row, column, c]."""
        layers = [index for index in self.backward.needed if index != NETWORK_INPUT]
        outputs = self.batch.run_layers(images, layers)
        maps = {n: channels_last(outputs[self.network.layers[n].name]) for n in layers}
        return maps | {NETWORK_INPUT: channels_last(images)}

    def frozen(self, images: np.ndarray) -> dict[int, np.ndarray]:
        """Latents: those maps that training does not change, of many samples."""
        maps = self.maps(images)
        return {index: maps[index] for index in self.backward.latents}

    def maps_in_memory(self) -> dict[int, np.ndarray]:
        """The same of the one sample whose run is over, read at their addresses."""
        found = {}
        for index in self.backward.needed:
            if index == NETWORK_INPUT:
                place = self.plan.placement(0, "input")
            else:
                place = self.plan.placement(self.network.layers[index].name, "output")
            found[index] = channels_last(placement.read(self.machine.memory, place)[None])
        return found

    def logits(self, maps: Mapping[int, np.ndarray]) -> np.ndarray:
        """int64 [sample, class]: the last layer's sums, and the processor's biases."""
        last = self.network.layers[-1].index
        sums = maps[last].reshape(len(maps[last]), -1).astype(np.int64)
        bias = self.parameters.get((last, "bias"))
        return sums + bias.values if isinstance(bias, WideBias) else sums

    def predict(self, image: np.ndarray) -> int:
        """Class of an image: int8 [channel, row, column] through the accelerator."""
        self.machine.run(image)
        last = self.network.layers[-1].index
        return int(self.logits({last: self.maps_in_memory()[last]})[0].argmax())

    # ---- backward -------------------------------------------------------------------------------

    def error(
        self, maps: Mapping[int, np.ndarray], labels: np.ndarray, teacher: np.ndarray | None
    ) -> tuple[Block, int]:
        """The error of the logits, and how many samples were right."""
        last, logits = self.network.layers[-1], self.logits(maps)
        wanted = losses.targets(labels, last.out_channels, teacher, self.recipe.teacher_share)
        error = losses.LOSSES[self.recipe.loss](logits, wanted, last.output_shift)
        right = int((logits.argmax(axis=1) == labels).sum())
        block = Block(
            error.astype(np.int16).reshape(-1, 1, 1, last.out_channels),
            np.full(len(labels), -losses.ERROR_BITS),
        )
        return block, right

    def learn(
        self, maps: Mapping[int, np.ndarray], labels: np.ndarray, teacher: np.ndarray | None = None
    ) -> int:
        """One step from the maps of a batch; how many samples were right before it."""
        if not self.scales:
            raise InputError("call choose_scales with some examples before training hidden layers")
        error, right = self.error(maps, labels, teacher)
        found = self.backward.gradients(error, maps, self.weights(), self.scales)
        self.add(found)
        self.apply()
        self.right.append(right)
        return right

    def add(self, found: Mapping[int, Gradient]) -> None:
        """A batch's gradients into the state of what is trained."""
        for (index, kind), parameter in self.parameters.items():
            gradient = found[index].kernel if kind == "kernel" else found[index].bias
            parameter.add(gradient)

    def apply(self) -> None:
        """After a batch: read the kernels at their addresses, step, write what changed."""
        first = 0
        for _, parameter in sorted(self.parameters.items(), key=self._order):
            parameter.step(self.step, first)
            first += parameter.velocity.size
        self.step += 1

    @staticmethod
    def _order(item) -> tuple[int, int]:
        """Of draws: the last layer first, its kernel before its bias."""
        (index, kind), _ = item
        return -index, TRAINED_REGIONS.index(kind)

    def train_batch(
        self, images: np.ndarray, labels: np.ndarray, teacher: np.ndarray | None = None
    ) -> int:
        """One step on images, through the fast engine."""
        return self.learn(self.maps(images), labels, teacher)

    def train_latents(
        self, latents: Mapping[int, np.ndarray], labels: np.ndarray, teacher=None
    ) -> int:
        """One step on kept latents: the processor computes the layers behind them."""
        return self.learn(self.complete(latents), labels, teacher)

    def complete(self, latents: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """All maps that training needs, from kept latents, by the processor."""
        return forward.complete(self.network, self.backward.involved, latents, self.weights())

    @property
    def slots_written(self) -> dict[str, int]:
        """Kernel words and bias bytes written since the start, by region."""
        return {
            kind: sum(
                store.slots_written for (_, each), store in self.stores.items() if each == kind
            )
            for kind in TRAINED_REGIONS
        }


def together(samples: list[dict[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """Maps of single samples as those of a batch."""
    return {index: np.concatenate([each[index] for each in samples]) for index in samples[0]}


@dataclass(frozen=True)
class Progress:
    """One step as it happened."""

    step: int
    batch: int
    right: int  # of the batch, before the step


def train(
    trainer: Trainer,
    pool: Pool,
    snapshot: Path | None = None,
    snapshot_every: int = 20,
    order: Order | None = None,
) -> Iterator[Progress]:
    """Train to the end of the recipe, yielding after every step.

    ``order``: which examples each step shows (default: the recipe's).

    With ``snapshot``, the state is saved there (atomically) and picked up again: a run that was
    killed at any moment ends with the same bytes as one that was not.
    """
    recipe = trainer.recipe
    order = order or schedule_of(pool, recipe)
    if not trainer.scales:
        first = order.batch_at(0)
        trainer.choose_scales(pool.images[first], pool.labels[first])
    mark = snapshots.fingerprint(trainer, pool, order)
    if snapshot is not None and snapshot.exists():
        snapshots.restore(trainer, snapshot, mark)
    frozen = trainer.backward.latents != (NETWORK_INPUT,)  # a beginning that never changes
    latents = trainer.frozen(pool.images) if frozen else {}
    while trainer.step < recipe.steps:
        chosen = order.batch_at(trainer.step)
        teacher = None if pool.teacher is None else pool.teacher[chosen]
        if frozen:
            these = {index: each[chosen] for index, each in latents.items()}
            right = trainer.train_latents(these, pool.labels[chosen], teacher)
        else:
            right = trainer.train_batch(pool.images[chosen], pool.labels[chosen], teacher)
        if snapshot is not None and (
            trainer.step % snapshot_every == 0 or trainer.step == recipe.steps
        ):
            snapshots.save(trainer, snapshot, mark)
        yield Progress(trainer.step, recipe.batch, right)
