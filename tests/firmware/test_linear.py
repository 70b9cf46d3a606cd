"""The step of a linear layer for one sample: the Python trainer's bytes, step by step."""

import ctypes
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.host import STRICT, compiler
from firmware.layout import STORED_REGIONS
from firmware.linear_step import linear_header
from max78k_sim.allocation import allocate
from max78k_sim.errors import NotEmulated
from tests import builders, fashion
from tests.conftest import ROOT
from tests.firmware.linear_case import RECIPE, LinearCase, linear_network
from tests.strategies import examples

RUNTIME = ROOT / "firmware" / "runtime"
SOURCES = ("cnn_linear.c", "cnn_stream.c")
STEPS = 5


def library(case, directory, copy):
    """The step on this computer, on the memories of a machine of its own."""
    case.files(directory, copy)
    made = directory / "linear.so"
    command = [compiler(), *STRICT, "-O2", "-DCNN_HOST", "-shared", "-fPIC", "-I", str(directory)]
    sources = [str(RUNTIME / name) for name in SOURCES] + [str(directory / "cnn_host.c")]
    subprocess.run(
        [*command, "-I", str(RUNTIME), "-o", str(made), *sources], check=True, capture_output=True
    )
    return ctypes.CDLL(str(made))


def check(case, directory, copy, steps=STEPS):
    """After each step, C's memories are the trainer's."""
    code = library(case, directory, copy)
    model = case.machine.memory
    images = {region: model.arrays[region].copy() for region in STORED_REGIONS}
    for number, region in enumerate(STORED_REGIONS):
        code.cnn_host_attach(number, images[region].ctypes.data_as(ctypes.c_void_p))
    factor = 256
    assert code.cnn_linear_takes(case.recipe.rate_mantissa, factor, case.shift)
    code.cnn_linear_begin()
    for step in range(steps):
        label = case.show(model)
        images["data"][:] = model.arrays["data"]
        best = case.trainer.logits(case.trainer.maps_in_memory())[0].argmax()
        case.learn(label)
        salt = ctypes.c_uint32(case.salt(step))
        found = code.cnn_linear_step(label, salt, case.recipe.rate_mantissa, factor, case.shift)
        assert found == best
        for region in STORED_REGIONS:
            assert np.array_equal(images[region], model.arrays[region]), (region, step)


@st.composite
def cases(draw):
    """Any size that the step takes, and recipes that it takes."""
    size = draw(st.sampled_from(((2, 2), (4, 1), (2, 4), (4, 4), (6, 2))))
    network = linear_network(draw(st.integers(1, 20)), size, draw(st.integers(1, 20)))
    shift, mantissa = draw(st.integers(4, 10)), draw(st.integers(1, 7))
    recipe = replace(RECIPE, rate_shift=shift, rate_mantissa=mantissa, seed=draw(st.integers(0, 9)))
    return LinearCase(network, recipe)


@given(cases(), st.booleans())
@examples(12)
def test_steps_of_any_layer(tmp_path_factory, case, copy):
    check(case, tmp_path_factory.mktemp("linear"), copy)


@pytest.mark.parametrize("copy", (False, True))
def test_steps_of_the_shipped_networks_layer(tmp_path, copy):
    check(LinearCase(fashion.network(), RECIPE), tmp_path, copy, 20)


TAKEN = (  # mantissa, factor, shift
    ((1, 256, 22), 1),
    ((1, 256, 32), 1),
    ((1, 256, 17), 1),
    ((1, 256, 16), 0),  # weights could move by more than 64
    ((255, 256, 24), 1),
    ((255, 256, 23), 0),
    ((1, 128, 31), 1),
    ((1, 128, 32), 0),  # half a bit would be lost
    ((1, 256, 33), 0),
)


def test_which_recipes_it_takes(tmp_path):
    code = library(LinearCase(linear_network(1, (2, 2), 2)), tmp_path, True)
    assert [code.cnn_linear_takes(*recipe) for recipe, _ in TAKEN] == [took for _, took in TAKEN]


REFUSED = (
    (builders.two_layers(), "second: the step for one sample in C takes 32-bit outputs"),
    (
        builders.two_layers(output_bits=32, weight_bits=4),
        "second: the step for one sample in C takes 8-bit weights",
    ),
)


@pytest.mark.parametrize(("network", "message"), REFUSED, ids=[text for _, text in REFUSED])
def test_layers_that_it_does_not_take(network, message):
    with pytest.raises(NotEmulated, match=message):
        linear_header(allocate(network), False)


@pytest.mark.arm
@pytest.mark.parametrize("copy", (False, True))
def test_on_the_board(tmp_path, copy):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    from tests.firmware.kernels_on_board import run_linear

    case = LinearCase(linear_network(12, (4, 4), 10))
    assert run_linear(case, tmp_path, copy, STEPS).cycles.total() > 0
