"""Cycles: every golden case of the operations built here, layer by layer, and silicon."""

from __future__ import annotations

import pytest

from max78k_sim.allocation import allocate
from max78k_sim.latency import OVERHEAD_CYCLES, latency, milliseconds, run_latency
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from tests.conformance.cases import EXPECTED_COUNTS, Case, claimed_cases
from tests.conftest import CASES, corpus


def estimates(case: Case) -> tuple[list[int], list[int]]:
    """(cycles here, cycles of the vendor's generator): each layer, then the total."""
    found = latency(allocate(case.network()))
    expected = [layer["est_cycles"] for layer in case.meta["layers"]]
    return [*found.layers, found.total], [*expected, case.meta["est_cycles"]]


@pytest.mark.parametrize("case", claimed_cases(CASES), ids=lambda case: case.name)
def test_cycles_of_committed_cases(case):
    found, expected = estimates(case)
    assert found == expected


@pytest.mark.parametrize("case", claimed_cases(CASES), ids=lambda case: case.name)
def test_cycles_from_registers(case):
    """The same, from what a program wrote."""
    network, machine = case.network(), Machine()
    machine.load(compile_network(network))
    for write in machine.prepare(case.sample).start:
        machine.memory.write(write.address, write.words)
    found = run_latency(machine.routines()).layers
    for layer, cycles, expected in zip(network.layers, found, latency(network).layers, strict=True):
        assert cycles == expected, layer


@pytest.mark.corpus
@pytest.mark.parametrize("folder", EXPECTED_COUNTS)
def test_cycles_of_all_golden_cases(folder):
    for case in claimed_cases(corpus() / folder):
        found, expected = estimates(case)
        assert found == expected, case.name


def test_silicon():
    """Cycles of the vendor's MNIST network, and the time measured on the chip."""
    assert milliseconds(70_158 + OVERHEAD_CYCLES) == pytest.approx(1.410, abs=0.0002)
