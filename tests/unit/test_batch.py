"""Whole sets of samples give what the machine gives, sample by sample, layer by layer."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import Machine, compile_network, load_network, placement
from max78k_sim.batch import Batch
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.network import Network, Parameters
from tests import fashion, processors
from tests.builders import FIRST
from tests.conformance.cases import Case, cases_in
from tests.conftest import CASES
from tests.unit.test_data_buffer import DESCRIPTION, random_weights

PATHS = processors.PATHS
COMMITTED = sorted(cases_in(CASES), key=lambda case: case.folder.name)


def machine_of(network) -> Machine:
    machine = Machine()
    machine.load(compile_network(network))
    return machine


def samples_of(network, count: int = 3) -> np.ndarray:
    """int8 [sample, channel, row, column]: random ones, all -128 and all 127."""
    random = np.random.default_rng(0).integers(-128, 128, (count, *network.input_shape))
    random[-2], random[-1] = -128, 127
    return random.astype(np.int8)


def layer_by_layer(machine: Machine, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's outputs, by the machine."""
    found: dict[str, list[np.ndarray]] = {}
    names = [layer.name for layer in machine.program.plan.network.layers]
    for sample in samples:
        for trace in machine.traces(sample):
            found.setdefault(names[trace.layer], []).append(machine.output_of(trace))
    return {name: np.array(outputs) for name, outputs in found.items()}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", COMMITTED[::4], ids=lambda case: case.folder.name)
def test_golden_cases_layer_by_layer_on_every_path(case: Case, path):
    network = case.network()
    samples = samples_of(network)
    every = Batch(machine_of(network), path=path).run_layers(samples, range(len(network.layers)))
    for name, wanted in layer_by_layer(machine_of(network), samples).items():
        np.testing.assert_array_equal(every[name], wanted, strict=True, err_msg=name)


@pytest.mark.parametrize("case", COMMITTED[1::3], ids=lambda case: case.folder.name)
def test_the_last_layer_alone_is_the_same(case: Case):
    """Outputs in between are then written where the next layer reads them."""
    network = case.network()
    samples, machine = samples_of(network, 5), machine_of(network)
    wanted = np.array([machine.run(sample) for sample in samples])
    np.testing.assert_array_equal(Batch(machine, threads=2).run(samples), wanted, strict=True)


def test_memory_and_threads_that_are_kept_change_nothing():
    network, random = fashion.network(), np.random.default_rng(1)
    batch = Batch(fashion.machine(), threads=2)
    for layers in ([0], range(len(network.layers)), [0], [len(network.layers) - 1]):
        samples = random.integers(-128, 128, (70, *network.input_shape)).astype(np.int8)
        wanted = Batch(fashion.machine()).run_layers(samples, layers)
        for name, found in batch.run_layers(samples, layers).items():
            np.testing.assert_array_equal(found, wanted[name], strict=True, err_msg=name)


FORKED = """
import os
from max78k_sim.engine.threads import pool
assert list(pool(2).map(abs, [-1, 2])) == [1, 2]
child = os.fork()
if not child:
    os._exit(sum(pool(2).map(abs, [-3, 4])))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_threads_are_started_again_after_a_fork():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "7\n"


def test_golden_outputs_come_out_of_a_batch():
    case = COMMITTED[0]
    sample = case.sample.astype(np.int8).reshape(1, *case.network().input_shape)
    batch = Batch(machine_of(case.network()))
    network = batch.network
    every = batch.run_layers(sample, range(len(network.layers)))
    expected = np.load(case.folder / "expected.npz")
    for layer in network.layers:
        golden = expected[f"layer{layer.index}"]
        np.testing.assert_array_equal(every[layer.name].reshape(golden.shape), golden)


def test_kernels_that_are_written_count_from_the_next_run():
    machine, samples = machine_of(fashion.network()), samples_of(fashion.network(), 4)
    batch = Batch(machine)
    before = batch.run(samples)
    place = machine.program.plan.placement("conv2", "kernel")
    values = placement.read(machine.memory, place)
    packs = list(batch._compiled.steps.kernels._packs)
    placement.write(machine.memory, place, -values)
    after = batch.run(samples)
    assert (before != after).any()
    np.testing.assert_array_equal(after, np.array([machine.run(each) for each in samples]))
    again = batch._compiled.steps.kernels._packs
    assert [a is b for a, b in zip(packs, again, strict=True)] == [True, False, True, True, True]


def test_biases_and_registers_that_are_written_count_from_the_next_run():
    machine, samples = machine_of(fashion.network()), samples_of(fashion.network(), 4)
    batch = Batch(machine)
    seen = [batch.run(samples)]
    place = machine.program.plan.placement("fc", "bias")
    placement.write(machine.memory, place, placement.read(machine.memory, place) // 2 - 9)
    seen.append(batch.run(samples))
    post = next(register for register in MAX78000.layer_registers if register.name == "POST")
    words = machine.memory.arrays["layer register"][:, post.unit, 1, 0]
    words[:] = [post.replace(int(word), shift=3, shift_right=1) for word in words]
    seen.append(batch.run(samples))
    assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()
    np.testing.assert_array_equal(seen[2], np.array([machine.run(each) for each in samples]))


def test_a_network_that_remembers_is_run_in_order(tmp_path):
    """Rolling buffers: what a sample gives depends on those before it."""
    weights = {
        "w0": random_weights((4, 2, 3, 3), 1).reshape(8, 9),
        "w3": random_weights((3, 4, 5), 2).reshape(12, 5),
    }
    np.savez(tmp_path / "weights.npz", **weights)  # type: ignore[arg-type]
    file = tmp_path / "network.yaml"
    file.write_text(DESCRIPTION)
    network = load_network(file, tmp_path / "weights.npz", input_shape=(2, 3, 3))
    samples, machine = samples_of(network, 7), machine_of(network)
    wanted = np.array([machine.run(sample) for sample in samples])
    np.testing.assert_array_equal(Batch(machine_of(network), threads=2).run(samples), wanted)


def test_a_write_that_changes_nothing_packs_nothing():
    machine = machine_of(fashion.network())
    machine.run(samples_of(fashion.network())[0])
    routine = machine.routine(1)
    kernels = routine.kernels(machine.memory)
    address = int(machine.program.plan.placement("conv2", "kernel").words[0])
    machine.memory.write(address, machine.memory.read(address))
    assert routine.kernels(machine.memory) is kernels


def test_data_memory_is_left_alone():
    machine = machine_of(fashion.network())
    before = machine.memory.arrays["data"].copy()
    Batch(machine).run(samples_of(fashion.network()))
    np.testing.assert_array_equal(machine.memory.arrays["data"], before)


def test_sums_that_do_not_fit_are_refused_as_by_the_machine():
    layer = replace(FIRST, in_channels=1024, processors=(1 << 64) - 1, in_size=(3, 3))
    full = Parameters(np.full(layer.kernel_tensor_shape, 127, np.int8))
    network = Network("n", MAX78000, (layer,), (full,))
    samples = np.full((2, *network.input_shape), 127, np.int8)
    with pytest.raises(NotEmulated, match="accumulator of"):
        machine_of(network).run(samples[0])
    with pytest.raises(NotEmulated, match="layer 0: an accumulator does not fit 26 bits"):
        Batch(machine_of(network)).run(samples)
    fine = np.zeros_like(samples)
    np.testing.assert_array_equal(
        Batch(machine_of(network)).run(fine)[0], machine_of(network).run(fine[0])
    )


BAD = [
    (
        np.zeros((2, 1, 27, 28), np.int8),
        r"shape \(2, 1, 27, 28\): the network takes \[sample, 1, 28, 28\]",
    ),
    (np.zeros((2, 1, 28, 28)), "images of float64: the network takes integers"),
    (np.full((2, 1, 28, 28), 200), "values from 200 to 200: .* subtract 128"),
]


@pytest.mark.parametrize(("samples", "message"), BAD)
def test_wrong_samples_get_one_message(samples, message):
    with pytest.raises(InputError, match=message):
        Batch(fashion.machine()).run(samples)


def test_no_samples_give_no_outputs():
    assert Batch(fashion.machine()).run(np.zeros((0, 1, 28, 28), np.int8)).shape == (0, 10, 1, 1)


def test_a_machine_without_a_program_is_refused():
    with pytest.raises(InputError, match="no program"):
        Batch(Machine())
