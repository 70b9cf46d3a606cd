"""Runner: a run of the accelerator in time: start, FIFO words, stop, continue, end.

Results are computed as soon as all input is there; a timed run then goes on until its cycles have
passed, so that whoever counts them delivers the interrupt when it is due.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import latency
from ..errors import InputError
from ..machine import FAST_FIFO, FIFOS, Machine
from ..routine import LayerTrace


class Runner:
    """``running`` from the start to the end; ``remaining``: accelerator cycles, None while words
    are awaited; ``stopped`` between stop and continue.  ``on_layer`` is called with each layer's
    trace when it was computed, ``on_end`` at the end of a run.
    """

    def __init__(self, machine: Machine, timed: bool):
        self.machine, self.timed = machine, timed
        self.running = False
        self.stopped = False
        self.remaining: int | None = None
        self.on_layer: Callable[[LayerTrace], object] = lambda trace: None
        self.on_end: Callable[[], object] = lambda: None
        self.words: dict[int, list[int]] = {number: [] for number in (*range(FIFOS), FAST_FIFO)}
        self.master = 0
        self._frame: dict[int, int] = {}  # FIFO -> words that a waiting run needs
        self._next_layer = 0  # of one-shot mode

    def start(self, master: int) -> None:
        """The master quadrant's CTRL.enable went from 0 to 1."""
        if self.stopped:
            self.stopped = False
            return
        self.running, self.remaining, self.master = True, None, master
        control = self.machine.control(master)
        try:
            if control["fifo"] and not (control["one_shot"] and self._next_layer):
                self._frame = dict.fromkeys(
                    self.machine.fifos_on(master), self.machine.frame_words(master)
                )
                if not self._frame or not all(self._frame.values()):
                    raise InputError(
                        "CTRL.fifo is set, but FIFO_CTRL enables no FIFO or IFRM, the words of a "
                        "frame, is 0: the run cannot end"
                    )
                self._take_frame()
            else:
                self._compute()
        except Exception:
            self.abort()
            raise

    def stop(self) -> None:
        """The master's CTRL.enable was cleared in a run; ``start`` goes on with it."""
        self.stopped = self.running

    def abort(self) -> None:
        """A reset, or no power: the run, what it waited for, and one-shot's place are gone."""
        self.running = self.stopped = False
        self.remaining, self._next_layer, self._frame = None, 0, {}
        for words in self.words.values():
            words.clear()

    def push(self, number: int, word: int) -> None:
        """A word for a FIFO (FAST_FIFO: the fast one).  How deep FIFOs are is not modelled."""
        words = self.words[number]
        words.append(word)
        if len(words) >= self._frame.get(number, len(words) + 1):
            self._take_frame()

    def _take_frame(self) -> None:
        """Compute once every FIFO that is on has a frame."""
        if any(len(self.words[number]) < count for number, count in self._frame.items()):
            return
        for number, count in self._frame.items():
            self.machine.fifos[number] = [np.array(self.words[number][:count], np.uint32)]
            del self.words[number][:count]
        self._frame = {}
        self._compute()

    def _compute(self) -> None:
        """All layers, or in one-shot mode the next one."""
        last, layers = self.machine.last_layer(self.master), None
        if self.machine.control(self.master)["one_shot"]:
            layers = range(self._next_layer, self._next_layer + 1)
            self._next_layer = self._next_layer + 1 if self._next_layer < last else 0
        else:
            self._next_layer = 0
        for trace in self.machine.execute(layers):
            self.on_layer(trace)
        self.remaining = 0
        if self.timed:
            self.remaining = latency.run_latency(self.machine.routines(layers)).total
        else:
            self.finish()

    def elapse(self, cycles: int) -> None:
        """Let accelerator cycles pass; none pass while stopped or waiting for words."""
        if self.running and not self.stopped and self.remaining is not None:
            self.remaining -= cycles
            if self.remaining <= 0:
                self.finish()

    def finish(self) -> None:
        """The end of a run whose input is complete: its interrupt becomes pending."""
        if self.running and self.remaining is not None:
            self.running = self.stopped = False
            self.machine.finish()
            self.on_end()
