"""One run of a strategy: learn from some new examples and what is kept of old ones, then count.

What a frozen beginning makes of the images is computed once by the accelerator's Batch and shared
by all runs of a network; the rest runs on kept latents, with the chip's bits (tests prove both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError, printable
from max78k_sim.machine import Machine

from ..data.streams import Dataset
from ..loop import Trainer, memory_digest
from ..quantized_update import draws
from . import strategies
from .replay import KINDS
from .strategies import STRATEGIES, Kept, Strategy

EXAMPLE_SALT = 0x0E8A3C15  # keeps the choice of examples apart from all other draws
REPLAY_BYTES = 64 << 10


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled images of one kind, new or old: those to learn from, and those to count."""

    shown: Dataset
    test: Dataset


@dataclass(eq=False)
class Material:
    """A loaded machine and its data; ``values`` remembers what frozen layers make of them.

    ``new_class``: the class of all new examples, or None; ``folder``: where values are kept
    between processes, or None.
    """

    machine: Machine
    new: Part
    old: Part
    new_class: int | None = None
    folder: Path | None = None
    _known: dict[tuple, np.ndarray] = field(default_factory=dict)

    def values(self, trainer: Trainer, strategy: Strategy, which: str) -> np.ndarray:
        """What would be kept of "new shown", "new test", "old shown" or "old test", uncoded."""
        latent = KINDS[strategy.kept].latent
        key = which, (trainer.backward.trained[0] if latent else None)
        if key not in self._known:
            self._known[key] = self._computed(trainer, strategy, key)
        return self._known[key]

    def _computed(self, trainer: Trainer, strategy: Strategy, key: tuple) -> np.ndarray:
        part, side = key[0].split()
        images = getattr(getattr(self, part), side).images
        if key[1] is None or not len(images):
            return strategies.kept_values(trainer, strategy, images)
        file = None if self.folder is None else self.folder / f"{part}-{side}-{key[1]}.npy"
        if file is not None and file.exists():
            return kept_before(file, len(images))
        values = strategies.kept_values(trainer, strategy, images)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".tmp.npy")
            np.save(temporary, values)
            temporary.replace(file)
        return values


@dataclass(frozen=True)
class Outcome:
    """What came of a run; accuracies are shares, 0 to 1.

    ``new``, ``old``, ``overall``: (before, after); ``recalls``: of each class in the test parts
    together, after; ``words_written``: kernel words of 72 bits; bytes are of CPU memory.
    """

    strategy: str
    seed: int
    examples: int
    replayed: int
    new: tuple[float, float]
    old: tuple[float, float]
    overall: tuple[float, float]
    recalls: tuple[float | None, ...]
    steps: int
    words_written: int
    bias_bytes_written: int
    replay_bytes: int
    new_bytes: int
    state_bytes: int
    sha256: str


def kept_before(file: Path, samples: int) -> np.ndarray:
    """Values of an earlier run; InputError where they are not of these samples."""
    try:
        values = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read ({printable(error)}); delete it", file=file) from None
    if len(values) != samples:
        raise InputError(
            f"holds values of {len(values)} samples, the data have {samples}: it was made from "
            f"other data; delete {file.parent}, or take another folder",
            file=file,
        )
    return values


def choose(count: int, wanted: int, seed: int) -> np.ndarray:
    """``wanted`` of ``count`` places in random order: smaller choices begin larger ones."""
    order = np.argsort(draws(seed ^ EXAMPLE_SALT, 0, count), kind="stable")
    return order[:wanted]


def examples_kept(
    material: Material, trainer: Trainer, strategy: Strategy, examples: int, seed: int, budget: int
) -> Kept:
    """``examples`` of the new class, and what ``budget`` bytes hold of the others."""
    new, old = (examples_of(material, trainer, strategy, part) for part in ("new", "old"))
    if examples > len(new[1]):
        raise InputError(f"examples {examples}: the data hold {len(new[1])} to learn from")
    shown = choose(len(new[1]), examples, seed)
    order = choose(len(old[1]), len(old[1]), seed)
    return strategies.keep_examples(
        trainer, strategy, (new[0][shown], new[1][shown]), (old[0][order], old[1][order]),
        budget, seed,
    )  # fmt: skip


def experiment(
    material: Material,
    name: str,
    examples: int,
    seed: int = 1,
    budget: int = REPLAY_BYTES,
    overrides: Mapping[str, object] | None = None,
    strategy: Strategy | None = None,
) -> Outcome:
    """Learn from ``examples`` new examples by a strategy of STRATEGIES (or one like it), and count.

    ``budget``: bytes of replay; ``overrides``: fields of the Recipe.  The machine is loaded anew,
    and holds what was learnt afterwards.
    """
    strategy = strategy or STRATEGIES[name]
    machine = material.machine
    assert machine.program is not None
    machine.load(machine.program)
    recipe = strategies.recipe_of(strategy, machine.program.plan.network,
                                  **({"seed": seed} | dict(overrides or {})))  # fmt: skip
    trainer = Trainer(machine, recipe)
    kept = examples_kept(material, trainer, strategy, examples, seed, budget)
    tests = tested(material, trainer, strategy)
    before = count_right(trainer, tests)
    strategies.begin(trainer, strategy, kept, material.new_class)
    strategies.learn(trainer, strategy, kept, material.new_class)
    after = count_right(trainer, tests)
    return Outcome(
        name, seed, examples, len(kept.labels) - kept.new,
        (share(before[0]), share(after[0])), (share(before[1]), share(after[1])),
        (share(np.concatenate(before)), share(np.concatenate(after))),
        recalls(material, np.concatenate(after)),
        trainer.step, trainer.slots_written["kernel"], trainer.slots_written["bias"],
        kept.replay_bytes, kept.new_bytes, strategies.state_bytes(trainer),
        memory_digest(machine.memory),
    )  # fmt: skip


def examples_of(material: Material, trainer: Trainer, strategy: Strategy, part: str) -> tuple:
    """(values, labels) of what there is to learn from."""
    data = getattr(material, part).shown
    return material.values(trainer, strategy, f"{part} shown"), data.labels


def tested(material: Material, trainer: Trainer, strategy: Strategy) -> list[tuple]:
    """(latents, labels) of the new and the old test part; always as the accelerator gives them."""
    plain = replace(strategy, kept="latents")
    return [
        (
            strategies.restored(trainer, plain, material.values(trainer, plain, f"{part} test")),
            getattr(material, part).test.labels,
        )
        for part in ("new", "old")
    ]


def count_right(trainer: Trainer, tests: list[tuple], chunk: int = 1024) -> list[np.ndarray]:
    """Of each test part, which samples are right: bool [sample]."""
    found = []
    for latents, labels in tests:
        guesses = [np.zeros(0, np.int64)]
        for first in range(0, len(labels), chunk):
            some = {index: each[first : first + chunk] for index, each in latents.items()}
            guesses.append(trainer.logits(trainer.complete(some)).argmax(axis=1))
        found.append(np.concatenate(guesses) == labels)
    return found


def share(right: np.ndarray) -> float:
    """Share of true values; 0 of none."""
    return float(right.mean()) if len(right) else 0.0


def recalls(material: Material, right: np.ndarray) -> tuple[float | None, ...]:
    """Of each class, the share of its test samples that are right; None where it has none."""
    labels = np.concatenate([material.new.test.labels, material.old.test.labels])
    assert material.machine.program is not None
    classes = range(material.machine.program.plan.network.output_shape[0])
    masks = [labels == label for label in classes]
    return tuple(float(right[mask].mean()) if mask.any() else None for mask in masks)


def class_incremental(machine: Machine, shown: Dataset, test: Dataset, new_class: int) -> Material:
    """One class is new, the others are old."""
    parts = []
    for mask in (lambda data: data.labels == new_class, lambda data: data.labels != new_class):
        parts.append(Part(shown.subset(mask(shown)), test.subset(mask(test))))
    return Material(machine, parts[0], parts[1], new_class)
