"""The compute core, on every path that this processor has, against NumPy's integers."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim import engine
from max78k_sim.arithmetic import average, requantise, saturate
from max78k_sim.core import Kernels
from max78k_sim.engine import pack, steps, tile, winograd
from max78k_sim.engine.path import PATHS as TABLE
from max78k_sim.engine.path import WORD
from max78k_sim.engine.steps import SIGNED, Assembly
from max78k_sim.errors import InputError
from max78k_sim.ops import stages
from tests import processors
from tests.assemblies import LIMIT, executed, read

PATHS = processors.PATHS


class Weights(Kernels):
    """Kernels that are given, not read from a machine's memory."""

    def __init__(self, kernels, data, path):
        super().__init__([], path)
        packed = pack.pack(kernels, data.outer.row, data.outer.column, 255, SIGNED, self.path)
        self.blocks, self.taps, self.weights = packed.blocks, packed.taps, packed.weights
        self.bias = -packed.sums


def products(sample, kernels, path, shift=0, **fields):
    """A convolution without padding: int8 [row, column, output]."""
    assembly = Assembly()
    data = assembly.map(*sample.shape, zero=SIGNED)
    assembly.copy(read(assembly, sample), data.inner, SIGNED)
    rows, columns = (n - k + 1 for n, k in zip(sample.shape, kernels.shape[1:3], strict=False))
    output = assembly.map(rows, columns, len(kernels)).inner
    weights = Weights(kernels, data, path)
    fields |= {"shift": shift, "count": len(weights.blocks)}
    assembly.add(steps.CONVOLVE, output, data.outer, **fields)
    return executed(assembly, output, sample, weights, path).view(np.int8)


def expected_sums(sample, kernels):
    """The same in NumPy's int64."""
    windows = np.lib.stride_tricks.sliding_window_view(sample, kernels.shape[1:3], axis=(0, 1))
    return np.einsum("rcnij,oijn->rco", windows.astype(np.int64), kernels.astype(np.int64))


class Points(Kernels):
    """Kernels that are given, as points; each output's bias is its number."""

    def __init__(self, kernels, path):
        super().__init__([], path)
        packed = winograd.pack(kernels, self.path)
        self.blocks, self.taps, self.weights = packed.blocks, packed.taps, packed.weights
        self.bias = np.arange(packed.sums.size, dtype=np.int32) - packed.sums


def patched(sample, kernels, path, shift, zero=SIGNED, **fields):
    """``products`` by Winograd's points."""
    assembly = Assembly()
    data = assembly.map(*sample.shape, zero=zero)
    assembly.copy(read(assembly, sample), data.inner, zero)
    rows, columns = (n - k + 1 for n, k in zip(sample.shape, kernels.shape[1:3], strict=False))
    output = assembly.map(rows, columns, len(kernels)).inner
    weights = Points(kernels, path)
    fields |= {"shift": shift, "count": len(weights.blocks), "taps": kernels.shape[2]}
    fields |= {"zero": zero, "depth": -(-sample.shape[2] // steps.LANES)}
    assembly.add(steps.WINOGRAD, output, data.outer, **fields)
    return executed(assembly, output, sample, weights, path).view(np.int8)


EXTREMES = {
    "random": lambda random, shape: random.integers(-128, 128, shape),
    "all -128": lambda random, shape: np.full(shape, -128),
    "all 127": lambda random, shape: np.full(shape, 127),
    "-128 or 127": lambda random, shape: random.choice([-128, 127], shape),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("weights", EXTREMES)
@pytest.mark.parametrize("data", EXTREMES)
@pytest.mark.parametrize("outputs", [1, 16, 40, 64, 70, 130])
def test_products_are_exact_on_every_path(path, weights, data, outputs):
    random = np.random.default_rng(outputs)
    sample = EXTREMES[data](random, (4, 5, 7)).astype(np.int8)
    kernels = EXTREMES[weights](random, (outputs, 3, 3, 7)).astype(np.int8)
    sums = expected_sums(sample, kernels)
    for shift in (-8, -2, 0, 3):
        wanted = saturate(requantise(sums, shift))
        np.testing.assert_array_equal(products(sample, kernels, path, shift), wanted)


@pytest.mark.parametrize("path", PATHS)
def test_every_tile_is_exact(path):
    """Each number of vectors, full and with one output in the last, by pixels that fill no tile."""
    lanes, block = TABLE[path].lanes, TABLE[path].block
    for full in range(lanes, block + 1, lanes):
        for outputs in (full, full - lanes + 1):
            sample, kernels = random_map(outputs, 5, 7, 6), random_map(1, outputs, 2, 2, 6)
            wanted = saturate(requantise(expected_sums(sample, kernels), -3))
            np.testing.assert_array_equal(products(sample, kernels, path, -3), wanted)


SHAPES = {  # sample; rows and columns of kernels; outputs
    "one patch": ((6, 6, 16), (3, 3), 16),
    "overlapping": ((11, 9, 20), (3, 3), 20),
    "several blocks": ((7, 6, 5), (3, 3), 130),
    "more than PATCHES": ((26, 31, 3), (3, 3), 9),
    "one column": ((43, 1, 33), (3, 1), 40),
    "columns": ((6, 5, 7), (3, 1), 30),
}


@pytest.mark.parametrize("path", processors.WITH_POINTS)
@pytest.mark.parametrize("weights", EXTREMES)
@pytest.mark.parametrize("data", EXTREMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_fewer_products_give_the_same(path, weights, data, shape):
    size, taps, outputs = SHAPES[shape]
    random = np.random.default_rng(outputs)
    sample = EXTREMES[data](random, size).astype(np.int8)
    kernels = EXTREMES[weights](random, (outputs, *taps, size[2])).astype(np.int8)
    sums = expected_sums(sample, kernels) + np.arange(outputs)
    for shift, fields, activate in (
        (-8, {}, lambda x: x),
        (-3, {"flip": SIGNED}, lambda x: x ^ np.int8(-128)),
        (0, {"absolute": 1}, lambda x: np.minimum(abs(x.astype(int)), 127)),
        (2, {"relu": 1}, lambda x: np.maximum(x, 0)),
    ):
        wanted = activate(saturate(requantise(sums, shift)).astype(np.int8))
        np.testing.assert_array_equal(patched(sample, kernels, path, shift, **fields), wanted)


@pytest.mark.parametrize("path", processors.WITH_POINTS)
@pytest.mark.parametrize("weight", [-128, 127])
def test_fewer_products_hold_the_largest_sums(path, weight):
    """As many channels of the most extreme bytes as the chip's accumulators hold."""
    sample = np.full((6, 7, 227), -128, np.int8)
    kernels = np.full((16, 3, 3, 227), weight, np.int8)
    sums = expected_sums(sample, kernels) + np.arange(16)
    assert LIMIT * 0.98 < abs(sums).max() < LIMIT
    wanted = saturate(requantise(sums, -12))
    assert 60 < abs(wanted).max() < 127
    np.testing.assert_array_equal(patched(sample, kernels, path, -12), wanted)


def test_points_multiply_polynomials():
    """24 times the outputs of three taps are OUT times products of KERNEL and DATA."""
    for weights, data in product(np.eye(3), np.eye(6)):
        wanted = np.correlate(data, weights, "valid")
        points = (winograd.KERNEL @ weights) * (winograd.DATA @ data)
        assert (winograd.OUT @ points == 3**winograd.THREES * 2**winograd.TWOS * wanted).all()


@given(st.integers(0, 1 << 30), st.sampled_from([(20, 3, 3, 7), (40, 3, 1, 6), (3, 3, 3, 1)]))
def test_kernels_become_points(seed, shape):
    """As KERNEL says; other kernels in the same order."""
    old, kernels = random_map(seed, *shape), random_map(seed + 1, *shape)
    packed = winograd.packed_alike(winograd.pack(old, TABLE["avx2"]), kernels)
    taps = winograd.KERNEL if shape[2] == 1 else np.kron(winograd.KERNEL, winograd.KERNEL)
    wanted = np.einsum("pt,otc->pco", taps, kernels.reshape(shape[0], -1, shape[3]))
    found = packed.weights.view(np.int16)
    for outputs, _, words, place, first in packed.blocks.tolist():
        size = len(taps) * words * winograd.PAIR * outputs
        part = found[place // 2 : place // 2 + size].reshape(len(taps), words, outputs, -1)
        part = part.transpose(0, 1, 3, 2).reshape(len(taps), -1, outputs)
        held = wanted[:, :, first : first + outputs]
        np.testing.assert_array_equal(part[:, : shape[3], : held.shape[2]], held)
        assert not part[:, shape[3] :].any() and not part[:, :, held.shape[2] :].any()


def test_points_fit_16_bits_and_two_products_32():
    kernel, data = (abs(each).sum(axis=1).max() for each in (winograd.KERNEL, winograd.DATA))
    assert 128 * kernel**2 == 18432 and 128 * data**2 == 12800
    assert 2 * 18432 * 12800 < 1 << 31


@pytest.mark.parametrize(
    ("kernel", "size", "channels", "outputs", "path", "serves"),
    [
        ((3, 3), (8, 8), 64, 64, "avx2", True),
        ((3, 3), (8, 8), 64, 64, "avx512-vnni", True),
        ((3, 3), (5, 5), 64, 64, "avx2", False),  # four patches for little more than one
        ((3, 3), (3, 8), 64, 64, "avx2", False),  # less than a patch
        ((3, 3), (8, 8), 3, 64, "avx2", False),
        ((3, 3), (8, 8), 64, 4, "avx2", False),
        ((3, 1), (126, 1), 64, 64, "avx2", True),
        ((3, 1), (126, 1), 64, 64, "avx512-vnni", False),  # its bytes are as fast
        ((1, 1), (8, 8), 64, 64, "avx2", False),
        ((6, 1), (64, 1), 64, 64, "avx2", False),
        ((3, 3), (8, 8), 64, 64, "neon", False),
    ],
)
def test_where_fewer_products_are_faster(kernel, size, channels, outputs, path, serves):
    assert winograd.serves(kernel, size, channels, outputs, TABLE[path]) == serves


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shift", range(-15, 16))
def test_sums_become_bytes_as_the_arithmetic_says(path, shift):
    """``lanes.finish`` is ``arithmetic.requantise`` in vectors."""
    random = np.random.default_rng(shift + 15)
    sample = random.integers(-128, 128, (6, 6, 20)).astype(np.int8)
    kernels = random.integers(-128, 128, (20, 1, 1, 20)).astype(np.int8)
    wanted = saturate(requantise(expected_sums(sample, kernels), shift))
    for fields, activate in (
        ({}, lambda x: x),
        ({"relu": 1}, lambda x: np.maximum(x, 0)),
        ({"absolute": 1}, lambda x: np.minimum(abs(x), 127)),
        ({"absolute": 1, "relu": 1}, lambda x: np.minimum(abs(x), 127)),
    ):
        result = products(sample, kernels, path, shift, **fields)
        np.testing.assert_array_equal(result, activate(wanted))


@given(st.data())
def test_groups_never_leave_16_bits(data):
    """Whatever the weights are: each word once, and no pair that any data can carry too far."""
    count, outputs = data.draw(st.integers(1, 12)), 16
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    bound = data.draw(st.sampled_from([2, 40, 90, 128]))
    words = random.integers(-bound, bound, (count, WORD, outputs)).astype(np.int8)
    largest = data.draw(st.sampled_from([127, 255]))
    offsets = 4 * np.arange(count)
    flat = np.append(words.reshape(-1), np.int8(0))
    places = np.arange(words.size).reshape(words.shape)
    where, places = pack.grouped(offsets, places, flat, largest, TABLE["avx2"])
    groups = flat[places]
    for offset, word in zip(offsets, words, strict=True):
        np.testing.assert_array_equal(groups[where == offset].sum(axis=0)[:, :] * (offset > 0),
                                      word * (offset > 0))  # fmt: skip
    np.testing.assert_array_equal(
        groups.sum(axis=0, dtype=np.int64), words.sum(axis=0, dtype=np.int64)
    )
    pairs = groups.reshape(-1, 2, 2, 2, outputs).astype(np.int64)
    assert (np.maximum(pairs, 0) * largest).sum(axis=(1, 3)).max() <= 32767
    assert (np.minimum(pairs, 0) * largest).sum(axis=(1, 3)).min() >= -32768


@given(st.data(), st.sampled_from([127, 255]))
def test_other_kernels_are_packed_alike_where_they_can_be(data, largest):
    """Every weight is there once, and no pair is carried too far; else there is no such pack."""
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    bounds = st.sampled_from([1, 40, 64, 90, 128])
    shape = data.draw(st.sampled_from([(70, 1, 3, 5), (16, 3, 3, 2), (3, 1, 1, 9)]))
    kernels, others = (random.integers(-bound, bound, shape).astype(np.int8)
                       for bound in (data.draw(bounds), data.draw(bounds)))  # fmt: skip
    kernels[:, :, :, 1] *= data.draw(st.integers(0, 1))
    how = largest, SIGNED, TABLE["avx2"]
    old = pack.pack(kernels, 64, 16, *how)
    found = pack.packed_alike(old, others, *how)
    weights = np.append(others, 0)[old.places]
    beyond = False
    for outputs, _, groups, first, _ in old.blocks.tolist():
        size = outputs * WORD
        pairs = weights[first : first + 2 * groups * size].reshape(groups, 2, size // 2, 2)
        pairs = pairs.astype(np.int64) * largest
        beyond |= np.maximum(pairs, 0).sum(axis=(1, 3)).max(initial=0) > 32767
        beyond |= np.minimum(pairs, 0).sum(axis=(1, 3)).min(initial=0) < -32768
    left_out = np.setdiff1d(np.arange(others.size), old.places)
    assert (found is None) == bool(beyond or others.reshape(-1)[left_out].any())
    if found is not None:
        np.testing.assert_array_equal(found.weights, weights)
        sums = SIGNED * others.astype(np.int64).sum(axis=(1, 2, 3))
        np.testing.assert_array_equal(found.sums[: len(sums)], sums)
        assert pack.packed_alike(old, kernels, *how) is not None


def test_a_word_is_laid_where_the_pixel_has_its_bytes():
    kernels = np.arange(1, 19, dtype=np.int8).reshape(1, 2, 3, 3)
    offsets, places = pack.words_of(kernels.shape, row=40, column=3, lanes=16)
    words = np.append(kernels, 0)[places]
    assert offsets.tolist() == [0, 4, 8, 40, 44, 48]
    assert words[:, :, 0].reshape(2, -1)[:, :9].tolist() == [[*range(1, 10)], [*range(10, 19)]]
    assert not words[:, :, 0].reshape(2, -1)[:, 9:].any() and not words[:, :, 1:].any()


@pytest.mark.parametrize("path", PATHS)
def test_kernels_of_zeros_leave_the_bias(path):
    sample, kernels = random_map(5, 3, 3, 4), np.zeros((20, 1, 1, 4), np.int8)
    assert not products(sample, kernels, path).any()


def test_zeros_are_not_multiplied():
    kernels = np.zeros((16, 3, 3, 16), np.int8)
    kernels[3, 1, 1, 2] = 5
    packed = pack.pack(kernels, 64, 16, 255, SIGNED, TABLE["portable"])
    assert packed.blocks.tolist() == [[16, 0, 1, 0, 0]] and packed.taps.tolist() == [80]
    assert packed.sums[3] == 5 * SIGNED


# ---- maps ---------------------------------------------------------------------------------------


def random_map(seed, *shape):
    """int8."""
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("window", [(2, 2), (2, 1), (3, 2), (1, 4), (16, 16)])
@pytest.mark.parametrize("channels", [1, 16, 40])
@pytest.mark.parametrize("kind", ["maximum", "truncated", "rounded"])
def test_pooling(path, window, channels, kind):
    data, strides = random_map(1, 17, 18, channels), (2, 3)
    assembly = Assembly()
    size = [(n - w) // s + 1 for n, w, s in zip(data.shape, window, strides, strict=False)]
    target = assembly.map(*size, channels).inner
    count = window[0] * window[1]
    table = None if kind == "maximum" else stages.averages(count, kind == "rounded")
    assembly.pool(read(assembly, data), target, window, strides, 0, table)
    windows = np.lib.stride_tricks.sliding_window_view(data, window, axis=(0, 1))
    windows = windows[:: strides[0], :: strides[1]].reshape(*size, channels, count)
    wanted = windows.max(axis=3)
    if kind != "maximum":
        wanted = average(windows.sum(axis=3, dtype=np.int64), count, kind == "rounded")
    np.testing.assert_array_equal(executed(assembly, target, data, path=path).view(np.int8), wanted)


@pytest.mark.parametrize("function", range(4))
@pytest.mark.parametrize("operands", [1, 2, 3, 16])
def test_operands_are_folded_and_clipped(function, operands):
    data = random_map(2, operands, 3, 4, 20)
    assembly = Assembly()
    index = np.arange(data.size).reshape(data.shape)
    views = [assembly.gathered(steps.READ, each) for each in index]
    target = assembly.map(3, 4, 20).inner
    assembly.combine(views, target, function, 0)
    fold = (np.subtract, np.add, np.bitwise_or, np.bitwise_xor)[function]
    wanted = data[0].astype(np.int64)
    for each in data[1:]:
        wanted = fold(wanted, each)
    result = executed(assembly, target, data).view(np.int8)
    np.testing.assert_array_equal(result, saturate(wanted))


def test_a_frame_is_padded_and_spread():
    data = random_map(3, 2, 3, 5)
    assembly = Assembly()
    frame = assembly.map(2, 3, 5, frame=(1, 2), spread=2, zero=SIGNED)
    assembly.copy(read(assembly, data), frame.inner, SIGNED)
    result = (executed(assembly, frame.outer, data) ^ SIGNED).view(np.int8)
    wanted = np.zeros((6, 10, 5), np.int8)
    wanted[1:5:2, 2:8:2] = data
    np.testing.assert_array_equal(result, wanted)


def test_rows_of_bytes_are_gathered_into_a_frame():
    data = random_map(4, 3, 4, 3)
    assembly = Assembly()
    frame = assembly.map(3, 4, 3, frame=(1, 1), dense=True, zero=SIGNED)
    index = np.arange(data.size).reshape(3, -1)
    assembly.gather(steps.READ, index, frame.inner, SIGNED)
    result = (executed(assembly, frame.outer, data) ^ SIGNED).view(np.int8)
    np.testing.assert_array_equal(result, np.pad(data, ((1, 1), (1, 1), (0, 0))))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [(16, 3, 16), (20, 2, 33), (128, 17, 16), (50, 40, 1), (16, 1, 1)])
def test_planes_are_read_by_the_vector(path, size):
    """As by the byte: into a frame, rows and columns of which lie apart."""
    channels, rows, columns = size
    data = random_map(5, *size)
    index = np.arange(data.size).reshape(size).transpose(1, 2, 0)
    for flip in (0, SIGNED):
        assembly = Assembly()
        frame = assembly.map(rows, columns, channels, frame=(1, 1), dense=True, zero=flip)
        assembly.gather(steps.READ, index.reshape(rows, -1), frame.inner, flip)
        turned = columns >= 16 or (columns == 1 and rows >= 16)
        assert assembly.rows[-1]["operation"] == (steps.TURN if turned else steps.READ)
        result = (executed(assembly, frame.outer, data, path=path) ^ np.uint8(flip)).view(np.int8)
        wanted = np.pad(data.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0)))
        np.testing.assert_array_equal(result, wanted)


def test_bytes_in_another_order_are_no_planes():
    index = np.arange(16 * 16).reshape(1, 16, 16).transpose(0, 2, 1).copy()
    index[0, 9, 9] = 0
    assembly = Assembly()
    target = assembly.map(1, 16, 16).inner
    assembly.gather(steps.READ, index.reshape(1, -1), target)
    assert assembly.rows[-1]["operation"] == steps.READ


@pytest.mark.parametrize(
    ("value", "fits"), [(LIMIT - 1, True), (LIMIT, False), (-LIMIT, True), (-LIMIT - 1, False)]
)
def test_sums_beyond_the_limit_are_found(value, fits):
    sums = np.zeros((2, 3, 20), np.int32)
    sums[1, 2, 17] = value
    assembly = Assembly()
    view = assembly.map(2, 3, 20, element=4).inner
    index = np.arange(sums.nbytes).reshape(6, -1)
    inside = steps.View(view.base, view.column, 0, 6, 1, 80)
    assembly.gather(steps.READ, index, inside)
    target = assembly.map(2, 3, 20).inner
    assembly.add(steps.FINISH, target, view, layer=7)
    if fits:
        wanted = saturate(requantise(sums.astype(np.int64), 0))
        np.testing.assert_array_equal(executed(assembly, target, sums).view(np.int8), wanted)
    else:
        with pytest.raises(OverflowError, match="7"):
            executed(assembly, target, sums)


# ---- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", processors.STOOD_IN)
def test_weights_are_the_signed_operand(path):
    """VPDPBUSD takes unsigned bytes from its second operand, signed ones from its third; in AT&T's
    order the third comes first.  The weights of a tile are the same for all of its pixels."""
    text = processors.text_of(path)
    code = text[text.index("max78k_tile_1:") :]
    lines = re.findall(r"vpdpbusd\s+(%\w+), (%\w+), (%\w+)", code[: code.index(".Lfunc_end")])
    assert len(lines) == TABLE[path].pixels[0]
    assert len({weights for weights, _, _ in lines}) == 1
    assert len({sums for _, _, sums in lines}) == len(lines)


VNNI = TABLE["avx512-vnni"].features
PROCESSORS = [  # name and features as LLVM has them, the paths that are possible
    ("icelake-server", ("avx2", *VNNI), ("avx512-vnni", "avx512", "avx2")),
    ("alderlake", ("avx2", "avxvnni"), ("avx-vnni", "avx2")),
    ("haswell", ("avx2",), ("avx2",)),
    ("neoverse-n1", ("neon", "dotprod"), ("neon",)),
    ("cortex-a72", ("neon",), ()),
    ("apple-m1", (), ("neon",)),
]


@pytest.mark.parametrize(("name", "features", "fast"), PROCESSORS)
def test_the_fastest_path_of_a_processor(monkeypatch, name, features, fast):
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: name)
    monkeypatch.setattr(
        "llvmlite.binding.get_host_cpu_features", lambda: dict.fromkeys(features, True)
    )
    assert engine.paths.__wrapped__() == (*fast, "portable")


def test_there_is_always_the_portable_path(monkeypatch):
    assert engine.paths()[-1] == "portable"
    monkeypatch.setenv("MAX78K_PATH", "portable")
    assert engine.choose_path() == "portable"
    with pytest.raises(InputError, match=r"'sse9' cannot run on this processor; it has .*portable"):
        engine.choose_path("sse9")


def test_the_instruction_for_four_products_is_used():
    """avx512-vnni, compiled for a processor that has it: this one may not."""
    from llvmlite import binding, ir

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [kind for _, kind in tile.ARGUMENTS])
    tile.build_tile(ir.Function(module, kind, "f"), TABLE["avx512-vnni"], 4)
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="cascadelake", opt=3)
    text = machine.emit_assembly(binding.parse_assembly(str(module)))
    assert text.count("vpdpbusd") == 4 * TABLE["avx512-vnni"].pixels[3]
