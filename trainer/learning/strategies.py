"""Learning strategies: what is trained, what is kept of the old, how a new class starts.

A row of STRATEGIES each; all arithmetic of the training itself is the Trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.network import NETWORK_INPUT, Network

from .. import state
from ..backward import channels_last
from ..loop import Trainer
from ..losses import TEACHER_BITS, said
from ..operands import pool, views
from ..parameter import WideBias
from ..recipe import Recipe
from ..schedule import schedule_of
from . import replay, starts

TEACHER_ONE = (1 << TEACHER_BITS) - 1


@dataclass(frozen=True)
class Strategy:
    """A way to learn something new.

    ``layers``: how many of those with kernels are trained, from the last one; ``kept``: what is
    kept of examples (replay.KINDS); ``replay``: whether old ones are shown again; ``teacher``:
    whether what the untrained network said is kept; ``start``: of the new class' row
    (starts.STARTS); ``finish``: what is done to the row in the end (starts.FINISHES); ``trained``:
    whether steps follow the start; ``recipe``: fields of the Recipe that differ from BASE.
    """

    meaning: str
    layers: int = 1
    kept: str = "latents"
    replay: bool = True
    policy: str = "balanced"
    teacher: bool = False
    start: str = "as it is"
    finish: str = "nothing"
    trained: bool = True
    recipe: Mapping[str, object] = field(default_factory=dict)


BASE = Recipe(rate_shift=7, steps=400, schedule="linear", new_share=26, batch=8)
WIDE = {"wide_bias": True}
DISTILLED = WIDE | {"teacher_share": 128}

STRATEGIES = {
    "fine-tune": Strategy(
        "two layers on the new examples alone", 2, replay=False, recipe={"deeper_shift": 2}
    ),
    "last layer": Strategy("the last layer on the new examples alone (TinyOL)", replay=False),
    "bias only": Strategy(
        "the last layer's biases with replay", kept="latents, 4 bits",
        recipe=WIDE | {"parts": ("bias",)},
    ),
    "replay raw": Strategy("the last layer with replay of pixels", kept="pixels", recipe=WIDE),
    "replay latent": Strategy("the last layer with replay of latents", recipe=WIDE),
    "learning without forgetting": Strategy(
        "no replay; what the untrained network says of the new examples counts for old classes",
        replay=False, teacher=True, recipe=DISTILLED,
    ),
    "cwr": Strategy(
        "CWR*: a row from zero on the new examples alone, its mean taken off; old rows stay",
        replay=False, start="zero", finish="consolidate",
    ),
    "prototypes": Strategy(
        "every row is the mean of its class' latents, nothing is trained",
        kept="latents, 4 bits", start="prototypes", trained=False, recipe=WIDE,
    ),
    "new row": Strategy(
        "the new row from means and covariance of the latents that are kept, nothing is trained",
        kept="latents, 4 bits", start="whitened", trained=False, recipe=WIDE,
    ),
    "whitened": Strategy(
        "latents of 4 bits, the untrained network as teacher, a whitened start of the new row",
        kept="latents, 4 bits", teacher=True, start="whitened", recipe=DISTILLED,
    ),
    "whitened, slowly": Strategy(
        "the same in three times as many steps of a quarter of the rate",
        kept="latents, 4 bits", teacher=True, start="whitened",
        recipe=DISTILLED | {"steps": 1200, "rate_shift": 9},
    ),
    "whitened, seldom": Strategy(
        "as whitened, with the new class in one of twenty samples instead of one of ten",
        kept="latents, 4 bits", teacher=True, start="whitened",
        recipe=DISTILLED | {"new_share": 12},
    ),
    "whitened, two layers": Strategy(
        "as whitened, and the layer before the last one", 2,
        kept="latents, 4 bits", teacher=True, start="whitened",
        recipe=DISTILLED | {"deeper_shift": 2},
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Kept:
    """Examples as they come out of memory, those of the new class first.

    ``latents``: maps by layer, int8 [sample, row, column, channel]; ``labels``: int64 [sample].
    """

    latents: Mapping[int, np.ndarray]
    labels: np.ndarray
    new: int
    teacher: np.ndarray | None
    replay_bytes: int
    new_bytes: int


def trained_layers(network: Network, count: int) -> tuple[str, ...]:
    """Names of the last ``count`` layers with kernels."""
    names = [layer.name for layer in network.layers if layer.has_kernels]
    if not 1 <= count <= len(names):
        raise InputError(f"layers {count}: the network has 1 to {len(names)} with kernels")
    return tuple(names[-count:])


def recipe_of(strategy: Strategy, network: Network, **overrides: Any) -> Recipe:
    """The strategy's recipe for a network, with the user's own fields."""
    layers = trained_layers(network, strategy.layers)
    chosen: dict[str, Any] = {"layers": layers} | dict(strategy.recipe) | overrides
    return replace(BASE, **chosen)


# ---- what is kept -------------------------------------------------------------------------------


def latent_layer(trainer: Trainer) -> int:
    """The one map that training starts from; InputError where there are several."""
    latents = trainer.backward.latents
    if len(latents) != 1:
        raise InputError(
            f"latents of {len(latents)} layers would have to be kept; replay keeps those of one: "
            "train other layers, or replay pixels"
        )
    return latents[0]


def condensed(trainer: Trainer, maps: np.ndarray) -> np.ndarray:
    """What is kept of latents: pooled where the layer that reads them pools without overlap."""
    layer = trainer.network.layers[trainer.backward.trained[0]]
    return pool(maps, layer, trainer.network.average_rounding) if pools(layer) else maps


def expanded(trainer: Trainer, kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Maps [sample, *shape] that pool to ``kept``: the inverse of ``condensed``, for training."""
    layer = trainer.network.layers[trainer.backward.trained[0]]
    if not pools(layer):
        return kept
    maps = np.zeros((len(kept), *shape), np.int8)
    for view in views(maps, layer):
        view[...] = kept
    return maps


def pools(layer) -> bool:
    """Whether a layer pools one operand, every value of it at most once."""
    height, width = layer.pool
    apart = layer.stride == height and (layer.op == "conv1d" or layer.stride == width)
    return height * width > 1 and apart and layer.operands == 1


def kept_values(trainer: Trainer, strategy: Strategy, images: np.ndarray) -> np.ndarray:
    """int8 [sample, ...]: what would be kept of images, before it is coded."""
    if not replay.KINDS[strategy.kept].latent:
        return images
    layer = latent_layer(trainer)
    if layer == NETWORK_INPUT:
        return images
    return condensed(trainer, trainer.frozen(images)[layer])


def restored(trainer: Trainer, strategy: Strategy, values: np.ndarray) -> dict[int, np.ndarray]:
    """Latents of what comes out of memory."""
    if not replay.KINDS[strategy.kept].latent:
        return trainer.frozen(values)
    layer = latent_layer(trainer)
    if layer == NETWORK_INPUT:
        return {layer: channels_last(values)}
    source = trainer.network.layers[layer]
    return {layer: expanded(trainer, values, (*source.out_size, source.out_channels))}


def keep_examples(
    trainer: Trainer, strategy: Strategy, new: tuple, old: tuple, budget: int, seed: int
) -> Kept:
    """New examples, and old ones chosen by the policy, which fit the budget of bytes.

    ``new``, ``old``: (values as ``kept_values`` gives them, labels); ``budget``: bytes.
    """
    classes = trainer.network.output_shape[0]
    bits = replay.KINDS[strategy.kept].bits
    codec = replay.Codec.of(old[0], bits)
    shape = old[0].shape[1:]
    size = replay.example_bytes(codec, shape, classes if strategy.teacher else 0)
    room = replay.capacity(budget, size) if strategy.replay else 0
    chosen = replay.chosen(strategy.policy, old[1], room, seed)
    parts = [
        replay.keep(codec, values[some], labels[some], None)
        for (values, labels), some in ((new, np.arange(len(new[1]))), (old, chosen))
    ]
    labels = np.concatenate([part.labels for part in parts])
    latents = restored(trainer, strategy, np.concatenate([part.values for part in parts]))
    teacher = taught(trainer, latents, labels, len(new[1])) if strategy.teacher else None
    if teacher is not None and not strategy.replay:  # of new examples, the label is not all
        teacher = logits_said(trainer, latents)
    return Kept(latents, labels, len(new[1]), teacher, len(chosen) * size, len(new[1]) * size)


def logits_said(trainer: Trainer, latents: Mapping[int, np.ndarray]) -> np.ndarray:
    """uint8 [sample, class]: the untrained network's probabilities."""
    last = trainer.network.layers[-1]
    return said(trainer.logits(trainer.complete(latents)), last.output_shift)


def taught(trainer: Trainer, latents, labels: np.ndarray, new: int) -> np.ndarray:
    """What the untrained network says of old examples; of new ones, their label."""
    teacher = logits_said(trainer, latents)
    teacher[:new] = 0
    teacher[np.arange(new), labels[:new]] = TEACHER_ONE
    return teacher


# ---- learning -----------------------------------------------------------------------------------


def begin(trainer: Trainer, strategy: Strategy, kept: Kept, new_class: int | None) -> None:
    """Scales of the gradients, and the start of the new row."""
    if not trainer.scales:
        count = trainer.recipe.batch
        step = max(1, len(kept.labels) // count)
        some = np.arange(0, len(kept.labels), step)[:count]
        maps = {index: each[some] for index, each in kept.latents.items()}
        trainer.choose_scales_of(trainer.complete(maps), kept.labels[some])
    if new_class is not None:
        starts.STARTS[strategy.start](trainer, kept, new_class)
    elif (strategy.start, strategy.finish) != ("as it is", "nothing"):
        usable = [
            name
            for name, each in STRATEGIES.items()
            if (each.start, each.finish) == ("as it is", "nothing")
        ]
        raise InputError(
            f"a {strategy.start} start is of a new class, and none is new; use one of: "
            f"{', '.join(usable)}"
        )


def learn(trainer: Trainer, strategy: Strategy, kept: Kept, new_class: int | None) -> None:
    """All steps of the recipe on kept examples."""
    recipe = trainer.recipe
    schedule = schedule_of(kept, recipe)
    first = starts.rows(trainer)
    while strategy.trained and trainer.step < recipe.steps:
        chosen = schedule.batch_at(trainer.step)
        these = {index: each[chosen] for index, each in kept.latents.items()}
        teacher = None if kept.teacher is None else kept.teacher[chosen]
        trainer.train_latents(these, kept.labels[chosen], teacher)
    if new_class is not None:
        starts.FINISHES[strategy.finish](trainer, first, new_class)


def state_bytes(trainer: Trainer) -> int:
    """SRAM of what training remembers from step to step, as the firmware would hold it."""
    sizes = [parameter.velocity.size for parameter in trainer.parameters.values()]
    wide = [each.values.size for each in trainer.parameters.values() if isinstance(each, WideBias)]
    return sum(state.state_bytes(trainer.recipe, sum(sizes), sum(wide)).values())
