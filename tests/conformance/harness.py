"""Compares a golden case with this project, level by level; word by word, bit by bit.

``check_case`` returns, by level, how many things were compared and what differed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from max78k_sim import arithmetic, layer_config, placement
from max78k_sim.allocation import Plan
from max78k_sim.errors import Max78kError
from max78k_sim.machine import LayerTrace, Machine
from max78k_sim.memory import Memory
from max78k_sim.network import Layer
from max78k_sim.program import Program, compile_network

from .cases import DENSE_BIAS, OTHER_CHECKPOINT, ROUNDED_1D, SHIFTED_BUFFER, Case
from .contradictions import has_gaps, wrong_kernels, wrong_outputs

LEVELS = (
    "loads", "layers", "allocation", "registers", "write order", "kernel memory", "bias memory",
    "input image", "pooled", "accumulators", "outputs", "data memory", "checkpoint",
)  # fmt: skip


@dataclass
class Level:
    """What one level compared."""

    checked: int = 0
    faults: list[str] = field(default_factory=list)


class Result(dict[str, Level]):
    """Levels by name; ``contradictions``: (layer, level, reason) of what was compared otherwise."""

    def __init__(self):
        super().__init__()
        self.contradictions: list[tuple[int, str, str]] = []

    def expect(self, level: str, right: bool, message: str) -> None:
        """Count one comparison, and keep the message of one that failed."""
        entry = self.setdefault(level, Level())
        entry.checked += 1
        if not right:
            entry.faults.append(message)

    def equal(self, level: str, name: str, expected, actual) -> None:
        """Compare two arrays in shape and in every element."""
        if expected.shape != actual.shape:
            message = f"{name} has shape {actual.shape}, expected {expected.shape}"
            self.expect(level, False, message)
            return
        wrong = np.argwhere(expected != actual)
        message = ""
        if len(wrong):
            place = tuple(int(index) for index in wrong[0])
            message = (
                f"{name}: {len(wrong)} of {expected.size} differ, first at {place}: "
                f"{actual[place]}, expected {expected[place]}"
            )
        self.expect(level, not len(wrong), message)

    @property
    def faults(self) -> list[str]:
        """Everything that differed."""
        return [f"{level}: {text}" for level, entry in self.items() for text in entry.faults]


def check_case(case: Case) -> Result:
    """Compare everything that the case's files say."""
    result = Result()
    try:
        program = compile_network(case.network())
        result.expect("loads", True, "")
        check_plan(case, program.plan, result)
        check_registers(case, program, result)
        machine = Machine()
        machine.load(program)
        memory_words = dict(case.array("memory"))
        if len(memory_words["mram_addr"]):
            check_stored(case, memory_words, machine, result)
        machine.prepare(case.sample)
        check_input(memory_words, machine, result)
        for write in program.start:
            machine.memory.write(write.address, write.words)
        check_execution(case, machine, memory_words, result)
        if case.checkpoint:
            check_checkpoint(case, program, result)
    except Max78kError as error:
        result.expect("loads", False, f"{type(error).__name__}: {error}")
    return result


def check_plan(case: Case, plan: Plan, result: Result) -> None:
    """Layers as the generator understood them, and where it put their kernels and biases."""
    expected_layers = case.meta["layers"]
    result.expect("layers", len(plan.network.layers) == len(expected_layers), "number of layers")
    for layer, mine, theirs in zip(plan.network.layers, plan.layers, expected_layers, strict=False):
        kernel = mine.kernel is not None and mine.shared_with is None
        for level, name, actual, expected in (
            ("layers", "channels in", layer.in_channels, theirs["in_chan"]),
            ("layers", "channels out", layer.out_channels, theirs["out_chan"]),
            ("layers", "output size", list(layer.out_size), theirs["out_dim"]),
            ("layers", "shift", layer.output_shift, theirs["output_shift"]),
            ("layers", "output map", layer.output_processors, int(theirs["output_processors"], 16)),
            *macs(layer, theirs),
            ("allocation", "kernel_offs", mine.kernel_start, theirs["kernel_offs"]),
            *(kernel_counts(plan, layer, theirs) if kernel else ()),
        ):
            message = f"layer {layer.index}: {name} is {actual}, expected {expected}"
            result.expect(level, actual == expected, message)
        if mine.bias_group is not None:
            place = (mine.bias_group, mine.bias_start)
            group = theirs["bias_group"]
            expected_place = (group, theirs["bias_offs"][group if group is not None else 0])
            message = f"layer {layer.index}: bias at {place}, expected {expected_place}"
            result.expect("allocation", place == expected_place, message)


def macs(layer: Layer, theirs: dict) -> list[tuple]:
    """Multiplications; where a 1x1 kernel is run as a 3x3 the generator counts the hardware's."""
    if layer.op == "conv2d" and layer.hardware.kernel_shape != layer.kernel_shape:
        return []
    return [("layers", "multiplications", layer.multiplications, theirs["macc"])]


def kernel_counts(plan: Plan, layer: Layer, theirs: dict) -> list[tuple]:
    """What the generator says of a layer's kernels; the length only where it counts as we do."""
    mine = plan.layers[layer.index].kernel
    assert mine is not None
    counts = [("allocation", "kernel_count", mine.count, theirs["kernel_count"])]
    if layer.weight_bits == 8 and not has_gaps(layer):
        # where lanes are unused before the first output processor it counts without them
        owned = int((plan.kernel_map == layer.index).sum(axis=1).max())
        words = mine.words if mine.lanes_before else owned
        counts.append(("allocation", "kernel_len", words, theirs["kernel_len"]))
    return counts


FUNCTIONS = {"cnn_init": "init", "cnn_configure": "configure", "cnn_start": "start"}


def check_registers(case: Case, program: Program, result: Result) -> None:
    """Function by function: each register's final value (0 where nobody writes), and the order.

    cnn_init may write zeros, and start self-tests, that the Program leaves out; the order of
    cnn_configure and cnn_start is compared write by write, that of the bias copies too.
    """
    if not case.functions:  # simulation-only variants have no program
        return
    ours: dict[str, list[tuple[int, np.ndarray]]] = {}
    for write in (*program.writes, *program.start):
        ours.setdefault(write.stage, []).append((write.address, write.words))
    for function, stage in FUNCTIONS.items():
        theirs = case.writes(function)
        mine = [(address, int(words[0])) for address, words in ours[stage]]
        ends, expected = dict(mine), dict(theirs)
        for address in sorted(ends | expected):
            word, right = ends.get(address, 0), expected.get(address, 0)
            message = f"{function}: 0x{address:08x} is 0x{word:08x}, expected 0x{right:08x}"
            result.expect("registers", word == right, message)
        if function != "cnn_init":
            expected_order = [row for row in theirs if row[1]]  # a switch writes zeros too
            result.expect("write order", mine == expected_order, f"{function}: another order")
    copies = [row for row in case.functions.get("cnn_load_bias", ()) if row[0] == "copy"]
    if copies:
        expected_runs = [(int(row[2], 16), int(row[4])) for row in copies]
        runs = [(address, len(words)) for address, words in ours["bias"]]
        result.expect("write order", runs == expected_runs, f"bias copies: {runs}")
    check_handler(case, program, result)


def check_handler(case: Case, program: Program, result: Result) -> None:
    """The interrupt handler stops the quadrants that the Plan uses: enable, interrupt, stream."""
    handled = [row for row in case.functions.get("CNN_ISR", ()) if row[0] == "and"]
    if handled:
        groups = {int(row[1], 16) for row in handled}
        used = {program.device.address("quadrant register", group) for group in program.plan.groups}
        result.expect("registers", groups == used, f"quadrants of CNN_ISR: {sorted(groups)}")
        register = program.device.global_registers[0]
        fields = {"enable": 0, "interrupt": 0}
        if program.plan.network.layers[0].streaming:
            fields["streaming"] = 0
        cleared = register.replace(0xFFFFFFFF, **fields)
        masks = {int(row[2], 16) for row in handled}
        result.expect("registers", masks == {cleared}, f"masks of CNN_ISR: {masks}")


def check_stored(
    case: Case, words: dict[str, np.ndarray], machine: Machine, result: Result
) -> None:
    """Kernel and bias memory: the expected words, and zero everywhere else.

    Where the vendor misplaces a layer's kernels, only the words of other layers are compared.
    """
    assert machine.program is not None
    plan = machine.program.plan
    kept = np.ones(machine.memory.arrays["kernel"].shape[:3], bool)
    for layer in plan.network.layers:
        reason = wrong_kernels(case, plan.network, layer)
        if reason:
            result.contradictions.append((layer.index, "kernel memory", reason))
            others = (plan.kernel_map != layer.index) & (plan.kernel_map >= 0)
            kept &= others.reshape(kept.shape)
    for name, region in (("mram", "kernel"), ("bias", "bias")):
        expected = Memory(machine.device)
        for address, values, _ in runs_of(words, name):
            expected.write(address, values)
        mask = kept[..., None] if region == "kernel" else np.True_
        result.equal(
            f"{region} memory",
            f"[quadrant, unit, entry, word] of {region} memory",
            np.where(mask, expected.arrays[region], 0),
            np.where(mask, machine.memory.arrays[region], 0),
        )


def check_input(words: dict[str, np.ndarray], machine: Machine, result: Result) -> None:
    """The input in data memory, or the words that wait in each FIFO."""
    check_runs(words, "input", machine.memory, "input image", result)
    for number, waiting in machine.fifos.items():
        expected = words.get(f"fifo{number}_val") if number < 4 else words.get("fifo0_val")
        if expected is not None and waiting:
            name = f"words of FIFO {number}"
            result.equal("input image", name, expected, np.concatenate(waiting))


def runs_of(words: dict[str, np.ndarray], name: str):
    """(address, uint32 words, mask) of each run of one part of memory.npz."""
    if f"{name}_addr" not in words:
        return
    lengths, values = words[f"{name}_len"], words[f"{name}_val"].astype(np.uint32)
    masks = words.get(f"{name}_mask", np.full(len(lengths), 0xFFFFFFFF, np.uint32))
    end = 0
    for address, length, mask in zip(words[f"{name}_addr"], lengths, masks, strict=True):
        start, end = end, end + int(length)
        yield int(address), values[start:end], np.uint32(mask)


def check_runs(
    words: dict[str, np.ndarray], name: str, memory: Memory, level: str, result: Result
) -> None:
    """Every word that memory.npz lists, where its mask has bits."""
    for address, expected, mask in runs_of(words, name):
        wrong = np.flatnonzero((memory.read(address, len(expected)) ^ expected) & mask)
        message = f"{name}: {len(wrong)} of {len(expected)} words from 0x{address:08x} differ"
        result.expect(level, not len(wrong), message)


def check_execution(
    case: Case, machine: Machine, words: dict[str, np.ndarray], result: Result
) -> None:
    """Run layer by layer; after each, what it computed and all that lies in data memory.

    A layer for which the vendor contradicts itself is checked alone (check_contradiction), and the
    layers after it read its golden output.
    """
    assert machine.program is not None
    plan, expected = machine.program.plan, case.array("expected")
    for trace in machine.steps():
        layer = plan.network.layers[trace.layer]
        name = f"layer{trace.layer}"
        if name not in expected:
            continue
        reason = wrong_outputs(case, plan.network, layer)
        if reason:
            result.contradictions.append((layer.index, "outputs", reason))
            check_contradiction(reason, machine, layer, trace, expected[name], result)
            if reason != SHIFTED_BUFFER:
                output = plan.placement(trace.layer, "output")
                placement.write(machine.memory, output, expected[name])
            continue
        result.equal("outputs", name, expected[name], machine.output_of(trace))
        check_stages(plan, layer, trace, expected, result)
        check_runs(words, f"l{trace.layer}", machine.memory, "data memory", result)
    if not any(level == "outputs" for _, level, _ in result.contradictions):
        check_runs(words, "output", machine.memory, "data memory", result)


def check_stages(plan: Plan, layer: Layer, trace: LayerTrace, expected, result: Result) -> None:
    """Pooled, combined and accumulated values, where the case has them."""
    number, name = trace.layer, f"layer{trace.layer}"
    data = trace.data[:, :, : layer.in_channels].transpose(2, 0, 1)
    if f"pool{number}" in expected and not layer.flatten and layer.operands == 1:
        pooled = expected[f"pool{number}"]
        if pooled.shape[1:] == data.shape:  # a dilated conv1d folds its input
            result.equal("pooled", name, pooled, data[None])
    last = layer.pool_first or layer.pool == (1, 1)
    if f"elt{number}" in expected and layer.eltwise and last:
        combined = expected[f"elt{number}"]
        if combined.shape == data.shape:  # several passes alone are run as more rows
            result.equal("pooled", name, combined, data)
    if f"acc{number}" in expected and trace.accumulator is not None:
        accumulator = by_channel(plan, layer, trace.accumulator)
        if accumulator.shape == expected[f"acc{number}"].shape:
            result.equal("accumulators", name, expected[f"acc{number}"], accumulator)


def by_channel(plan: Plan, layer: Layer, values: np.ndarray) -> np.ndarray:
    """[row, column, output position] -> [channel, row, column]."""
    return values[:, :, plan.positions(layer)].transpose(2, 0, 1)


def check_contradiction(
    reason: str, machine: Machine, layer: Layer, trace: LayerTrace, golden, result: Result
) -> None:
    """That the difference is the one that the reason names, and nothing else.

    A dense bias: the accumulator, less the bias bytes that the registers select, plus the bias of
    each channel, gives the golden output.  Rounded 1-D pooling: without rounding the layer gives
    it.  A shifted buffer holds the golden rows, transposed.  Operands taken apart otherwise have no
    more to compare.
    """
    assert machine.program is not None
    name = f"layer{layer.index}"
    if reason == DENSE_BIAS:
        warnings = machine.program.plan.warnings
        warned = any(f"{name[5:]} (" in text for text in warnings if "a bias whose" in text)
        result.expect("outputs", warned, "the contradiction is gone, or is not warned of")
        result.equal("outputs", name, golden, corrected(machine, layer, trace))
    elif reason == SHIFTED_BUFFER:
        rows = golden.shape[0] - layer.buffer_shift
        result.equal("outputs", name, golden[:rows].swapaxes(0, 1), machine.output_of(trace))
    elif reason == ROUNDED_1D:
        master = machine.program.plan.groups[0]
        last = len(machine.program.plan.layers) - 1
        flow = machine._flow(layer.index, last, master, False)
        routine = machine._routine(layer.index, master, flow)
        again = machine.core(routine, False).execute(machine.stores)
        result.equal("outputs", name, golden, machine.output_of(again))


def corrected(machine: Machine, layer: Layer, trace: LayerTrace) -> np.ndarray:
    """A layer's output had the registers selected the bias of each channel."""
    assert machine.program is not None
    plan = machine.program.plan
    parameters = plan.network.parameters[layer.index]
    assert parameters is not None
    accumulator = trace.accumulator.astype(np.int64) - (selected_bias(machine, trace) << 7)
    sums = by_channel(plan, layer, accumulator)
    if parameters.bias is not None:
        sums = sums + (parameters.bias.astype(np.int64) << 7)[:, None, None]
    if layer.output_bits == 32:
        return sums
    output = arithmetic.saturate(arithmetic.requantise(sums, layer.output_shift))
    if layer.activation == "abs":
        return np.minimum(abs(output), 127)
    return np.maximum(output, 0) if layer.activation == "relu" else output


def selected_bias(machine: Machine, trace: LayerTrace) -> np.ndarray:
    """int64 [output position]: the sum of the bias bytes that the registers select."""
    registers = machine.memory.arrays["layer register"][:, :, trace.layer, 0]
    configs = [layer_config.decode(machine.device, words) for words in registers]
    total = np.zeros(trace.accumulator.shape[-1], np.int64)
    for group, config in enumerate(configs):
        contributes = group == 0 or configs[0].sources >> group & 1  # quadrant 0 is the master
        if contributes and config.bias:
            stored = machine.memory.arrays["bias"][group, 0, config.bias_start :, 0]
            values = stored.astype(np.uint8).view(np.int8)[: len(total)]
            total[: len(values)] += values
    return total


def check_checkpoint(case: Case, program: Program, result: Result) -> None:
    """The original checkpoint gives the same Program, write by write."""
    if case.name in OTHER_CHECKPOINT:
        return
    other = compile_network(case.network_of_checkpoint())
    mine, theirs = (
        [
            (write.address, write.words.tobytes(), write.stage)
            for write in (*each.writes, *each.start)
        ]
        for each in (program, other)
    )
    differ = sum(left != right for left, right in zip(mine, theirs, strict=False))
    message = f"{differ} of {len(mine)} writes differ; {len(theirs)} from {case.meta['checkpoint']}"
    result.expect("checkpoint", mine == theirs, message)
