"""How many examples a property gets; the strategies themselves are in max78k_sim/testing."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import HealthCheck, settings

from max78k_sim.network import Network
from max78k_sim.testing import generator, networks

__all__ = ["examples", "generator", "networks", "samples"]

NIGHTLY = os.environ.get("MAX78K_NIGHTLY") == "1"


def examples(count: int) -> settings:
    """Settings for ``count`` examples, 20 times as many and random ones with MAX78K_NIGHTLY=1."""
    return settings(
        max_examples=count * (20 if NIGHTLY else 1),
        deadline=None,
        derandomize=not NIGHTLY,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def samples(network: Network, random: np.random.Generator) -> np.ndarray:
    """int8 [channel, row, column] over the whole range."""
    return random.integers(-128, 128, network.input_shape).astype(np.int8)
