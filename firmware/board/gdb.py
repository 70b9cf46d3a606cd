"""A debugger on a TCP port: the part of GDB's remote serial protocol that it needs.

``arm-none-eabi-gdb program.elf -ex 'target remote :3333'``.  Memory and registers can be read and
written, execution continued, stepped and interrupted, and breakpoints set.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from max78k_sim.errors import Max78kError

from .board import Board

REGISTERS = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "xpsr")
SLICE = 200_000  # instructions between looks at the socket
INTERRUPT = b"\x03"
TRAP, INTERRUPTED, SEGMENT_FAULT, ENDED = "S05", "S02", "S0b", "W00"
TARGET = (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>'
    '<architecture>arm</architecture><feature name="org.gnu.gdb.arm.m-profile">'
    + "".join(f'<reg name="{name}" bitsize="32"/>' for name in REGISTERS)
    + "</feature></target>"
)
PACKET_BYTES = 0x1000


class GdbServer:
    """Serves one debugger, until it detaches, kills or goes away."""

    def __init__(self, board: Board, port: int):
        self.board = board
        self.breakpoints: dict[int, Callable[[], None]] = {}
        self.message = ""  # of the last error of the firmware
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._socket: socket.socket | None = None
        self._received = b""
        self._open = True
        self.commands: dict[str, Callable[[str], str]] = {
            "?": lambda _: TRAP,
            "g": self._read_registers,
            "G": self._write_registers,
            "p": self._read_register,
            "P": self._write_register,
            "m": self._read_memory,
            "M": self._write_memory,
            "c": self._continue,
            "s": self._step,
            "Z": self._set_breakpoint,
            "z": self._clear_breakpoint,
            "H": lambda _: "OK",
            "D": self._leave,
            "k": self._leave,
            "q": self._query,
        }

    def serve(self) -> None:
        """Wait for a debugger, and answer it until it leaves."""
        self._socket, _ = self._listener.accept()
        try:
            while self._open:
                packet = self._packet()
                if packet is None:
                    return
                self._send(self.answer(packet))
        finally:
            self._socket.close()
            self._listener.close()

    def answer(self, packet: str) -> str:
        """What a packet's command gives; "" for one that is not known here."""
        command = self.commands.get(packet[:1])
        if command is None:
            return ""
        try:
            return command(packet[1:])
        except (Max78kError, ValueError, IndexError) as error:
            self.message = str(error)
            return "E01"

    def _packet(self) -> str | None:
        """The next packet's text; None when the debugger is gone."""
        assert self._socket is not None
        while True:
            start, end = self._received.find(b"$"), self._received.find(b"#")
            if 0 <= start < end and len(self._received) >= end + 3:
                text = self._received[start + 1 : end].decode("latin-1")
                self._received = self._received[end + 3 :]
                self._socket.sendall(b"+")
                return text
            more = self._socket.recv(PACKET_BYTES)
            if not more:
                return None
            self._received += more

    def _send(self, text: str) -> None:
        assert self._socket is not None
        checksum = sum(text.encode("latin-1")) & 0xFF
        self._socket.sendall(f"${text}#{checksum:02x}".encode("latin-1"))

    def _interrupted(self) -> bool:
        """Whether the debugger asked to stop."""
        if self._socket is None or not select.select([self._socket], [], [], 0)[0]:
            return False
        more = self._socket.recv(PACKET_BYTES)
        self._received += more.replace(INTERRUPT, b"")
        return not more or INTERRUPT in more

    # --- registers and memory

    def _read_registers(self, _: str) -> str:
        return "".join(self._register(name) for name in REGISTERS)

    def _register(self, name: str) -> str:
        return self.board.cpu.get(name).to_bytes(4, "little").hex()

    def _write_registers(self, text: str) -> str:
        for number, name in enumerate(REGISTERS[: len(text) // 8]):
            self._set(name, text[8 * number : 8 * number + 8])
        return "OK"

    def _set(self, name: str, text: str) -> None:
        value = int.from_bytes(bytes.fromhex(text), "little")
        if name == "pc":
            self.board.cpu.jump(value)
        else:
            self.board.cpu.set(name, value)

    def _read_register(self, text: str) -> str:
        return self._register(REGISTERS[int(text, 16)])

    def _write_register(self, text: str) -> str:
        number, _, value = text.partition("=")
        self._set(REGISTERS[int(number, 16)], value)
        return "OK"

    def _read_memory(self, text: str) -> str:
        address, size = (int(part, 16) for part in text.split(","))
        return self.board.memory.read(address, size).hex()

    def _write_memory(self, text: str) -> str:
        where, _, data = text.partition(":")
        address, _ = (int(part, 16) for part in where.split(","))
        self.board.memory.write(address, bytes.fromhex(data))
        return "OK"

    # --- running

    def _set_breakpoint(self, text: str) -> str:
        kind, address, _ = text.split(",")
        where = int(address, 16) & ~1
        if kind not in "01":
            return ""
        if where not in self.breakpoints:
            self.breakpoints[where] = self.board.on(where, lambda board: board.stop("breakpoint"))
        return "OK"

    def _clear_breakpoint(self, text: str) -> str:
        undo = self.breakpoints.pop(int(text.split(",")[1], 16) & ~1, None)
        if undo is not None:
            undo()
        return "OK"

    def _step(self, _: str) -> str:
        return self._run(self.board.step)

    def _continue(self, _: str) -> str:
        answer = self._run(self.board.step)  # off a breakpoint that stands here
        while answer == TRAP:
            if self.board.pc in self.breakpoints:
                return TRAP
            answer = self._run(lambda: self.board.run(instructions=SLICE).reason)
            if self._interrupted():
                return INTERRUPTED
            if self.stopped != "instructions":
                return answer
        return answer

    stopped = ""

    def _run(self, action: Callable[[], str]) -> str:
        """Run a little; the stop reply."""
        try:
            self.stopped = action()
        except Max78kError as error:
            self.message, self.stopped = str(error), "fault"
            return SEGMENT_FAULT
        return ENDED if self.stopped in ("loop", "asleep") else TRAP

    def _leave(self, _: str) -> str:
        self._open = False
        return "OK"

    def _query(self, text: str) -> str:
        if text.startswith("Supported"):
            return f"PacketSize={PACKET_BYTES:x};qXfer:features:read+"
        if text.startswith("Xfer:features:read:target.xml:"):
            start, size = (int(part, 16) for part in text.rsplit(":", 1)[1].split(","))
            part = TARGET[start : start + size]
            return ("l" if start + size >= len(TARGET) else "m") + part
        return {"Attached": "1", "C": "QC1", "fThreadInfo": "m1", "sThreadInfo": "l"}.get(text, "")
