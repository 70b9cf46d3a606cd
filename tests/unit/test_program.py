"""The Program: what is written, in which order, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import layer_config, placement
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.memory import Memory
from max78k_sim.network import Network
from max78k_sim.program import CONFIGURE_ORDER, STAGES, compile_network
from tests.builders import one_layer, two_layers


def loaded(program) -> Memory:
    memory = Memory(program.device)
    for write in program.writes:
        memory.write(write.address, write.words)
    return memory


def test_stages_come_in_order():
    program = compile_network(two_layers())
    order = [STAGES.index(write.stage) for write in program.writes]
    assert order == sorted(order) and {write.stage for write in program.start} == {"start"}
    assert program.word_count == sum(len(write.words) for write in program.writes)


def test_every_write_has_a_note_and_an_address_of_the_chip():
    program = compile_network(two_layers())
    for write in (*program.writes, *program.start):
        assert write.note and write.words.dtype == np.uint32
        first = program.device.locate(write.address)
        last = program.device.locate(write.address + 4 * len(write.words) - 4)
        assert first.region is last.region


def test_a_layer_is_configured_in_the_vendors_order():
    program = compile_network(one_layer())
    names = [write.note.split(": ")[1] for write in program.writes if write.stage == "configure"]
    assert names == [name for name in CONFIGURE_ORDER if name in names]
    assert names == [
        "RCNT", "CCNT", "WPTR_BASE", "WPTR_MOFF", "LCTL0", "LCTL1", "MCNT", "TPTR", "POST", "EN",
    ]  # fmt: skip


def test_the_registers_of_one_layer_by_hand():
    program = compile_network(one_layer(activation="relu", output_shift=-3, pool=(2, 2), stride=2))
    config = layer_config.decode(MAX78000, loaded(program).arrays["layer register"][0, :, 0, 0])
    assert (config.rows, config.columns, config.pool_window, config.stride) == (4, 5, (2, 2), 2)
    assert (config.signed_shift, config.relu, config.pool_max, config.bias) == (-3, 1, 1, 1)
    assert (config.processors, config.kernels, config.kernel_size) == (3, 3, (3, 3))
    assert (config.write_word, config.kernel_count, config.passes) == (0x2000 // 4, 3, 1)


def test_no_zero_is_written_to_a_layer_register():
    program = compile_network(two_layers())
    assert all(write.words[0] for write in program.writes if write.stage == "configure")


def test_kernels_and_biases_lie_where_the_plan_says():
    network = two_layers()
    program = compile_network(network)
    memory = loaded(program)
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        assert parameters is not None
        kernel = placement.read(memory, program.plan.placement(layer.index, "kernel"))
        np.testing.assert_array_equal(kernel, parameters.kernel)
        bias = placement.read(memory, program.plan.placement(layer.index, "bias"))
        np.testing.assert_array_equal(bias, parameters.bias)


@pytest.mark.parametrize("rounding", [False, True])
def test_the_master_starts_last(rounding):
    network = one_layer(in_channels=18, processors=(1 << 18) - 1)
    network = Network("n", MAX78000, network.layers, network.parameters, rounding)
    starts = [(write.address, int(write.words[0])) for write in compile_network(network).start]
    mode = rounding << 13
    assert starts == [
        (0x50100000, 0x808 | mode), (0x50500000, 0x809 | mode), (0x50100000, 0x9 | mode),
    ]  # fmt: skip


def test_what_cannot_be_compiled():
    network = one_layer()
    with pytest.raises(InputError, match=r"layer 0 \(first\): has no weights; give a checkpoint"):
        compile_network(Network("n", MAX78000, network.layers, (None,)))
    unknown = replace(MAX78000, name="MAX1", executes=False)
    with pytest.raises(NotEmulated, match="MAX1: only its addresses are known yet; use MAX78000"):
        compile_network(Network("n", unknown, network.layers, network.parameters))
