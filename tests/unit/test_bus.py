"""What an access does: every behaviour of docs/bus.md as a row, or as a short program."""

from __future__ import annotations

import re

import numpy as np
import pytest

from max78k_sim import driver, placement
from max78k_sim.bus import MOST_FAULTS, Bus
from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.faults import KINDS, Fault, IllegalAccess
from max78k_sim.latency import latency
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from tests.builders import one_layer, two_layers
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "bus.md"
SAMPLE = (np.arange(40).reshape(2, 4, 5) * 7 % 256 - 128).astype(np.int8)
CTRL = [MAX78000.address("quadrant register", group) for group in range(4)]
LCNT_MAX, TEST = CTRL[0] + 8, CTRL[0] + 12
RCNT, LCTL1, WPTR = 0x50100010, 0x50100A10, 0x50100310
KERNEL, BIAS, LINE, DATA = 0x50180000, 0x50108000, 0x50110000, 0x50400000
FIFO_CTRL, FIFO_STAT, FIFO, FAST = 0x50000000, 0x50000004, 0x50000008, 0x400C0400
AON, RST0, PCLKDIV, PCLKDIS0 = 0x50001000, 0x40000004, 0x40000018, 0x40000024
POWER, MEMORY, ISOLATION, RESET = (0x40005800 + 4 * entry for entry in range(4))
CNN_ENABLE = (  # as the vendor's cnn_enable() writes them
    (RESET, 0xF), (MEMORY, 0xF), (POWER, 0xF), (ISOLATION, 0), (RESET, 0), (PCLKDIV, 0),
    (PCLKDIS0, 0),
)  # fmt: skip
STOP, PACKED, RUN = 0x8, 0x100008, 0x9


def loaded(**options) -> Bus:
    """A bus on which a program of two layers lies, its input in place, ready to start."""
    program = compile_network(two_layers(output_bits=32))
    machine = Machine()
    machine.load(program)
    machine.prepare(SAMPLE)
    return Bus(machine, **options)


def write(bus: Bus, *pairs: tuple[int, int]) -> None:
    for address, value in pairs:
        bus.write(address, 4, value)


def expected_output() -> np.ndarray:
    machine = Machine()
    machine.load(compile_network(two_layers(output_bits=32)))
    return machine.run(SAMPLE)


# --- memories

STORED = [  # address, written, read back
    (DATA, 0x12345678, 0x12345678),
    (DATA + 0x7FFC, 0xFFFFFFFF, 0xFFFFFFFF),
    (0x5101FFFC, 7, 7),  # the last word of the last instance
    (BIAS + 4 * 511, 0x1234, 0x34),
    (LINE, 0x12345678, 0x5678),
    (RCNT, 0x10021, 0x10021),
    (CTRL[0] + 4, 0x40E, 0x40E),
    (LCNT_MAX, 31, 31),
    (FIFO_CTRL, 0x1908, 0x1908),
    (FAST, 0xA0, 0xA0),
    (AON, 0, 0),
    (POWER, 0xF, 0xF),
    (PCLKDIV, 0x12345, 0x12345),  # other bits of GCR's registers belong to others
    (RST0, 1 << 25, 0),  # resets end by themselves
]


@pytest.mark.parametrize(("address", "value", "stored"), STORED)
def test_words_are_stored(address, value, stored):
    bus = Bus(Machine())
    write(bus, (address, value))
    assert bus.read(address, 4) == stored


def test_unpacked_kernels_commit_on_the_fourth_word():
    bus = Bus(Machine())
    address = KERNEL + 0x4000 + 16 * 767  # processor 1
    write(bus, (address, 0x11223344), (address + 8, 0x99AABBCC), (address + 4, 0x55667788))
    assert [bus.read(address + word, 4) for word in (0, 4, 8, 12)] == [0, 0, 0, 0]
    write(bus, (address + 12, 0xFFFFFFFF))
    words = [bus.read(address + word, 4) for word in (0, 4, 8, 12)]
    assert words == [0x44, 0x55667788, 0x99AABBCC, 0]


def test_packed_kernels_are_a_stream_of_bytes():
    """Nine bytes a kernel word from the word that the byte names; the rest is dropped."""
    bus = Bus(Machine())
    write(bus, (CTRL[0], PACKED))
    first = KERNEL + 4 * 100
    bus.write(first | 1, 1, 1)
    stream = bytes(range(1, 21))
    for place in range(0, 20, 4):
        bus.write(first + place, 4, int.from_bytes(stream[place : place + 4], "big"))
    slot = KERNEL + 16 * 100
    words = [bus.read(slot + 4 * word, 4) for word in range(12)]
    assert words[:4] == [0x01, 0x02030405, 0x06070809, 0]
    assert words[4:8] == [0x0A, 0x0B0C0D0E, 0x0F101112, 0]
    assert words[8:] == [0, 0, 0, 0]  # 19 and 20 wait


def test_streams_of_two_processors_are_apart():
    bus = Bus(Machine())
    write(bus, (CTRL[0], PACKED))
    for processor in (0, 1):
        bus.write(KERNEL + 0x4000 * processor | 1, 1, 1)
    for word in range(3):
        for processor in (0, 1):
            bus.write(KERNEL + 0x4000 * processor, 4, 0x01010101 * (word + 4 * processor))
    assert bus.read(KERNEL + 4, 4) == 0x01  # bytes 1 to 4 are 0, 0, 0, 1
    assert bus.read(KERNEL + 0x4004, 4) == 0x04040405


UNKNOWN_KERNELS = [  # CTRL, accesses (address, size, value), message
    (PACKED, [(KERNEL, 4, 0)], "packed kernels for processor 0 before a byte 1 says where they"),
    (PACKED, [(KERNEL | 1, 1, 2)], "a byte 0x02 at byte 1 of a kernel word: only a byte 1 at byte"),
    (PACKED, [(KERNEL | 2, 1, 1)], "a byte 0x01 at byte 2 of a kernel word"),
    (PACKED, [(KERNEL + 4 * 767 | 1, 1, 1), *[(KERNEL, 4, 0)] * 5], "kernel word 768 is written"),
    (STOP, [(KERNEL + 12, 4, 0)], "kernel word 0 is committed, but only 0 of its three words"),
    (STOP, [(KERNEL, 4, 0), (KERNEL + 16, 4, 0)], "kernel word 1 is written before the fourth"),
]


@pytest.mark.parametrize(("control", "accesses", "message"), UNKNOWN_KERNELS)
def test_kernel_writes_of_no_known_meaning(control, accesses, message):
    bus = Bus(Machine())
    write(bus, (CTRL[0], control))
    with pytest.raises(NotEmulated) as caught:
        for access in accesses:
            bus.write(*access)
    assert message in str(caught.value)


# --- illegal accesses

POWERED_OFF = [(POWER, 0b1011)]
ILLEGAL = [  # writes before, access (address, size, value or None), kind, message
    ([], (0x50002000, 4, None), "unmapped", "read of 4 bytes at 0x50002000: nothing answers there"),
    ([], (0x20000000, 4, 1), "unmapped", "in no memory of MAX78000"),
    ([], (DATA + 1, 1, None), "width", "read of 1 byte at 0x50400001: the accelerator takes acce"),
    ([], (DATA, 2, 5), "width", "write of 0x5 (2 bytes) at 0x50400000"),
    ([], (KERNEL | 1, 1, 1), "width", "takes accesses of 32 bits only (kernel memory, processor 0"),
    ([], (DATA + 2, 4, None), "misaligned", "it is not the address of a 32-bit word"),
    ([], (KERNEL + 17, 4, 0), "misaligned", "kernel memory, processor 0, kernel word 1, byte 1 of"),
    (POWERED_OFF, (0x50900000, 4, 8), "unpowered", "quadrant 2 has no power (GCFR.reg0, 0x40005"),
    (POWERED_OFF, (0x50C00000, 4, 8), "unpowered", "quadrant 2 has no power"),
    ([(MEMORY, 0)], (DATA, 4, None), "memory off", "the memories of quadrant 0 have no power"),
    ([(ISOLATION, 2)], (CTRL[1], 4, None), "isolated", "quadrant 1 is isolated (GCFR.reg2"),
    ([(RESET, 8)], (CTRL[3], 4, None), "reset", "quadrant 3 is held in reset (GCFR.reg3"),
    ([(PCLKDIS0, 1 << 25)], (FIFO_STAT, 4, None), "unclocked", "the accelerator has no clock"),
    ([(AON, 1 << 8)], (KERNEL, 4, None), "asleep", "kernel memory of quadrant 0 is off or asleep"),
    ([], (CTRL[0], 4, 1), "not started", "CTRL.clock, bit 3, is 0 in quadrant 0"),
]


@pytest.mark.parametrize(("before", "access", "kind", "message"), ILLEGAL)
def test_illegal_access(before, access, kind, message):
    bus = Bus(Machine())
    write(bus, *before)
    address, size, value = access
    with pytest.raises(IllegalAccess) as caught:
        if value is None:
            bus.read(address, size)
        else:
            bus.write(address, size, value)
    assert caught.value.fault.kind == kind and message in str(caught.value)
    fault = bus.faults[0]
    assert (fault.address, fault.size, fault.value) == (address, size, value)


def test_a_fault_names_the_weight_and_the_program_counter():
    bus = loaded()
    bus.program_counter = lambda: 0x10000ABC
    with pytest.raises(IllegalAccess) as caught:
        bus.read(KERNEL + 8, 1)
    assert (
        "(first kernel [out 0, in 0, row 2, column 2], processor 0, kernel word 0, b8, byte 8 of "
        "the slot); " in str(caught.value)
    )
    assert str(caught.value).endswith("program counter 0x10000abc")


def test_going_on_after_faults():
    """A write is dropped, a read gives 0; a narrow read gives its bytes."""
    bus = Bus(Machine(), on_fault="report")
    write(bus, (DATA, 0x11223344), (DATA + 2, 5), (0x50002000, 5))
    bus.write(DATA, 1, 0xFF)
    assert [bus.read(DATA, 4), bus.read(0x50002000, 4)] == [0x11223344, 0]
    assert [bus.read(DATA + 1, 1), bus.read(DATA + 2, 2), bus.read(DATA + 3, 2)] == [
        0x33,
        0x1122,
        0,
    ]
    kinds = [fault.kind for fault in bus.faults]
    assert kinds == ["misaligned", "unmapped", "width", "unmapped", "width", "width", "width"]


def test_a_function_as_policy():
    seen: list[Fault] = []
    bus = Bus(Machine(), on_fault=seen.append)
    bus.read(DATA, 1)
    assert seen == bus.faults and len(seen) == 1
    with pytest.raises(InputError, match="policy 'go': there are stop, report, or a function"):
        Bus(Machine(), on_fault="go")


UNKNOWN_BITS = [  # address, value, message
    (RCNT, 0x80000000, "register RCNT = 0x80000000: bits 0x80000000 are set"),
    (CTRL[2], 1 << 24, "register CTRL = 0x01000000"),
    (LCNT_MAX, 0x100, "register LCNT_MAX = 0x00000100"),
    (TEST, 1 << 30, "register TEST = 0x40000000"),
    (FIFO_CTRL, 1 << 16, "register FIFO_CTRL = 0x00010000"),
    (FAST + 8, 1, "register FAST_FIFO_IE = 0x00000001"),
    (AON, 1, "register AON_CTRL = 0x00000001"),
    (POWER, 0x10, "register GCFR_REG0 = 0x00000010"),
    (FIFO_STAT, 0, "a write to entry 1 of the fifo registers"),
    (FAST + 0x14, 0, "a write to entry 5 of the fast fifo registers"),
    (0x50101000, 0, "a write to 0x50101000, which is only known to be read"),
]


@pytest.mark.parametrize(("address", "value", "message"), UNKNOWN_BITS)
def test_register_bits_that_are_not_known(address, value, message):
    with pytest.raises(NotEmulated) as caught:
        write(Bus(Machine()), (address, value))
    assert message in str(caught.value)


# --- runs


def test_the_start_is_the_change_of_the_masters_enable():
    bus = loaded()
    calls = []
    bus.on_interrupt = lambda: calls.append(bus.interrupt)
    write(bus, (CTRL[0], STOP), (CTRL[0], RUN))
    assert bus.machine.runs == 1 and calls == [True]
    assert bus.read(CTRL[0]) == RUN | 1 << 12
    np.testing.assert_array_equal(bus.machine.read_output(1), expected_output())
    write(bus, (CTRL[0], RUN | 1 << 12))  # bit 0 was 1 already
    assert bus.machine.runs == 1 and bus.interrupt
    write(bus, (CTRL[0], STOP))
    assert not bus.interrupt
    write(bus, (CTRL[0], RUN))
    assert bus.machine.runs == 2


def test_the_interrupt_is_cleared_by_writing_0_and_not_set_by_writing_1():
    bus = loaded()
    write(bus, (CTRL[0], STOP | 1 << 12))
    assert not bus.interrupt
    write(bus, (CTRL[0], RUN), (CTRL[0], RUN))
    assert not bus.interrupt


def test_a_slave_does_not_start():
    machine = Machine()
    machine.load(compile_network(one_layer(in_channels=18, processors=(1 << 18) - 1)))
    bus = Bus(machine)
    write(bus, (CTRL[1], 0x809))
    assert machine.runs == 0 and not bus.runner.running
    write(bus, (CTRL[0], 0x809))
    assert machine.runs == 1
    assert [bus.read(address) >> 12 & 1 for address in CTRL] == [1, 1, 0, 0]


def test_stop_after_a_layer():
    bus = loaded()
    write(bus, (LCNT_MAX, 0), (CTRL[0], RUN))
    assert bus.machine.read_output(0).any()
    assert (bus.machine.read_output(1) != expected_output()).any()


def test_one_shot_runs_the_next_layer_at_every_start():
    bus = loaded()
    one_shot = RUN | 1 << 8
    write(bus, (CTRL[0], one_shot))
    assert bus.interrupt and (bus.machine.read_output(1) != expected_output()).any()
    write(bus, (CTRL[0], one_shot & ~1), (CTRL[0], one_shot))
    np.testing.assert_array_equal(bus.machine.read_output(1), expected_output())
    bus.machine.memory.arrays["data"][:, :, 0x800:] = 0
    write(bus, (CTRL[0], one_shot & ~1), (CTRL[0], one_shot))
    assert bus.machine.read_output(0).any(), "after the last layer comes the first"


def test_a_timed_run_takes_its_cycles():
    bus = loaded(timed=True, on_fault="report")
    write(bus, (CTRL[0], RUN))
    cycles = latency(bus.machine.program.plan).total
    assert bus.runner.running and bus.runner.remaining == cycles
    assert bus.read(CTRL[0]) == RUN and not bus.faults  # a poll is allowed
    bus.read(DATA)
    assert bus.faults[0].kind == "running"
    write(bus, (RCNT, 3), (LCNT_MAX, 1), (TEST, 0))
    bus.read(KERNEL)
    assert [fault.kind for fault in bus.faults] == ["running"] * 5
    bus.runner.elapse(cycles - 1)
    assert not bus.interrupt
    bus.runner.elapse(1)
    assert bus.interrupt and not bus.runner.running
    assert bus.read(DATA) is not None and len(bus.faults) == 5


def test_stop_and_continue():
    bus = loaded(timed=True)
    write(bus, (CTRL[0], RUN), (CTRL[0], STOP))
    bus.runner.elapse(10**9)
    assert bus.runner.stopped and not bus.interrupt
    write(bus, (CTRL[0], RUN))
    assert bus.runner.running and not bus.runner.stopped
    bus.runner.elapse(10**9)
    assert bus.interrupt and bus.machine.runs == 1


def test_a_run_that_is_refused_is_over():
    bus = loaded()
    write(bus, (RCNT, 0x30000))
    with pytest.raises((InputError, NotEmulated)):
        write(bus, (CTRL[0], RUN))
    assert not bus.runner.running and bus.read(DATA) is not None


# --- FIFOs

FIFO_NETWORKS = {"FIFO": {"fifo": True}, "fast FIFO": {"fifo": True, "fast_fifo": True}}


@pytest.mark.parametrize("options", FIFO_NETWORKS.values(), ids=FIFO_NETWORKS)
def test_a_run_waits_for_its_words(options):
    network = one_layer()
    network = type(network)(
        network.name, network.device, network.layers, network.parameters, **options
    )
    program = compile_network(network)
    reference = Machine()
    reference.load(program)
    bus = Bus(Machine())
    driver.load(bus, program)
    np.testing.assert_array_equal(driver.run(bus, program, SAMPLE), reference.run(SAMPLE))
    np.testing.assert_array_equal(driver.run(bus, program, SAMPLE), reference.run(SAMPLE))


def test_fifo_status():
    bus = Bus(Machine())
    assert bus.read(FIFO_STAT) == 0xF0  # all empty
    write(bus, (FIFO + 4, 7))
    assert bus.read(FIFO_STAT) == 0xD0
    assert bus.read(FAST + 4) == 0


def test_fifo_input_without_a_frame():
    bus = loaded()
    with pytest.raises(InputError, match="FIFO_CTRL enables no FIFO or IFRM"):
        write(bus, (CTRL[0], RUN | 1 << 15))


# --- mlator, self test


def test_mlator_reads_a_lane():
    bus = Bus(Machine())
    lanes = np.arange(8 * 4, dtype=np.uint8).reshape(8, 4)
    for index, word in enumerate(lanes.view("<u4").ravel().tolist()):
        write(bus, (0x50800000 + 0x8000 + 4 * (5 + index), word))
    write(bus, (WPTR, (5 << 13) + 5), (CTRL[0], STOP), (CTRL[0], STOP | 1 << 16 | 2 << 17))
    reads = [bus.read(0x50101000) for _ in range(2)]
    np.testing.assert_array_equal(np.array(reads, "<u4").view(np.uint8), lanes[:, 2])
    write(bus, (CTRL[0], STOP))
    with pytest.raises(NotEmulated, match=r"quadrant 0 is read while CTRL\.mlator is 0"):
        bus.read(0x50101000)
    write(bus, (LCTL1, 1))
    with pytest.raises(NotEmulated, match="mlator with an increment"):
        write(bus, (CTRL[0], STOP | 1 << 16))


SELF_TESTS = [  # TEST, memory, flags
    (1 << 0, DATA, 1 << 27 | 1 << 18),
    (1 << 2, KERNEL + 8, 1 << 27 | 1 << 19),
    (1 << 4, LINE, 1 << 27 | 1 << 20),
    (1 << 6, BIAS, 1 << 27 | 1 << 21),
    (1 << 1, DATA, 1 << 28 | 1 << 22),
    (1 << 3, KERNEL + 8, 1 << 28 | 1 << 23),
    (1 << 5, LINE, 1 << 28 | 1 << 24),
    (1 << 7, BIAS, 1 << 28 | 1 << 25),
]


@pytest.mark.parametrize(("asked", "address", "flags"), SELF_TESTS)
def test_self_test_zeroes_one_memory_of_one_quadrant(asked, address, flags):
    bus = Bus(Machine())
    everywhere = {where + (1 << 22) * group for where in (DATA, LINE, BIAS) for group in (0, 1)}
    write(bus, *((where, 0xFF) for where in everywhere))
    for group in (0, 1):
        slot = KERNEL + (1 << 22) * group
        write(bus, *((slot + 4 * word, 0xFF) for word in range(4)))
    everywhere |= {KERNEL + 8, KERNEL + (1 << 22) + 8}
    write(bus, (TEST, asked))
    assert bus.read(TEST) == asked | flags
    assert {where for where in everywhere if not bus.read(where)} == {address}
    write(bus, (TEST, 0))
    assert bus.read(TEST) == 0


# --- power, reset, stale registers


def test_everything_is_off_after_a_chip_reset():
    bus = Bus(Machine(), powered=False)
    with pytest.raises(IllegalAccess, match="quadrant 0 has no power"):
        write(bus, (CTRL[0], RUN))
    write(bus, *CNN_ENABLE)
    write(bus, (DATA, 5))
    assert bus.read(DATA) == 5 and bus.power.clock == (0, 2)
    write(bus, (PCLKDIV, 1 << 17 | 4 << 14))
    assert bus.power.clock == (1, 1)


LOSSES = [  # what is done, whether quadrant 0 keeps: data, kernels, a register, FIFO_CTRL
    ([(RESET, 1), (RESET, 0)], (1, 1, 0, 1)),
    ([(RESET, 0xF), (RESET, 0)], (1, 1, 0, 0)),
    ([(RESET, 2), (RESET, 0)], (1, 1, 1, 1)),
    ([(RST0, 1 << 25)], (1, 1, 0, 0)),
    ([(RST0, 1 << 24)], (1, 1, 1, 1)),
    ([(POWER, 0xE), (POWER, 0xF)], (0, 0, 0, 1)),
    ([(POWER, 0), (POWER, 0xF)], (0, 0, 0, 0)),
    ([(MEMORY, 0), (MEMORY, 0xF)], (0, 0, 1, 1)),
    ([(ISOLATION, 0xF), (ISOLATION, 0)], (1, 1, 1, 1)),
    ([(PCLKDIS0, 1 << 25), (PCLKDIS0, 0)], (1, 1, 1, 1)),
    ([(AON, 1 << 8), (AON, 0)], (1, 1, 1, 1)),
    ([(AON, 1 << 12), (AON, 0)], (1, 0, 1, 1)),
]


@pytest.mark.parametrize(("done", "kept"), LOSSES)
def test_what_is_lost(done, kept):
    bus = Bus(Machine())
    bus.power.lost = 0xA5
    kernel = ((KERNEL, 1), (KERNEL + 4, 2), (KERNEL + 8, 3), (KERNEL + 12, 0))
    write(bus, (DATA, 5), *kernel, (RCNT, 7), (FIFO_CTRL, 8))
    write(bus, *done)
    found = [bus.read(address) for address in (DATA, KERNEL + 4, RCNT, FIFO_CTRL)]
    there, lost = (5, 2, 7, 8), (0xA5A5A5A5, 0xA5A5A5A5, 0, 0)
    assert found == [(lost, there)[keep][index] for index, keep in enumerate(kept)]


def test_a_reset_ends_a_run():
    bus = loaded(timed=True)
    write(bus, (CTRL[0], RUN), (RESET, 0xF), (RESET, 0))
    assert not bus.runner.running and not bus.interrupt
    bus.runner.elapse(10**9)
    assert bus.machine.runs == 0


def test_registers_of_another_network_are_reported():
    """A second program that leaves out zeros, with and without a reset before it."""
    first, second = compile_network(two_layers()), compile_network(one_layer())
    for reset in (False, True):
        bus = Bus(Machine())
        driver.load(bus, first)
        driver.run(bus, first, SAMPLE)
        write(bus, (0x50100010 + 0x80 * 5, 1))  # STRIDE, which neither program writes
        if reset:
            write(bus, (RESET, 0xF), (RESET, 0))
        driver.load(bus, second)
        driver.run(bus, second, SAMPLE)
        if reset:
            assert bus.warnings == []
            continue
        (warning,) = bus.warnings
        assert warning.startswith(
            "registers left over from another network: STRIDE of layer 0 in quadrant 0 "
            "(0x50100290) is 0x00000001. They were not written since the last cnn_init; reset"
        )


def test_starting_again_without_configuring_is_no_leftover():
    program = compile_network(two_layers())
    bus = Bus(Machine())
    driver.load(bus, program)
    for _ in range(2):
        driver.run(bus, program, SAMPLE)
        write(bus, (LCNT_MAX, 1))  # cnn_init alone
    driver.load(bus, program)
    driver.run(bus, program, SAMPLE)
    assert bus.warnings == []


def test_what_the_bus_answers():
    bus = Bus(Machine())
    for address in (CTRL[0], 0x50002000, POWER, PCLKDIS0, RST0, FAST, 0x510FFFFC):
        assert bus.answers(address)
    for address in (0x4000001C, 0x40000020, 0x20000000, 0x51100000, 0x400C0418):
        assert not bus.answers(address)


def test_the_example_of_the_documentation(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    exec(compile(example, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == (
        "read of 4 bytes at 0x50100000: quadrant 0 is isolated (GCFR.reg2, 0x40005808: bit 0 is 1) "
        "(quadrant register CTRL (quadrant control) in quadrant 0); program counter 0x10000abc\n"
    )


def test_the_documentation_names_every_kind_of_fault():
    text = DOCUMENT.read_text("utf-8")
    assert all(kind in text for kind in KINDS)


def test_faults_that_are_kept_are_limited():
    bus = Bus(Machine(), on_fault="report")
    for _ in range(MOST_FAULTS + 5):
        bus.read(DATA, 1)
    assert len(bus.faults) == MOST_FAULTS


def test_a_bus_port_serves_placements():
    bus = loaded()
    place = bus.machine.program.plan.placement(1, "kernel")
    kernel = placement.read(driver.BusPort(bus), place)
    np.testing.assert_array_equal(kernel, placement.read(bus.memory, place))
