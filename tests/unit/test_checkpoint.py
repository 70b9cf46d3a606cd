"""read_checkpoint: what it reads, what it refuses and in which words, and that nothing runs."""

from __future__ import annotations

import copyreg
import io
import lzma
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim import torch_files
from max78k_sim.checkpoint import Checkpoint, read_checkpoint
from max78k_sim.errors import InputError
from max78k_sim.torch_files import TorchFile
from tests.conftest import ROOT, corpus
from tests.guards import bounded_memory, no_hang
from tests.strategies import examples

KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "uint16": "BFloat16Storage"}
ORDERED = b"ccollections\nOrderedDict\n)R"

# --- checkpoints made by hand, opcode by opcode ---------------------------------------------------


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    encoded = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + encoded


def tuple_of(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def storage(key: str, kind: str, count: int, tail: bytes = b"") -> bytes:
    named = b"ctorch\n" + kind.encode() + b"\n"
    return b"(" + text("storage") + named + text(key) + text("cpu") + number(count) + tail + b"tQ"


def tensor(
    source: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> bytes:
    head = b"ctorch._utils\n_rebuild_tensor_v2\n("
    view = number(offset) + tuple_of(shape) + tuple_of(strides)
    return head + source + view + b"\x89" + ORDERED + b"tR"


def dictionary(entries: dict[str, bytes], made_by: bytes = b"}") -> bytes:
    items = b"".join(text(key) + value for key, value in entries.items())
    return made_by + b"(" + items + b"u"


def as_zip(
    root: bytes, storages: dict[str, np.ndarray], byte_order: Literal["<", ">"] = "<"
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + root + b".")
        if byte_order == ">":
            archive.writestr("archive/byteorder", "big")
        for key, array in storages.items():
            stored = array.astype(array.dtype.newbyteorder(byte_order))
            archive.writestr(f"archive/data/{key}", stored.tobytes())
    return file.getvalue()


def as_legacy(root: bytes, storages: dict[str, np.ndarray]) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(value, 2) for value in head]
    parts += [b"\x80\x02" + root + b".", pickle.dumps(list(storages), 2)]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return b"".join(parts)


def as_xz(root: bytes, storages: dict[str, np.ndarray]) -> bytes:
    return lzma.compress(as_zip(root, storages))


Form = Callable[[bytes, dict[str, np.ndarray]], bytes]
FORMS: dict[str, Form] = {"zip": as_zip, "legacy": as_legacy, "xz": as_xz}


def root_of(state: dict[str, np.ndarray], **others: bytes) -> tuple[bytes, dict[str, np.ndarray]]:
    """The opcodes of a checkpoint with these tensors, and its storages."""
    storages = {str(index): array for index, array in enumerate(state.values())}
    tensors = {}
    for (name, array), key in zip(state.items(), storages, strict=True):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        source = storage(key, KINDS[array.dtype.name], array.size)
        tensors[name] = tensor(source, array.shape, strides)
    entries = {"epoch": b"K\x07", "arch": text("tinynet")}
    entries["state_dict"] = dictionary(tensors, ORDERED) + dictionary({"_metadata": ORDERED}) + b"b"
    return dictionary(entries | others), storages


def array_of(*values: float, dtype: str = "float32") -> np.ndarray:
    return np.array(values, dtype)


def quantised() -> dict[str, np.ndarray]:
    """Two layers as the vendor stores them, and one in the older style; small."""
    kernel = np.arange(-9, 9, dtype=np.float32).reshape(2, 1, 3, 3)
    return {
        "conv1.output_shift": array_of(-2),
        "conv1.weight_bits": array_of(8, dtype="int64"),
        "conv1.op.weight": kernel,
        "conv1.op.bias": array_of(-16384, 200),
        "block.conv2.output_shift": array_of(1),
        "block.conv2.weight_bits": array_of(2),
        "block.conv2.op.weight": np.array([[[-2, 1, 0]]], np.float32),
        "block.conv2.op.bias": array_of(-3),
        "fc.weight": np.array([[127, -128]], np.float32),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ckpt.pth.tar"


def read(path: Path, content: bytes) -> Checkpoint:
    path.write_bytes(content)
    return read_checkpoint(path)


def fault(path: Path, content: bytes) -> str:
    """The message of the refusal, without the file's name that it begins with; one line."""
    with pytest.raises(InputError) as caught:
        read(path, content)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_read_as_the_vendor_reads_them(path: Path, form: str) -> None:
    state = quantised()
    result = read(path, FORMS[form](*root_of(state)))
    assert (result.file, result.arch, result.epoch) == (str(path), "tinynet", 7)
    first, second, third = result.layers
    assert [layer.name for layer in result.layers] == ["conv1", "block.conv2", "fc"]
    assert {layer.index for layer in result.layers} == {None} and result.ended_by is None
    assert first.kernel.dtype == np.int8 and not first.kernel.flags.writeable
    np.testing.assert_array_equal(first.kernel, state["conv1.op.weight"])
    assert first.bias is not None and first.bias.tolist() == [-128, 1]  # floor(200 / 128)
    assert (first.weight_bits, first.output_shift) == (8, -2)
    assert second.bias is not None and second.bias.tolist() == [-2]  # floor(-3 / 2)
    assert (second.weight_bits, second.output_shift) == (2, 1)
    assert third.bias is None and (third.weight_bits, third.output_shift) == (8, 0)


def test_torch_is_not_imported(path: Path) -> None:
    path.write_bytes(as_zip(*root_of(quantised())))
    code = (
        "import sys; from max78k_sim.checkpoint import read_checkpoint; "
        f"read_checkpoint({str(path)!r}); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_all_zero_weights_are_of_one_bit_and_the_bias_keeps_its_unit(path: Path) -> None:
    state = quantised() | {
        "conv1.op.weight": np.zeros((2, 1, 3, 3), np.float32),
        "conv1.weight_bits": array_of(0),
    }
    layer = read(path, as_zip(*root_of(state))).layers[0]
    assert layer.weight_bits == 1
    assert layer.bias is not None and layer.bias.tolist() == [-128, 1]


def test_a_float_layer_behind_quantised_ones_ends_the_layers(path: Path) -> None:
    state = quantised() | {"fc.weight": np.array([[0.5, -0.25]], np.float32)}
    result = read(path, as_zip(*root_of(state)))
    assert [layer.name for layer in result.layers] == ["conv1", "block.conv2"]
    assert result.ended_by is not None and "fc.weight is not quantised" in result.ended_by


def test_big_endian_storages_and_bfloat16(path: Path) -> None:
    state = {"fc.weight": np.array([[5, -7]], np.float32)}
    root, storages = root_of(state)
    assert read(path, as_zip(root, storages, ">")).layers[0].kernel.tolist() == [[5, -7]]
    upper = (state["fc.weight"].view(np.uint32) >> 16).astype(np.uint16)
    assert read(path, as_zip(*root_of({"fc.weight": upper}))).layers[0].kernel.tolist() == [[5, -7]]


def test_strided_views_are_followed(path: Path) -> None:
    weight = tensor(storage("0", "FloatStorage", 7), (2, 3), (1, 2), offset=1)
    root = dictionary({"state_dict": dictionary({"fc.weight": weight})})
    content = as_zip(root, {"0": np.arange(7, dtype=np.float32)})
    assert read(path, content).layers[0].kernel.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_npz(path: Path) -> None:
    file = io.BytesIO()
    w10, w2 = np.full((4, 3, 3), -3, np.int8), np.ones((1, 2, 4), np.int8, order="F")
    np.savez(file, w10=w10, w2=w2, b2=array_of(-128, 127, dtype="int8"), bits2=4, shift2=-1)
    second, tenth = read(path, file.getvalue()).layers
    assert (second.name, second.index, second.weight_bits, second.output_shift) == ("w2", 2, 4, -1)
    assert second.kernel.shape == (1, 2, 4)
    assert second.bias is not None and second.bias.tolist() == [-128, 127]
    assert (tenth.index, tenth.weight_bits, tenth.output_shift) == (10, None, None)
    np.testing.assert_array_equal(tenth.kernel, w10)


def test_an_npz_of_a_network_without_weights(path: Path) -> None:
    file = io.BytesIO()
    np.savez(file)
    assert read(path, file.getvalue()).layers == ()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_torch_saved(path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    state = {
        "conv1.op.weight": torch.nn.Parameter(
            torch.arange(-4.0, 4).reshape(2, 2, 2).transpose(0, 2)
        ),
        "conv1.op.bias": torch.tensor([128.0, -256]),
        "conv1.output_shift": torch.tensor([-1.0]),
        "conv1.weight_bits": torch.tensor([4]),
    }
    optimizer = torch.optim.Adam([state["conv1.op.weight"]])
    content = {"state_dict": state, "arch": "a", "epoch": 3, "extras": np.float64(1)}
    content |= {"optimizer_state_dict": optimizer.state_dict(), "optimizer_type": type(optimizer)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    layer = read_checkpoint(path).layers[0]
    np.testing.assert_array_equal(layer.kernel, state["conv1.op.weight"].detach().numpy())
    assert layer.bias is not None and layer.bias.tolist() == [16, -32]


def corpus_files(pattern: str) -> list[Path]:
    folder = corpus() / "corpus"
    files = sorted(folder.glob(pattern))
    assert files, f"no {pattern} in {folder}"
    return files


@pytest.mark.corpus
def test_every_tensor_of_the_vendors_checkpoints() -> None:
    files = corpus_files("_checkpoints/*.pth.tar.xz")
    torch = pytest.importorskip("torch")
    for file in files:
        content = torch_files.unpacked(file)
        source = torch_files.open_tensors(content)
        assert isinstance(source, TorchFile) and isinstance(source.root, dict)
        result = read_checkpoint(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
        state = source.root["state_dict"]
        assert list(state) == list(loaded["state_dict"])
        for name, expected in loaded["state_dict"].items():
            actual = source.tensors.array(name, state[name])
            assert actual.dtype == expected.numpy().dtype
            np.testing.assert_array_equal(actual, expected.numpy(), f"{file.name}: {name}")
        assert (result.arch, result.epoch) == (loaded["arch"], loaded["epoch"])


@pytest.mark.corpus
def test_every_tenth_golden_npz() -> None:
    for file in corpus_files("*/params.npz")[::10]:
        with np.load(file) as arrays:
            for layer in read_checkpoint(file).layers:
                np.testing.assert_array_equal(layer.kernel, arrays[f"w{layer.index}"])
                assert (layer.bias is not None) == (f"b{layer.index}" in arrays)


# --- what is refused ------------------------------------------------------------------------------

NOT_QUANTISED = (
    "conv1.op.weight is not quantised (values between -0.31 and 2, 1 of 3 are integers); quantise "
    "the checkpoint: max78k quantize IN OUT (or the vendor's quantize.py), and give the file that "
    "this writes"
)
FAULTY_TENSORS = [
    ("conv1.op.weight", np.array([[-0.31, 0.28, 2]], np.float32), NOT_QUANTISED),
    ("conv1.op.weight", np.array([[128.0]], np.float32), "values between 128 and 128, 1 of 1"),
    ("conv1.op.weight", np.array([[np.nan]], np.float32), "values that are not finite"),
    ("conv1.op.weight", np.zeros((1, 1, 1, 1, 1), np.float32), "2 to 4 dimensions"),
    ("bn.weight", array_of(1, 1), "batch normalisation is not folded"),
    ("conv1.bn.running_mean", array_of(1, 1), "batch normalisation is not folded"),
    ("block.conv2.weight_bits", array_of(1), "has the value -2, outside of -1 to 0"),
    ("conv1.weight_bits", array_of(3), "conv1.weight_bits is 3; legal: 1, 2, 4, 8"),
    ("conv1.weight_bits", array_of(np.nan), "conv1.weight_bits is nan; legal: 1, 2, 4, 8"),
    ("conv1.weight_bits", array_of(8, 8), "has shape (2,), not one element"),
    ("conv1.op.bias", array_of(0, 16384), "divided by 128 they must lie in -128 to 127"),
    ("conv1.op.bias", array_of(np.inf), "a value not finite"),
    ("conv1.output_shift", array_of(16), "conv1.output_shift is 16; legal: whole numbers from -15"),
    ("block.conv2.output_shift", array_of(-22), "from -21 to 9 for 2-bit weights"),
    ("conv1.output_shift", array_of(0.5), "conv1.output_shift is 0.5"),
    ("conv1.output_shift", array_of(np.nan), "conv1.output_shift is nan"),
    ("conv1.output_shift", array_of(-(2**63), dtype="int64"), "is -9223372036854775808; legal"),
    ("conv1.output_shift", array_of(-(2.0**63)), "is -9223372036854775808; legal"),
]


@pytest.mark.parametrize(("name", "array", "message"), FAULTY_TENSORS)
def test_a_layer_that_cannot_be_used(
    path: Path, name: str, array: np.ndarray, message: str
) -> None:
    assert message in fault(path, as_zip(*root_of(quantised() | {name: array})))


def test_an_absurd_shift_of_a_layer_of_zeros_names_the_cause(path: Path) -> None:
    state = quantised() | {
        "conv1.op.weight": np.zeros((1, 1), np.float32),
        "conv1.output_shift": array_of(-(2.0**63)),
    }
    assert "the layer has only weights of zero" in fault(path, as_zip(*root_of(state)))


FLOATS = storage("0", "FloatStorage", 4)
OUTSIDE = "outside of its storage of 4 elements"
HOSTILE_TENSORS = [
    (tensor(FLOATS, (2, 3), (3, 1)), OUTSIDE),
    (tensor(FLOATS, (2, 2), (2, 1), offset=1), OUTSIDE),
    (tensor(FLOATS, (2, 2), (1 << 28, 1)), OUTSIDE),
    (tensor(FLOATS, (2, 2), (-1, 1)), "a shape, strides or offset that no tensor has"),
    (tensor(FLOATS, (2, 2), (2, 1), offset=-1), "a shape, strides or offset that no tensor has"),
    (tensor(FLOATS, (2, 1 << 70), (2, 1)), "a shape, strides or offset that no tensor has"),
    (tensor(FLOATS, (1 << 20, 1 << 20), (0, 0)), "have more than 33554432 elements"),
    (tensor(FLOATS, (2, 2), (2,)), "has 2 dimensions and 1 strides"),
    (tensor(storage("0", "FloatStorage", 5), (5, 1), (1, 1)), ""),  # 4 elements in the file
    (tensor(storage("0", "FloatStorage", 3), (3, 1), (1, 1)), ""),
    (tensor(storage("0", "FloatStorage", -1), (3, 1), (1, 1)), "names a storage"),
    (tensor(storage("0", "FloatStorage", 1 << 70), (3, 1), (1, 1)), "names a storage"),
    (tensor(storage("0", "QInt8Storage", 4), (2, 2), (2, 1)), "storage type torch QInt8Storage"),
    (b"ctorch._utils\n_rebuild_qtensor\n(" + FLOATS + b"tR", "is not a dense tensor of numbers"),
    (b"ctorch._utils\n_rebuild_sparse_tensor\n)R", "is not a dense tensor of numbers"),
    (b"]", "is not a dense tensor of numbers"),
]


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize(("weight", "message"), HOSTILE_TENSORS)
def test_a_tensor_that_lies(path: Path, form: str, weight: bytes, message: str) -> None:
    root = dictionary({"state_dict": dictionary({"fc.weight": weight + b"", "fc.bias": FLOATS})})
    assert message in fault(path, FORMS[form](root, {"0": np.ones(4, np.float32)}))


def test_a_lazily_negated_tensor_is_not_read_as_it_lies(path: Path) -> None:
    plain = tensor(FLOATS, (2, 2), (2, 1))
    negated = plain.removesuffix(b"tR") + dictionary({"neg": b"\x88"}) + b"tR"
    root = dictionary({"state_dict": dictionary({"fc.weight": negated})})
    assert "is not a dense tensor" in fault(path, as_zip(root, {"0": np.ones(4, np.float32)}))


def deflated(content: bytes, name: str = "archive/data.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


NOT_CHECKPOINTS = {
    "empty": (b"", "is empty"),
    "text": (b"hello\nworld", "is no checkpoint: it begins with b'hello\\nwo'"),
    "other pickle": (pickle.dumps([1]), "is a pickle, but not one of torch.save"),
    "other zip": (deflated(b"", "letter.txt"), "zip file without one data.pkl"),
    "no state_dict": (as_zip(dictionary({}), {}), "has no state_dict; save {'state_dict'"),
    "no layer": (as_zip(*root_of({"conv1.scale": array_of(1)})), "no key ends in .weight"),
    "state_dict is no dictionary": (as_zip(dictionary({"state_dict": b"]"}), {}), "no state_dict"),
    "npz with other names": (deflated(b"", "weights.npy"), "an npz holds w<l>"),
    "npz bias without weights": (deflated(b"", "b0.npy"), "b0 does not belong here"),
    "memory of an opcode": (deflated(b"\x8e" + b"\xff" * 7 + b"\x7f"), "is damaged or not a"),
    "deep": (deflated(b")" + b"\x85" * 100_000 + b"."), "has no state_dict"),
    "deep key": (deflated(b"})" + b"\x85" * 100_000 + b"K\x01s."), "has no state_dict"),
    "many opcodes": (deflated(b"}" * 250_000 + b"."), "has more than 200000 opcodes"),
    "underflow": (deflated(b"}\x87."), "is damaged or not a checkpoint"),
    "unknown opcode": (deflated(b"\x97."), "has opcode NEXT_BUFFER, which torch.save never"),
    "control characters in a key": (
        as_zip(*root_of({"a\x1b[2J\n.weight": array_of(1)})),
        "'a\\x1b[2J\\n.weight' has one dimension",
    ),
}


@pytest.mark.parametrize("case", NOT_CHECKPOINTS)
def test_what_is_no_checkpoint(path: Path, case: str) -> None:
    content, message = NOT_CHECKPOINTS[case]
    assert message in fault(path, content)


def test_a_file_that_cannot_be_opened(path: Path) -> None:
    with pytest.raises(InputError, match="no such file; give a checkpoint"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="is damaged or not a checkpoint"):
        read_checkpoint(path.parent)
    with pytest.raises(InputError, match="null byte"):
        read_checkpoint("a\0b")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off_anywhere(path: Path, form: str) -> None:
    content = FORMS[form](*root_of(quantised()))
    for length in range(0, len(content), 37):
        fault(path, content[:length])


def test_bombs_are_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_files, "MAXIMUM_BYTES", 1 << 20)
    message = "more than 1048576 bytes, the limit of a checkpoint"
    assert message in fault(path, lzma.compress(bytes(1 << 22)))
    assert message in fault(path, lzma.compress(bytes(900_000)) * 2)
    assert message in fault(path, deflated(bytes(1 << 22)))
    assert message in fault(path, bytes(1 << 22))
    monkeypatch.setattr(torch_files, "MAXIMUM_XZ_MEMORY", 1 << 16)
    assert "Memory usage limit" in fault(path, lzma.compress(bytes(100)))
    monkeypatch.setattr(torch_files, "MAXIMUM_ZIP_ENTRIES", 3)
    assert "more than 3 entries" in fault(path, as_zip(*root_of(quantised())))


def test_an_npz_whose_array_is_shorter_than_it_says(path: Path) -> None:
    file = io.BytesIO()
    header = {"shape": (1 << 40, 9), "fortran_order": False, "descr": "|i1"}
    np.lib.format.write_array_header_1_0(file, header)
    assert "not as many bytes as its shape" in fault(path, deflated(file.getvalue(), "w0.npy"))
    file = io.BytesIO()
    np.save(file, np.array([[None]]), allow_pickle=True)
    assert "elements of type object" in fault(path, deflated(file.getvalue(), "w0.npy"))


# --- nothing runs ---------------------------------------------------------------------------------


class Reduced:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def bare(value: object, protocol: int) -> bytes:
    """The opcodes of ``value`` without the first and the last."""
    return pickle.dumps(value, protocol)[2 if protocol >= 2 else 0 : -1]


def payloads(marker: Path) -> dict[str, bytes]:
    """Opcodes that create the file ``marker`` where a pickle is trusted."""
    command = f"touch {marker}"
    argument = text(command)
    made: dict[str, bytes] = {
        f"__reduce__ in protocol {protocol}": bare(Reduced(os.system, command), protocol)
        for protocol in range(6)
    }
    made |= {
        "eval": bare(Reduced(eval, f"open({str(marker)!r}, 'w').close()"), 2),
        "subprocess": bare(Reduced(subprocess.call, ["touch", str(marker)]), 2),
        "nested": bare([{"a": (Reduced(os.system, command),)}], 2),
        "INST": b"(" + argument + b"ios\nsystem\n",
        "OBJ": b"(cos\nsystem\n" + argument + b"o",
        "NEWOBJ": b"csubprocess\nPopen\n(" + argument + b"t\x81",
        "NEWOBJ_EX": b"csubprocess\nPopen\n(" + argument + b"t}\x92",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93" + argument + b"\x85R",
        "getattr": b"cbuiltins\ngetattr\n(cos\n__dict__\n"
        + text("get")
        + b"tR"
        + argument
        + b"\x85R",
        "__setstate__": b"c__main__\nTrap\n)\x81" + argument + b"b",
        "state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(N"
        + dictionary({"__defaults__": b")", "__code__": b"N"})
        + b"tb",
        "EXT2": b"\x83\x01\x7f" + argument + b"\x85R",
        "list of an object": b"cos\nsystem\n" + argument + b"a(" + argument + b"e",
        "items of an object": b"cos\nsystem\n" + argument + argument + b"s",
        "call of a call": b"cfunctools\npartial\n(cos\nsystem\n" + argument + b"tR)R",
        "the reader itself": b"cmax78k_sim.pickles\nREBUILD\n" + dictionary({"a": b"N"}) + b"b",
    }
    return made


@pytest.fixture
def extension() -> Iterator[None]:
    """os.system as extension 0x7F01, also in the cache that real unpicklers fill."""
    cache = copyreg._extension_cache  # type: ignore[attr-defined]
    copyreg.add_extension("os", "system", 0x7F01)
    cache[0x7F01] = os.system
    yield
    copyreg.remove_extension("os", "system", 0x7F01)
    cache.pop(0x7F01, None)


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("name", payloads(Path("unused")))
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_nothing_pickled_runs(path: Path, form: str, name: str) -> None:
    marker = path.with_name("executed")
    payload = payloads(marker)[name]
    state = quantised()
    root, storages = root_of(state, optimizer_type=payload, extras=dictionary({"a": payload}))
    assert len(read(path, FORMS[form](root, storages)).layers) == 3
    weight = dictionary({"state_dict": dictionary({"fc.weight": payload})})
    fault(path, FORMS[form](weight, {}))
    fault(path, FORMS[form](payload, {}))
    assert not marker.exists()


@pytest.mark.usefixtures("extension")
def test_the_payloads_would_run(tmp_path: Path) -> None:
    for name in ("__reduce__ in protocol 4", "eval", "INST", "EXT2"):
        marker = tmp_path / "executed"
        pickle.loads(b"\x80\x02" + payloads(marker)[name] + b".")
        assert marker.exists(), name
        marker.unlink()


# --- any bytes ------------------------------------------------------------------------------------


def npz_content() -> bytes:
    file = io.BytesIO()
    np.savez(file, w0=np.ones((2, 3, 3), np.int8), b0=np.ones(2, np.int8), bits0=2, shift0=1)
    return file.getvalue()


TINY = root_of({"fc.weight": np.array([[5, -7]], np.float32), "fc.output_shift": array_of(1)})
VALID = {"npz": npz_content()} | {name: form(*TINY) for name, form in FORMS.items()}
HEADS = [b"", b"PK\3\4", b"PK\5\6", b"\xfd7zXZ\0", b"\x80\x02", VALID["legacy"][:150]]
FUZZ = examples(170)  # of three tests: 500, and 10,000 with MAX78K_NIGHTLY=1
FLIPS = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    with bounded_memory():
        yield


def reads_or_refuses(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert isinstance(read_checkpoint(path), Checkpoint)
        except InputError as error:
            assert "\n" not in str(error)


def flipped(content: bytes, flips: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for place, byte in flips:
        changed[place % len(changed)] = byte
    return bytes(changed)


@FUZZ
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=300))
def test_random_bytes(path: Path, head: bytes, tail: bytes) -> None:
    reads_or_refuses(path, head + tail)


@FUZZ
@given(content=st.sampled_from(list(VALID.values())), flips=FLIPS)
def test_changed_bytes(path: Path, content: bytes, flips: list[tuple[int, int]]) -> None:
    reads_or_refuses(path, flipped(content, flips))


@FUZZ
@given(flips=FLIPS)
def test_changed_bytes_of_the_pickle(path: Path, flips: list[tuple[int, int]]) -> None:
    root, storages = TINY
    reads_or_refuses(path, as_zip(flipped(root, flips), storages))
