"""write_back: an untouched chip gives its source, a changed one gives what it holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from max78k_sim import Machine, Network, compile_network, load_network, placement
from max78k_sim.errors import InputError
from max78k_sim.saved_state import read_saved
from max78k_sim.torch_writer import write_torch
from tests import fashion
from tests.conformance.cases import Case, cases_in
from tests.conftest import CASES, corpus
from trainer.host.vendor_checkpoint import write_back

FILE = "trained.pth.tar"


def loaded(network: Network) -> Machine:
    machine = Machine(network.device)
    machine.load(compile_network(network))
    return machine


def load(case: Case, checkpoint: Path) -> Network:
    shape = case.sample.shape
    return load_network(
        case.folder / "network.yaml", checkpoint, input_shape=shape, **case.options()
    )


def randomise(machine: Machine, seed: int = 1) -> None:
    """Other kernels and biases of the whole range, at their addresses."""
    random = np.random.default_rng(seed)
    for place in machine.program.plan.placements.values():
        if place.kind in ("kernel", "bias"):
            limit = 1 << place.bits - 1
            placement.write(machine.memory, place, random.integers(-limit, limit, place.shape))


def require_same(one: Path, other: Path) -> None:
    """The same names in the same order, types, shapes, bits; and what else there is."""
    before, after = read_saved(one), read_saved(other)
    assert list(before.state) == list(after.state) and list(before.root) == list(after.root)
    for key, value in before.state.items():
        new = after.state[key]
        assert (value.dtype, value.shape) == (new.dtype, new.shape), key
        assert value.tobytes() == new.tobytes(), key
    assert (before.root["arch"], before.root["epoch"]) == (after.root["arch"], after.root["epoch"])


def require_memories(one: Machine, other: Machine) -> None:
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(one.memory.arrays[name], other.memory.arrays[name], name)


def both_laws(tmp_path: Path, network: Network, source: Path, reload) -> None:
    machine, out = loaded(network), tmp_path / FILE
    assert write_back(network, machine.memory, source, out).changed == ()
    require_same(source, out)
    randomise(machine)
    write_back(network, machine.memory, source, out)
    require_memories(machine, loaded(reload(out)))


def test_the_shipped_network(tmp_path):
    def reload(file):
        return load_network(fashion.CONFIG, file)

    both_laws(tmp_path, fashion.network(), fashion.CHECKPOINT, reload)


def stored_as_the_vendor_does(network: Network, random: np.random.Generator) -> dict:
    """A checkpoint with the network's weights; transposed convolution is [in, out], flipped."""
    state: dict[str, np.ndarray] = {}
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        if parameters is None:
            continue
        kernel, bits, name = parameters.kernel, layer.weight_bits, f"l{layer.index}"
        if layer.op == "convtranspose2d":
            kernel = kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
        state[f"{name}.weight_bits"] = np.array([bits], np.int64)
        state[f"{name}.shift_quantile"] = random.random(1, np.float32)
        state[f"{name}.op.weight"] = kernel.astype(np.float32)
        if parameters.bias is not None:
            fraction = random.random(len(parameters.bias), np.float32) / 2  # rounded down
            state[f"{name}.op.bias"] = (parameters.bias + fraction) * (1 << bits - 1)
    return {"arch": None, "epoch": 3, "state_dict": state, "extras": {"best": [1, 2.5]}}


COMMITTED = cases_in(CASES)[::3]


@cache
def committed(case: Case) -> Network:
    return case.network()


@pytest.mark.parametrize("case", COMMITTED, ids=lambda case: case.name)
def test_committed_cases(tmp_path, case):
    network, source = committed(case), tmp_path / "source.pth.tar"
    write_torch(source, stored_as_the_vendor_does(network, np.random.default_rng(7)))
    read = load(case, source)
    for layer, one, other in zip(network.layers, network.parameters, read.parameters, strict=True):
        if one is not None and one.kernel.any():
            np.testing.assert_array_equal(one.kernel, other.kernel, layer.name)
    both_laws(tmp_path, read, source, lambda file: load(case, file))


def test_they_have_every_width_and_operation():
    layers = [layer for case in COMMITTED for layer in committed(case).layers]
    assert {layer.weight_bits for layer in layers if layer.has_kernels} == {1, 2, 4, 8}
    assert {layer.op for layer in layers if layer.has_kernels} == {
        "conv1d",
        "conv2d",
        "convtranspose2d",
        "linear",
    }


@pytest.mark.corpus
def test_the_vendors_checkpoints(tmp_path):
    """One network of each checkpoint of the golden cases."""
    first: dict[str, Case] = {}
    for case in cases_in(corpus() / "corpus"):
        other_arch = case.name == "net-cifar10-hwc-ai85"  # description and checkpoint disagree
        if case.checkpoint is not None and not other_arch:
            first.setdefault(case.checkpoint.name, case)
    assert len(first) > 20
    for case in first.values():
        source = case.checkpoint
        assert source is not None
        both_laws(tmp_path, load(case, source), source, lambda file, case=case: load(case, file))


# --- what is peculiar -----------------------------------------------------------------------------

TINY = """arch: tiny
dataset: none
layers:
  - {processors: 1, out_offset: 0x2000, op: conv1d, kernel_size: 1, pad: 0, in_dim: [4, 1]}
"""


def tiny(tmp_path: Path, weights, bias=None, bits: int = 8) -> tuple[Path, Path]:
    """(description, checkpoint) of a layer of one input."""
    state = {"fc.weight": np.array(weights, np.float32).reshape(-1, 1, 1)}
    state["fc.weight_bits"] = np.array([bits], np.float32)
    if bias is not None:
        state["fc.bias"] = np.array(bias, np.float32)
    (tmp_path / "network.yaml").write_text(TINY)
    write_torch(tmp_path / "source", {"state_dict": state, "arch": "tiny", "epoch": 0})
    return tmp_path / "network.yaml", tmp_path / "source"


def tiny_network(files: tuple[Path, Path]) -> Network:
    return load_network(*files, input_shape=(1, 4, 1))


def test_only_what_changed_is_other_bits(tmp_path):
    files = tiny(tmp_path, [5, -6], [200.0, 128.0])  # the first bias is 1, and a rest
    network = tiny_network(files)
    machine = loaded(network)
    place = machine.program.plan.placement(network.layers[0].name, "bias")
    placement.write(machine.memory, place, np.array([1, -3]))
    result = write_back(network, machine.memory, files[1], tmp_path / FILE)
    assert result.changed == (network.layers[0].name,)
    state = read_saved(tmp_path / FILE).state
    assert state["fc.bias"].tolist() == [200.0, -384.0]
    assert state["fc.weight"].ravel().tolist() == [5, -6]


def test_weights_that_all_were_zero_have_one_bit(tmp_path):
    files = tiny(tmp_path, [0, 0], [128.0, -256.0])
    network = tiny_network(files)
    assert network.layers[0].weight_bits == 1
    machine = loaded(network)
    place = machine.program.plan.placement(network.layers[0].name, "kernel")
    placement.write(machine.memory, place, np.array([0, -1]).reshape(place.shape))
    write_back(network, machine.memory, files[1], tmp_path / FILE)
    state = read_saved(tmp_path / FILE).state
    assert state["fc.weight_bits"].tolist() == [1] and state["fc.bias"].tolist() == [1, -2]
    require_memories(machine, loaded(tiny_network((files[0], tmp_path / FILE))))


def test_weights_that_all_became_zero_are_told(tmp_path):
    files = tiny(tmp_path, [1, 2])
    network = tiny_network(files)
    machine = loaded(network)
    place = machine.program.plan.placement(network.layers[0].name, "kernel")
    placement.write(machine.memory, place, np.zeros(place.shape))
    warnings = write_back(network, machine.memory, files[1], tmp_path / FILE).warnings
    assert [warning.split(": ", 1)[1] for warning in warnings] == [
        "all weights are zero, which a checkpoint's reader takes for 1 bit; say quantization: 8 in "
        "the description"
    ]


def other_source(tmp_path: Path, kind: str) -> Path:
    file = tmp_path / "other"
    if kind == "npz":
        np.savez(tmp_path / "other.npz", w0=np.zeros((2, 1, 1), np.int8))
        return tmp_path / "other.npz"
    shapes = {"values": [1, 3], "shape": [1, 2, 3]}
    state = {"fc.weight": np.array(shapes[kind], np.float32)} if kind in shapes else {}
    write_torch(file, {"state_dict": state})
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("values", "fc.weight is not what layer0 of"),
        ("shape", "fc.weight is not what layer0 of"),
        ("none", "has 0 layers with weights"),
        ("npz", "is an .npz of arrays; give a checkpoint that torch.save wrote"),
    ],
)
def test_another_networks_checkpoint(tmp_path, kind, message):
    network = tiny_network(tiny(tmp_path, [1, 2]))
    source = other_source(tmp_path, kind)
    with pytest.raises(InputError) as caught:
        write_back(network, loaded(network).memory, source, tmp_path / FILE)
    assert str(caught.value).startswith(f"{source}: {message}")
    assert not (tmp_path / FILE).exists()


def test_torch_reads_it_with_weights_only(tmp_path):
    torch = pytest.importorskip("torch")
    machine = fashion.machine()
    write_back(fashion.network(), machine.memory, fashion.CHECKPOINT, tmp_path / FILE)
    ours = torch.load(tmp_path / FILE, weights_only=True)
    theirs = torch.load(fashion.CHECKPOINT, weights_only=False)
    assert list(ours["state_dict"]) == list(theirs["state_dict"])
    for key, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][key], value), key
