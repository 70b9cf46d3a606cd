"""The generated C: the same addresses, the same arithmetic, the same bytes after training."""

import ctypes
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.cosim.host import HostTrainer, compile_library
from firmware.generate import generate
from max78k_sim import arithmetic
from max78k_sim.allocation import allocate
from max78k_sim.errors import InputError
from max78k_sim.verbs.training import training_check, training_step
from tests import fashion
from tests.conformance.cases import Case
from tests.conftest import CASES
from tests.strategies import examples, networks
from trainer.loop import Trainer, memory_digest
from trainer.recipe import Recipe
from trainer.schedule import Schedule

TWIN = Path(__file__).with_name("c_twin.c")
RECIPE = Recipe(steps=12, batch=4, rate_shift=6)


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def check_addresses(plan, directory):
    """Every element of every placement: C address and bit are Python's."""
    generate(plan, directory)
    library = ctypes.CDLL(str(compile_library(directory, TWIN)))
    checked = 0
    for number, place in enumerate(plan.placements.values()):
        address, bit = np.zeros(place.shape, np.uint32), np.zeros(place.shape, np.uint8)
        library.twin_addresses(number, pointer(address))
        library.twin_bits(number, pointer(bit))
        assert np.array_equal(address, place.address), (place.layer, place.kind)
        assert np.array_equal(bit, place.bit), (place.layer, place.kind)
        checked += address.size
    return checked


def test_every_address_of_the_shipped_network(tmp_path):
    assert check_addresses(fashion.program().plan, tmp_path) > 100_000


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CASES.glob("*/meta.json")))
def test_every_address_of_the_committed_cases(case, tmp_path):
    assert check_addresses(allocate(Case(CASES / case).network()), tmp_path) > 0


@given(networks())
@examples(8)
def test_every_address_of_any_network(tmp_path_factory, network):
    assert check_addresses(allocate(network), tmp_path_factory.mktemp("any")) > 0


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    directory = tmp_path_factory.mktemp("twin")
    generate(fashion.program().plan, directory)
    return ctypes.CDLL(str(compile_library(directory, TWIN)))


@given(st.lists(st.integers(-(2**25), 2**25 - 1), min_size=1, max_size=50), st.integers(-15, 15))
@examples(200)
def test_c_requantise_is_python_requantise(twin, values, shift):
    accumulators = np.array(values, np.int32)
    result = np.zeros(len(values), np.int64)
    twin.twin_requantise(pointer(accumulators), len(values), shift, pointer(result))
    expected = [arithmetic.requantise(value, shift) for value in values]
    assert result.tolist() == expected


@given(
    st.lists(st.integers(-128 * 256, 127 * 256), min_size=1, max_size=50),
    st.integers(1, 256),
    st.booleans(),
)
@examples(200)
def test_c_average_is_python_average(twin, totals, divisor, rounding):
    values = np.array(totals, np.int32)
    result = np.zeros(len(values), np.int32)
    twin.twin_average(pointer(values), len(values), divisor, int(rounding), pointer(result))
    assert result.tolist() == arithmetic.average(values, divisor, rounding).tolist()


@pytest.mark.parametrize("seed", (1, 2, 2026))
def test_c_training_ends_with_the_same_bytes(seed, tmp_path):
    recipe = replace(RECIPE, seed=seed)
    program, pool = fashion.program(), fashion.pool()
    generate(program.plan, tmp_path, training_step(program, recipe))
    simulated, compiled = fashion.machine(), fashion.machine()
    trainer = Trainer(simulated, recipe)
    host = HostTrainer(compile_library(tmp_path), compiled.memory, seed)
    schedule = Schedule(pool.new, len(pool.labels) - pool.new, recipe.batch, 64, seed)
    for step in range(recipe.steps):
        shown = schedule.batch_at(step)
        trainer.train_batch(pool.images[shown], pool.labels[shown])
        host.begin()
        for index in shown:
            taken_for = int(compiled.run(pool.images[index]).argmax())
            assert host.learn(int(pool.labels[index])) == taken_for
        host.apply()
        assert memory_digest(compiled.memory) == memory_digest(simulated.memory), step
    assert memory_digest(compiled.memory) != memory_digest(fashion.machine().memory)
    words = {"kernel": "cnn_train_kernel_words", "bias": "cnn_train_bias_bytes"}
    assert trainer.slots_written == {kind: host.number(name) for kind, name in words.items()}
    assert host.accesses()[2] == 0


def test_known_answer_passes_and_notices_a_changed_word(tmp_path):
    program = fashion.program()
    step, check = training_step(program, RECIPE), training_check(program, RECIPE)
    generate(program.plan, tmp_path, step, check)
    done = subprocess.run(["make", "-C", tmp_path, "check"], capture_output=True, text=True)
    assert done.returncode == 0 and "PASS: 3 training steps" in done.stdout
    header = tmp_path / "cnn_train_config.h"
    text = header.read_text()
    assert "#define CNN_TRAIN_MOMENTUM_SHIFT 3\n" in text
    header.write_text(text.replace("MOMENTUM_SHIFT 3\n", "MOMENTUM_SHIFT 2\n"))
    done = subprocess.run(["make", "-C", tmp_path, "check"], capture_output=True, text=True)
    assert done.returncode != 0 and "have CRC-32 0x" in done.stdout


def test_generated_c_has_no_heap_and_no_float(tmp_path):
    program = fashion.program()
    generate(program.plan, tmp_path, training_step(program, RECIPE))
    text = "".join(file.read_text() for file in sorted(tmp_path.glob("cnn_*.[ch]")))
    for word in ("malloc", "calloc", "alloca", "float", "double"):
        assert word not in text


def test_a_compiler_error_is_shown(tmp_path):
    generate(fashion.program().plan, tmp_path)
    (tmp_path / "cnn_map.c").write_text("int x = y;\n")
    with pytest.raises(InputError, match="the generated C does not compile"):
        compile_library(tmp_path)
    assert not list(tmp_path.glob("*.so*"))


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    generate(fashion.program().plan, tmp_path)
    with pytest.raises(InputError, match="no C compiler 'no-such-compiler'; install gcc"):
        compile_library(tmp_path)


def test_generate_into_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="cannot write C files"):
        generate(fashion.program().plan, file)
