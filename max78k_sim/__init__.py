"""max78k: a model of the MAX78000 that is exact to the bit at every address.

The names below are the public API; they are imported when first used, so that the command line
answers at once.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "load_network": "max78k_sim.loading",
    "simulate": "max78k_sim.loading",
    "compile_network": "max78k_sim.program",
    "Program": "max78k_sim.program",
    "Machine": "max78k_sim.machine",
    "Evaluator": "max78k_sim.evaluator",
    "Network": "max78k_sim.network",
    "Plan": "max78k_sim.allocation",
    "Placement": "max78k_sim.placement",
    "Max78kError": "max78k_sim.errors",
    "InputError": "max78k_sim.errors",
    "HardwareLimit": "max78k_sim.errors",
    "NotEmulated": "max78k_sim.errors",
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'max78k_sim' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
