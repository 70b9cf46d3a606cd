"""Where backward gets its tensors from: every plan is run on the machine, read by read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from max78k_sim import Machine, compile_network, placement
from max78k_sim.errors import InputError, Max78kError, NotEmulated
from max78k_sim.layer import NETWORK_INPUT, Layer
from max78k_sim.network import Network
from max78k_sim.validation.recording import records
from tests.bench.subjects import load
from tests.builders import network_of, two_layers
from tests.conformance.cases import cases_in
from tests.conftest import CASES, ROOT
from tests.strategies import examples, networks, samples
from tests.trainer.memory_page import distinct_words, table
from trainer.memory.choice import IN_PLACE, REPLANNED, SAMPLE, STASHED, Rules
from trainer.memory.latents import begin_at_first, begin_with, find_latent, latent_tensors
from trainer.memory.needs import find_needs
from trainer.memory.plan import plan_memory
from trainer.memory.step_sram import StepOptions, step_sram
from trainer.memory.text import explain

PLENTY = 1 << 20  # bytes of SRAM
SIDE = 5  # rows and columns of tight()'s tensors
TENSOR = 4 * SIDE * SIDE  # bytes
ROOM = 3 * TENSOR  # in which they lie
LAST_LAYER_REGISTER = 2
FAR = 0x4000  # an offset where nobody writes


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


def leads(network, name) -> bool:
    """To the output."""
    try:
        find_needs(network, [name])
    except InputError:
        return False
    return True


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
def tight(draw: st.DrawFn) -> Network:
    """Four to eight legal layers, each over what is dead, most reading the one before."""
    count = draw(st.integers(4, 8))
    sources = [NETWORK_INPUT] + [
        draw(st.sampled_from((index - 1, index - 1, *range(NETWORK_INPUT, index - 1))))
        for index in range(1, count)
    ]
    places, chain = {NETWORK_INPUT: 0}, []
    for index, source in enumerate(sources):
        shape, padding = draw(st.sampled_from((((3, 3), 1), ((1, 1), 0))))
        later = sources[index + (shape == (1, 1)) :]  # 1x1 may take the place of its own input
        alive = [place for number, place in places.items() if number in later]
        legal = [
            place
            for place in range(0, ROOM, 4)
            if all(abs(place - other) >= TENSOR for other in alive)
        ]
        mine = places[source]
        legal = [place for place in legal if place == mine or abs(place - mine) >= TENSOR]
        places[index] = draw(st.sampled_from(legal or [ROOM + index * TENSOR]))
        chain.append(
            Layer(
                index, f"layer{index}", "conv2d", 2, 2, (SIDE, SIDE), 0b11, 0b11, shape, padding,
                activation=draw(st.sampled_from((None, "relu"))), output_shift=-4,
                in_offset=places[source], inputs=(source,), out_offset=places[index],
            )
        )  # fmt: skip
    return network_of(*chain)


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    flags = {name: draw(st.booleans()) for name in ("replan", "again", "goes_on", "sample_kept")}
    return Rules(sram=draw(st.sampled_from((0, PLENTY))), **flags)


@examples(40)
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


@examples(40)
@given(network=tight(), rules=some_rules(), data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_plans_of_tight_networks_hold(network, rules, data, seed):
    random = np.random.default_rng(seed)
    names = [name for name in weighted(network) if leads(network, name)]
    earliest = data.draw(st.sampled_from(names[: len(names) // 2 + 1]))
    trained = [earliest, *data.draw(st.lists(st.sampled_from(names), unique=True))]
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


@pytest.mark.parametrize("case", cases_in(CASES)[::3], ids=lambda case: case.name)
def test_plans_of_golden_cases_hold(case):
    network = case.network()
    names = trainable(network)
    if not names:
        with pytest.raises(Max78kError):
            find_needs(network, weighted(network)[-1:])
        return
    random = np.random.default_rng(1)
    if compile_network(network).plan.overlaps:
        with pytest.raises(InputError, match="reads"):
            plan_memory(compile_network(network).plan, names)
        return
    for rules in (Rules(PLENTY), Rules(PLENTY, replan=False), Rules(0, replan=False)):
        check_rules(network, names, rules, case.sample, random)


# --- what is needed, by hand


def chain(*fields, **options) -> Network:
    """Layers of 4 channels behind each other, each with a place of its own."""
    layers = []
    for index, changes in enumerate(fields):
        layer = Layer(
            index, f"layer{index}", "conv2d", 4, 4, (6, 6), 0b1111, 0b1111, padding=1,
            in_offset=0x100 * index, out_offset=0x100 * (index + 1), output_shift=-6,
        )  # fmt: skip
        before = layers[-1].out_size if layers else (6, 6)
        layers.append(replace(layer, **({"in_size": before} | changes)))
    return network_of(*layers, **options)


MAXIMUM = {"pool": (2, 2), "stride": 2}
AVERAGE = MAXIMUM | {"pool_average": True}
WHOLE, MASK = True, False


@pytest.mark.parametrize(
    "fields, trained, biases, tensors",
    (
        (({}, {}, {}), ["layer2"], [], {1: WHOLE, 2: WHOLE}),
        (({}, {}, {}), ["layer1"], [], {0: WHOLE, 1: MASK, 2: WHOLE}),
        (({}, {}, MAXIMUM), ["layer1"], [], {0: WHOLE, 1: WHOLE, 2: WHOLE}),
        (({}, {}, AVERAGE), ["layer1"], [], {0: WHOLE, 1: MASK, 2: WHOLE}),
        (({}, MAXIMUM, {}), ["layer1"], [], {0: WHOLE, 1: MASK, 2: WHOLE}),
        (({}, {}, {}), [], ["layer1"], {1: MASK, 2: WHOLE}),
        (({}, {}, {}), ["layer2"], ["layer0"], {0: MASK, 1: WHOLE, 2: WHOLE}),
        (({}, {}, {}), ["layer0", "layer1"], [], {-1: WHOLE, 0: WHOLE, 1: MASK, 2: WHOLE}),
    ),
)
def test_what_backward_needs(fields, trained, biases, tensors):
    needs = find_needs(chain(*fields), trained, biases)
    assert {tensor.number: tensor.whole for tensor in needs.tensors} == tensors


def test_a_mask_takes_a_bit():
    (mask, _) = find_needs(chain({}, {}, {}), [], ["layer1"]).tensors
    assert (mask.elements, mask.bytes) == (144, 18)


@pytest.mark.parametrize(
    "network, trained, kind, message",
    (
        (chain({}, {}), [], InputError, "no layer is trained; name one or more of: layer0, layer1"),
        (chain({}, {}), ["fc"], InputError, "has no layer 'fc'; its layers are: layer0, layer1"),
        (
            chain({}, {"inputs": (-1,), "in_offset": 0}), ["layer0"], InputError,
            "layer layer0 cannot be trained: its output does not reach layer1, the last layer",
        ),
    ),
)  # fmt: skip
def test_what_cannot_be_trained(network, trained, kind, message):
    with pytest.raises(kind) as error:
        find_needs(network, trained)
    assert message in str(error.value)


def test_what_a_run_loses_is_kept_by_other_offsets():
    """Three layers take turns at two places; the plan moves as few as it can."""
    place = ({"out_offset": 0x100}, {"out_offset": 0}, {"in_offset": 0, "out_offset": 0x100})
    network = chain(*place)
    memory = plan_memory(compile_network(network).plan, ["layer1"])
    assert [(move.layer, move.out_offset) for move in memory.changes] == [("layer2", 0x190)]
    lines = explain(memory)
    assert lines[0] == "Training layer1: backward reads 2 tensors and 1 clip mask."
    assert "layer2: in_offset 0x0000, out_offset 0x0190." in lines
    assert lines[-1].startswith("re-planned: 0.0")


def test_the_error_names_the_tensor_and_a_budget_that_works():
    place = ({"out_offset": 0x100}, {"out_offset": 0}, {"in_offset": 0, "out_offset": 0x100})
    plan = compile_network(chain(*place)).plan
    rules = Rules(sram=200, replan=False, again=False, sample_kept=True)
    with pytest.raises(InputError) as error:
        plan_memory(plan, ["layer1"], rules=rules, other={"velocities": 100})
    assert str(error.value) == (
        "layer0 takes 144 bytes of SRAM, and of the budget of 200 bytes 100 are left; the smallest "
        "budget that would do is 244 bytes"
    )
    with pytest.raises(InputError, match=r"most of it for velocities \(300 bytes\), and the bud"):
        plan_memory(plan, ["layer1"], rules=rules, other={"velocities": 300})
    memory = plan_memory(
        plan, ["layer1"], rules=replace(rules, sram=244), other={"velocities": 100}
    )
    assert memory.sram == {"velocities": 100, "copies of tensors": 144}
    (run, _) = memory.runs
    assert (run.purpose, run.last) == ("stash", 0)


def test_a_layer_over_its_own_input_takes_a_stop_before_it():
    one = {"kernel_shape": (1, 1), "padding": 0}
    network = chain(
        {"out_offset": 0x100},
        one | {"out_offset": 0x100},
        {"in_offset": 0x100, "out_offset": 0x200},
        {"in_offset": 0x200, "out_offset": 0x100},
    )
    rules = Rules(PLENTY, replan=False, again=False, sample_kept=True)
    memory = plan_memory(compile_network(network).plan, ["layer1", "layer2"], rules=rules)
    assert [run.last for run in memory.runs] == [0, 1, 3]
    assert [source.stop for source in memory.sources] == ["layer0", "layer1", None, None]
    random = np.random.default_rng(4)
    prove(network, memory, samples(network, random), random)


def test_foreign_data_is_refused():
    plan = compile_network(two_layers(in_offset=FAR)).plan
    with pytest.raises(InputError, match="training needs layers that read what their sources"):
        plan_memory(plan, ["second"])


def test_sram_of_a_step_by_purpose():
    """Two layers of 4x6x6 values: by hand."""
    needs = find_needs(network := chain({}, {}), ["layer1"], ["layer0"])
    assert step_sram(network, needs, StepOptions(fraction_bytes=1, replay=1000)) == {
        "errors": 2 * (144 + 144),
        "accumulators": 4 * 6 * 4,
        "velocities": 4 * (144 + 4 + 4),
        "fractions": 144,
        "input": 3 * 6 * 4,
        "kernel word": 16,
        "logits": 4 * 144,
        "replay": 1000,
        "stack": 4096,
    }
    assert step_sram(network, needs, StepOptions(whole_input=True, weights=18))["input"] == 144


# --- networks as people use them


@pytest.mark.parametrize("name, words", (("mnist", 1316), ("kws20_v3", 1006), ("simplenet", 6090)))
def test_whole_networks_are_trained_from_data_memory(name, words):
    """Everything lies there after one run, with other offsets."""
    subject = load(name)
    memory = plan_memory(
        subject.program.plan, weighted(subject.network), rules=Rules(sram=0), other={}
    )
    assert distinct_words(subject.network) == words
    assert memory.accelerator_runs == 1
    assert {source.scheme for source in memory.sources} == {REPLANNED}
    prove(subject.network, memory, subject.samples(1)[0], np.random.default_rng(2))


def test_the_page_has_the_figures():
    page = (ROOT / "docs" / "training-memory.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in page


# --- latent replay


@examples(30)
@given(network=networks(most_layers=4, weight_bits=(1, 8)), data=st.data())
def test_layers_of_random_networks_run_alone(network, data):
    program = compile_network(network)
    first = network.layers[data.draw(st.integers(0, len(network.layers) - 1))]
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    sample = samples(network, random)
    truth = [sample, *(item.output for item in records(program, sample))]
    machine = loaded(program, random)
    for number in latent_tensors(program.plan, first):
        kind = (0, "input") if number == NETWORK_INPUT else (number, "output")
        placement.write(machine.memory, program.plan.placement(*kind), truth[number + 1])
    run_alone(machine, program, first)
    np.testing.assert_array_equal(machine.read_output(len(network.layers) - 1), truth[-1])


def run_alone(machine, program, first) -> None:
    """``first`` and the layers after it."""
    for write in begin_with(program, first):
        machine.memory.write(write.address, write.words)
    for write in machine.prepare(None).start:
        machine.memory.write(write.address, write.words)
    count = len(program.plan.network.layers) - first.index
    assert [trace.layer for trace in machine.steps()] == [*range(count)]


@pytest.mark.parametrize("name", ("mnist", "kws20_v3"))
def test_later_layers_run_alone(name):
    """Registers moved to the first entries: latents in, the same logits out; and back again."""
    subject = load(name)
    program, sample = subject.program, subject.samples(1)[0]
    run = list(records(program, sample))
    first, last = subject.network.layers[-3], len(run) - 1
    machine = loaded(program, np.random.default_rng(3))
    place = program.plan.placement(first.index - 1, "output")
    placement.write(machine.memory, place, run[first.index - 1].output)
    run_alone(machine, program, first)
    np.testing.assert_array_equal(machine.read_output(last), run[-1].output)
    for write in begin_at_first(program, first):
        machine.memory.write(write.address, write.words)
    np.testing.assert_array_equal(machine.run(sample), run[-1].output)


def test_bytes_of_latents():
    latent = find_latent(load("kws20_v3").program, "fc", budget=64 * 1024)
    assert (latent.elements, latent.bytes, latent.fits) == (256, 256, 255)
    assert find_latent(load("kws20_v3").program, "fc", 65536, bits=4).fits == 508
    with pytest.raises(InputError, match="latents of 3 bits; use 8 or 4"):
        find_latent(load("kws20_v3").program, "fc", 65536, bits=3)


def test_abs_needs_its_input_for_the_sign():
    network = chain({}, {"activation": "abs"})
    needs = find_needs(network, ["layer0"])
    plain = find_needs(chain({}, {}), ["layer0"])
    inputs = [{need.layer.name: need.inputs for need in each.layers} for each in (needs, plain)]
    assert [each["layer1"] for each in inputs] == [(0,), ()]
