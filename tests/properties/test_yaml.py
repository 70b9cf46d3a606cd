"""Whatever a description holds, reading it gives a network or a Max78kError in one line.

1,200 examples, and 24,000 with MAX78K_NIGHTLY=1; none hangs, or takes a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.errors import Max78kError
from max78k_sim.loading import find_faults, load_network
from max78k_sim.yaml_reader import GLOBAL_NAMES, LAYER_NAMES
from tests.conftest import CASES
from tests.guards import bounded_memory, no_hang
from tests.strategies import examples

VALID = [file.read_text() for file in sorted(CASES.glob("*/network.yaml"))]
WORDS = sorted({word for text in VALID for word in text.split()} | {
    *LAYER_NAMES, *GLOBAL_NAMES, ":", "-", "[", "]", "{", "}", "&a", "*a", "|", ">", "?", "!!set",
    "!!bool", "!!int", "!!binary", "!!python/object", "%YAML", "---", "...", "<<:", "=", "~", "''",
    "1.5", ".inf", ".nan", "1e400", "-1", "0", "0x", "0b1", "0o7", "1:30", "2020-02-31", "null",
    "true", "no", "9" * 5000, "0x" + "f" * 300, "\t", "\\", '"', "\x85", "\u2028", "\ufeff", "é",
})  # fmt: skip
LINES = sorted({line for text in VALID for line in text.splitlines()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    with bounded_memory():
        yield


def reads_or_refuses(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with no_hang():
        try:
            load_network(file)
        except Max78kError as error:
            assert str(error).startswith(str(file)) and str(error).isprintable(), str(error)
        for error in find_faults(file):
            assert str(error).isprintable(), str(error)


@examples(300)
@given(text=st.text(max_size=300))
def test_any_text(file, text):
    reads_or_refuses(file, text.encode("utf-8", "surrogatepass"))


@examples(300)
@given(content=st.binary(max_size=300))
def test_any_bytes(file, content):
    reads_or_refuses(file, content)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid description with a few words or lines replaced, put in, or left out."""
    text = draw(st.sampled_from(VALID))
    by_line = draw(st.booleans())
    separator, pool = ("\n", LINES) if by_line else (" ", WORDS)
    parts = text.split(separator)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(parts) - 1))
        length = draw(st.integers(0, 2))
        parts[place : place + length] = draw(st.lists(st.sampled_from(pool), max_size=2))
        parts = parts or [""]
    return separator.join(parts)


@examples(300)
@given(text=mutated())
def test_a_changed_description(file, text):
    reads_or_refuses(file, text.encode())


VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.lists(st.integers(-3, 40), max_size=4).map(str),
    st.text(max_size=10),
)


@examples(300)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(sorted(LAYER_NAMES)), VALUES, max_size=5),
        min_size=1,
        max_size=3,
    )
)
def test_any_value_of_any_key(file, rows):
    text = "arch: a\ndataset: mnist\nlayers:\n"
    for row in rows:
        lines = [f"{key}: {value}" for key, value in ({"processors": "1"} | row).items()]
        text += "  - " + "\n    ".join(lines) + "\n"
    reads_or_refuses(file, text.encode("utf-8", "surrogatepass"))
