"""The C training step is the Python trainer, to the bit: all layers, widths and recipes."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import networks as shipped
from firmware.training.buffers import Buffer, arrange
from max78k_sim import Network, cli, compile_network, load_network
from max78k_sim.errors import InputError, Max78kError
from max78k_sim.layer import Layer
from max78k_sim.network import Parameters
from max78k_sim.testing import networks
from tests.builders import network_of
from tests.fashion import NETWORK_OPTIONS
from tests.strategies import examples
from tests.trainer.test_loop import RECIPES, narrow_chip
from trainer.recipe import Recipe

from .train_steps import Case, run_case
from .twins import Twins

CLASSES = 5
STEPS, BATCH = 3, 2


def random_examples(network, count, seed=1):
    """int8 [n, channel, row, column] over the whole range, and classes."""
    random = np.random.default_rng(seed)
    images = random.integers(-128, 128, (count, *network.input_shape)).astype(np.int8)
    return images, random.integers(0, network.layers[-1].out_channels, count)


def run_both(program, recipe, folder, steps=STEPS, teacher=None, check=False):
    """Both trainers, compared after every step."""
    images, labels = random_examples(program.plan.network, steps * recipe.batch)
    both = Twins(program, recipe, folder, images[:2], labels[:2], check)
    for step in range(steps):
        shown = slice(step * recipe.batch, (step + 1) * recipe.batch)
        both.step(images[shown], labels[shown], None if teacher is None else teacher[shown])
        both.check()
    return both


@pytest.mark.parametrize("momentum", (0, 3))
@pytest.mark.parametrize(
    "name, layers", (("digits", ("conv4", "fc")), ("keywords", ("conv5", "conv6", "fc")))
)
def test_steps_of_one_sample(name, layers, momentum, tmp_path):
    """Gradients are applied as they are made; without momentum nothing is kept of them."""
    folder = shipped.DIRECTORY / name
    program = compile_network(load_network(folder / "network.yaml", folder / "checkpoint.pth.tar"))
    recipe = Recipe(layers=layers, batch=1, momentum_shift=momentum, rate_shift=6, deeper_shift=1)
    both = run_both(program, recipe, tmp_path, check=True)
    assert (both.sram < 32 << 10) == (momentum == 0)
    command = ["make", "-s", "-C", tmp_path, "-f", "check.mk", "check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "PASS: 6 training steps" in done.stdout


@pytest.mark.parametrize(
    "name, layers",
    (
        ("digits", ("conv4", "fc")),
        ("digits", ("conv3", "conv4", "fc")),
        ("fashion", ("conv4", "fc")),
        ("fashion", ("conv2", "conv4")),
        ("keywords", ("conv5", "conv6", "fc")),
        ("keywords", ("conv1",)),
    ),
)
def test_the_shipped_networks(name, layers, tmp_path):
    folder = shipped.DIRECTORY / name
    program = compile_network(load_network(folder / "network.yaml", folder / "checkpoint.pth.tar"))
    recipe = Recipe(layers=layers, batch=BATCH, rate_shift=6, deeper_shift=1)
    both = run_both(program, recipe, tmp_path, check=True)
    assert both.trainer.slots_written["kernel"] > 10
    command = ["make", "-s", "-C", tmp_path, "-f", "check.mk", "check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "PASS: 3 training steps" in done.stdout


def test_layers_run_again_for_tensors_that_are_lost(tmp_path):
    """Every second output of this network lies where an earlier one did."""
    folder = shipped.DIRECTORY / "fashion"
    program = compile_network(load_network(folder / "network.yaml", folder / "checkpoint.pth.tar"))
    recipe = Recipe(layers=("conv1", "conv2", "conv3", "conv4", "fc"), batch=BATCH, rate_shift=6)
    both = run_both(program, recipe, tmp_path)
    assert both.runs == 2 * STEPS * BATCH


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("width", (8, 4, 2, 1))
def test_all_widths_and_recipes(recipe, width, tmp_path):
    compare_width(recipe, width, tmp_path)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("width, momentum", ((8, 0), (4, 3), (1, 0)))
def test_all_recipes_in_steps_of_one_sample(recipe, width, momentum, tmp_path):
    compare_width(replace(recipe, momentum_shift=momentum), width, tmp_path, batch=1)


def compare_width(recipe, width, tmp_path, batch=BATCH):
    """Both trainers on a small network with weights of so many bits."""
    program = narrow_chip(width, tmp_path).program
    names = tuple(layer.name for layer in program.plan.network.layers)
    recipe = replace(recipe, layers=names, batch=batch, steps=4, rate_shift=10 - width)
    teacher = np.random.default_rng(width).integers(0, 256, (8, CLASSES)).astype(np.uint8)
    run_both(program, recipe, tmp_path, steps=4, teacher=teacher)


def with_a_loss(network: Network, seed: int) -> Network:
    """A network with a linear layer of 32-bit output behind it; HardwareLimit where none fits."""
    last = replace(network.layers[-1], output_bits=8)
    linear = Layer(
        index=last.index + 1,
        name="classes",
        op="linear",
        in_channels=last.out_channels,
        out_channels=CLASSES,
        in_size=last.out_size,
        processors=last.output_processors,
        output_processors=(1 << CLASSES) - 1,
        kernel_shape=(1, 1),
        flatten=last.out_size != (1, 1),
        weight_bits=(8, 4, 2, 1)[seed % 4],
        output_bits=32,
        in_offset=last.out_offset,
        out_offset=0x7000,
    )
    random = np.random.default_rng(seed)
    limit = 1 << linear.weight_bits - 1
    kernel = random.integers(-limit, limit, linear.kernel_tensor_shape).astype(np.int8)
    layers = (*network.layers[:-1], last, linear)
    bias = random.integers(-128, 128, CLASSES).astype(np.int8)
    return replace(
        network, layers=layers, parameters=(*network.parameters, Parameters(kernel, bias))
    )


def compare_random(network, seed, recipe, folder):
    """A random network with a loss behind it; where that is impossible, another one is drawn."""
    try:
        network = with_a_loss(network, seed)
        program = compile_network(network)
    except Max78kError:
        assume(False)
    names = tuple(layer.name for layer in network.layers if layer.has_kernels)
    recipe = replace(recipe, layers=names, rate_shift=6, parts=("kernel", "bias"))
    try:
        run_both(program, recipe, folder)
    except InputError as error:
        assert "does not depend on" in error.message or "right shift" in error.message
        assume(False)


@given(
    networks(most_layers=4, weight_bits=(8, 4, 2, 1)).filter(
        lambda network: not any(layer.eltwise in ("or", "xor") for layer in network.layers)
    ),
    st.integers(0, 2**20),
    st.sampled_from(RECIPES),
    st.sampled_from(((BATCH, 3), (1, 3), (1, 0))),
)
@examples(12)
def test_random_networks(tmp_path_factory, network, seed, recipe, batch_and_momentum):
    batch, momentum = batch_and_momentum
    recipe = replace(recipe, batch=batch, momentum_shift=momentum)
    compare_random(network, seed, recipe, tmp_path_factory.mktemp("random"))


BRANCHES = dict(in_channels=8, out_channels=8, in_size=(6, 6), processors=255, padding=1)


def branching(**fields) -> Network:
    """Two branches of 8 channels, and a layer that reads both: added, or side by side."""
    gap = 1 if fields.get("operands") else 0
    common = BRANCHES | {"output_processors": 255, "activation": "relu", "weight_bits": 4}
    above = dict(output_processors=255 if gap else 255 << 8)
    layers = (
        Layer(0, "trunk", "conv2d", **common, out_offset=0x1000, output_shift=-1),
        Layer(1, "one", "conv2d", **common, in_offset=0x1000, out_offset=0x2000, write_gap=gap),
        Layer(
            2, "other", "conv2d", **common | above, in_offset=0x1000,
            out_offset=0x2004 if gap else 0x2000, inputs=(0,), write_gap=gap, output_shift=1,
        ),
        Layer(
            3, "joint", **common | dict(op="conv2d", in_channels=8 if gap else 16) | fields
            | dict(processors=255 if gap else 0xFFFF), in_offset=0x2000, out_offset=0x3000,
            inputs=(1, 2),
        ),
    )  # fmt: skip
    return network_of(*layers)


@pytest.mark.parametrize(
    "fields",
    (
        {},
        {"pool": (2, 2), "stride": 2},
        {"pool": (3, 3), "stride": 2, "pool_average": True},
        {"operands": 2, "eltwise": "add"},
        {"operands": 2, "eltwise": "sub", "pool": (2, 2), "stride": 2},
        {"operands": 2, "eltwise": "sub", "pool": (3, 3), "stride": 1, "pool_first": False},
        {"operands": 2, "eltwise": "add", "pool": (2, 2), "stride": 1, "pool_average": True},
        {"operands": 2, "eltwise": "add", "op": "passthrough", "padding": 0,
         "kernel_shape": (1, 1), "activation": None, "weight_bits": 8},
    ),
)  # fmt: skip
def test_branches(fields, tmp_path):
    network = with_a_loss(branching(**fields), 0)
    if fields.get("op") == "passthrough":
        network = replace(
            network, parameters=(*network.parameters[:3], None, network.parameters[4])
        )
    names = tuple(layer.name for layer in network.layers if layer.has_kernels)
    recipe = Recipe(layers=names, batch=BATCH, rate_shift=6, deeper_shift=1)
    run_both(compile_network(network), recipe, tmp_path)


def generate_with(tmp_path, *options):
    folder = tmp_path / "c"
    code = cli.main(["generate", "--train", *NETWORK_OPTIONS, "--out", str(folder), *options])
    return code, folder


def test_generate_takes_hidden_layers(tmp_path, capsys):
    code, folder = generate_with(tmp_path, "--layers", "conv4,fc", "--rate-shift", "6")
    assert code == 0
    done = subprocess.run(["make", "-s", "-C", folder, "check"], capture_output=True, text=True)
    assert done.returncode == 0 and "PASS: 3 training steps" in done.stdout


@pytest.mark.parametrize(
    "options, message",
    (
        (("--layers", "conv3"), "most of it for velocities (110,848 bytes), and the budget is"),
        (("--layers", "conv9"), "has no layer 'conv9'"),
        (
            ("--layers", "conv4", "--new-class", "12"),
            "--new-class 12: the network has classes 0 to 9",
        ),
        (("--layers", "fc", "--rate-shift", "30"), "the total right shift would be"),
    ),
)
def test_what_generate_refuses(options, message, tmp_path, capsys):
    code, folder = generate_with(tmp_path, *options)
    assert code == 2 and message in capsys.readouterr().err
    assert not folder.exists()


def test_buffers_share_memory_only_when_they_may():
    buffers = [Buffer(f"{n}", 5 + n % 3, n, n + 2) for n in range(12)]
    places, size = arrange(buffers)
    for one in buffers:
        assert places[one.name] + one.size <= size
        for other in buffers:
            apart = abs(places[one.name] - places[other.name])
            first = one if places[one.name] < places[other.name] else other
            assert one is other or not one.meets(other) or apart >= first.size
    assert size < 24


def test_a_sample_without_error_still_moves_what_has_momentum(tmp_path):
    """Steps of 1-bit weights are so large that a later sample's error is zero."""
    run_case(Case("digits", ("conv4", "fc"), steps=4, rate_shift=8, bits=1), tmp_path)
