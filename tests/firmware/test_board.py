"""The emulated board: programs for Arm, compiled here, do what the architecture says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")

from firmware.board import Board, FirmwareError
from max78k_sim.errors import InputError
from max78k_sim.latency import latency
from max78k_sim.program import Write
from tests import fashion
from tests.firmware.arm import program

pytestmark = pytest.mark.arm

SAMPLE = fashion.DIRECTORY / "sample.npy"


def test_a_firmware_test_in_ten_lines():
    """The example of docs/emulator.md."""
    board = Board(program("hello"))
    calls = []
    board.on("add", lambda board: calls.append(board.registers["r1"]))
    result = board.run(seconds=1)
    assert result.verdict == "pass" and result.ended
    assert calls == [2]
    assert board.array("counter", "uint32") == [8]
    assert list(board.array("table", "int16")) == [1, -2, 3, -4]
    assert board.uart == "hello\n8 *** PASS ***\n"


def test_memory_is_sliced_and_assigned():
    board = Board(program("hello"))
    counter = board.symbol("counter")
    board.run(uart="hello")
    assert board.memory[counter : counter + 4] == b"\5\0\0\0"
    board.memory[counter : counter + 4] = b"\7\0\0\0"
    assert board.run().uart == "hello\n10 *** PASS ***\n"
    assert board.memory[counter] == 10
    with pytest.raises(InputError, match="both ends"):
        board.memory[counter:]
    with pytest.raises(InputError, match="no symbol 'countr'; nearest: counter"):
        board.symbol("countr")


LIMITS = (
    ({"instructions": 50}, "instructions"),
    ({"cycles": 50}, "cycles"),
    ({"seconds": 1e-6}, "seconds"),
    ({"uart": "hell"}, "uart"),
    ({}, "loop"),
)


@pytest.mark.parametrize(("limit", "reason"), LIMITS, ids=[reason for _, reason in LIMITS])
def test_a_run_stops_and_goes_on(limit, reason):
    board = Board(program("hello"))
    assert board.run(**limit).reason == reason
    assert board.run().uart == "hello\n8 *** PASS ***\n"


def test_an_action_can_stop_the_run():
    board = Board(program("hello"))
    undo = board.on("add", lambda board: board.stop())
    assert board.run().reason == "stopped"
    assert board.function() == "add"
    undo()
    assert board.run().reason == "loop"


def test_exceptions():
    """Preemption, float context, PRIMASK, BASEPRI, SysTick and sleep, SVC on PSP, a timer."""
    result = Board(program("exceptions")).run(seconds=1)
    assert result.uart == "132 17 6 132 1323 3 3132 3 111 77 PASS\n"
    assert 30_000 < result.cycles < 36_000  # three ticks of 10,000, and 500 of the timer, halved


@pytest.mark.parametrize("name", ["condition", "condition_page"])
def test_an_it_instruction_before_a_stop(name):
    """Stops leave the condition to the instructions it covers, to all and to no other."""
    assert Board(program(name)).run().verdict == "pass"
    stopping = Board(program(name))
    while (reason := stopping.run(cycles=1).reason) == "cycles":
        pass
    assert reason == "loop" and stopping.uart.endswith("PASS\n")
    stepping = Board(program(name))
    while stepping.step() == "":
        pass
    assert stepping.uart.endswith("PASS\n")


MISUSES = (
    "a float instruction runs, but the FPU is off: set CPACR",
    "read of 1 byte at 0x50400001: the accelerator takes accesses of 32 bits only",
    "quadrant 0 has no power (GCFR.reg0, 0x40005800: bit 0 is 0)",
    "strd at 0x2000000a, which is not a multiple of 4",
    "reads 0x30000000, where nothing is (ldr",
    "writes 0x10001000, which is flash or ROM",
    "runs an instruction that the Cortex-M4 does not have (udf #1)",
    "waits for GPIO0 + 0x24, which reads 0xffffffff and which nothing that is modelled will",
    "ldm at 0x20000009, which is not a multiple of 4",
    "the accelerator has no clock (GCR.pclkdis0, 0x40000024: bit 25 is 1)",
)


@pytest.mark.parametrize("number", range(len(MISUSES)))
def test_misuse_is_told_by_name(number):
    board = Board(program("misuse", f"-DMISUSE={number}"))
    with pytest.raises(FirmwareError) as caught:
        board.run(seconds=1)
    assert MISUSES[number] in caught.value.message
    assert " in main (+0x" in caught.value.message


def words_of(writes) -> str:
    """Writes as C: address, count, words; 0."""
    rows = [
        f"{w.address}u, {len(w.words)}u, " + ", ".join(f"{v}u" for v in w.words) for w in writes
    ]
    return ", ".join([*rows, "0u"])


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """The shipped network as a program that writes its registers, runs it, reads its outputs."""
    compiled = fashion.program()
    chip = fashion.machine()
    chip.prepare(np.load(SAMPLE))
    first = int(compiled.plan.placement(0, "input").address.min())
    sample = Write(first, chip.memory.read(first, 28 * 28 // 4), "sample", "load_input")
    output = compiled.plan.placement(len(compiled.plan.layers) - 1, "output")
    addresses = output.address.reshape(-1).tolist()
    text = (
        f"#define LOAD {words_of([*compiled.writes, sample])}\n"
        f"#define START {words_of(compiled.start)}\n"
        f"#define OUTPUT {', '.join(f'{address}u' for address in addresses)}\n"
        f"#define OUTPUTS {len(addresses)}\n"
    )
    folder = tmp_path_factory.mktemp("player")
    (folder / "writes.h").write_text(text, encoding="utf-8")
    return program("player", f"-I{folder}")


def test_a_network_runs_on_the_board(player):
    """Firmware that writes the registers, sleeps, and reads: the outputs of the simulation."""
    expected = fashion.machine().run(np.load(SAMPLE))
    board = Board(player)
    result = board.run(seconds=1)
    assert result.verdict == "pass", result
    assert list(board.array("logits", "int32")) == expected.reshape(-1).tolist()
    ticks, total = int(result.uart.split()[0]), latency(fashion.program().plan).on_silicon
    assert total <= ticks < total + 200  # the accelerator's clock is the timer's


def test_what_is_no_program_is_refused(tmp_path):
    file = tmp_path / "no.elf"
    with pytest.raises(InputError, match="cannot be read"):
        Board(file)
    file.write_bytes(b"text")
    with pytest.raises(InputError, match="not an ELF file"):
        Board(file)
