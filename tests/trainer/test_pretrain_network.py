"""The quantised network of torch is the chip to the bit: every kind of module, every width."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs PyTorch (pip install max78k[train])")

from torch.nn import functional  # noqa: E402

from max78k_sim.errors import InputError  # noqa: E402
from max78k_sim.machine import Machine  # noqa: E402
from tests import fashion  # noqa: E402
from trainer.data.datasets import Dataset  # noqa: E402
from trainer.host import network as net  # noqa: E402
from trainer.host.files import Plan, read_machine, read_plan, write_network  # noqa: E402
from trainer.host.fused import LargestOfWindows, finished  # noqa: E402
from trainer.host.pretrain import train_epochs  # noqa: E402
from trainer.host.recipe import Policy, Recipe  # noqa: E402

NOTES = {"epoch": 0, "accuracy": 0.0, "seed": 0, "holdout_class": None}
CLASSES = 3
IMAGES = 12  # that the chip computes
ACTIVATIONS = (None, "ReLU", "Abs")
POOLS = {"no pool": {}, "max pool": {"max_pool": 2}, "average pool": {"avg_pool": 2}}
ODD_POOLS = {"max pool": {"max_pool": [3, 2]}, "average pool": {"avg_pool": 3}}
# A branch whose outputs lie in the gaps of the other's; a layer that combines both follows.
RESIDUAL = (
    {"out": 4, "activate": "ReLU", "out_offset": 0x2000},
    {"in_sequences": 0, "in_offset": 0x2000, "op": "passthrough", "write_gap": 1,
     "out_offset": 0x4000},
    {"in_sequences": 0, "in_offset": 0x2000, "out": 4, "write_gap": 1, "out_offset": 0x4004},
)  # fmt: skip
JOINT = {"in_sequences": [1, 2], "in_offset": 0x4000, "out_offset": 0x6000}


def kernels(op: str, **keys) -> list[dict]:
    """A layer of each activation."""
    return [{"op": op, "activate": activation, "out": 5, **keys} for activation in ACTIVATIONS]


# name: (sample shape, layers before the last linear one)
NETWORKS: dict[str, tuple[tuple[int, int, int], list[dict]]] = {
    "linear": ((6, 1, 1), kernels("linear", pad=0)),
    "conv2d 1x1": ((3, 4, 5), kernels("conv2d", kernel_size="1x1", pad=0)),
    "conv1d dilated": ((4, 40, 1), kernels("conv1d", kernel_size=3, pad=0, dilation=2)),
    "conv1d folded": ((4, 50, 1), kernels("conv1d", kernel_size=2, pad=0, dilation=12)[:2]),
    "conv1d 9 taps": ((4, 30, 1), kernels("conv1d", kernel_size=9, pad=2)),
    "conv1d 1 tap": ((70, 7, 1), kernels("conv1d", kernel_size=1, pad=0)),
    "subsampled": ((3, 13, 11), kernels("conv2d", pool_stride=2)),
    "convtranspose2d": ((2, 1, 2), kernels("convtranspose2d", stride=2)),
    "passthrough": ((3, 9, 9), [{"op": "passthrough", "max_pool": 2, "pool_stride": 2}]),
}
for pool, keys in POOLS.items():
    stride = {"pool_stride": 2} if keys else {}
    for op, size in (("conv2d", (3, 9, 10)), ("conv1d", (4, 45, 1))):
        taps = {"kernel_size": "3x3", "pad": 2} if op == "conv2d" else {"kernel_size": 3, "pad": 1}
        NETWORKS[f"{op} {pool}"] = size, kernels(op, **taps, **keys, **stride)
for pool, keys in ODD_POOLS.items():
    odd = kernels("conv2d", kernel_size="3x3", pad=2, pool_stride=2, **keys)
    NETWORKS[f"conv2d odd {pool}"] = (3, 17, 16), odd
for operation in net.COMBINE:
    combined = {**JOINT, "eltwise": operation, "activate": "ReLU", "out": 5}
    alone = {**JOINT, "op": operation}
    pooled = {**combined, "max_pool": 2, "pool_stride": 2, "pool_first": False}
    for name, joint in (("", combined), (" alone", alone), (" then pool", pooled)):
        NETWORKS[f"residual {operation}{name}"] = (3, 8, 7), [*RESIDUAL, joint]
for bits in (4, 2, 1):
    rows = kernels("conv2d", max_pool=2, pool_stride=2, quantization=bits)
    NETWORKS[f"conv2d {bits} bits"] = (3, 16, 17), rows
    rows = kernels("conv1d", kernel_size=3, pad=1, quantization=bits)
    NETWORKS[f"conv1d {bits} bits"] = (4, 12, 1), rows


def description(directory: Path, shape: tuple, rows: list[dict], last: dict | None = None) -> Path:
    """A network.yaml: the rows, and a linear layer with a 32-bit output behind them."""
    channels, place, layers = shape[0], 0x4000, []
    tail = {"op": "linear", "flatten": True, "output_width": 32}
    for number, row in enumerate([*rows, tail if last is None else last]):
        place = 0x2000 if place == 0x4000 else 0x4000
        keys = {key: value for key, value in row.items() if key not in ("out", "activate")}
        if row.get("op") not in ("passthrough", *net.COMBINE):
            keys["activate"] = str(row.get("activate"))
        first = {"in_channels": channels, "in_dim": list(shape[1:])} if not number else {}
        each = channels if channels <= 64 else 36  # in two passes
        layers.append({"name": f"part{number}", **first, "out_offset": place,
                       "processors": (1 << each) - 1, **keys})  # fmt: skip
        channels, place = row.get("out", channels), layers[-1]["out_offset"]
    file = directory / "described.yaml"
    file.write_text(json.dumps({"arch": "tiny", "dataset": "noise", "layers": layers}))
    return file


def noise(shape: tuple, count: int, seed: int) -> Dataset:
    """Random samples over the whole range; the first two are all of the lowest, the highest."""
    generator = np.random.default_rng(seed)
    images = generator.integers(-128, 128, (count, *shape)).astype(np.int8)
    images[0], images[1] = -128, 127
    return Dataset("noise", images, generator.integers(0, CLASSES, count), tuple("abc"))


def at_random(network: net.ChipNetwork, seed: int) -> None:
    """Weights over the whole of their range, and shifts that make use of the outputs' range."""
    generator = np.random.default_rng(seed)
    network.quantise()
    for part in network.weighted:
        lowest, highest = part.limits
        size = part.layer.features * np.prod(part.layer.kernel_shape)
        products = 74 * np.sqrt(size) * max(1, -lowest) * 0.6  # deviation of the accumulator
        part.shift = int(np.clip(np.round(np.log2(80 * 128 / products)), -15, 15))
        step = 2.0**part.shift / net.UNIT
        drawn = generator.integers(lowest, highest + 1, part.weight.shape)
        part.weight.data = torch.from_numpy(drawn * step).float()
        bias = generator.integers(
            -40 >> max(part.shift, 0), 41 >> max(part.shift, 0), part.bias.shape
        )
        part.bias.data = torch.from_numpy(bias * step).float()


def torch_outputs(network: net.ChipNetwork, images: np.ndarray) -> list[np.ndarray]:
    """Integers of every layer [sample, channel, row, column], not rounded here: what torch leaves
    between two steps would stay to be seen."""
    with torch.no_grad():
        outputs = network.eval().outputs(net.real_images(images))
    found = []
    for part, real in zip(network.layers, outputs, strict=True):
        scale = 2.0 ** (14 - part.shift) if part.wide else net.UNIT
        found.append((real.double() * scale).numpy())
    return found


def chip_outputs(machine: Machine, images: np.ndarray) -> list[np.ndarray]:
    """What the chip writes in every layer [sample, channel, row, column]."""
    each = [[machine.output_of(trace) for trace in machine.traces(image)] for image in images]
    return [np.array(layer) for layer in zip(*each, strict=True)]


def assert_equal(network: net.ChipNetwork, plan: Plan, images: np.ndarray, directory: Path) -> list:
    """The files that are written of a network make the chip compute what torch computes."""
    write_network(directory, plan, network.to_integers(), NOTES)
    expected = torch_outputs(network, images)
    actual = chip_outputs(read_machine(directory), images)
    for part, chip, real in zip(network.layers, actual, expected, strict=True):
        np.testing.assert_array_equal(chip, real.reshape(chip.shape), part.layer.name)
    return expected


@pytest.mark.parametrize("name", NETWORKS)
def test_every_module_trained_for_an_epoch_is_the_chip_to_the_bit(name, tmp_path):
    shape, rows = NETWORKS[name]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    plan = read_plan(description(tmp_path, shape, rows), Policy(), shape, CLASSES)
    network, data = plan.build(), noise(shape, 64, 5)
    recipe = Recipe(batch_size=16, shift_pixels=0, weight_decay=0.0)
    before = [part.weight.detach().clone() for part in network.weighted]
    list(train_epochs(network, data, recipe, 1, 1e-2, 0.25))
    network.quantise()
    list(train_epochs(network, data, recipe, 1, 1e-2, 0.0))
    for part, old in zip(network.weighted, before, strict=True):
        assert not torch.equal(part.weight, old), part.layer.name  # a gradient came by
        assert -15 <= part.shift <= 15
    assert_equal(network, plan, data.images[:IMAGES], tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_random_integers_are_the_same_in_torch_and_on_the_chip(name, tmp_path):
    shape, rows = NETWORKS[name]
    plan = read_plan(description(tmp_path, shape, rows), Policy(), shape, CLASSES)
    network = plan.build()
    at_random(network, seed=len(name))
    images = noise(shape, IMAGES, 6).images
    outputs = assert_equal(network, plan, images, tmp_path)
    if "1 bits" not in name:  # weights of -1 and 0 leave little behind a ReLU
        assert len(np.unique(outputs[-1], axis=0)) > IMAGES // 2  # the samples can be told apart
    reached = np.concatenate([values.reshape(-1) for values in outputs[:-1]])
    assert reached.max() == 127 and reached.min() < 0 < len(np.unique(reached)) - 60


def test_eight_bit_output_of_the_last_layer(tmp_path):
    last = {"op": "linear", "flatten": True, "activate": None}
    plan = read_plan(description(tmp_path, (3, 4, 4), [], last), Policy(), (3, 4, 4), CLASSES)
    network = plan.build()
    list(train_epochs(network, noise((3, 4, 4), 64, 5), Recipe(batch_size=16), 2, 1e-2, 0.25))
    network.quantise()
    images = noise((3, 4, 4), IMAGES, 6).images
    outputs = assert_equal(network, plan, images, tmp_path)
    logits = network(net.real_images(images)).detach().numpy()
    assert np.array_equal(logits * 8, outputs[-1].reshape(logits.shape))


# ---- shifts and widths --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "floor", "bits", "shift"),
    [(0.9, -15, 8, 0), (0.45, -15, 8, -1), (0.9, 1, 8, 1), (0.01, -15, 8, -6), (3.0, -15, 8, 2),
     (0.9, -15, 4, 4), (0.9, -15, 2, 6)],
)  # fmt: skip
def test_best_shift_covers_weights_and_bias(weight, floor, bits, shift):
    weights = torch.linspace(-weight, weight, 50)
    assert net.best_shift(weights, floor, *net.weight_range(bits)) == shift


def test_one_bit_is_the_sign_and_outputs_keep_their_mean(tmp_path):
    rows = [{"out": 6, "kernel_size": "3x3", "pad": 1, "quantization": 1} for _ in range(2)]
    plan = read_plan(description(tmp_path, (3, 8, 8), rows), Policy(), (3, 8, 8), CLASSES)
    network, images = plan.build(), net.real_images(noise((3, 8, 8), 64, 2).images)
    narrow = [part for part in network.weighted if part.one_bit]
    weights = {part: part.weight.detach().clone() for part in narrow}
    found = []

    def see(part, read):
        if part in narrow:
            found.append(net.means(part.sums(read)).detach())

    network.eval().outputs(images, see)
    network.quantise(images)
    network.outputs(images, see)
    assert len(narrow) == 2 and len(found) == 4
    for part, before, after in zip(narrow, found[:2], found[2:], strict=True):
        signs = part.to_integers().weight
        assert np.array_equal(signs, -(weights[part] < 0).numpy().astype(np.int8))
        step = 2.0**part.shift / net.UNIT  # of the bias, which is rounded to it
        magnitude = float((part.weight + step / 2).detach().abs().mean())  # of folded ones
        assert magnitude / 2**0.5 <= step / 2 <= magnitude * 2**0.5
        assert float((after - before).abs().max()) <= step / 2 + 1e-5


def test_a_quantile_leaves_outliers_clipped(tmp_path):
    rows = [{"out": 4, "kernel_size": "3x3", "pad": 1}]
    shifts = {}
    for share in (1.0, 0.9):
        policy = Policy(overrides={"part0": {"shift_quantile": share}})
        plan = read_plan(description(tmp_path, (3, 4, 4), rows), policy, (3, 4, 4), CLASSES)
        network = plan.build()
        network.layers[0].norm = None
        network.layers[0].weight.data[:] = 0.2
        network.layers[0].weight.data[0, 0, 0, 0] = 1.9
        network.quantise()
        shifts[share] = network.layers[0].shift
    assert shifts == {1.0: 1, 0.9: -2}


def test_shifts_of_the_description_hold(tmp_path):
    rows = [{"out": 4, "kernel_size": "3x3", "pad": 1, "output_shift": -3, "quantization": 4}]
    plan = read_plan(description(tmp_path, (3, 4, 4), rows), Policy(), (3, 4, 4), CLASSES)
    network = plan.build()
    network.quantise()
    assert network.layers[0].shift == -3 + 4
    assert_equal(network, plan, noise((3, 4, 4), 4, 1).images, tmp_path)


def test_weights_that_are_not_finite_are_reported():
    with pytest.raises(InputError, match="training diverged"):
        net.covering_shift(float("nan"))


# ---- the arithmetic alone -----------------------------------------------------------------------


def layer(**keys) -> SimpleNamespace:
    """As much of a Layer as pooling looks at."""
    return SimpleNamespace(**{"op": "conv2d", "stride": 2, "pool": (2, 2), **keys})


def test_average_pooling_truncates_toward_zero():
    sums = torch.tensor([-7, -3, 3, 7, -8, 1])
    windows = torch.zeros((1, 1, 2, 12))
    windows[0, 0, 0, ::2] = sums / 128
    pooled = net.pool_real(windows, layer(pool_average=True), exact=True)
    assert (pooled[0, 0] * 128).tolist() == [[-1, 0, 0, 1, -2, 0]]


def test_pooling_leaves_an_odd_edge_out():
    data = torch.arange(25.0).reshape(1, 1, 5, 5)
    pooled = net.pool_real(data, layer(pool_average=False), exact=True)
    assert pooled[0, 0].tolist() == [[6, 8], [16, 18]]
    none = layer(pool=(1, 1), stride=1, pool_average=False)
    assert net.pool_real(data, none, exact=True) is data


def test_rounding_is_half_up_with_a_straight_gradient():
    values = torch.tensor([-1.5, -0.5, -0.51, 0.5, 2.4], requires_grad=True)
    rounded = net.RoundHalfUp.apply(values)
    assert rounded.tolist() == [-1.0, 0.0, -1.0, 1.0, 2.0]
    rounded.sum().backward()
    assert values.grad.tolist() == [1.0] * 5
    cut = torch.tensor([-1.75, 0.9], requires_grad=True)
    net.TruncateTowardZero.apply(cut).sum().backward()
    assert cut.grad.tolist() == [1.0, 1.0]


# ---- what cannot be trained ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "last", "message"),
    [
        (RESIDUAL, {**JOINT, "eltwise": "xor"}, "part3: 'xor' has no gradient; use add or sub"),
        ([], {"out_channels": 3},
         r"part0: its output is 8x7 pixels; classes are learnt of 1x1: end with op: linear"),
    ],
)  # fmt: skip
def test_networks_without_a_gradient_are_refused(rows, last, message, tmp_path):
    file = description(tmp_path, (3, 8, 7), rows, last)
    with pytest.raises(InputError, match=message):
        read_plan(file, Policy(), (3, 8, 7), CLASSES).build()


# ---- the network that is shipped ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["fashion", "digits", "keywords"])
def test_shipped_network_is_the_same_in_torch_and_on_the_chip(name, tmp_path):
    directory = fashion.DIRECTORY.with_name(name)
    sample = np.load(directory / "sample.npy")[np.newaxis]
    plan = read_plan(directory / "network.yaml", Policy(), sample.shape[1:], 10)
    state = torch.load(directory / "checkpoint.pth.tar", weights_only=True)["state_dict"]
    network = plan.build()
    network.quantise()
    for part in network.weighted:
        weight, bias, shift = (
            state[f"{part.layer.name}.{key}"] for key in ("op.weight", "op.bias", "output_shift")
        )
        part.shift = int(shift.item())
        part.weight.data = weight * 2.0**part.shift / net.UNIT
        part.bias.data = bias / net.UNIT * 2.0**part.shift / net.UNIT
    for found in network.to_integers():
        assert np.array_equal(found.weight, state[f"{found.name}.op.weight"])
        assert np.array_equal(found.bias * 128.0, state[f"{found.name}.op.bias"])
    assert_equal(network, plan, noise(sample.shape[1:], 8, 3).images, tmp_path)
    expected = np.load(directory / "expected.npy")
    assert np.array_equal(torch_outputs(network, sample)[-1].reshape(-1), expected)


# ---- steps that are done together ---------------------------------------------------------------


@pytest.mark.parametrize("turned", (False, True), ids=("relu", "abs"))
@pytest.mark.parametrize("unit", (0, 128), ids=("normalised", "on the grid"))
def test_finishing_together_is_what_torch_does_one_by_one(turned, unit):
    torch.manual_seed(1)
    norms = [torch.nn.BatchNorm2d(8) for _ in range(2)]
    for norm in norms:
        torch.nn.init.constant_(norm.weight, 0.7)
        torch.nn.init.constant_(norm.bias, 0.1)
    totals = [(torch.randn(6, 8, 90, 1) * 0.7).requires_grad_()]
    totals.append(totals[0].detach().clone().requires_grad_())
    low = -1.0 if turned else 0.0
    together = finished(totals[0], None if unit else norms[0], (low, 127 / 128, unit, turned))
    single = functional.hardtanh(totals[1] if unit else norms[1](totals[1]), low, 127 / 128)
    if unit:
        single = single + (torch.floor(single * unit + 0.5) / unit - single).detach()
    single = single.abs().clamp(max=127 / 128) if turned else single
    exact = {"rtol": 0, "atol": 0} if unit else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(together, single, **exact)
    gradient = torch.randn_like(single)
    together.backward(gradient)
    single.backward(gradient)
    torch.testing.assert_close(totals[0].grad, totals[1].grad, **exact)
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(value, norms[1].state_dict()[name], msg=name)
    if not unit:
        torch.testing.assert_close(norms[0].weight.grad, norms[1].weight.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(norms[0].bias.grad, norms[1].bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", ((2, 1), (2, 2), (3, 2)))
def test_the_largest_of_windows_is_max_pooling_ties_too(window):
    torch.manual_seed(1)
    data = torch.randint(0, 4, (3, 5, 7, 8)).float().requires_grad_()
    other = data.detach().clone().requires_grad_()
    ours, theirs = LargestOfWindows.apply(data, window), functional.max_pool2d(other, window)
    gradient = torch.randn_like(theirs)
    ours.backward(gradient)
    theirs.backward(gradient)
    assert torch.equal(ours, theirs) and torch.equal(data.grad, other.grad)
