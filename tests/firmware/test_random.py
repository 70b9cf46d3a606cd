"""Random numbers in C: the Python trainer's, to the bit."""

import ctypes
import re
import subprocess

import numpy as np
import pytest

from firmware.cosim.host import STRICT, compiler
from firmware.generate import generate
from max78k_sim.verbs.training import training_step
from tests.conftest import ROOT
from tests.firmware.linear_case import LinearCase, linear_network
from trainer import quantized_update

SOURCE = """
#include "cnn_random.h"
uint32_t salt(uint32_t seed, uint32_t step) { return cnn_salt(seed, step); }
uint32_t draw(uint32_t salt, uint32_t number) { return cnn_draw(salt, number); }
uint32_t next(uint32_t draw) { return cnn_next_draw(draw); }
"""
STEPS = ((0, 0), (1, 0), (0, 1), (7, 499), (0xFFFFFFFF, 10_000))  # seed, step
FIRST, COUNT = 6, 70  # elements


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("random")
    case = LinearCase(linear_network(1, (2, 2), 2))
    generate(case.program.plan, directory, training_step(case.program, case.recipe))
    return directory


@pytest.fixture(scope="module")
def code(folder):
    source, made = folder / "random.c", folder / "random.so"
    source.write_text(SOURCE)
    command = [compiler(), *STRICT, "-shared", "-fPIC", "-o", str(made), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    library = ctypes.CDLL(str(made))
    for name in ("salt", "draw", "next"):
        getattr(library, name).restype = ctypes.c_uint32
    return library


@pytest.mark.parametrize(("seed", "step"), STEPS)
def test_draws(code, seed, step):
    salt = code.salt(seed, step)
    found = [code.draw(ctypes.c_uint32(salt), FIRST + n) for n in range(COUNT)]
    assert found == quantized_update.dithers(seed, step, COUNT, FIRST).tolist()


def test_each_next_draw_of_a_group(code):
    draws = quantized_update.dithers(3, 4, 68).reshape(-1, quantized_update.SHARING)
    turned = [[code.next(ctypes.c_uint32(int(draw))) for draw in row[:-1]] for row in draws]
    assert np.array_equal(turned, draws[:, 1:])


def test_what_weights_share_is_said_once(folder):
    header = (folder / "cnn_train_config.h").read_text()
    assert f"#define CNN_SHARING {quantized_update.SHARING}\n" in header
    runtime = ROOT / "firmware" / "runtime"
    again = [
        path.name
        for path in runtime.rglob("*.[ch]")
        if re.search(r"\b(SHARING|BIAS_INPUT) = \d|MIX_FACTOR_3\b", path.read_text())
        and path.name != "cnn_random.h"
    ]
    assert not again
