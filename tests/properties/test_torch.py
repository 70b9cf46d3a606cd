"""Law: Machine(compile(network)) = integer convolution in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given, reject
from hypothesis import strategies as st

from max78k_sim.allocation import Plan
from max78k_sim.errors import HardwareLimit
from max78k_sim.machine import Machine
from max78k_sim.network import Network
from max78k_sim.program import Program, compile_network
from tests.strategies import examples, networks, samples

pytest.importorskip("torch", reason="the oracle is PyTorch (pip install max78k[train])")

from tests.oracle import layer_outputs


def compiled(network: Network) -> Program:
    try:
        return compile_network(network)
    except HardwareLimit as error:
        assert "kernel words" in str(error)  # the one limit that the strategy does not know
        reject()


def describe(plan: Plan) -> None:
    """What the examples cover, shown by --hypothesis-show-statistics."""
    for layer in plan.network.layers:
        event(f"{layer.op}, flatten {layer.flatten}, passes {layer.in_passes[0]}")
        event(f"{layer.eltwise} of {layer.operands}, inputs {len(layer.inputs)}")
        event(f"run as {layer.hardware.op}, dilation {layer.dilation > 1}")
    event(f"quadrants {plan.groups}")


@examples(100)
@given(network=networks(most_layers=5, weight_bits=(8, 4, 2, 1)), seed=st.integers(0, 2**32 - 1))
def test_the_machine_computes_what_pytorch_computes(network, seed):
    program = compiled(network)
    describe(program.plan)
    sample = samples(network, np.random.default_rng(seed))
    expected = layer_outputs(network, sample)
    machine = Machine()
    machine.load(program)
    machine.prepare(sample)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    for trace in machine.steps():
        actual = machine.read_output(trace.layer)
        assert actual.dtype == (
            np.int32 if network.layers[trace.layer].output_bits == 32 else np.int8
        )
        np.testing.assert_array_equal(actual, expected[trace.layer], f"layer {trace.layer}")
    machine.load(program)
    np.testing.assert_array_equal(machine.run(sample), expected[-1])
    np.testing.assert_array_equal(machine.run(sample), expected[-1])  # and again, without a reset
