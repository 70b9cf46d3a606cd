"""Chip: the simulated accelerator's end of the connection to a program in another process."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from max78k_sim.bus.bus import POWER_REGIONS, WINDOW, Bus
from max78k_sim.programs.replay import Recorder

RECORD = struct.Struct("<5I")  # exec_record: kind, size, address, value, program counter
REPLY = struct.Struct("<IIQ")  # exec_reply: value, running, cycles
READ, WRITE, WAIT, DELAY, CRASH, ASLEEP, END = range(7)
ACCESS_CYCLES = 4  # of the accelerator that pass with an access: a round figure
PATIENCE = 16  # reads of one status register in a row after which its run is let end
CHUNK = 1 << 16
TICK = 0.1  # s


class Chip:
    """Serves records until the program ends; ``ending`` is the record that says how.

    Time is the accelerator's: an access takes a few cycles, a delay what it says, and a program
    that waits gets the end of the run at once.
    """

    def __init__(self, bus: Bus, connection: socket.socket, recorder: Recorder | None):
        self.bus, self.connection = bus, connection
        self.port: Bus | Recorder = recorder or bus
        self.cycles = self.accesses = self.runs = self.words_read = 0
        self.pc = 0
        self.ending: tuple[int, ...] | None = None
        self.begun = False
        self._last, self._repeated = 0, 0
        control = bus.device.address
        groups = range(bus.device.region("quadrant register").groups)
        self._status = {control("quadrant register", group) for group in groups}
        bus.on_interrupt = self._ended

    def serve(self, check: Callable[[], bool]) -> None:
        """Until the program ends, its end of the connection closes, or ``check`` says stop.

        ``check`` is called about ten times a second while the program is silent, and now and then
        while it is not.  Raises what the bus raises; ``pc`` is then where.
        """
        self.connection.settimeout(TICK)
        rest, chunks = b"", 0
        while self.ending is None:
            try:
                got = self.connection.recv(CHUNK)
            except TimeoutError:
                if check():
                    return
                continue
            except ConnectionResetError:
                return
            if not got:
                return
            rest += got
            whole = len(rest) - len(rest) % RECORD.size
            for record in RECORD.iter_unpack(rest[:whole]):
                self.do(*record)
            rest = rest[whole:]
            self.begun, chunks = True, chunks + 1
            if chunks % 1000 == 0 and check():
                return

    def do(self, kind: int, size: int, address: int, value: int, pc: int) -> None:
        """One record."""
        self.pc = pc
        if kind == WRITE:
            self.accesses += 1
            self._pass(ACCESS_CYCLES)
            self.port.write(address, size, value)
        elif kind == READ:
            self.accesses += 1
            self._pass(ACCESS_CYCLES)
            self._reply(self._read(address, size))
        elif kind == WAIT:
            self._reply(self._wait(finish=bool(size)))
        elif kind == DELAY:
            self._pass(value)
            self._reply(0)
        else:
            self.ending = kind, size, address, value, pc
            if kind == END:
                self._reply(0)

    def _read(self, address: int, size: int) -> int:
        runner = self.bus.runner
        if runner.running and address in self._status:
            self._repeated = self._repeated + 1 if address == self._last else 0
            if self._repeated >= PATIENCE:
                self._finish()
        self._last = address
        if not runner.running and self.runs:
            self.words_read += self._is_in(("data",), address)
        if address < WINDOW[0] and self._is_in(POWER_REGIONS, address):
            return self.bus.read(address, size)  # not recorded: replay begins with the chip on
        return self.port.read(address, size)

    def _is_in(self, regions: tuple[str, ...], address: int) -> bool:
        place = self.bus.memory.find(address)
        return place is not None and place[0] in regions

    def _wait(self, finish: bool) -> int:
        """Whether the interrupt is pending, and is now taken."""
        if finish:
            self._finish()
        if not self.bus.interrupt:
            return 0
        return int(self.port.deliver_interrupt())

    def _finish(self) -> None:
        if self.bus.runner.running and self.bus.runner.remaining is not None:
            self._pass(self.bus.runner.remaining)
            self.bus.runner.finish()

    def _pass(self, cycles: int) -> None:
        self.cycles += cycles
        if self.bus.runner.running:
            self.bus.runner.elapse(cycles)

    def _ended(self) -> None:
        self.runs += 1
        self.words_read = 0

    def _reply(self, value: int) -> None:
        running = self.bus.runner.running and self.bus.runner.remaining is not None
        try:
            self.connection.sendall(REPLY.pack(value, running, self.cycles))
        except OSError:  # the program is gone: the next recv says so
            return
