"""quantise: hand-computed rows, PyTorch's own functions, and what may not pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from max78k_sim import cli
from max78k_sim.checkpoint import read_checkpoint
from max78k_sim.errors import InputError
from max78k_sim.saved_state import read_saved
from max78k_sim.torch_writer import torch_bytes, write_torch
from tests.strategies import examples
from trainer.host.quantize import Method, bit_shift, quantile, quantise

# weights, bias, bits: shift, integers, bias as stored (integer * 2**(bits - 1)); None: no bias
ROWS = [
    ([0.25, -0.5], None, 8, 1, [64, -128], None),  # the largest is a power of two: not more
    ([0.25, -0.51], None, 8, 0, [32, -65], None),
    ([0.25, -0.49], None, 8, 1, [64, -125], None),
    ([0.25, -0.5], None, 4, 1, [4, -8], None),
    ([0.25, -0.5], None, 2, 1, [1, -2], None),
    ([0.25, -0.5], None, 1, 1, [0, -1], None),  # 1 does not fit: -1 and 0 are the values
    ([0.5, 0.001], None, 8, 1, [127, 0], None),  # 128 does not fit
    ([0.25, 0.125], [1.0, -0.5], 8, 0, [32, 16], [127 * 128, -64 * 128]),  # the bias is largest
    ([0.25, 0.125], [1.0, -0.5], 4, 0, [2, 1], [7 * 8, -4 * 8]),
    ([0.0, -0.0], None, 8, 15, [0, 0], None),
    ([2.0**20, -1.0], None, 8, -15, [127, 0], None),
    ([3 / 256, -3 / 256], None, 8, 6, [96, -96], None),
    ([1.0, 1.5 / 128], None, 8, 0, [127, 2], None),  # a half is rounded up
    ([-1.0, -1.5 / 128], None, 8, 0, [-128, -1], None),
]


def checkpoint(weights, bias=None, bits=8, **others) -> dict:
    """One layer as training stores it; ``others``: more of its tensors, as numbers."""
    state = {"conv1.output_shift": np.zeros(1, np.float32)}
    state["conv1.weight_bits"] = np.array([bits], np.int64)
    state["conv1.quantize_activation"] = np.array([False])
    state["conv1.adjust_output_shift"] = np.array([True])
    state["conv1.op.weight"] = np.array(weights, np.float32).reshape(len(weights), 1, 1)
    if bias is not None:
        state["conv1.op.bias"] = np.array(bias, np.float32)
    state |= {f"conv1.{name}": np.array([value], np.float32) for name, value in others.items()}
    return {"arch": "tiny", "epoch": 4, "state_dict": state, "extras": {"best_top1": 90.5}}


@pytest.mark.parametrize(("weights", "bias", "bits", "shift", "integers", "stored"), ROWS)
def test_rows(tmp_path, weights, bias, bits, shift, integers, stored):
    root = checkpoint(weights, bias, bits)
    result = quantise(root, Method())
    state = result.root["state_dict"]
    assert state["conv1.op.weight"].ravel().tolist() == integers
    assert state["conv1.output_shift"].tolist() == [-shift]
    assert state["conv1.adjust_output_shift"].tolist() == [0]
    assert state["conv1.quantize_activation"].tolist() == [1]
    if bias is not None:
        assert state["conv1.op.bias"].tolist() == stored
        assert state["conv1.bias_bits"].tolist() == [bits]
    assert result.root["extras"] == {"best_top1": 90.5, "clipping_method": "MAX_BIT_SHIFT"}
    assert root == root | {"extras": {"best_top1": 90.5}} and root["state_dict"] is not state
    write_torch(tmp_path / "q.pth.tar", result.root)
    (layer,) = read_checkpoint(tmp_path / "q.pth.tar").layers
    assert layer.kernel.ravel().tolist() == integers
    if bias is not None:
        assert layer.bias is not None
        assert (layer.bias.astype(int) << bits - 1).tolist() == stored


WEIGHTS = [[0.5, -0.125], [0.25, 0.375]]  # two outputs
FACTORS = [
    (Method("MAX"), 128 * 0.5),
    (Method("AVGMAX"), 128 * 0.4375),  # of the largest, 0.5 and 0.375
    (Method("SCALE"), 128 * np.float32(0.85)),
    (Method("SCALE", scale=2.0), 256),
    (Method("STDDEV"), 128 * 0.5),  # two deviations reach beyond the largest
    (Method("STDDEV", deviations=0.5), 128 * np.float32(0.25 + np.std(WEIGHTS, ddof=1) / 2)),
]


@pytest.mark.parametrize(("method", "factor"), FACTORS)
def test_other_methods_have_factors_of_their_own(method, factor):
    root = checkpoint([0, 0], [0.25, 0.5], output_shift=3)
    root["state_dict"]["conv1.op.weight"] = np.array(WEIGHTS, np.float32)
    result = quantise(root, method)
    assert result.layers[0].factor == pytest.approx(factor, rel=1e-6)
    state = result.root["state_dict"]
    expected = np.clip(np.floor(np.multiply(WEIGHTS, factor) + 0.5), -128, 127)
    np.testing.assert_array_equal(state["conv1.op.weight"], expected)
    bias = np.clip(np.floor(np.multiply([0.25, 0.5], factor) + 0.5), -128, 127)
    np.testing.assert_array_equal(state["conv1.op.bias"], bias * 128)  # by the same factor
    assert state["conv1.output_shift"].tolist() == [3]
    assert result.root["extras"]["clipping_method"] == method.clip


positive = st.floats(np.float32(1e-6), np.float32(1e6), width=32)


@examples(100)
@given(
    values=np_st.arrays(np.float32, st.integers(1, 300), elements=positive),
    share=st.one_of(st.just(1.0), st.just(0.985), st.floats(0, 1, width=32)),
    bits=st.sampled_from((1, 2, 4, 8)),
)
def test_quantile_and_shift_are_those_of_torch(values, share, bits):
    torch = pytest.importorskip("torch")
    limit = torch.quantile(torch.from_numpy(values), torch.tensor([np.float32(share)]))
    assert quantile(values, share) == limit.item()
    shift = torch.floor(torch.log2(1.0 / limit)).clamp(-7 - bits, 23 - bits)
    assert bit_shift(values, bits, share) == shift.item()


@pytest.mark.parametrize("power", range(-14, 15))
def test_shifts_around_a_power_of_two_are_those_of_torch(power):
    torch = pytest.importorskip("torch")
    around = np.float32(2.0**power).view(np.int32) + np.arange(-40, 41, dtype=np.int32)
    for value in around.view(np.float32):
        shift = torch.floor(torch.log2(1.0 / torch.tensor([value]))).clamp(-15, 15)
        assert bit_shift(np.array([value]), 8, 1.0) == shift.item()


def two_layers(**first) -> dict:
    root = checkpoint([0.5, -0.25], **first)
    root["state_dict"]["fc.op.weight"] = np.array([[0.5, -0.25]], np.float32)
    return root


BITS = [  # method, bits stored: weights of conv1 and fc, weight_bits of both afterwards
    (Method(), 4, [7, -4], [127, -64], [4, 8]),
    (Method(), 0, [127, -64], [127, -64], [8, 8]),
    (Method(weight_bits=2), 4, [7, -4], [1, -1], [4, 8]),
    (Method(weight_bits=2), 0, [1, -1], [1, -1], [8, 8]),
    (Method(layer_bits=(2, None)), 4, [1, -1], [127, -64], [4, 8]),  # the widths stay
    (Method(layer_bits=(None, 1)), 4, [7, -4], [0, 0], [4, 8]),
    (Method(layer_bits=(8,)), 4, [127, -64], [0.5, -0.25], [4, None]),  # no more layers described
]


@pytest.mark.parametrize(("method", "bits", "first", "second", "widths"), BITS)
def test_who_says_how_many_bits(method, bits, first, second, widths):
    state = quantise(two_layers(bits=bits), method).root["state_dict"]
    assert state["conv1.op.weight"].ravel().tolist() == first
    assert state["fc.op.weight"].ravel().tolist() == second
    stored = [state.get(f"{layer}.weight_bits") for layer in ("conv1", "fc")]
    assert [None if value is None else int(value[0]) for value in stored] == widths


def test_a_quantile_and_rounding_up():
    root = checkpoint([1.0, *[0.25] * 99], shift_quantile=0.9)
    assert quantise(root, Method()).layers[0].shift == -2
    assert quantise(root, Method()).layers[0].clipped == 100  # 0.25 is 128 too
    root = checkpoint([0.26], output_shift=-2)
    (row,) = quantise(root, Method(round_up=True)).layers
    assert (row.shift, row.trained_shift) == (-2, -2)
    assert quantise(root, Method()).layers[0].shift == -1


def test_masks_and_old_parameters():
    root = two_layers(base_b_q=1, w_zero_point=0, bias_bits=8)
    root["compression_sched"] = {"masks_dict": {"conv1.output_shift": None}}
    result = quantise(root, Method()).root
    masks = result["compression_sched"]["masks_dict"]
    assert list(masks) == ["conv1.output_shift", "fc.weight_bits", "fc.output_shift"]
    assert masks["conv1.output_shift"] is result["state_dict"]["conv1.output_shift"]
    assert root["compression_sched"]["masks_dict"] == {"conv1.output_shift": None}
    assert not {"conv1.base_b_q", "conv1.w_zero_point"} & set(result["state_dict"])


def changed(key: str, value: object) -> dict:
    root = checkpoint([0.5, 0.25], [0.5, 0.5])
    root["state_dict"][key] = value
    return root


REFUSED = [
    (changed("conv1.op.weight", np.ones((1, 1), np.int8)), "conv1.op.weight is of int8; save"),
    (changed("conv1.op.weight", None), "conv1.op.weight is of NoneType; save it as float32"),
    (changed("conv1.op.weight", np.full((1, 1), np.nan, "f4")), "conv1.op.weight is empty or has"),
    (changed("conv1.op.weight", np.zeros((0, 1), "f4")), "conv1.op.weight is empty or has"),
    (changed("conv1.op.bias", np.zeros(2)), "conv1.op.bias is of float64, its weights of float32"),
    (changed("conv1.weight_bits", np.array([3])), "conv1.weight_bits is 3.0; legal: 1, 2, 4, 8"),
    (changed("conv1.weight_bits", np.zeros(2)), "conv1.weight_bits is not one number"),
    (changed("conv1.shift_quantile", np.array([2.0])), "conv1.shift_quantile is 2.0; legal: 0"),
    (changed("conv1.w_zero_point", np.ones(1)), "conv1.w_zero_point is not zero"),
    (changed("conv1.bn.weight", np.ones(4, "f4")), "batch normalisation is not folded"),
    (changed("conv1.bn.running_mean", np.ones(4, "f4")), "batch normalisation is not folded"),
    ({"state_dict": {"epoch": 1}}, "has no layer: no key ends in .weight"),
    (checkpoint([1, -7]), "is quantised already: its weights are whole numbers; give the checkpoi"),
    (checkpoint([1]) | {"extras": {"clipping_method": "MAX"}}, "is quantised already"),
]


@pytest.mark.parametrize(("root", "message"), REFUSED)
def test_what_cannot_be_quantised(root, message):
    with pytest.raises(InputError) as caught:
        quantise(root, Method())
    assert message in str(caught.value)


def test_a_factor_that_is_no_number():
    with pytest.raises(InputError, match="conv1: STDDEV gives the factor nan; take another method"):
        quantise(checkpoint([0.5]), Method("STDDEV"))
    with pytest.raises(InputError, match="conv1: SCALE gives the factor inf; take another method"):
        quantise(checkpoint([0.5]), Method("SCALE", scale=1e39))


def test_a_bias_of_another_length():
    with pytest.raises(InputError, match=r"conv1.op.bias has shape \(2,\); one value an output"):
        quantise(checkpoint([0.5, -0.25, 0.125], [0.5, 0.25]), Method())


@examples(100)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_damaged_files_give_one_message_or_integers(tmp_path, flips):
    content = bytearray(torch_bytes(two_layers(output_shift=-2)))
    for place, value in flips:
        content[place % len(content)] = value
    (tmp_path / "damaged").write_bytes(content)
    try:
        state = quantise(read_saved(tmp_path / "damaged").root, Method()).root["state_dict"]
        for key in state:
            if key.endswith(".weight"):
                assert (state[key] == np.rint(state[key])).all()
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip": "MIN"}, "no clipping method 'MIN'; there are: AVGMAX, MAX, STDDEV, SCALE"),
        ({"scale": -1.0}, "scale -1.0: a number above 0"),
        ({"deviations": float("nan")}, "deviations nan: a number above 0"),
        ({"layer_bits": (3,)}, "weight bits 3: 1, 2, 4 or 8"),
    ],
)
def test_methods_that_are_none(arguments, message):
    with pytest.raises(InputError, match=message):
        Method(**arguments)


# --- the command ----------------------------------------------------------------------------------


def run(capsys, *arguments):
    code = cli.main(["quantize", *map(str, arguments)])
    return code, *capsys.readouterr()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    file = tmp_path / "trained.pth.tar"
    write_torch(file, two_layers(output_shift=-2))
    return file


def test_the_command(capsys, tmp_path, trained):
    output = tmp_path / "q.pth.tar"
    code, out, err = run(capsys, trained, output, "--device", "MAX78002", "-v")
    assert code == 0 and out.splitlines()[0].startswith("layer bits  largest  factor  shift")
    assert out.endswith(f"{output}: 2 layers\n")
    assert err == (
        "max78k: warning: 1 layers were trained with another output_shift (conv1: -2, now -1); for "
        "checkpoints of the vendor's older software add --round-shift-up\n"
    )
    assert read_saved(output).state["conv1.op.weight"].ravel().tolist() == [127, -64]
    description = tmp_path / "network.yaml"
    description.write_text(
        "arch: tiny\ndataset: none\nlayers:\n"
        "  - {processors: 1, out_offset: 0, op: conv1d, kernel_size: 1, quantization: 2}\n"
        "  - {processors: 3, out_offset: 0, op: linear}\n"
    )
    code, out, _ = run(capsys, trained, output, "-c", description, "--json")
    assert code == 0 and [row["bits"] for row in json.loads(out)["layers"]] == [2, 8]
    code, _, err = run(capsys, trained, output, "--clip-method", "SCALE", "--scale", "2")
    assert (code, err) == (0, "")
    assert read_saved(output).root["extras"]["clipping_scale"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "nowhere: no such file; give a checkpoint"),
        (["trained.pth.tar", "no/out"], "no/out: cannot be written: No such file or directory"),
        (
            ["trained.pth.tar", "trained.pth.tar"],
            "trained.pth.tar: is the trained checkpoint; give",
        ),
        (["trained.pth.tar", "out", "--scale", "1"], "--scale 1.0 belongs to --clip-method SCALE"),
        (["trained.pth.tar", "out", "--device", "MAX1"], "device 'MAX1' is not known"),
        (["trained.pth.tar", "out", "-c", "no.yaml"], "no.yaml: cannot read the network"),
        (["trained.pth.tar", "out", "--clip-method", "SCALE", "--scale", "0"], "scale 0.0: a numb"),
        (
            ["trained.pth.tar", "out", "--clip-method", "MAX", "--round-shift-up"],
            "--round-shift-up has no meaning with --clip-method",
        ),
    ],
)
def test_bad_input(capsys, tmp_path, trained, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and err.startswith(f"max78k: error: {message}")
    assert [file.name for file in tmp_path.iterdir()] == ["trained.pth.tar"]
