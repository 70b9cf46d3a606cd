"""read_saved and write_torch: inverse of each other, read by PyTorch, safe from what is read."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from max78k_sim.errors import InputError
from max78k_sim.saved_state import read_saved
from max78k_sim.torch_writer import torch_bytes, write_torch
from tests.guards import bounded_memory, no_hang
from tests.strategies import examples

DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: np_st.arrays(dtype, np_st.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
leaves = st.one_of(
    arrays, st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False)
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=3),
    ),
    max_leaves=12,
)


def assert_same(actual: object, expected: object) -> None:
    """Values, types, order and array elements to the bit."""
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        assert isinstance(actual, np.ndarray)
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.tobytes() == expected.tobytes()
    elif isinstance(expected, dict):
        assert isinstance(actual, dict) and list(actual) == list(expected)
        for key, item in expected.items():
            assert_same(actual[key], item)
    elif isinstance(expected, list | tuple):
        assert isinstance(actual, list | tuple) and len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    else:
        assert actual == expected


@examples(200)
@given(content=values)
def test_what_is_written_is_read(tmp_path: Path, content: object) -> None:
    root = {"state_dict": {}, "content": content}
    file = tmp_path / "checkpoint.pth.tar"
    write_torch(file, root)
    saved = read_saved(file)
    assert_same(saved.root, root)
    assert not saved.left_out
    assert torch_bytes(saved.root) == file.read_bytes()


@examples(50)
@given(content=values)
def test_torch_reads_the_same_with_weights_only(content: object) -> None:
    torch = pytest.importorskip("torch")

    def plain(value):
        if isinstance(value, torch.Tensor):
            return value.numpy()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(plain(item) for item in value)
        return value

    loaded = torch.load(io.BytesIO(torch_bytes({"state_dict": content})), weights_only=True)
    assert_same(plain(loaded), {"state_dict": content})


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_is_kept_but_for_classes(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.arange(-4.0, 4).reshape(2, 2, 2).transpose(0, 2))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    root = {
        "epoch": 3,
        "state_dict": {"a.weight": weight, "a.on": torch.tensor([True]), "none": torch.empty(0)},
        "optimizer_state_dict": optimizer.state_dict(),
        "optimizer_type": type(optimizer),
    }
    torch.save(root, tmp_path / "in", _use_new_zipfile_serialization=zipped)
    saved = read_saved(tmp_path / "in")
    assert saved.left_out == ("optimizer_type",)
    write_torch(tmp_path / "out", saved.root)
    again = torch.load(tmp_path / "out", weights_only=True)
    assert torch.equal(again["state_dict"]["a.weight"], weight)
    assert again["state_dict"]["a.on"].dtype == torch.bool
    optimizer.load_state_dict(again["optimizer_state_dict"])
    assert again["epoch"] == 3


def zipped(root: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(root, 2))
    return file.getvalue()


def circle() -> dict:
    root: dict = {"state_dict": {}}
    root["itself"] = root
    return root


def doubled(levels: int) -> dict:
    """2**levels values in a pickle of some hundred bytes."""
    part: list = [0]
    for _ in range(levels):
        part = [part, part]
    return {"state_dict": {}, "many": part}


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, w0=np.zeros(1))
    return file.getvalue()


HOSTILE = {
    "circle": (zipped(circle()), "holds values more than 32 deep, or more than 1000000"),
    "deep": (zipped(doubled(40)), "holds values more than 32 deep, or more than 1000000"),
    "many": (zipped(doubled(28)), "holds values more than 32 deep, or more than 1000000"),
    "no state": (zipped({"epoch": 1}), "has no state_dict; save {'state_dict'"),
    "a list": (zipped([1]), "has no state_dict; save {'state_dict'"),
    "npz": (npz(), "is an .npz of arrays; give a checkpoint that torch.save wrote"),
    "cut off": (zipped({"state_dict": {}})[:-30], "is damaged or not a checkpoint"),
    "text": (b"hello", "is no checkpoint: it begins with b'hello'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_clear_message(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "checkpoint.pth.tar"
    file.write_bytes(content)
    with no_hang(), bounded_memory(), pytest.raises(InputError) as caught:
        read_saved(file)
    assert str(caught.value).startswith(f"{file}: {message}") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(b"bytes", "bytes is not written"), (np.zeros(1, "c8"), "an array of complex64 is not")],
)
def test_what_is_not_written(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        write_torch(tmp_path / "file", {"state_dict": value})
    assert not list(tmp_path.iterdir())


def test_nothing_is_half_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_torch(tmp_path / "no" / "file", {})
    write_torch(tmp_path / "file", {})
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
