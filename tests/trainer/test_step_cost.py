"""What ``train`` estimates of a step on the board, beside what co-simulation counted."""

from __future__ import annotations

import pytest

from firmware.cost import step_cycles
from max78k_sim.verbs.training_memory import is_linear_step, some_step
from tests.firmware.train_steps import program_of
from trainer.recipe import Recipe
from trainer.step_cost import StepCost, step_products

BOTH, LAST = ("conv4", "fc"), ("fc",)
COUNTED = (  # network, layers, batch, momentum_shift; processor cycles of a step (docs/firmware.md)
    ("digits", BOTH, 1, 3, 849_330),
    ("digits", BOTH, 1, 0, 636_762),
    ("digits", LAST, 1, 3, 135_914),
    ("digits", LAST, 1, 0, 28_069),
    ("fashion", BOTH, 1, 3, 805_425),
    ("fashion", BOTH, 8, 3, 6_465_037),
    ("fashion", BOTH, 1, 0, 636_429),
    ("fashion", LAST, 1, 3, 111_138),
    ("fashion", LAST, 8, 3, 596_205),
    ("fashion", LAST, 1, 0, 21_834),
    ("keywords", ("conv6", "fc"), 1, 3, 728_513),
    ("keywords", ("conv5", "conv6", "fc"), 1, 0, 1_054_147),
    ("keywords", LAST, 1, 3, 152_735),
    ("keywords", LAST, 1, 0, 25_699),
)
ERROR = 0.2


@pytest.mark.parametrize(("network", "layers", "batch", "momentum_shift", "counted"), COUNTED)
def test_cycles_of_a_step(network, layers, batch, momentum_shift, counted):
    program = program_of(network, 8)
    recipe = Recipe(layers=layers, batch=batch, momentum_shift=momentum_shift, rate_shift=7)
    step = some_step(program, recipe, True)
    linear = is_linear_step(program, recipe)
    assert linear == (layers == LAST and batch == 1 and momentum_shift == 0)
    cost = StepCost(
        batch,
        step_products(program.plan.network, layers),
        int(step.constants["TRAIN_WEIGHTS"]),
        0,
        0,
        keeps=batch > 1 or momentum_shift > 0,
        linear=linear,
    )
    assert abs(cost.processor_cycles / counted - 1) < ERROR


def test_the_demo_estimates_its_own_step():
    assert abs(step_cycles(10, 256, 8) / 596_205 - 1) < 0.01
