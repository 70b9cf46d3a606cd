"""A program through the bus is the program in memory; a run through it is a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from max78k_sim import packing
from max78k_sim.bus import Bus, driver
from max78k_sim.machine import Machine
from max78k_sim.program import Program, compile_network
from max78k_sim.testing import samples
from tests.conformance.cases import Case, cases_in
from tests.conftest import CASES
from tests.strategies import examples, networks

STORED = ("layer register", "bias", "kernel", "line buffer")


def check_program(program: Program, sample: np.ndarray) -> None:
    """Word for word after loading, packed and not; and the same output."""
    reference = Machine()
    reference.load(program)
    expected = reference.run(sample).copy()
    for packed in (True, False):
        bus = Bus(Machine(), timed=packed)
        driver.load(bus, program, packed)
        for region in STORED:
            np.testing.assert_array_equal(
                bus.memory.arrays[region], reference.memory.arrays[region], region
            )
        np.testing.assert_array_equal(driver.run(bus, program, sample), expected)
        assert not bus.faults and not bus.warnings and not bus.interrupt


@pytest.mark.parametrize("case", cases_in(CASES)[::5], ids=lambda case: case.name)
def test_golden_programs(case: Case):
    check_program(compile_network(case.network()), case.sample)


@examples(10)
@given(data=st.data(), network=networks())
def test_random_programs(data, network):
    check_program(compile_network(network), data.draw(samples(network)))


@examples(100)
@given(stream=st.integers(1, 40).flatmap(lambda words: arrays(np.uint8, 9 * words)))
def test_packed_kernels(stream):
    words = packing.pack_kernel_stream(stream)
    express = packing.pack_express(words)
    assert len(express) == -(-len(stream) // 4)
    np.testing.assert_array_equal(packing.unpack_express(express)[: len(words)], words)
