"""Everything once, in a few seconds: what to run while working."""

import subprocess
import sys

import numpy as np

from firmware.cosim.host import HostTrainer, compile_library
from firmware.generate import generate
from max78k_sim import cli, load_network, placement, simulate
from max78k_sim.devices import DEVICES
from max78k_sim.evaluator import Evaluator
from max78k_sim.explain import explain, where
from max78k_sim.latency import latency
from max78k_sim.map_files import map_json
from max78k_sim.verbs.training import training_check, training_step
from tests import fashion
from trainer.loop import Trainer, memory_digest, train
from trainer.recipe import Recipe
from trainer.schedule import Schedule

RECIPE = Recipe(steps=4, batch=4, rate_shift=6, seed=11)


def test_addresses_go_both_ways():
    for device in DEVICES:
        for region in device.regions:
            for place in ((0, 0, 0), tuple(count - 1 for count in region.shape[:3])):
                address = device.address(region.name, *place)
                found = device.locate(address)
                assert (found.region, found.group, found.unit, found.entry) == (region, *place)


def test_a_network_is_placed_programmed_and_run():
    plan = fashion.program().plan
    first = plan.placement("conv1", "kernel")
    assert first.address.shape == (32, 1, 3, 3)
    assert map_json(plan)["layers"][0]["layer"] == "conv1"
    chip = fashion.machine()
    output = chip.run(np.load(fashion.DIRECTORY / "sample.npy"))
    assert np.array_equal(output.reshape(-1), np.load(fashion.DIRECTORY / "expected.npy"))
    for layer, parameters in zip(plan.network.layers, plan.network.parameters, strict=True):
        stored = placement.read(chip.memory, plan.placement(layer.name, "kernel"))
        assert np.array_equal(stored, parameters.kernel)
    assert latency(plan).total > 10_000


def test_a_kernel_written_at_its_address_takes_effect():
    chip = fashion.machine()
    sample = np.load(fashion.DIRECTORY / "sample.npy")
    before = chip.run(sample).reshape(-1)
    kernels = fashion.program().plan.placement("fc", "kernel")
    values = placement.read(chip.memory, kernels)
    values[3] = 0
    placement.write(chip.memory, kernels, values)
    after = chip.run(sample).reshape(-1)
    bias = fashion.network().parameters[4].bias
    assert after[3] == 128 * int(bias[3])
    assert np.array_equal(np.delete(after, 3), np.delete(before, 3))


def test_addresses_are_explained():
    plan = fashion.program().plan
    address = int(plan.placement("conv2", "kernel").address[3, 5, 1, 2])
    assert "conv2 kernel [out 3, in 5, row 1, column 2]" in explain(plan, address)
    assert f"0x{address:08x}" in where(plan, "conv2", "kernel", (3, 5, 1, 2))


def test_simulate_returns_every_layer():
    outputs = simulate(fashion.CONFIG, fashion.CHECKPOINT, fashion.DIRECTORY / "sample.npy")
    assert list(outputs) == ["layer0", "layer1", "layer2", "layer3", "layer4", "final"]
    assert outputs["layer0"].shape == (32, 28, 28) and outputs["final"].dtype == np.int32


def test_training_in_python_and_in_c_and_after_a_stop(tmp_path):
    pool, program = fashion.pool(), fashion.program()
    step = training_step(program, RECIPE)
    generate(program.plan, tmp_path, step, training_check(program, RECIPE))
    compiled, simulated, resumed = (fashion.machine() for _ in range(3))
    list(train(Trainer(simulated, RECIPE), pool))
    snapshot = tmp_path / "snapshot.npz"
    next(train(Trainer(fashion.machine(), RECIPE), pool, snapshot, snapshot_every=1))
    list(train(Trainer(resumed, RECIPE), pool, snapshot))
    host = HostTrainer(compile_library(tmp_path), compiled.memory, RECIPE.seed)
    replay = len(pool.labels) - pool.new
    schedule = Schedule(pool.new, replay, RECIPE.batch, RECIPE.new_share, RECIPE.seed)
    for number in range(RECIPE.steps):
        host.begin()
        for index in schedule.batch_at(number):
            compiled.run(pool.images[index])
            host.learn(int(pool.labels[index]))
        host.apply()
    digests = {memory_digest(chip.memory) for chip in (compiled, simulated, resumed)}
    assert len(digests) == 1 and digests != {memory_digest(fashion.machine().memory)}
    assert Evaluator(simulated).evaluate([(pool.images[:8], pool.labels[:8])]).samples == 8


def test_trained_weights_can_be_loaded_again(tmp_path):
    from max78k_sim.verbs.common import export_parameters

    chip = fashion.machine()
    list(train(Trainer(chip, RECIPE), fashion.pool()))
    export_parameters(tmp_path / "trained.npz", fashion.network(), chip)
    again = load_network(fashion.CONFIG, tmp_path / "trained.npz")
    kernel = placement.read(chip.memory, fashion.program().plan.placement("fc", "kernel"))
    assert np.array_equal(again.parameters[4].kernel, kernel)
    assert again.layers == fashion.network().layers


def test_command_line(capsys):
    assert cli.main(["run", *fashion.NETWORK_OPTIONS, "--sample-input", "no.npy"]) == 2
    assert capsys.readouterr().err.startswith("max78k: error: no.npy: ")
    assert cli.main(["explain", "0x50180000"]) == 0
    assert "kernel" in capsys.readouterr().out
    done = subprocess.run(
        [sys.executable, "-m", "max78k_sim.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "simulate to the bit" in " ".join(done.stdout.split())
