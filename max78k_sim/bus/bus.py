"""Bus: the accelerator as a processor reaches it, one read or write at a time.

``Machine`` turns registers and memories into outputs; what an access does before, between and
after, is here and in what it is put together from: kernel_port (kernel words that commit), runner
(start, FIFOs, end), power (what answers), stale, faults.  What is known of each behaviour, and from
where: docs/bus.md.
"""

from __future__ import annotations

from collections.abc import Callable

from ..device import WORD, WORD_MASK
from ..errors import InputError, NotEmulated
from ..explain import explain
from ..machine import FAST_FIFO, FIFOS, Machine
from . import faults
from .faults import Fault
from .kernel_port import KernelPort
from .mlator import Mlator
from .power import Power
from .runner import Runner
from .stale import StaleRegisters

WINDOW = (0x50000000, 0x51100000)  # the accelerator's part of the address space
CONTROL, LAYER_COUNT, TEST = 0, 2, 3  # entries among the quadrant registers
FIFO_STATUS, FIRST_PORT = 1, 2  # entries among the FIFO registers
FAST_PORT, FAST_SPECIAL = 4, (1, 5)  # entries among the fast FIFO's; SPECIAL: status, DMA
TESTED = ("data", "kernel", "line buffer", "bias")  # memories in the order of TEST's bits
POWER_REGIONS = ("reset register", "clock register", "power register", "always-on register")
PORTS = ("fifo register", "fast fifo register")
MOST_FAULTS = 1000  # that are kept


class Bus:
    """``read`` and ``write`` with the chip's behaviour; ``machine`` holds the contents.

    ``on_fault``: "stop" raises IllegalAccess; "report" goes on; a function gets the Fault.
    ``faults`` keeps the first of them.  Where it goes on, a write is dropped and a read gives 0;
    but while running it is done, and a narrow read gives the bytes that lie there.

    ``powered=False`` is the state after a chip reset: off until GCFR and GCR say otherwise.
    ``timed=True``: a run goes on until ``runner.elapse`` has counted its accelerator cycles, or
    ``runner.finish``; otherwise it ends with the write that starts it, or the last FIFO word.

    ``program_counter`` (a function) is asked at a fault; ``on_interrupt`` is called when the
    interrupt becomes pending; ``warnings`` are texts, each once.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        on_fault: str | faults.Policy = "stop",
        powered: bool = True,
        timed: bool = False,
    ):
        self.machine, self.device, self.memory = machine, machine.device, machine.memory
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.program_counter: Callable[[], int] | None = None
        self.on_interrupt: Callable[[], object] | None = None
        self.kernels = KernelPort(self.memory)
        self.power = Power(self.memory, self.kernels, powered)
        self.mlator = Mlator(self.memory)
        self.stale = StaleRegisters(self.memory)
        self.runner = Runner(machine, timed)
        self.runner.on_end = self._ended
        self._policy = faults.find_policy(on_fault)
        self._views = {row.name: self.memory.view(row.name) for row in self.device.regions}
        self._data_bits = self.device.region("data").unit_stride.bit_length() - 1
        self._kernel_bits = self.device.region("kernel").unit_stride.bit_length() - 1
        self._data_offset = (1 << self._data_bits) - 1
        self._kernel_offset = (1 << self._kernel_bits) - 1
        self._obstacles: dict[tuple[str, int], str | None] = {}
        self._data: dict[int, memoryview] = {}  # instances that answer now, by upper address bits
        self._kernel: dict[int, tuple[int, bool]] = {}  # so for processors: number, packed
        self._kernel_words: dict[int, memoryview] = {}  # and what they hold
        self._open()

    # --- what a processor does

    def read(self, address: int, size: int = WORD) -> int:
        """A read of 1, 2 or 4 bytes; unsigned."""
        view = self._data.get(address >> self._data_bits)
        if view is not None and size == WORD and not address & 3:
            return view[(address & self._data_offset) >> 2]
        words = self._kernel_words.get(address >> self._kernel_bits)
        if words is not None and size == WORD and not address & 3:
            place = (address & self._kernel_offset) >> 2
            if place < len(words):
                return words[place]
        return self._read(address, size)

    def write(self, address: int, size: int, value: int) -> None:
        """A write of 1, 2 or 4 bytes."""
        if size == WORD and not address & 3:
            view = self._data.get(address >> self._data_bits)
            if view is not None:
                view[(address & self._data_offset) >> 2] = value & WORD_MASK
                return
            target = self._kernel.get(address >> self._kernel_bits)
            if target is not None:
                self._write_kernel(*target, address, value & WORD_MASK)
                return
        self._write(address, size, value)

    @property
    def interrupt(self) -> bool:
        """Whether the interrupt is pending in any quadrant (CTRL.interrupt)."""
        return any(self.machine.control(group)["interrupt"] for group in range(4))

    def deliver_interrupt(self) -> bool:
        """End a run that is not over, if there is one; whether the interrupt is pending then."""
        self.runner.finish()
        return self.interrupt

    def answers(self, address: int) -> bool:
        """Whether an address is the bus's: the accelerator, its FIFOs, its power and clock."""
        return WINDOW[0] <= address < WINDOW[1] or self.memory.find(address) is not None

    # --- any other access than a whole word of data memory or kernel memory

    def _read(self, address: int, size: int) -> int:
        place = self._place(address, size, None)
        if place is None:
            return 0
        region, index = place
        if region in POWER_REGIONS:
            word = self.power.words[region][index]
        elif region == "mlator":
            word = self.mlator.read(index, self.machine.control(index))
        elif region in PORTS:
            word = self._read_port(region, index)
        else:
            word = self._views[region][index]
        return word >> 8 * (address % WORD) & (1 << 8 * size) - 1

    def _write(self, address: int, size: int, value: int) -> None:
        place = self._place(address, size, value)
        if place is None:
            return
        region, index = place
        value &= (1 << 8 * size) - 1
        self._check_bits(region, index, value)
        if region == "kernel":
            self._write_kernel(*self._processor(index), address, value, size)
        elif region in POWER_REGIONS:
            self._switch(region, index, value)
        elif region == "quadrant register":
            self._write_quadrant(*divmod(index, self.device.region(region).entries), value)
        elif region in PORTS:
            self._write_port(region, index, value)
        elif region == "mlator":
            raise NotEmulated(f"a write to 0x{address:08x}, which is only known to be read")
        else:
            if region == "layer register":
                self.stale.wrote_layer(index)
            masks = self.device.region(region).word_masks
            self._views[region][index] = value & masks[index % len(masks)]

    def _check_bits(self, region: str, index: int, value: int) -> None:
        """NotEmulated for register bits that the chip model does not know."""
        row, table = self.device.region(region), self.device.registers.get(region)
        if table is None:
            return
        unit = index // row.entries % row.units if row.units > 1 else index % row.entries
        register = next((one for one in table if one.unit == unit), None)
        if register is not None and value & ~register.known_bits:
            register.decode(value)  # raises, with the bits

    def _place(self, address: int, size: int, value: int | None) -> tuple[str, int] | None:
        """Region and word of an access that is to be done; None after a fault that prevents it."""
        place = self.memory.find(address)
        if place is None:
            self._fault("unmapped", address, size, value)
            return None
        region, index = place
        row = self.device.region(region)
        group = index // (row.units * row.entries * row.words)
        obstacle = self._obstacle(region, group)
        if obstacle is None and size == WORD and address % WORD:
            obstacle = "misaligned"
        if obstacle is not None:
            self._fault(obstacle, address, size, value, group)
            return None
        if self.runner.running and self._disturbs(region, index):
            self._fault("running", address, size, value, group)
        stream = region == "kernel" and value is not None and self._processor(index)[1]
        if size != WORD and not (stream and size == 1):
            self._fault("width", address, size, value, group)
            return place if value is None and address % WORD + size <= WORD else None
        return place

    def _obstacle(self, region: str, group: int) -> str | None:
        """Why a region of a quadrant does not answer now; kept until power changes."""
        key = region, group
        if key not in self._obstacles:
            powered = region in POWER_REGIONS
            self._obstacles[key] = None if powered else self.power.obstacle(region, group)
        return self._obstacles[key]

    def _disturbs(self, region: str, index: int) -> bool:
        """Whether an access in a run is one that the run may see, or that may see the run."""
        if region == "quadrant register":
            return index % self.device.region(region).entries != CONTROL
        return region not in (*POWER_REGIONS, *PORTS)

    def _fault(self, kind: str, address: int, size: int, value: int | None, group: int = 0) -> None:
        """Say what was wrong with an access; returns if the policy is to go on."""
        source = self.machine.program.plan if self.machine.program else self.device
        try:
            meaning = explain(source, address).partition(": ")[2]
        except InputError:
            meaning = f"in no memory of {self.device.name}"
        counter = self.program_counter() if self.program_counter else None
        reason = faults.KINDS[kind].format(group=group)
        fault = Fault(kind, address, size, value, reason, meaning, counter)
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        self._policy(fault)

    # --- kernel memory

    def _processor(self, index: int) -> tuple[int, bool]:
        """Processor of a word of kernel memory, and whether its quadrant takes packed kernels."""
        region = self.device.region("kernel")
        processor = index // (region.entries * region.words)
        control = self.machine.control(processor // region.units)
        return processor, bool(control["packed_kernels"])

    def _write_kernel(
        self, processor: int, packed: bool, address: int, value: int, size: int = WORD
    ) -> None:
        offset = address & self._kernel_offset
        if size < WORD:
            self.kernels.begin(processor, offset, value)
        elif packed:
            self.kernels.write_packed(processor, value)
        else:
            self.kernels.write_unpacked(processor, offset, value)

    def _open(self) -> None:
        """What the quick paths of ``read`` and ``write`` may reach; nothing while running."""
        self._data, self._kernel, self._kernel_words = {}, {}, {}
        if self.runner.running:
            return
        data, kernel = self.device.region("data"), self.device.region("kernel")
        for group in range(4):
            if not self._obstacle("data", group):
                for unit in range(data.units):
                    first = (group * data.units + unit) * data.entries
                    upper = data.address(group, unit) >> self._data_bits
                    self._data[upper] = self._views["data"][first : first + data.entries]
            if not self._obstacle("kernel", group):
                packed = bool(self.machine.control(group)["packed_kernels"])
                each = kernel.entries * kernel.words
                for unit in range(kernel.units):
                    upper, number = kernel.address(group, unit), group * kernel.units + unit
                    upper >>= self._kernel_bits
                    self._kernel[upper] = number, packed
                    view = self._views["kernel"]
                    self._kernel_words[upper] = view[number * each : (number + 1) * each]

    # --- registers

    def _switch(self, region: str, entry: int, value: int) -> None:
        """Power, clock or reset; what loses its registers ends its run."""
        if self.power.write(region, entry, value):
            self.runner.abort()
        self._obstacles.clear()
        self._open()

    def _write_quadrant(self, group: int, entry: int, value: int) -> None:
        address = self.device.address("quadrant register", group, 0, entry)
        if entry == CONTROL:
            self._write_control(group, address, value)
            return
        if entry == LAYER_COUNT:
            self.stale.wrote_layer_count()
        elif entry == TEST:
            value = self._test(group, value)
        self.memory.write(address, value)

    def _write_control(self, group: int, address: int, value: int) -> None:
        """CTRL: keeps the interrupt unless cleared, loads mlator's pointer, starts and stops."""
        register, before = self.device.global_registers[CONTROL], self.machine.control(group)
        pending = register.decode(value)["interrupt"] & before["interrupt"]
        self.memory.write(address, register.replace(value, interrupt=pending))
        after = self.machine.control(group)
        if after["packed_kernels"] != before["packed_kernels"]:
            self._open()
        if after["mlator"] and not before["mlator"]:
            self.mlator.load(group)
        runner = self.runner
        if after["enable"] and not before["enable"] and after["master_quadrant"] == group:
            self._start(group)
        elif runner.running and group == runner.master and not after["enable"]:
            runner.stop()

    def _start(self, master: int) -> None:
        """The start, if every enabled quadrant can run."""
        enabled = [group for group in range(4) if self.machine.control(group)["enable"]]
        address = self.device.address("quadrant register", master)
        word = self._views["quadrant register"][master * 4]
        for group in enabled:
            clock = self.machine.control(group)["clock"]
            obstacle = self._obstacle("kernel", group) or (None if clock else "not started")
            if obstacle is not None:
                self._fault(obstacle, address, WORD, word, group)
                return
        warning = self.stale.warning(enabled, self.machine.last_layer(master) + 1)
        if warning and warning not in self.warnings:
            self.warnings.append(warning)
        self.runner.start(master)
        self._open()

    def _ended(self) -> None:
        self._open()
        if self.on_interrupt is not None:
            self.on_interrupt()

    def _test(self, group: int, value: int) -> int:
        """Self test and zeroing: done at once, never failing; the word to read back."""
        register = self.device.global_registers[TEST]
        fields = register.decode(value)
        tested = zeroed = 0
        for bit, name in enumerate(TESTED):
            short = name.split()[0]
            tested |= fields[f"test_{short}"] << bit
            zeroed |= fields[f"zero_{short}"] << bit
            if (tested | zeroed) >> bit & 1:
                self.memory.arrays[name][group] = 0
                self.memory.versions[name] += 1
        flags = {"tests_done": tested != 0, "zeroing_done": zeroed != 0, "failed": 0}
        return register.replace(value, tested=tested, zeroed=zeroed, **flags)

    # --- FIFOs

    def _read_port(self, region: str, entry: int) -> int:
        """Status: never full; empty flags only between runs (in a run, words are taken at once)."""
        if region == "fifo register" and entry == FIFO_STATUS and not self.runner.running:
            words = self.runner.words
            empty = sum(1 << number for number in range(FIFOS) if not words[number])
            return self.device.fifo_registers[FIFO_STATUS].encode({"empty": empty})
        return self._views[region][entry]

    def _write_port(self, region: str, entry: int, value: int) -> None:
        if region == "fifo register" and entry >= FIRST_PORT:
            self.runner.push(entry - FIRST_PORT, value)
        elif region == "fast fifo register" and entry == FAST_PORT:
            self.runner.push(FAST_FIFO, value)
        elif entry == FIFO_STATUS or entry in FAST_SPECIAL:
            raise NotEmulated(f"a write to entry {entry} of the {region}s")
        else:
            self._views[region][entry] = value
