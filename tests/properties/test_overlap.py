"""Laws of overlapping data: what is accepted computes the same as layers that lie far apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from max78k_sim.allocation import allocate
from max78k_sim.data_layout import written_bytes
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError
from max78k_sim.layer import NETWORK_INPUT, Layer
from max78k_sim.machine import Machine
from max78k_sim.network import Network
from max78k_sim.overlap import needed
from max78k_sim.program import compile_network
from max78k_sim.testing import layers, networks, parameters
from tests.builders import parameters_of
from tests.conformance.cases import cases_in
from tests.conftest import CASES
from tests.strategies import examples, samples

APART = 0x400  # bytes: more than any of these tensors
SIDE = 5  # rows and columns: 100 bytes of a tensor


@st.composite
def crowded(draw: st.DrawFn) -> Network:
    """Two to five layers over one another, each reading any earlier layer."""
    count = draw(st.integers(2, 5))
    chain = []
    for index in range(count):
        source = draw(st.integers(NETWORK_INPUT, index - 1))
        channels = 2 if source == NETWORK_INPUT else chain[source].out_channels
        outputs = draw(st.integers(1, 6))
        start = 0 if source == NETWORK_INPUT else chain[source].out_offset
        shape, padding = draw(st.sampled_from((((3, 3), 1), ((1, 1), 0))))
        chain.append(
            Layer(
                index, f"layer{index}", "conv2d", channels, outputs, (SIDE, SIDE),
                (1 << channels) - 1, (1 << outputs) - 1, shape, padding,
                output_shift=-4, in_offset=start, inputs=(source,),
                out_offset=4 * draw(st.integers(0, 120)), keep=draw(st.booleans()),
            )
        )  # fmt: skip
    weights = tuple(replace(draw(parameters(layer)), bias=None) for layer in chain)
    return Network("crowded", MAX78000, tuple(chain), weights, overlap_data=True)


def far_apart(network: Network) -> Network:
    """The same layers, each with a place of its own."""
    moved: list[Layer] = []
    for layer in network.layers:
        (source,) = layer.inputs
        start = 0 if source == NETWORK_INPUT else moved[source].out_offset
        moved.append(replace(layer, in_offset=start, out_offset=APART * (layer.index + 1)))
    return replace(network, layers=tuple(moved))


def outputs_of(network: Network, sample: np.ndarray) -> list[np.ndarray]:
    """What lies in memory after the run: the last output and those that are kept."""
    machine = Machine()
    machine.load(compile_network(network))
    last = machine.run(sample)
    return [last, *(machine.read_output(layer.index) for layer in network.layers if layer.keep)]


@examples(150)
@given(network=crowded(), seed=st.integers(0, 2**32 - 1))
def test_what_is_accepted_computes_what_layers_apart_compute(network, seed):
    sample = samples(network, np.random.default_rng(seed))
    try:
        allocate(replace(network, overlap_data=False))
        accepted = True
    except InputError as error:
        assert error.rule in ("overwritten-input", "overwritten-output")
        accepted = False
    overlapping, apart = outputs_of(network, sample), outputs_of(far_apart(network), sample)
    same = all(np.array_equal(*pair) for pair in zip(overlapping, apart, strict=True))
    event(f"accepted {accepted}, same {same}")
    assert same or not accepted


def enumerated(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """``needed``, pixel by pixel: every output, tap and pixel of a pooling window."""
    hardware = layer.hardware
    rows, columns = hardware.in_size
    first, last = np.full(rows * columns, -1), np.full(rows * columns, -1)
    kernel = hardware.kernel_shape if layer.has_kernels else (1, 1)
    padding = hardware.padding if layer.has_kernels else (0, 0)
    for number, place in enumerate(product(*map(range, hardware.out_size))):
        for tap in product(*map(range, kernel)):
            pooled = tuple(place[axis] + tap[axis] - padding[axis] for axis in (0, 1))
            if hardware.op == "convtranspose2d":  # zeros stand between the pixels
                if pooled[0] % 2 or pooled[1] % 2:
                    continue
                pooled = pooled[0] // 2, pooled[1] // 2
            if not all(0 <= pooled[axis] < hardware.pooled_size[axis] for axis in (0, 1)):
                continue
            for step in product(*map(range, layer.pool)):
                row, column = (pooled[axis] * layer.stride + step[axis] for axis in (0, 1))
                pixel = row * columns + column
                first[pixel] = number if first[pixel] < 0 else first[pixel]
                last[pixel] = number
    return first, last


@examples(150)
@given(layer=layers())
def test_when_pixels_are_needed(layer):
    if layer.op == "linear":
        return
    for mine, expected in zip(needed(layer), enumerated(layer), strict=True):
        np.testing.assert_array_equal(mine, expected)


def check_written(network: Network) -> None:
    """The bytes that layers write, by the plan and by the registers."""
    machine = Machine()
    program = compile_network(network)
    machine.load(program)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    master, last = program.plan.groups[0], len(network.layers) - 1
    streaming = any(layer.streaming for layer in network.layers)
    for layer, plan in zip(network.layers, program.plan.layers, strict=True):
        flow = machine._flow(layer.index, last, master, streaming)
        if flow.streamed_out:
            continue
        routine = machine._routine(layer.index, master, flow)
        places = routine.store_index
        if routine.config.wide:
            places = 4 * places[..., None] + np.arange(4)
        planned = written_bytes(network, layer, plan.kernel)
        np.testing.assert_array_equal(np.unique(places), np.unique(planned))


@examples(40)
@given(network=networks())
def test_the_registers_write_what_is_looked_at(network):
    check_written(network)


@pytest.mark.parametrize("case", cases_in(CASES)[::5], ids=lambda case: case.name)
def test_the_registers_of_golden_cases_write_what_is_looked_at(case):
    check_written(case.network())


def test_lost_data_changes_the_result():
    """The other direction, by example: what is refused computes something else."""
    layer = Layer(0, "a", "conv2d", 1, 1, (4, 4), 1, 1, (3, 3), 1, out_offset=0x100,
                  inputs=(-1,), output_shift=0)  # fmt: skip
    chain = (
        layer,
        replace(layer, index=1, name="b", inputs=(0,), in_offset=0x100, out_offset=0x200),
        replace(layer, index=2, name="c", inputs=(1,), in_offset=0x200, out_offset=0x100),
        replace(layer, index=3, name="d", inputs=(0,), in_offset=0x100, out_offset=0x300),
    )
    random = np.random.default_rng(1)
    weights = tuple(parameters_of(each, bias=False) for each in chain)
    network = Network("lost", MAX78000, chain, weights, overlap_data=True)
    sample = random.integers(-128, 128, (1, 4, 4))
    assert not np.array_equal(outputs_of(network, sample), outputs_of(far_apart(network), sample))
    with pytest.raises(
        InputError, match=r"layer 2 \(c\): its output overwrites 0x0100-0x013f of d"
    ):
        allocate(replace(network, overlap_data=False))
    (warning,) = allocate(network).warnings
    assert "is still to be read by" not in warning and "layer 3 (d), is still to be read" in warning
