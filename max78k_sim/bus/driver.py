"""Driver: a Program performed on a bus, access by access, as the vendor's generated C does it.

``load`` is cnn_init to cnn_load_bias, ``run`` load_input to the interrupt handler, and an unload.
The bus may be a Bus, or a replay.Recorder around one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import packing, placement
from ..device import WORD, Device
from ..fifo import fifo_words
from ..machine import check_sample
from ..program import Program, Write

FIRST_PORT, FAST_PORT = 2, 4  # entries: FIFO 0's write port, the fast FIFO's


class BusPort:
    """A memory port (see placement.read_words) of single accesses."""

    def __init__(self, bus):
        self.bus = bus

    def read(self, address: int, words: int = 1) -> np.ndarray:
        """uint32 [words] from a byte address on."""
        addresses = range(address, address + words * WORD, WORD)
        return np.array([self.bus.read(each, WORD) for each in addresses], np.uint32)

    def write(self, address: int, words) -> None:
        """Store uint32 [n] words from a byte address on."""
        for offset, word in enumerate(np.atleast_1d(np.asarray(words)).astype(np.uint32).tolist()):
            self.bus.write(address + offset * WORD, WORD, word)


def load(bus, program: Program, packed: bool = True) -> None:
    """Everything but input and start; kernels as packed streams, or word by word."""
    port = BusPort(bus)
    for write in program.writes:
        if packed and write.stage == "weights":
            for address, size, value in express(program.device, write):
                bus.write(address, size, value)
        else:
            port.write(write.address, mode(program.device, write, packed))


def run(bus, program: Program, sample: np.ndarray) -> np.ndarray:
    """One inference: input, start, interrupt, output [channel, row, column]."""
    network, port = program.plan.network, BusPort(bus)
    sample = check_sample(sample, network.input_shape)
    if not network.fifo:
        placement.write(port, program.plan.placement(0, "input"), sample)
    packed = bool(bus.machine.control(program.plan.groups[0])["packed_kernels"])
    for write in program.start:
        port.write(write.address, mode(program.device, write, packed))
    if network.fifo:
        feed(bus, program, sample)
    acknowledge(bus, program)
    return placement.read(port, program.plan.placement(len(program.plan.layers) - 1, "output"))


def feed(bus, program: Program, sample: np.ndarray) -> None:
    """A sample through the FIFOs, in turn, a status read before each word."""
    device, network = program.device, program.plan.network
    words = fifo_words(network, sample)
    region, port = ("fifo register", FIRST_PORT)
    if network.fast_fifo:
        region, port = ("fast fifo register", FAST_PORT)
    status = device.address(region, entry=1)
    numbers = sorted(words)
    for index in range(max(map(len, words.values()))):
        for number in numbers:
            bus.read(status, WORD)
            bus.write(device.address(region, entry=port + number), WORD, int(words[number][index]))


def acknowledge(bus, program: Program) -> None:
    """Deliver the interrupt; its handler clears it, and the enable, in every quadrant."""
    bus.deliver_interrupt()
    control = program.device.global_registers[0]
    for group in program.plan.groups:
        address = program.device.address("quadrant register", group)
        bus.write(address, WORD, control.replace(bus.read(address, WORD), interrupt=0, enable=0))


def mode(device: Device, write: Write, packed: bool) -> np.ndarray:
    """A write's words, with packed kernels asked for in CTRL."""
    place = device.locate(write.address)
    if not packed or (place.region.name, place.entry) != ("quadrant register", 0):
        return write.words
    control = device.global_registers[0]
    return np.array([control.replace(int(write.words[0]), packed_kernels=1)], np.uint32)


def express(device: Device, write: Write) -> Iterator[tuple[int, int, int]]:
    """(address, size, value): a run of kernel words as a packed stream."""
    region = device.region("kernel")
    place = device.locate(write.address)
    first = region.address(place.group, place.unit) + WORD * place.entry
    yield first | 1, 1, 1
    stream = packing.pack_express(write.words.reshape(-1, region.words))
    for offset, word in enumerate(stream.tolist()):
        yield first + offset * WORD, WORD, word
