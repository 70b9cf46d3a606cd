"""MAX78002 (AI87): its addresses.  Its behaviour is not modelled yet; numbers only.

Source: the vendor's generator (address constants of its device class), matches the vendor's
generator; the two sizes of kernel memory (processor 0 of each quadrant has 1,024 entries more)
are two rows.
"""

from ..device import Device, Limits, Region

REGIONS = (
    Region(
        "fifo register", "FIFO control, status and write ports", 0x50000000,
        1, 0, 1, 0, "block", 6, 4, "register",
    ),
    Region(
        "always-on register", "power of the kernel memories", 0x50001000,
        1, 0, 1, 0, "block", 1, 4, "register",
    ),
    Region(
        "quadrant register", "control of one quadrant", 0x51000000,
        4, 0x1000000, 1, 0, "block", 4, 4, "register",
    ),
    Region(
        "layer register", "configuration of one layer in one quadrant", 0x51100000,
        4, 0x1000000, 20, 4, "register", 128, 0x100, "layer",
    ),
    Region(
        "stream register", "streaming configuration of one layer", 0x51108000,
        4, 0x1000000, 3, 0x20, "register", 8, 4, "layer",
    ),
    Region(
        "bias", "bias memory, a byte in each word", 0x51180000,
        4, 0x1000000, 1, 0, "memory", 2048, 4, "byte", (0xFF,),
    ),
    Region(
        "line buffer", "TRAM: rows in flight", 0x51200000,
        4, 0x1000000, 16, 0x10000, "processor", 12288, 4, "word", (0xFFFF,),
    ),
    Region(
        "kernel", "kernel memory: 72-bit words in slots of 16 bytes", 0x51400000,
        4, 0x1000000, 16, 0x20000, "processor", 4096, 16, "kernel word",
        (0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
    ),
    Region(
        "extended kernel", "kernel memory that only processor 0 of a quadrant has", 0x51410000,
        4, 0x1000000, 1, 0, "processor", 1024, 16, "kernel word",
        (0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
    ),
    Region(
        "data", "data memory: four channels of one pixel in a word", 0x51800000,
        4, 0x1000000, 4, 0x20000, "instance", 20480, 4, "word",
    ),
)  # fmt: skip

MAX78002 = Device(
    name="MAX78002",
    regions=REGIONS,
    layer_registers=(),
    global_registers=(),
    fifo_registers=(),
    limits=Limits(
        layers=128,
        stream_layers=8,
        processors=64,
        processors_per_group=16,
        processors_per_instance=4,
        channels=1024,
        rows_and_columns=2047,
        passes=16,
        pool=16,
        flatten_pixels=256,
        flatten_features=16384,
        bias_channels=2048,
        accumulator_bits=26,
        total_shift=15,
    ),
    executes=False,
)
