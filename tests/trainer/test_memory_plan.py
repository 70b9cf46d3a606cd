"""Where backward gets its tensors from: every plan is run on the machine, read by read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from max78k_sim import Machine, compile_network, placement
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.layer import NETWORK_INPUT
from max78k_sim.validation.recording import records
from tests.conformance.cases import cases_in
from tests.conftest import CASES
from tests.properties.test_overlap import crowded
from tests.strategies import examples, networks, samples
from trainer.memory_choice import IN_PLACE, REPLANNED, SAMPLE, STASHED, Rules
from trainer.memory_plan import plan_memory
from trainer.memory_text import explain
from trainer.needs import find_needs

PLENTY = 1 << 20  # bytes of SRAM
LAST_LAYER_REGISTER = 2


def loaded(program, random) -> Machine:
    """A chip whose data memory holds anything before the first run."""
    machine = Machine()
    machine.load(program)
    data = machine.memory.arrays["data"]
    data[:] = random.integers(0, 1 << 32, data.shape, np.uint32)
    machine.memory.versions["data"] += 1
    return machine


def start(machine, run, sample) -> None:
    """One run of a memory plan; one from the first layer ends where LCNT_MAX says."""
    program = machine.prepare(sample if run.loads else None)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    for group in program.plan.groups:
        address = machine.device.address("quadrant register", group, 0, LAST_LAYER_REGISTER)
        machine.memory.write(address, np.array([run.last], np.uint32))
    list(machine.execute(range(run.first, run.last + 1) if run.first else None))


def read(machine, plan, number) -> np.ndarray:
    kind = (0, "input") if number == NETWORK_INPUT else (number, "output")
    return placement.read(machine.memory, plan.placement(*kind))


def prove(network, memory, sample, random) -> None:
    """Run after run and use after use: what backward reads is what the layers computed."""
    truth = {item.layer.index: item.output for item in records(compile_network(network), sample)}
    truth[NETWORK_INPUT] = sample
    machine = loaded(compile_network(memory.plan.network), random)
    tensors = dict(zip((each.number for each in memory.needs.tensors), memory.sources, strict=True))
    names = [layer.name for layer in network.layers]
    copies = {}
    for run in memory.runs:
        if run.purpose == "again":
            continue
        start(machine, run, sample)
        for number, source in tensors.items():
            if source.scheme == STASHED and source.stop == names[run.last]:
                copies[number] = read(machine, memory.plan, number)
    for number, source in tensors.items():
        if source.scheme in (IN_PLACE, REPLANNED):
            np.testing.assert_array_equal(read(machine, memory.plan, number), truth[number])
    for position, number in enumerate(memory.needs.uses):
        for run in memory.runs:
            if run.use == position:
                start(machine, run, sample)
        if tensors[number].scheme == SAMPLE:
            continue
        held = copies[number] if number in copies else read(machine, memory.plan, number)
        np.testing.assert_array_equal(held, truth[number])


def weighted(network) -> list[str]:
    return [layer.name for layer in network.layers if layer.has_kernels]


def trainable(network) -> list[str]:
    """Layers from the last one down to the first through which training is known; [] if none."""
    names = weighted(network)
    for first in range(len(names)):
        try:
            find_needs(network, names[first:])
        except (NotEmulated, InputError):
            continue
        return names[first:]
    return []


def check_rules(network, trained, rules, sample, random):
    """A plan for these rules, proved; where nothing fits, with the budget that the error names."""
    plan = compile_network(network).plan
    try:
        memory = plan_memory(plan, trained, rules=rules, other={})
    except InputError as error:
        smallest = int(error.message.split("would do is ")[1].split()[0].replace(",", ""))
        assert smallest > rules.sram
        memory = plan_memory(plan, trained, rules=replace(rules, sram=smallest), other={})
        with pytest.raises(InputError):
            plan_memory(plan, trained, rules=replace(rules, sram=smallest - 1), other={})
    prove(network, memory, sample, random)
    assert all(explain(memory))
    return memory


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    flags = {name: draw(st.booleans()) for name in ("replan", "again", "goes_on", "sample_kept")}
    return Rules(sram=draw(st.sampled_from((0, PLENTY))), **flags)


@examples(60)
@given(network=networks(most_layers=5, weight_bits=(1, 2, 4, 8)), rules=some_rules(),
       data=st.data(), seed=st.integers(0, 2**32 - 1))  # fmt: skip
def test_plans_of_random_networks_hold(network, rules, data, seed):
    random = np.random.default_rng(seed)
    names = trainable(network)
    if not names:
        event("nothing trainable")
        return
    trained = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    check_random(network, trained, rules, random)


@examples(80)
@given(network=crowded(), rules=some_rules(), data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_plans_of_crowded_networks_hold(network, rules, data, seed):
    network = replace(network, overlap_data=False)
    random = np.random.default_rng(seed)
    names = weighted(network)
    trained = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    check_random(network, trained, rules, random)


def check_random(network, trained, rules, random):
    """Networks that lose data, and layers that do not lead to the output, are passed over."""
    try:
        compile_network(network)
        find_needs(network, trained)
    except InputError as error:
        event(error.rule or "leads nowhere")
        return
    memory = check_rules(network, trained, rules, samples(network, random), random)
    for source in memory.sources:
        event(source.scheme)


@pytest.mark.parametrize("case", cases_in(CASES), ids=lambda case: case.name)
def test_plans_of_golden_cases_hold(case):
    network = case.network()
    names = trainable(network)
    if not names:
        pytest.skip("no layer of it can be trained")
    random = np.random.default_rng(1)
    if compile_network(network).plan.overlaps:
        pytest.skip("layers read what others wrote")
    for rules in (Rules(PLENTY), Rules(PLENTY, replan=False), Rules(0, replan=False)):
        check_rules(network, names, rules, case.sample, random)
