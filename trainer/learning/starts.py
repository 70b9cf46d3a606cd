"""Where a new class' row starts, and what is made of it in the end: statistics of kept latents.

Computed in float64 from the examples that are kept, then moved to the grid of the chip's weights
(and of the 32-bit biases): a start is data, as the pretrained weights are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from max78k_sim import arithmetic
from max78k_sim.errors import InputError

from ..gradients import as_features
from ..losses import LOGIT_BITS
from ..operands import reduced
from ..parameter import WIDE_BIAS_BITS, WideBias

SHRINKAGE = 0.3  # share of the mean variance that is added to every variance
NEWTON_STEPS = 30
PULL = 1e-3  # towards no change, in the fit of scale and bias: keeps it finite
OLD_SHARE, NEW_SHARE = 0.9, 0.1  # what new and old examples count in that fit


def features_and_logits(trainer, latents) -> tuple[np.ndarray, np.ndarray]:
    """What the last layer multiplies, int8 [sample, feature]; its sums, int64 [sample, class]."""
    network, last = trainer.network, trainer.network.layers[-1]
    maps = trainer.complete(latents)
    data = reduced([maps[source] for source in last.sources], last, network.average_rounding)
    return as_features(data).reshape(len(data), -1), trainer.logits(maps)


def rows(trainer) -> tuple[np.ndarray, np.ndarray]:
    """The last layer's kernel int8 [class, feature] and biases int64 [class] in units of a sum."""
    last = trainer.network.layers[-1].index
    kernel = trainer.stores[last, "kernel"].read()
    bias = np.zeros(len(kernel), np.int64)
    if (last, "bias") in trainer.stores:
        bias += trainer.stores[last, "bias"].read().astype(np.int64) << WIDE_BIAS_BITS
    wide = trainer.parameters.get((last, "bias"))
    if isinstance(wide, WideBias):
        bias += wide.values
    return kernel.reshape(len(kernel), -1), bias


def set_rows(trainer, kernel: np.ndarray, bias: np.ndarray) -> None:
    """The inverse of ``rows``; without wide biases, those of the chip are rounded and saturated."""
    last = trainer.network.layers[-1].index
    store = trainer.stores[last, "kernel"]
    store.write_changed(kernel.reshape(store.placement.shape).astype(np.int8))
    own = trainer.stores.get((last, "bias"))
    wide = trainer.parameters.get((last, "bias"))
    if isinstance(wide, WideBias):
        chip = own.read().astype(np.int64) << WIDE_BIAS_BITS if own else 0
        wide.values[:] = bias - chip
    elif own:
        own.write_changed(arithmetic.saturate(bias + 64 >> WIDE_BIAS_BITS).astype(np.int8))


def as_it_is(trainer, kept, new_class: int) -> None:
    """The pretrained network's own row."""


def zero(trainer, kept, new_class: int) -> None:
    """No weights, no bias."""
    kernel, bias = rows(trainer)
    kernel[new_class], bias[new_class] = 0, 0
    set_rows(trainer, kernel, bias)


def whitened(trainer, kept, new_class: int) -> None:
    """Inverse shared covariance times the difference of means, scaled to meet the old logits.

    The scale and the bias are those with which the new class' logit best stands against the old
    ones on the kept examples (logistic regression of two numbers).
    """
    if kept.new == len(kept.labels):
        raise InputError("a whitened start needs examples of old classes: use a replay")
    data, sums = features_and_logits(trainer, kept.latents)
    last = trainer.network.layers[-1]
    unit = 2.0 ** (last.output_shift - LOGIT_BITS)
    real = data / 128.0
    direction = discriminant(real, kept.labels, kept.new)
    others = np.delete(sums * unit, new_class, axis=1)
    top = others.max(axis=1)
    against = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    along = real @ direction
    scale, offset = logistic_fit(along, against, np.arange(len(along)) < kept.new)
    kernel, bias = rows(trainer)
    steps = scale * direction * 128 / 2.0**last.output_shift
    steps *= min(1.0, 127 / np.abs(steps).max())
    kernel[new_class] = np.rint(steps)
    bias[new_class] = round(offset / unit)
    set_rows(trainer, kernel, bias)


def discriminant(data: np.ndarray, labels: np.ndarray, new: int) -> np.ndarray:
    """Float64 [feature]: (covariance within classes, shrunk) ** -1 times the means' difference."""
    centred = data.copy()
    for label in np.unique(labels):
        centred[labels == label] -= data[labels == label].mean(axis=0)
    freedom = max(1, len(data) - len(np.unique(labels)))
    covariance = centred.T @ centred / freedom
    share = SHRINKAGE * np.trace(covariance) / len(covariance)
    share = share or 1.0  # one example of each class: all directions alike
    difference = data[:new].mean(axis=0) - data[new:].mean(axis=0)
    return np.linalg.solve(covariance + share * np.eye(len(covariance)), difference)


def logistic_fit(along: np.ndarray, against: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """(scale, offset) of ``along`` as the logit of the new class against the others'.

    New examples count NEW_SHARE in all, old ones OLD_SHARE.
    """
    count = np.where(new, NEW_SHARE / new.sum(), OLD_SHARE / (~new).sum())
    inputs = np.stack([along, np.ones(len(along))], axis=1)
    middle = (along[new].mean() + along[~new].mean()) / 2
    spread = max(along[new].mean() - middle, 1e-9)
    found = np.array([2.0 / spread, -2.0 * middle / spread])  # +2 and -2 at the means
    found[1] += against.mean()
    for _ in range(NEWTON_STEPS):
        logit = inputs @ found - against
        share = 1 / (1 + np.exp(-np.clip(logit, -40, 40)))
        slope = inputs.T @ (count * (share - new))
        slope[0] += PULL * found[0] * spread**2
        bend = inputs.T @ (inputs * (count * share * (1 - share))[:, None])
        bend[0, 0] += PULL * spread**2
        step = np.linalg.solve(bend + 1e-9 * np.eye(2), slope)
        found -= step / max(1.0, np.abs(step).max() / (1 + np.abs(found).max()))
    return float(found[0]), float(found[1])


def prototypes(trainer, kept, new_class: int) -> None:
    """Each row the mean of its class' latents, the bias minus half its square: nearest mean.

    In integers: sums of int8 over counts, rounded half up.  A class without examples keeps a row
    that is never the largest.
    """
    data, _ = features_and_logits(trainer, kept.latents)
    kernel, bias = rows(trainer)
    for label in range(len(kernel)):
        mine = data[kept.labels == label].astype(np.int64)
        if len(mine):
            mean = (2 * mine.sum(axis=0) + len(mine)) // (2 * len(mine))
            kernel[label], bias[label] = mean, -(int((mean * mean).sum()) >> 1)
        else:
            kernel[label], bias[label] = 0, -(1 << 30)
    set_rows(trainer, kernel, bias)


STARTS: dict[str, Callable] = {
    "as it is": as_it_is,
    "zero": zero,
    "whitened": whitened,
    "prototypes": prototypes,
}


# ---- what is done in the end --------------------------------------------------------------------


def nothing(trainer, first, new_class: int) -> None:
    """What was trained stays."""


def consolidate(trainer, first, new_class: int) -> None:
    """Old rows as they were; the new one less its mean (CWR*, for a class not seen before)."""
    kernel, bias = first
    trained, trained_bias = rows(trainer)
    row = trained[new_class].astype(np.int64)
    kernel, bias = kernel.copy(), bias.copy()
    kernel[new_class] = arithmetic.saturate(row - int(np.rint(row.mean())))
    bias[new_class] = trained_bias[new_class]
    set_rows(trainer, kernel, bias)


FINISHES: dict[str, Callable] = {"nothing": nothing, "consolidate": consolidate}
