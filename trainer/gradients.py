"""How each operation learns: GRADIENTS holds one backward for every operation that is trainable."""

from __future__ import annotations

import numpy as np

BIAS_INPUT = 128  # a bias is a weight whose input is always 1 (128 in Q7)


def linear(error: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of a linear layer's kernel and bias for one sample.

    ``error``: int64 [out], units of 1/32768; ``features``: int8 [feature].  Returns int64
    [out, feature] and [out], units of 1/(32768 * 128).
    """
    return np.multiply.outer(error, features.astype(np.int64)), error * BIAS_INPUT


GRADIENTS = {"linear": linear}
