"""Accuracy of a network as a Trainer has it: the chip's sums, and the processor's biases on top."""

from __future__ import annotations

import numpy as np

from max78k_sim.evaluator import BATCH, Evaluation, Evaluator, Tally

from .loop import Trainer


def evaluate(trainer: Trainer, images: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Counts of images (int8 [n, channel, row, column]) by label and by class found."""
    evaluator = Evaluator(trainer.machine)
    tally = Tally(evaluator.network.output_shape[0])
    last = evaluator.network.layers[-1].index
    for first in range(0, len(images), BATCH):
        part = slice(first, first + BATCH)
        logits = trainer.logits({last: evaluator.scores(images[part])})
        tally.add(logits[:, :, None, None], labels[part])
    return tally.evaluation
