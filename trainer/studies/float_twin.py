"""The last layer trained in float32, by the same recipe on the same batches, to compare with."""

from __future__ import annotations

import numpy as np

from ..learning.starts import features_and_logits, rows
from ..learning.strategies import Kept
from ..loop import Trainer
from ..losses import LOGIT_BITS
from ..recipe import FACTOR_ONE
from ..schedule import schedule_of

DATA_UNIT = np.float32(1 / 128)


def trained_logits(trainer: Trainer, kept: Kept, latents) -> np.ndarray:
    """float32 [sample, class] of ``latents`` after the recipe, from the trainer's present rows."""
    recipe, last = trainer.recipe, trainer.network.layers[-1]
    data, _ = features_and_logits(trainer, kept.latents)
    tested, _ = features_and_logits(trainer, latents)
    kernel, bias = rows(trainer)
    scale = 2.0**last.output_shift
    weights = (kernel * scale / 128).astype(np.float32)  # [class, feature]
    biases = (bias * scale / (1 << LOGIT_BITS)).astype(np.float32)
    data, tested = data * DATA_UNIT, tested * DATA_UNIT
    wanted = targets(kept, recipe.teacher_share, len(kernel))
    schedule = schedule_of(kept, recipe)
    momentum = np.float32(1 - 2.0**-recipe.momentum_shift)
    velocity, velocity_of_bias = np.zeros_like(weights), np.zeros_like(biases)
    for step in range(recipe.steps):
        chosen = schedule.batch_at(step)
        error = softmax(data[chosen] @ weights.T + biases) - wanted[chosen]
        rate = np.float32(recipe.rate_mantissa * 2.0**-recipe.rate_shift)
        rate *= np.float32(recipe.factor(step) / FACTOR_ONE)
        velocity = momentum * velocity + error.T @ data[chosen]
        velocity_of_bias = momentum * velocity_of_bias + error.sum(axis=0)
        weights -= rate * velocity
        biases -= rate * velocity_of_bias
    return tested @ weights.T + biases


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 [sample, class]."""
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


def targets(kept: Kept, share: int, classes: int) -> np.ndarray:
    """float32 [sample, class]: labels, and what the teacher said."""
    wanted = np.eye(classes, dtype=np.float32)[kept.labels]
    if kept.teacher is None or not share:
        return wanted
    part = np.float32(share / 256)
    return (1 - part) * wanted + part * kept.teacher.astype(np.float32) / 256
