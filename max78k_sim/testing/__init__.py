"""Hypothesis strategies for code that uses the chip: numbers, tensors, layers, networks, registers.

For tests only: this package needs hypothesis (``pip install "max78k[test]"``), nothing else here
does.  What a strategy draws is legal by the rules of rules.py, and shrinks: numbers to 0, tensors
to one value, networks to one layer.  Examples: docs/property-testing.md.
"""

from __future__ import annotations

from ..errors import InputError

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise InputError('max78k_sim.testing needs hypothesis: pip install "max78k[test]"') from error

from .chains import networks, parameters, samples
from .single import big_data_maps, layers, processor_maps
from .values import (
    accumulators,
    generator,
    integer_arrays,
    kernels,
    q7_arrays,
    q7_values,
    q17_14_values,
    register_words,
)

__all__ = [
    "accumulators",
    "big_data_maps",
    "generator",
    "integer_arrays",
    "kernels",
    "layers",
    "networks",
    "parameters",
    "processor_maps",
    "q7_arrays",
    "q7_values",
    "q17_14_values",
    "register_words",
    "samples",
]
