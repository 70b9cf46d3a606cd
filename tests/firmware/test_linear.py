"""The step of a linear layer for one sample: the Python trainer's bytes, step by step."""

from dataclasses import replace
from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.cosim.host import HostTrainer, compile_library
from firmware.training.linear import linear_header, missing, step_sram
from max78k_sim import Machine
from max78k_sim.errors import NotEmulated
from max78k_sim.verbs.training import training_step
from tests import builders, fashion
from tests.firmware.linear_case import RECIPE, LinearCase, linear_network
from tests.strategies import examples
from trainer.kernel_store import TRAINED_REGIONS

STEPS = 5
WASTE = 128  # bytes of SRAM that are planned and not taken, at most


def check(case, directory, copy, steps=STEPS):
    """After each step, C's memories are the trainer's; every kernel word is written."""
    library = compile_library(case.files(directory, copy))
    model, chip = case.machine.memory, Machine()
    chip.load(case.program)
    code = HostTrainer(library, chip.memory, case.recipe.seed)
    for step in range(steps):
        label = case.show(model)
        chip.memory.arrays["data"][:] = model.arrays["data"]
        best = case.trainer.logits(case.trainer.maps_in_memory())[0].argmax()
        case.learn(label)
        code.begin()
        assert int(code.library.cnn_train_predict()) == code.learn(label) == best
        code.apply()
        for region in TRAINED_REGIONS:
            assert np.array_equal(chip.memory.arrays[region], model.arrays[region]), (region, step)
    layer = case.program.plan.network.layers[-1]
    words = layer.in_channels * -(-layer.out_channels * layer.pixels // 9)
    assert code.number("cnn_train_kernel_words") == steps * words
    assert code.number("cnn_train_bias_bytes") == case.trainer.slots_written["bias"]
    assert code.accesses()[2] == 0
    made = training_step(case.program, case.recipe, copy=copy)
    planned = sum(step_sram(case.program.plan, made).values())
    assert 0 <= planned - code.number("cnn_train_sram") <= WASTE


SIZES = ((2, 2), (4, 1), (2, 4), (4, 4), (6, 2), (1, 1), (3, 1), (3, 3), (2, 3), (5, 3), (7, 2))


@st.composite
def cases(draw):
    """Any size that the step takes, and recipes that it takes."""
    rows, columns = draw(st.sampled_from(SIZES))
    channels = draw(st.integers(1, 20))
    channels += -channels % (4 // gcd(4, rows * columns))  # a multiple of 4 inputs
    network = linear_network(channels, (rows, columns), draw(st.integers(1, 20)))
    recipe = replace(
        RECIPE,
        rate_shift=draw(st.integers(4, 10)),
        rate_mantissa=draw(st.integers(1, 7)),
        schedule=draw(st.sampled_from(("constant", "halving", "linear"))),
        steps=draw(st.sampled_from((STEPS, 64))),
        parts=draw(st.sampled_from((("kernel", "bias"), ("kernel",)))),
        seed=draw(st.integers(0, 9)),
    )
    return LinearCase(network, recipe)


@given(cases(), st.booleans())
@examples(16)
def test_steps_of_any_layer(tmp_path_factory, case, copy):
    check(case, tmp_path_factory.mktemp("linear"), copy)


@pytest.mark.parametrize("copy", (False, True))
def test_steps_of_the_shipped_networks_layer(tmp_path, copy):
    check(LinearCase(fashion.network(), RECIPE), tmp_path, copy, 20)


ROUND = "another rate_shift or rate_mantissa"
OTHER_RECIPES = (  # what is changed, and what is missing then
    ({}, ()),
    ({"batch": 2}, ("batches of 1",)),
    ({"momentum_shift": 3}, ("momentum_shift 0",)),
    ({"optimizer": "adam"}, ("no Adam",)),
    ({"precision": "residual"}, ("weights in place",)),
    ({"decay_shift": 9}, ("no decay",)),
    ({"wide_bias": True}, ("biases on the chip",)),
    ({"teacher_share": 9}, ("no teacher",)),
    ({"loss": "squared"}, ("cross-entropy",)),
    ({"rounding": "nearest"}, ("stochastic rounding",)),
    ({"parts": ("bias",)}, ("kernels of the last layer alone",)),
    ({"rounding": "nearest", "batch": 8}, ("batches of 1", "stochastic rounding")),
    # the total right shift is rate_shift + 15
    ({"rate_shift": 2}, ()),
    ({"rate_shift": 1}, (ROUND,)),  # weights could move by more than 64
    ({"rate_shift": 9, "rate_mantissa": 255}, ()),
    ({"rate_shift": 8, "rate_mantissa": 255}, (ROUND,)),
    ({"rate_shift": 17}, ()),
    ({"rate_shift": 16, "schedule": "halving"}, (ROUND,)),  # half a bit would be lost
    ({"rate_shift": 9, "schedule": "halving"}, ()),
    ({"rate_shift": 10, "schedule": "linear"}, (ROUND,)),
)


@pytest.mark.parametrize(("changed", "lacks"), OTHER_RECIPES, ids=str)
def test_which_recipes_it_takes(changed, lacks):
    case = LinearCase(linear_network(1, (2, 2), 2), replace(RECIPE, **changed))
    step = training_step(case.program, case.recipe)
    assert missing(case.program.plan, step) == lacks
    assert (step.copy is None) == bool(lacks)


OTHER_LAYERS = (
    (linear_network(3, (3, 3), 2), "a multiple of 4 inputs"),
    (linear_network(1, (16, 16), 2), "at most 255 pixels"),
    (builders.two_layers(output_bits=32, weight_bits=4), "8-bit weights"),
)


@pytest.mark.parametrize(("network", "lacks"), OTHER_LAYERS, ids=[text for _, text in OTHER_LAYERS])
def test_layers_that_it_does_not_take(network, lacks):
    case = LinearCase(network)
    step = training_step(case.program, case.recipe)
    assert lacks in missing(case.program.plan, step)
    with pytest.raises(NotEmulated, match=f"the step for one sample takes .*{lacks}"):
        linear_header(case.program.plan, step)


@pytest.mark.arm
@pytest.mark.parametrize("copy", (False, True))
@pytest.mark.parametrize(("channels", "size"), ((12, (4, 4)), (12, (3, 3))))
def test_on_the_board(tmp_path, channels, size, copy):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    from tests.firmware.kernels_on_board import run_linear

    case = LinearCase(linear_network(channels, size, 10))
    assert run_linear(case, tmp_path, copy, STEPS).cycles.total() > 0
