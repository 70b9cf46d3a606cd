"""Frames, the C that answers them, and whole conversations over a line that cannot be trusted."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmware.cosim.host import STRICT, compiler
from firmware.protocol import messages as protocol
from firmware.protocol.client import connect
from firmware.protocol.header import error_table, message_table
from firmware.protocol.identity import network_digest, sample_words
from firmware.protocol.link import TRIES, Link, LinkError, Refused
from firmware.protocol.messages import Frame, FrameError, FrameReader
from max78k_sim import compile_network, load_network
from max78k_sim.errors import InputError
from tests import fashion
from tests.conftest import ROOT
from tests.firmware.faulty_line import FaultyLine
from tests.firmware.protocol_board import (
    HOST,
    ON_BOARD_ONLY,
    RECIPE,
    HostBoard,
    build,
    write_project,
)
from tests.strategies import examples
from trainer.learning.buffer import rehearsal
from trainer.loop import Pool, Trainer, memory_digest

SESSION = 77
KEPT_BYTES = 8_000  # of kept examples: ten of 28 x 28 pixels and a label, twenty of 4 bits


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("protocol"), RECIPE, "--replay", str(KEPT_BYTES))


@pytest.fixture
def board(project, tmp_path):
    """A board of its own: the C's state is static, so each test loads a copy of the library."""
    return HostBoard(shutil.copy(build(project), tmp_path / "libcnn.so"))


def ask(board, name, sequence, session=SESSION, **values):
    """One request; the answer's fields, or the error's name."""
    message = protocol.BY_NAME[name]
    payload = protocol.encode_fields(message.request, values)
    frame = Frame(message.number, sequence, session, payload)
    (answer,) = FrameReader().feed(board.receive(protocol.encode_frame(frame)))
    assert (answer.sequence, answer.session) == (sequence, session)
    if answer.number == protocol.ERROR:
        return protocol.error_of(answer.payload)[0]
    assert answer.number == message.number | protocol.ANSWER
    return protocol.decode_fields(message.answer, answer.payload)


def hello(board, session=SESSION):
    digest = network_digest(fashion.program())
    return ask(board, "hello", 0, session, version=protocol.VERSION, digest=digest)


def example_of(index=0, flags=7):
    pool = fashion.pool()
    words = sample_words(fashion.machine(), pool.images[index]).tobytes()
    label = int(pool.labels[index])
    return {
        "label": label, "flags": flags, "check": zlib.crc32(words), "offset": 0, "data": words
    }  # fmt: skip


# --- frames


@given(st.binary(max_size=1200))
@example(bytes(range(1, 255)))
@example(bytes(range(1, 255)) * 2 + b"\0")
@examples(100)
def test_cobs_and_back(data):
    encoded = protocol.encode_cobs(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert protocol.decode_cobs(encoded) == data


@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.binary())
@examples(50)
def test_frames_and_back(number, sequence, session, payload):
    frame = Frame(number, sequence, session, payload)
    assert protocol.decode_frame(protocol.encode_frame(frame)[1:-1]) == frame


@pytest.mark.parametrize("message", protocol.MESSAGES, ids=lambda message: message.name)
def test_payloads_and_back(message):
    made = {"u8": 0xFE, "u16": 0xFEDC, "u32": 0xFEDCBA98, "digest": b"12345678"}
    made |= {"bytes": b"ab", "text": "cd"}
    for fields in (message.request, message.answer):
        values = {field.name: made[field.kind] for field in fields}
        payload = protocol.encode_fields(fields, values)
        assert protocol.decode_fields(fields, payload) == values
        with pytest.raises(FrameError, match="bytes of payload"):
            protocol.decode_fields(fields, b"" if fields else b"x")
    assert len({m.number for m in protocol.MESSAGES}) == len(protocol.MESSAGES)


def test_a_value_that_does_not_fit():
    with pytest.raises(FrameError, match="label 65536 does not fit u16"):
        protocol.encode_fields(protocol.BY_NAME["example"].request, example_of() | {"label": 65536})
    with pytest.raises(FrameError, match="at most 1024"):
        protocol.encode_fields(
            protocol.BY_NAME["input"].request, {"offset": 0, "data": bytes(1021)}
        )


def test_the_documentation_has_the_tables():
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert message_table() in text and error_table() in text


# --- the C, and Python, on the same bytes


def streams():
    """Random bytes, frames whole, cut, doubled and spoilt, of any request."""
    requests = st.builds(
        lambda number, sequence, session, payload: protocol.encode_frame(
            Frame(number, sequence, session, payload)
        ),
        st.integers(0, 12),
        st.sampled_from([0, 1, 2, 3, 65535]),
        st.sampled_from([0, 1, SESSION]),
        st.one_of(st.binary(max_size=40), st.binary(min_size=1000, max_size=1100)),
    )
    cut = st.builds(
        lambda frame, place: frame[: place % len(frame)], requests, st.integers(0, 2000)
    )
    return st.lists(
        st.one_of(requests, requests.map(lambda frame: 2 * frame), cut, st.binary(max_size=300)),
        max_size=8,
    ).map(b"".join)


@given(streams())
@example(protocol.encode_frame(Frame(2, 1, SESSION, bytes(1024))) * 3)
@example(b"\xff" * 5000 + b"\0")
@examples(60)
def test_c_reads_the_frames_that_python_reads(project, stream):
    board = HostBoard(build(project))
    begun = b"\0" + stream + b"\0"  # what was cut by the example before ends here
    seen = (ctypes.c_uint32 * 2).in_dll(board.library, "cnn_protocol_seen")
    board.receive(b"\0")
    before = tuple(seen)
    answers = board.receive(begun)
    reader = FrameReader()
    requests = [f for f in reader.feed(begun) if not f.number & protocol.ANSWER]
    assert (seen[0] - before[0], seen[1] - before[1]) == (len(requests), reader.faulty)
    told = FrameReader()
    assert len(told.feed(answers)) == len(requests) + reader.faulty
    assert told.faulty == 0


@pytest.fixture(scope="module")
def fuzzed(project):
    """The C as a program with the sanitizers in it."""
    program = project / "fuzz"
    options = (
        "-g",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-DCNN_HOST",
    )
    files = [n for n in project.glob("cnn_*.c") if n.name not in ON_BOARD_ONLY]
    files += [HOST, HOST.with_name("protocol_fuzz.c")]
    command = [compiler(), *STRICT, *options, f"-I{project}", "-o", program, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "asan" in done.stderr and done.returncode:
        pytest.skip("no address sanitizer here")
    assert done.returncode == 0, done.stderr
    return program


def sane(program, stream):
    """(frames, faulty, repeated, accesses outside of every memory)."""
    done = subprocess.run([program], input=stream, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return tuple(map(int, done.stdout.split()))


@given(streams())
@examples(25)
def test_no_bytes_lead_astray(fuzzed, stream):
    begin = protocol.encode_fields(
        protocol.BY_NAME["hello"].request, {"version": protocol.VERSION, "digest": bytes(8)}
    )
    assert sane(fuzzed, protocol.encode_frame(Frame(1, 0, SESSION, begin)) + stream)[3] == 0


def test_a_long_run_of_requests_with_any_payload(fuzzed):
    """Every handler, with right and wrong lengths, in a session that goes on."""
    random = np.random.default_rng(1)
    begin = protocol.encode_fields(
        protocol.BY_NAME["hello"].request, {"version": protocol.VERSION, "digest": bytes(8)}
    )
    frames = [Frame(1, 0, SESSION, begin)]
    for sequence in range(1, 4000):
        number = int(random.integers(2, 12))
        message = protocol.BY_NUMBER.get(number)
        size = protocol.fixed_bytes(message.request) if message else 0
        payload = bytearray(random.bytes(size + int(random.integers(0, 3)) * 4))
        if random.random() < 0.5 and len(payload) >= 4:  # an address or offset that may hold
            place = int(random.choice([0x50180000, 0x50108000, 0x50D8BFF0, 0])) + 16 * (
                sequence % 9
            )
            payload[:4] = place.to_bytes(4, "little")
        frames.append(Frame(number, sequence, SESSION, bytes(payload)))
    counts = sane(fuzzed, b"".join(map(protocol.encode_frame, frames)))
    assert counts == (4000, 0, 0, 0)


# --- sessions


def test_hello_says_what_the_board_is(board):
    assert hello(board) == {
        "version": protocol.VERSION,
        "features": 7,
        "digest": network_digest(fashion.program()),
        "classes": 10,
        "sample_bytes": 784,
        "trained": 1 << 4,
        "hertz": 1000,
        "saved": 0,
        "name": "ai85net5fashion",
    }


def test_a_repeated_request_is_answered_and_not_carried_out(board):
    hello(board)
    first = ask(board, "example", 1, **example_of())
    digest = memory_digest(board.machine.memory)
    assert ask(board, "example", 1, **example_of()) == first
    assert memory_digest(board.machine.memory) == digest
    assert board.number("host_infers") == 1
    assert ask(board, "status", 2)["repeated"] == 1


REFUSALS = (
    ("session", "status", {}, {"session": 5}),
    ("sequence", "status", {}, {"sequence": 3}),
    ("sequence", "status", {}, {"sequence": 0}),
    ("version", "hello", {"version": 9, "digest": bytes(8)}, {"session": 5, "sequence": 0}),
    ("network", "hello", {"version": 1, "digest": b"otherone"}, {"session": 5, "sequence": 0}),
    ("label", "example", {"label": 10}, {}),
    ("flags", "example", {"flags": 16}, {}),
    ("flags", "example", {"flags": 10}, {}),
    ("flags", "rehearse", {"count": 1, "flags": 0}, {}),
    ("flags", "rehearse", {"count": 1, "flags": 15}, {}),
    ("flags", "rehearse", {"count": 0, "flags": 7}, {}),
    ("flags", "rehearse", {"count": 1, "flags": 5}, {}),
    ("batch", "rehearse", {"count": RECIPE.batch + 1, "flags": 7}, {}),
    ("empty", "rehearse", {"count": RECIPE.batch, "flags": 7}, {}),
    ("flags", "example", {"flags": 2}, {}),
    ("flags", "example", {"flags": 5}, {}),
    ("sample", "example", {"check": 1}, {}),
    ("sample", "example", {"offset": 4}, {}),
    ("sample", "input", {"offset": 785, "data": b""}, {}),
    ("sample", "input", {"offset": 0xFFFFFFFF, "data": b"1234"}, {}),
    ("address", "read", {"address": 0x50180000, "words": 256}, {}),
    ("address", "read", {"address": 0x50183000, "words": 1}, {}),
    ("address", "read", {"address": 0x20000000, "words": 1}, {}),
    ("address", "read", {"address": 0x50180002, "words": 1}, {}),
    ("address", "write", {"address": 0x50180004, "data": bytes(16)}, {}),
    ("address", "write", {"address": 0x50180000, "data": bytes(4)}, {}),
    ("address", "write", {"address": 0x50108000, "data": bytes(3)}, {}),
    ("address", "write", {"address": 0x50400000, "data": bytes(16)}, {}),
)


@pytest.mark.parametrize(("error", "name", "values", "header"), REFUSALS)
def test_what_is_refused(board, error, name, values, header):
    hello(board)
    before = memory_digest(board.machine.memory)
    values = example_of() | values if name == "example" else values
    assert ask(board, name, **{"sequence": 1, **header}, **values) == error
    assert memory_digest(board.machine.memory) == before
    assert board.number("host_infers") == 0


def test_a_batch_is_not_larger_than_the_program_s(board):
    hello(board)
    for n in range(RECIPE.batch):
        answer = ask(board, "example", n + 1, **example_of(n, flags=3 if n == 0 else 1))
        assert answer["learnt"] == n + 1
    assert ask(board, "example", RECIPE.batch + 1, **example_of(0, flags=5)) == "batch"
    assert ask(board, "status", RECIPE.batch + 2)["steps"] == 0


def test_a_message_that_is_none_and_one_of_a_wrong_length(board):
    hello(board)
    for sequence, (number, payload, error) in enumerate(
        [(99, b"", "unknown"), (9, b"x", "length")], 1
    ):
        frame = protocol.encode_frame(Frame(number, sequence, SESSION, payload))
        (answer,) = FrameReader().feed(board.receive(frame))
        assert protocol.error_of(answer.payload)[0] == error


def test_an_echo_is_not_answered(board):
    answer = protocol.encode_frame(Frame(0x81, 0, SESSION))
    assert board.receive(answer) == b""


def test_sequence_numbers_go_round(board):
    hello(board)
    for sequence in range(1, 1 << 16):
        board.library.host_receive(*status_frame(sequence))
    assert ask(board, "status", 0)["frames"] == (1 << 16) + 1


def status_frame(sequence):
    frame = protocol.encode_frame(Frame(9, sequence, SESSION))
    return frame, len(frame)


# --- conversations


def conversation(board, seed, share):
    line = FaultyLine(board.receive, seed, share)
    return line, Link(line, session=seed + 1, clock=line.clock)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_learnt_twice_or_lost(board, seed):
    """Over a line that spoils a third of the frames: what the trainer has after the same steps."""
    line, link = conversation(board, seed, 0.3)
    client = connect(link, fashion.program())
    client.restart(RECIPE.seed)
    machine, pool = fashion.machine(), fashion.pool()
    trainer = Trainer(machine, RECIPE)
    for step in range(RECIPE.steps):
        shown = range(step * RECIPE.batch, (step + 1) * RECIPE.batch)
        expected = [int(machine.run(pool.images[n]).argmax()) for n in shown]
        for n, predicted in zip(shown, expected, strict=True):
            answer = client.example(
                pool.images[n],
                int(pool.labels[n]),
                learn=True,
                begin=n == shown[0],
                apply=n == shown[-1],
            )
            assert answer.predicted == predicted
        trainer.train_batch(pool.images[list(shown)], pool.labels[list(shown)])
    assert memory_digest(board.machine.memory) == memory_digest(machine.memory)
    status = client.status()
    assert (status["learnt"], status["steps"]) == (RECIPE.steps * RECIPE.batch, RECIPE.steps)
    assert board.number("host_infers") == status["examples"] == status["learnt"]
    assert sum(line.happened.values()) > 5 and link.counts.repeated > 3


STREAMS = (("8", "balanced"), ("4", "balanced"), ("8", "reservoir"))


@pytest.mark.parametrize(("bits", "policy"), STREAMS)
def test_a_board_learns_from_what_it_keeps(tmp_path, bits, policy):
    """Old examples, then new ones with kept ones, over a bad line: as the trainer's buffer does."""
    options = ("--replay", str(KEPT_BYTES), "--replay-bits", bits, "--replay-policy", policy)
    board = HostBoard(build(write_project(tmp_path, RECIPE, *options)))
    _, link = conversation(board, 3, 0.2)
    client = connect(link, fashion.program())
    client.restart(9)
    machine, pool = fashion.machine(), fashion.pool()
    trainer = Trainer(machine, replace(RECIPE, seed=9))
    room = KEPT_BYTES // (784 * int(bits) // 8 + 2)
    images = np.stack([np.roll(pool.images[n % 24], n, 2) for n in range(60)])
    labels = pool.labels[np.arange(60) % 24]
    shown, order = rehearsal(Pool(images, labels, 4), trainer.recipe, room, int(bits), policy)
    for n in range(4, 60):
        client.example(images[n], int(labels[n]), keep=True)
    for step in range(RECIPE.steps):
        client.example(images[step], int(labels[step]), learn=True, apply=False, keep=True)
        answer = client.rehearse(RECIPE.batch - 1, begin=False)
        chosen = order.batch_at(step)
        trainer.train_batch(shown.images[chosen], shown.labels[chosen])
    assert answer == {"kept": room, "learnt": RECIPE.steps * RECIPE.batch, "ticks": answer["ticks"]}
    assert memory_digest(board.machine.memory) == memory_digest(machine.memory)
    client.restart(9)
    with pytest.raises(Refused, match="nothing is kept that could be learnt again"):
        client.rehearse(1)


def test_a_board_that_keeps_nothing(tmp_path):
    board = HostBoard(build(write_project(tmp_path)))
    assert hello(board)["features"] == 3
    assert ask(board, "rehearse", 1, count=1, flags=7) == "unsupported"
    assert ask(board, "example", 2, **example_of(flags=8)) == "unsupported"


def test_a_dump_is_the_trainers_memory_and_comes_back(board, tmp_path):
    line, link = conversation(board, 1, 0.2)
    client = connect(link, fashion.program())
    pool = fashion.pool()
    flashed = client.dump()
    client.example(pool.images[0], int(pool.labels[0]), learn=True)
    learnt, digest = client.dump(), memory_digest(board.machine.memory)
    assert any((a[1] != b[1]).any() for a, b in zip(flashed.runs, learnt.runs, strict=True))
    client.load(flashed)
    assert memory_digest(board.machine.memory) == memory_digest(fashion.machine().memory)
    client.load(learnt)
    assert memory_digest(board.machine.memory) == digest
    assert sum(line.happened.values()) > 3


def test_samples_that_no_frame_holds_come_in_parts(board, monkeypatch):
    monkeypatch.setattr("firmware.protocol.client.PART", 300)
    _, link = conversation(board, 3, 0.2)
    client = connect(link, fashion.program())
    pool = fashion.pool()
    assert client.example(pool.images[0], 8).predicted == 6


def test_another_network_is_refused(board):
    _, link = conversation(board, 1, 0)
    with pytest.raises(InputError) as caught:
        connect(link, others_program())
    assert "the board has ai85net5fashion (digest " in caught.value.message
    assert "give the files that its program was generated from" in caught.value.message


def others_program():
    folder = fashion.DIRECTORY.parent / "digits"
    network = load_network(folder / "network.yaml", folder / "checkpoint.pth.tar")
    return compile_network(network)


def test_a_board_that_was_reset_is_noticed(board, project, tmp_path):
    line, link = conversation(board, 1, 0)
    client = connect(link, fashion.program())
    line.ask = HostBoard(shutil.copy(build(project), tmp_path / "other.so")).receive
    with pytest.raises(Refused, match="no such session: the board was reset"):
        client.status()


def test_silence_is_told_of():
    line = FaultyLine(lambda data: b"", 1, 0)
    with pytest.raises(LinkError) as caught:
        connect(Link(line, clock=line.clock), fashion.program())
    assert f"no answer to 'hello' in 2.2 s, {TRIES} times; is it the right port" in str(
        caught.value
    )
    line = FaultyLine(lambda data: b"\x05garbage\0", 1, 0)
    with pytest.raises(LinkError, match=r"\(20 frames with CRC errors\)"):
        connect(Link(line, clock=line.clock), fashion.program())


# --- the loss


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=20),
    st.integers(-1, 29),
    st.data(),
)
@example([0, 0], 14, None)
@examples(200)
def test_the_loss_is_the_cross_entropy(project, scores, fraction, data):
    library = ctypes.CDLL(str(build(project)))
    library.cnn_cross_entropy.restype = ctypes.c_uint32
    label = data.draw(st.integers(0, len(scores) - 1)) if data else 0
    array = np.array(scores, np.int32)
    pointer = array.ctypes.data_as(ctypes.c_void_p)
    got = library.cnn_cross_entropy(pointer, len(scores), label, fraction) / 65536
    real = array / 2.0**fraction
    best = real.max()
    expected = math.log(np.exp(real - best).sum()) + best - real[label]
    assert got == pytest.approx(min(expected, 65536), rel=2**-14, abs=2**-11)
