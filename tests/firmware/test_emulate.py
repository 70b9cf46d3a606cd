"""max78k emulate: text, limits, names, recording, profile, and a debugger on a socket."""

from __future__ import annotations

import os
import re
import select
import socket
import threading
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board import Board
from firmware.board.gdb import GdbServer
from firmware.board.profile import profile
from firmware.board.terminal import connect
from max78k_sim import cli
from max78k_sim.programs.replay import INTERRUPT
from tests import fashion
from tests.firmware.arm import program
from tests.firmware.test_board import player  # noqa: F401 - a fixture

pytestmark = pytest.mark.arm


def test_text_goes_to_stdout_and_the_rest_to_stderr(capfdbinary):
    assert cli.main(["emulate", str(program("hello")), "--profile"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b"hello\n8 *** PASS ***\n"
    for part in (rb"stopped: a loop that nothing ends in reset; verdict: pass", rb"put_number"):
        assert re.search(part, err), err


def test_text_to_a_file_and_limits(tmp_path, capsys):
    file = tmp_path / "uart.txt"
    arguments = ["emulate", str(program("hello")), "--uart", str(file), "--until", "hello"]
    assert cli.main(arguments) == 0
    assert file.read_text() == "hello"
    assert "stopped: the text was sent" in capsys.readouterr().err


def test_misuse_is_one_message(capsys):
    assert cli.main(["emulate", str(program("misuse", "-DMISUSE=3"))]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("max78k: error: 0x1000") and "strd at 0x2000000a" in error


TRACED = (
    r"enable_accelerator +write 0x4000580c = 0x0000000f  power register GCFR_REG3 \(reset\)\n",
    r"play +write 0x501945b0 = 0x\w{8}  conv2 kernel \[out 43, in 5, row 0, column 0\]",
    r"main +read  0x5040a00c = 0x\w{8}  conv1 output",
    r"put +write 0x40042020 = 0x00000050  UART0 \+ 0x20\n",
)


def test_trace_and_recording(player, tmp_path):  # noqa: F811
    trace, record = tmp_path / "trace.txt", tmp_path / "record.npz"
    arguments = ["--trace", str(trace), "--record", str(record), *fashion.NETWORK_OPTIONS]
    assert cli.main(["emulate", str(player), *arguments]) == 0
    lines = trace.read_text(encoding="utf-8")
    for part in TRACED:
        assert re.search(part, lines), part
    assert cli.main(["replay", str(record)]) == 0
    assert (np.load(record)["kind"] == INTERRUPT).sum() == 1


def test_profile_counts_every_instruction():
    board = Board(program("hello"))
    result = board.run()
    rows = profile(board)
    assert sum(row.instructions for row in rows) == result.instructions
    assert {row.function: row.calls for row in rows}["add"] == 1


def test_a_pseudo_terminal():
    board = Board(program("hello"))
    with ExitStack() as opened:
        name = connect(board, "pty", opened)
        assert name is not None
        terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
        opened.callback(os.close, terminal)
        board.run(uart="PASS")
        assert select.select([terminal], [], [], 5)[0]
        assert b"hello" in os.read(terminal, 100)


class Debugger:
    """A client that speaks GDB's protocol, as gdb does."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def ask(self, text: str) -> str:
        checksum = sum(text.encode()) & 0xFF
        self.socket.sendall(f"${text}#{checksum:02x}".encode())
        received = b""
        while not re.search(rb"\$.*#..", received):
            received += self.socket.recv(4096)
        answer = re.search(rb"\$(.*)#(..)", received)
        assert answer and int(answer[2], 16) == sum(answer[1]) & 0xFF
        return answer[1].decode()


@pytest.fixture
def debugged():
    board = Board(program("hello"))
    server = GdbServer(board, 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    client = Debugger(server.port)
    yield board, client
    assert client.ask("D") == "OK"
    thread.join(20)
    client.socket.close()
    assert not thread.is_alive()


def register(client: Debugger, number: int) -> int:
    words = client.ask("g")
    return int.from_bytes(bytes.fromhex(words[8 * number : 8 * number + 8]), "little")


def test_a_debugger(debugged):
    board, client = debugged
    assert "qXfer:features:read+" in client.ask("qSupported:multiprocess+")
    assert "m-profile" in client.ask("qXfer:features:read:target.xml:0,fff")
    assert client.ask("?") == "S05"
    first, add = register(client, 15), board.symbol("add")
    assert client.ask("s") == "S05" and register(client, 15) != first
    assert client.ask(f"Z0,{add:x},2") == "OK"
    assert client.ask("c") == "S05" and register(client, 15) == add
    assert [register(client, n) for n in (0, 1)] == [1, 2]
    counter = board.symbol("counter")
    assert client.ask(f"m{counter:x},4") == "05000000"
    assert client.ask(f"M{counter:x},4:09000000") == "OK"
    assert client.ask("P0=05000000") == "OK"
    assert client.ask(f"z0,{add:x},2") == "OK"
    assert client.ask("c") == "W00"
    assert board.uart == "hello\n16 *** PASS ***\n"
    assert client.ask("vMustReplyEmpty") == ""
    assert client.ask("m30000000,4") == "E01"


def test_registers_that_a_program_for_arm_writes(player, capsys):  # noqa: F811
    network = ["--config-file", str(fashion.CONFIG), "--checkpoint-file", str(fashion.CHECKPOINT)]
    assert cli.main(["registers", str(player), *network]) == 0, capsys.readouterr().out
    assert cli.main(["registers", str(player)]) == 0
    assert "layer 4" in capsys.readouterr().out
    assert cli.main(["registers", str(program("hello"))]) == 2
    assert "it does not start the accelerator (the run ended: loop)" in capsys.readouterr().err
