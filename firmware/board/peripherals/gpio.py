"""GPIO: set and clear registers, inputs that follow outputs or the outside, edge interrupts."""

from .registers import Registers

# register, its SET and its CLR
GROUPS = (
    (0x00, 0x04, 0x08),
    (0x0C, 0x10, 0x14),
    (0x18, 0x1C, 0x20),
    (0x34, 0x38, 0x3C),
    (0x4C, 0x50, 0x54),
    (0x68, 0x6C, 0x70),
    (0x74, 0x78, 0x7C),
)
SETS = {setter: register for register, setter, _ in GROUPS}
CLEARS = {clearer: register for register, _, clearer in GROUPS}
OUTPUT_ENABLE, OUTPUT, INPUT = 0x0C, 0x18, 0x24
EDGE_MODE, POLARITY, ENABLE, FLAGS, FLAGS_CLEAR, BOTH_EDGES = 0x28, 0x2C, 0x34, 0x40, 0x48, 0x5C
RELEASED = 0xFFFF_FFFF  # pins have pull-ups: a button that nobody presses reads 1


class Model(Registers):
    """A port.  ``drive`` sets what comes from outside."""

    def __init__(self, row, services):
        super().__init__(row, services)
        self.outside = RELEASED

    def read(self, offset: int) -> int:
        """A register; the input of a pin that is driven here is its output."""
        if offset == INPUT:
            driven = self.words.get(OUTPUT_ENABLE, 0)
            return self.words.get(OUTPUT, 0) & driven | self.outside & ~driven
        offset = SETS.get(offset, CLEARS.get(offset, offset))
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        """A register, or some bits of one."""
        if offset in SETS:
            self.words[SETS[offset]] = self.words.get(SETS[offset], 0) | value
        elif offset in CLEARS:
            self.words[CLEARS[offset]] = self.words.get(CLEARS[offset], 0) & ~value
        elif offset == FLAGS_CLEAR:
            self.words[FLAGS] = self.words.get(FLAGS, 0) & ~value
        else:
            super().write(offset, value)
        self._interrupt()

    def drive(self, pin: int, level: int) -> None:
        """Put 0 or 1 on a pin from outside; edges and levels raise the port's interrupt."""
        before, bit = self.outside, 1 << pin
        self.outside = before & ~bit | bit * bool(level)
        rising = bool(self.words.get(POLARITY, 0) & bit)
        if before != self.outside:
            both = bool(self.words.get(BOTH_EDGES, 0) & bit)
            edge = bool(self.words.get(EDGE_MODE, 0) & bit)
            if edge and (both or rising == bool(level)):
                self.words[FLAGS] = self.words.get(FLAGS, 0) | bit
        self._interrupt()

    def _interrupt(self) -> None:
        self.line(bool(self.words.get(FLAGS, 0) & self.words.get(ENABLE, 0)))
