"""run_project: compile a C project, run it in a process of its own, and say how it ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from max78k_sim.bus import Bus
from max78k_sim.errors import InputError, Max78kError
from max78k_sim.machine import Machine
from max78k_sim.program import Program
from max78k_sim.programs.replay import Recorder, Trace

from ..verdict import verdict_of
from .build import compile_project, place
from .chip import ASLEEP, CRASH, END, Chip

QUIET = 2.0  # s of silence after a verdict that end a program: its loop at the end
NOT_CONNECTED = 125  # exit code of the runtime


@dataclass(frozen=True)
class Result:
    """How a program ended, and what it did.

    ``reason``: "returned" (main did, or exit), "loop" (silent after its verdict) or "asleep" (a
    wait for an interrupt that nothing will bring).  ``words_read``: words of data memory that it
    read since the last run of the accelerator ended.
    """

    verdict: str  # its own: "pass", "fail" (wins), or "none" when it printed neither
    reason: str
    exit_code: int  # of main; 0 if it did not return
    accesses: int  # to the accelerator, its power and clock
    words_read: int
    runs: int  # of the accelerator
    cycles: int  # of the accelerator's clock that passed for the program
    seconds: float  # here, without compiling
    uart: str
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    trace: Trace | None = None

    @property
    def passed(self) -> bool:
        """By its own verdict; without one, by main's return value."""
        if self.verdict == "none":
            return self.reason == "returned" and not self.exit_code
        return self.verdict == "pass"


class ProgramError(Max78kError):
    """The program crashed, or did what the chip forbids: what, where and in which function."""


def run_project(
    folder: str | Path,
    *,
    timeout: float = 60,
    on_fault: str = "stop",
    record: bool = False,
    program: Program | None = None,
    echo: Callable[[str], object] | None = None,
) -> Result:
    """Compile and run; ``echo`` gets the program's text as it comes.

    ``timeout``: seconds of the run.  ``on_fault``: "stop" or "report", see Bus.  ``record`` keeps
    the accesses as ``trace``.  ``program`` gives fault reports the names of a network.

    Raises InputError when it does not compile or end in time, ProgramError when it crashes or
    accesses the accelerator as the chip forbids, NotEmulated where the chip is not known.
    """
    machine = Machine()
    machine.program = program
    bus = Bus(machine, on_fault=on_fault, powered=False, timed=True)
    with tempfile.TemporaryDirectory(prefix="max78k-exec-") as build:
        binary = compile_project(Path(folder).resolve(), Path(build), bus.device)
        return Run(bus, binary, timeout, Recorder(bus) if record else None, echo).result()


class Run:
    """One run of a compiled program."""

    def __init__(self, bus: Bus, binary: Path, timeout: float, recorder, echo):
        self.bus, self.binary, self.timeout = bus, binary, timeout
        self.recorder, self.echo = recorder, echo
        self.text: list[str] = []
        self.heard = self.started = time.monotonic()
        self.late = False

    def result(self) -> Result:
        """Run to the end."""
        ours, theirs = socket.socketpair()
        self.chip = Chip(self.bus, ours, self.recorder)
        environment = os.environ | {"MAX78K_EXEC_SOCKET": str(theirs.fileno())}
        with ours, theirs:
            process = subprocess.Popen(
                [self.binary],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(theirs.fileno(),),
            )
            theirs.close()
            listener = threading.Thread(target=self._listen, args=(process.stdout,), daemon=True)
            listener.start()
            try:
                self.chip.serve(self._is_over)
                if self.chip.ending is not None and self.chip.ending[0] == END:
                    process.wait(timeout=5)
            except Max78kError as error:
                where = place(self.binary, self.chip.pc) if self.chip.pc else ""
                raise type_of(error)(f"{error.message};{where}" if where else str(error)) from None
            finally:
                process.kill()
                code = process.wait()
                listener.join()
        return self._report(code)

    def _listen(self, stream) -> None:
        """The program's text, as it comes (a thread of its own)."""
        while part := stream.read1():
            self.heard = time.monotonic()
            text = part.decode("utf-8", errors="replace")
            self.text.append(text)
            if self.echo is not None:
                self.echo(text)
        stream.close()

    def _is_over(self) -> bool:
        """Whether to stop: too late, or the loop after a verdict."""
        now = time.monotonic()
        self.late = now - self.started > self.timeout
        said = now - self.heard > QUIET and verdict_of("".join(self.text)) != "none"
        return self.late or said

    def _report(self, code: int) -> Result:
        chip, text = self.chip, "".join(self.text)
        kind, _, address, value, pc = chip.ending or (None, 0, 0, 0, 0)
        if kind == CRASH:
            name, where = signal.Signals(value).name, place(self.binary, pc)
            at = f" at address 0x{address:08x}" if name in ("SIGSEGV", "SIGBUS") else ""
            raise ProgramError(f"the program crashed: {name}{at}{where}")
        if kind is None and self.late:
            raise InputError(
                f"the program did not end within {self.timeout:g} s; if it only takes longer, "
                f"--timeout {2 * self.timeout:g}"
            )
        if kind is None and code == NOT_CONNECTED:
            raise ProgramError(text.strip().splitlines()[-1] if text.strip() else "did not start")
        if kind is None and verdict_of(text) == "none":
            raise ProgramError(f"the program ended at once, with code {code}")
        reason = {END: "returned", ASLEEP: "asleep"}.get(kind or 0, "loop")
        return Result(
            verdict_of(text),
            reason,
            value if kind == END else 0,
            chip.accesses,
            chip.words_read,
            chip.runs,
            chip.cycles,
            time.monotonic() - self.started,
            text,
            tuple(self.bus.warnings),
            tuple(str(fault) for fault in self.bus.faults),
            self.recorder.trace("exec") if self.recorder else None,
        )


def type_of(error: Max78kError) -> type[Max78kError]:
    """IllegalAccess takes a Fault, so what adds a place to one is a ProgramError."""
    from max78k_sim.bus.faults import IllegalAccess

    return ProgramError if isinstance(error, IllegalAccess) else type(error)
