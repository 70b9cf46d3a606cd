"""References of every kind: what is read from a file, what is assumed, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from max78k_sim.errors import InputError
from max78k_sim.network import Network
from max78k_sim.program import compile_network
from max78k_sim.validation.golden import GoldenFolder
from max78k_sim.validation.recording import Record, dump, records
from max78k_sim.validation.references import KINDS, read_reference
from max78k_sim.validation.validation import compare
from max78k_sim.validation.vendor_log import blocks, known_answer, mismatches
from tests.conformance.cases import Case
from tests.conftest import CASES
from tests.unit.test_validation import RIGHT, SAMPLE

RUN = list(records(compile_network(RIGHT), SAMPLE))
ARRAYS = dump(compile_network(RIGHT).plan, RUN)


def read_arrays_as(tmp_path: Path, arrays: dict[str, np.ndarray]):
    file = tmp_path / "arrays.npz"
    np.savez(file, **arrays)
    return read_reference(file, RIGHT)


def is_equal(reference) -> bool:
    return compare(compile_network(RIGHT), reference, SAMPLE).equal


# --- arrays

SCALED = {"first": 128, "second": 128, "third": 128 * 128}
FORMS = (
    ({name: ARRAYS[name] for name in ("layer0", "layer1", "layer2")}, []),
    (ARRAYS, []),
    ({"first": ARRAYS["layer0"], "final": ARRAYS["layer2"].reshape(1, 6)}, []),
    ({"SECOND": ARRAYS["layer1"][None]}, []),
    (
        {"first": ARRAYS["layer0"].astype(np.float32)},
        ["floats taken as they are: they are the chip's integers already"],
    ),
    (
        {name: ARRAYS[f"layer{n}"] / unit for n, (name, unit) in enumerate(SCALED.items())},
        [
            "floats from -1 to 1 taken times 128",
            "third: floats of 32-bit output taken times 16,384",
        ],
    ),
    (
        {"first": ARRAYS["layer0"] / 128 + 0.001},
        [
            "floats from -1 to 1 taken times 128",
            "first: 288 of 288 floats are no multiples of 1/128 and were rounded; is the model "
            "quantised, and in evaluation mode?",
        ],
    ),
)


@pytest.mark.parametrize("arrays, notes", FORMS)
def test_arrays(tmp_path, arrays, notes):
    reference = read_arrays_as(tmp_path, arrays)
    assert is_equal(reference) and reference.notes == notes
    assert reference.outputs


def test_arrays_with_an_input(tmp_path):
    reference = read_arrays_as(tmp_path, ARRAYS | {"input": SAMPLE[None] / 128})
    np.testing.assert_array_equal(reference.sample, SAMPLE)
    assert set(reference.accumulators) == {0, 1, 2}
    reference = read_arrays_as(tmp_path, ARRAYS | {"input": SAMPLE[:2]})
    assert reference.sample is None and "is not test's (3, 6, 6)" in reference.notes[0]


BAD_ARRAYS = (
    ({"conv9": np.zeros(3)}, "no array of a layer; name them layer0, layer1, ... or first"),
    ({"first": np.full((8, 6, 6), np.nan)}, "array first: float64 of shape (8, 6, 6); finite"),
    ({"first": np.zeros((8, 6, 6), bool)}, "array first: bool of shape"),
    ({"first": np.zeros((4, 8, 6, 6), np.int8)}, "first: an array of shape (4, 8, 6, 6); give one"),
)


@pytest.mark.parametrize("arrays, message", BAD_ARRAYS)
def test_bad_arrays(tmp_path, arrays, message):
    with pytest.raises(InputError, match=r"arrays\.npz: ") as error:
        read_arrays_as(tmp_path, arrays)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04rubbish", b"", b"rubbish", b"\xff\xfe\x00"])
def test_no_reference(tmp_path, content):
    file = tmp_path / "file.npz"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"not an \.npz file|of no known kind"):
        read_reference(file, RIGHT)
    with pytest.raises(InputError, match=f"No such file or directory; give {KINDS[:20]}"):
        read_reference(tmp_path / "none", RIGHT)


# --- golden folder


def test_golden_folder(tmp_path):
    case = Case(CASES / "332")
    reference = read_reference(case.folder, GoldenFolder(case.folder).network())
    assert set(reference.outputs) == {0, 1, 2, 3} and len(reference.registers) == 174
    assert {run.part for run in reference.memory} >= {"mram", "input", "l0", "l3", "output"}
    mine, theirs = GoldenFolder(case.folder).network(), case.network()
    assert mine.layers == theirs.layers and mine.average_rounding
    for name in ("memory.npz", "registers.json", "sample.npy"):  # need not be there
        shutil.copytree(case.folder, tmp_path / name)
        (tmp_path / name / name).unlink()
        other = read_reference(tmp_path / name, theirs)
        assert set(other.outputs) == {0, 1, 2, 3}


BAD_FILES = (
    ("meta.json", "[]", "no JSON object"),
    ("meta.json", "{", "not a JSON file"),
    ("meta.json", '{"layers": [{"layer": 0}]}', "no shift and width of every layer: KeyError"),
    ("meta.json", '{"layers": [], "flags": ["--stop-after", "x"]}', "--stop-after 'x': integers"),
    ("registers.json", '{"cnn_init": 3}', "not lists of writes"),
    ("expected.npz", "rubbish", "not an .npz file of arrays"),
    ("memory.npz", "", "not an .npz file of arrays"),
)


@pytest.mark.parametrize("name, content, message", BAD_FILES)
def test_bad_golden_folder(tmp_path, name, content, message):
    folder = tmp_path / "case"
    shutil.copytree(CASES / "8", folder)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_reference(folder, GoldenFolder(folder).network())
    assert str(error.value).startswith(f"{folder / name}: ")


def test_golden_memory_that_is_no_runs(tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(CASES / "8", folder)
    arrays = {"l0_addr": np.array([1]), "l0_len": np.array([9])}
    np.savez(folder / "memory.npz", **arrays)
    with pytest.raises(InputError, match="l0: not runs of words: 'l0_val'"):
        read_reference(folder, GoldenFolder(folder).network())
    (folder / "expected.npz").unlink()
    with pytest.raises(InputError, match=r"no expected\.npz"):
        read_reference(folder, GoldenFolder(folder).network())


# --- the vendor's log


def print_block(title: str, values: np.ndarray, channels: bool) -> None:
    print(f"{'x'.join(map(str, values.shape))} {title}:")
    if channels:
        for number, plane in enumerate(values):
            print(f"Channel #{number}")
            print(plane)
    else:
        print(values.squeeze() if values.shape[1:] == (1, 1) else values)
    print()


def vendor_log(network: Network, run: list[Record]) -> str:
    """A log in the generator's form, of our own values."""
    text = io.StringIO()
    with redirect_stdout(text), np.printoptions(threshold=10**9, linewidth=60):
        print("ai8xize.py --verbose\nMAX78000\n\nKernel map:\n0000XXXX\n")
        data = SAMPLE
        for done in run:
            layer = done.layer
            print(f"LAYER {layer.index} ({layer.name}) ({layer.op.upper()})...\n")
            print_block("INPUT DATA", data, channels=True)
            if done.pooled is not None and layer.pool != (1, 1):
                after = list(done.pooled.shape)
                print(f"AVERAGE POOL 2x2 WITH STRIDE 2/2 {data.shape} -> {after}:")
                print(f"Channel #0 to #3\n{done.pooled}\n")
            print("3x3 KERNEL(S):\nOutput channel #0\n[[1 2 3]]\nBIAS: [ 1 2\n 3]\n")
            print_block("FULL-RES OUTPUT", done.accumulator, channels=False)
            if layer.output_bits == 8:
                print_block("OUTPUT BEFORE ACTIVATION", done.accumulator >> 9, channels=False)
                print_block("ACTIVATED OUTPUT (RELU)", done.output, channels=False)
            data = done.output
        print("SUMMARY OF OPS\nHardware: 1 ops")
    return text.getvalue()


LOG = vendor_log(RIGHT, RUN)
ANSWER = """
#define SAMPLE_OUTPUT {
  0x50402000, 0xffffffff, 0x00000001, 0x00000005, 0x00000000 }
"""


def test_log(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text(LOG)
    reference = read_reference(file, RIGHT)
    assert is_equal(reference) and reference.kind == "vendor's log"
    assert set(reference.outputs) == set(reference.accumulators) == {0, 1, 2}
    np.testing.assert_array_equal(reference.sample, SAMPLE)
    kinds = [block.kind for block in blocks(LOG) if block.layer == 1]
    assert kinds == ["input", "pooled", "accumulator", "output", "output"]


def test_a_shorter_network_than_the_log(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text(LOG.replace("LAYER 2 ", "LAYER 7 "))
    notes = read_reference(file, RIGHT).notes
    assert notes == ["the log has 8 layers, test has 3; the others are not compared"]


def test_a_log_of_the_last_layer_only(tmp_path):
    """--short-log prints titles without values."""
    lines = LOG[: LOG.index("LAYER 1")].split("3x3 KERNEL")[0] + "8x6x6 OUTPUT (RELU)\n\n"
    file = tmp_path / "log.txt"
    file.write_text(lines + LOG[LOG.index("LAYER 2") :].replace("4x3x3 INPUT DATA:", "INPUT"))
    assert set(read_reference(file, RIGHT).outputs) == {2}


@given(st.data())
@settings(max_examples=60)
def test_any_text_is_read_or_refused(tmp_path_factory, data):
    """Logs, answers and boards with lines cut, doubled, changed: no traceback."""
    lines = data.draw(st.sampled_from([LOG, ANSWER, LOG + ANSWER])).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        lines[place] = data.draw(
            st.one_of(st.text(max_size=20), st.just(lines[place][: len(lines[place]) // 2]))
        )
    text = "\n".join(lines[data.draw(st.integers(0, 3)) :])
    file = tmp_path_factory.mktemp("text") / "log.txt"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        reference = read_reference(file, RIGHT)
    except InputError:
        return
    assert reference.kind in ("vendor's log", "known answer", "board")


def test_a_log_that_is_cut_off(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text(LOG[: LOG.index("8x6x6 ACTIVATED") + 200])
    with pytest.raises(InputError, match="values follow, but 8x6x6 are 288; is the log cut off"):
        read_reference(file, RIGHT)
    file.write_text("LAYER 0 (CONV2D)...\n1x1x1 OUTPUT:\n[99999999999999999999]\n")
    with pytest.raises(InputError, match=r"log\.txt:2: not integers of the chip"):
        read_reference(file, RIGHT)


# --- known answers and boards


def test_known_answer(tmp_path):
    plan = compile_network(RIGHT).plan
    address = int(plan.placement("third", "output").address[0, 0, 0])
    words = [int(value) & 0xFFFFFFFF for value in RUN[2].output[:4, 0, 0]]
    file = tmp_path / "sampleoutput.h"

    def text(values):
        listed = ", ".join(f"0x{value:08x}" for value in values)
        run = f"0x{address:08x}, 0xffffffff, 4, \\\n {listed}"
        return f"#define SAMPLE_OUTPUT \\\n{{ \\\n  {run}, 0 }}"

    file.write_text(text(words))
    assert is_equal(read_reference(file, RIGHT))
    file.write_text(text([words[0], words[1] ^ 4, *words[2:]]))
    report = compare(compile_network(RIGHT), read_reference(file, RIGHT), SAMPLE)
    assert not report.equal and report.words[0].different == 1
    assert report.words[0].first[0] == address + 4
    assert "third output [channel 1, row 0, column 0]" in report.words[0].first[3]


def test_an_answer_past_the_end_of_memory(tmp_path):
    file = tmp_path / "sampleoutput.h"
    file.write_text("SAMPLE_OUTPUT { 0x50407ff8, 0xffffffff, 4, 0, 0, 7, 0, 0 }")
    report = compare(compile_network(RIGHT), read_reference(file, RIGHT), SAMPLE)
    assert (report.words[0].words, report.words[0].different) == (4, 1)
    file.write_text("SAMPLE_OUTPUT { 0x20000000, 0xffffffff, 1, 0, 0 }")
    with pytest.raises(InputError, match="output: 0x20000000 is in no memory"):
        compare(compile_network(RIGHT), read_reference(file, RIGHT), SAMPLE)


def test_bad_known_answers():
    assert known_answer("nothing") == []
    with pytest.raises(InputError, match="ends within the run at 0x50400000"):
        known_answer("SAMPLE_OUTPUT { 0x50400000, 0xff, 3, 1, 2 }")
    with pytest.raises(InputError, match="SAMPLE_OUTPUT: 0x1ffffffff has more than 32 bits"):
        known_answer("SAMPLE_OUTPUT { 0x1ffffffff, 1, 1, 1 }")
    with pytest.raises(InputError, match="SAMPLE_OUTPUT: invalid literal"):
        known_answer("SAMPLE_OUTPUT { banana }")


def test_mismatches():
    line = "Data mismatch (3/4) at address 0x50401008: Expected 0xfffe, read 0x000000FD."
    (found,) = mismatches(f"*** CNN ***\n{line}\n*** FAIL ***")
    assert (found.number, found.count, found.line) == (3, 4, 2)
    assert (found.address, found.expected, found.read) == (0x50401008, 0xFFFE, 0xFD)


def test_meta_of_all_layers_without_bias(tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(CASES / "8", folder)
    meta = json.loads((folder / "meta.json").read_text())
    meta["flags"] += ["--no-bias", "--output-width", "32", "--fifo", "--stop-after", "0"]
    (folder / "meta.json").write_text(json.dumps(meta))
    options = GoldenFolder(folder).options()
    assert options.pop("no_bias")[:2] == (0, 1)
    assert options == {
        "avg_pool_rounding": False, "output_width": 32, "fifo": True, "stop_after": 0,
    }  # fmt: skip
