"""MAX78000 (AI85): numbers only.

Addresses and fields match the vendor's generator; the execution rules that use them were proved
against its golden cases.  Registers are named as the User Guide's register index order has them.
"""

from ..device import Device, Limits, Region
from ..registers import Field, Register

REGIONS = (
    Region(
        "fifo register", "FIFO control, status and four write ports", 0x50000000,
        1, 0, 1, 0, "block", 6, 4, "register",
    ),
    Region(
        "fast fifo register", "the fast FIFO of the RISC-V core", 0x400C0400,
        1, 0, 1, 0, "block", 6, 4, "register",
    ),
    Region(
        "always-on register", "power of the kernel memories", 0x50001000,
        1, 0, 1, 0, "block", 1, 4, "register",
    ),
    Region(
        "quadrant register", "control of one quadrant", 0x50100000,
        4, 0x400000, 1, 0, "block", 4, 4, "register",
    ),
    Region(
        "layer register", "configuration of one layer in one quadrant", 0x50100010,
        4, 0x400000, 21, 0x80, "register", 32, 4, "layer",
    ),
    Region(
        "mlator", "data memory read with lanes unpacked", 0x50101000,
        4, 0x400000, 1, 0, "block", 1, 4, "register",
    ),
    Region(
        "bias", "bias memory, a byte in each word", 0x50108000,
        4, 0x400000, 1, 0, "memory", 512, 4, "byte", (0xFF,),
    ),
    Region(
        "line buffer", "TRAM: rows in flight", 0x50110000,
        4, 0x400000, 16, 0x4000, "processor", 3072, 4, "word", (0xFFFF,),
    ),
    Region(
        "kernel", "kernel memory: 72-bit words in slots of 16 bytes", 0x50180000,
        4, 0x400000, 16, 0x4000, "processor", 768, 16, "kernel word",
        (0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
    ),
    Region(
        "data", "data memory: four channels of one pixel in a word", 0x50400000,
        4, 0x400000, 4, 0x8000, "instance", 8192, 4, "word",
    ),
    Region(
        "reset register", "GCR.rst0: resets, also the accelerator's", 0x40000004,
        1, 0, 1, 0, "block", 1, 4, "register",
    ),
    Region(
        "clock register", "GCR.pclkdiv and GCR.pclkdis0: clock and clock gate", 0x40000018,
        1, 0, 1, 0, "block", 2, 0xC, "register",
    ),
    Region(
        "power register", "GCFR: power, isolation and reset of the quadrants", 0x40005800,
        1, 0, 1, 0, "block", 4, 4, "register",
    ),
)  # fmt: skip

LAYER_REGISTERS = (
    Register("RCNT", 0, "rows", (
        Field("row_count", 0, 10, "rows before pooling, less 1, plus twice the padding"),
        Field("row_pad", 16, 2, "rows of zeros above and below, after pooling"),
    )),
    Register("CCNT", 1, "columns", (
        Field("column_count", 0, 10, "columns before pooling, less 1, plus twice the padding"),
        Field("column_pad", 16, 2, "columns of zeros left and right, after pooling"),
    )),
    Register("ONED", 2, "1-D and element-wise operation", (
        Field("timeslot_count", 0, 4, "time slots, less 1"),
        Field("tap_start", 4, 4, "first byte of the layer inside its 9-byte kernel word"),
        Field("kernel_width", 8, 4, "1-D kernel width; 1 without conv1d means 1x1"),
        Field("conv1d", 12, 1, "1-D convolution"),
        Field("eltwise", 13, 1, "element-wise operation on"),
        Field("eltwise_function", 14, 2, "0 subtract, 1 add, 2 or, 3 exclusive or"),
        Field("pool_first", 16, 1, "pool every operand before the element-wise operation"),
        Field("eltwise_convolve", 17, 1, "convolve the element-wise result"),
        Field("operand_count", 18, 4, "element-wise operands, less 1"),
    )),
    Register("PRCNT", 3, "pooling rows", (
        Field("pool_row_count", 0, 4, "pooling rows, less 1"),
    )),
    Register("PCCNT", 4, "pooling columns", (
        Field("pool_column_count", 0, 4, "pooling columns, less 1"),
    )),
    Register("STRIDE", 5, "pooling stride", (
        Field("stride_count", 0, 4, "stride of rows and columns, less 1"),
    )),
    Register("WPTR_BASE", 6, "write pointer", (
        Field("write_word", 0, 13, "word address in the data-memory instance"),
        Field("write_instance", 13, 4, "data-memory instance 0 to 15"),
    )),
    Register("WPTR_TOFF", 7, "write pointer, time slot", (
        Field("timeslot_step", 0, 17, "write-pointer step of a time slot"),
    )),
    Register("WPTR_MOFF", 8, "write pointer, mask", (
        Field("mask_step", 0, 17, "write-pointer step after four output channels"),
    )),
    Register("WPTR_CHOFF", 9, "write pointer, output pass", (
        Field("channel_step", 0, 17, "words added for every further output pass"),
    )),
    Register("RPTR_BASE", 10, "read pointer", (
        Field("read_word", 0, 17, "word address, the same in every instance read"),
    )),
    Register("LCTL0", 11, "layer control", (
        Field("slave_source", 0, 4, "source of a slave quadrant"),
        Field("slave", 4, 1, "slave mode"),
        Field("master", 5, 1, "master; always set by the vendor's generator"),
        Field("big_data", 6, 1, "input is CHW: four pixels of one channel in a word"),
        Field("pool", 7, 1, "pooling on"),
        Field("pool_max", 8, 1, "maximum (0: average)"),
        Field("relu", 9, 1, "ReLU"),
        Field("column_pad_only", 10, 1, "pad columns only"),
        Field("global_write", 11, 1, "write through the global bus; always set by the generator"),
        Field("sources", 12, 4, "bit i: add the partial sums of quadrant master + i"),
        Field("wide", 16, 1, "write the 32-bit accumulator"),
    )),
    Register("MCNT", 12, "kernel addresses", (
        Field("kernel_last", 0, 16, "address of the last kernel, in bits of one tap"),
        Field("kernel_first", 16, 16, "address of the first kernel, in bits of one tap"),
    )),
    Register("TPTR", 13, "line buffer", (
        Field("line_last", 0, 16, "line-buffer row length, less 1"),
        Field("line_base", 16, 16, "line-buffer base of streaming and flattening"),
    )),
    Register("EN", 14, "processors", (
        Field("processors", 0, 16, "processors that read data"),
        Field("kernels", 16, 16, "processors that use kernels; none means pass-through"),
    )),
    Register("POST", 15, "bias, shift and activation", (
        Field("bias_start", 0, 12, "first byte in the bias memory"),
        Field("bias", 12, 1, "add the bias of this quadrant"),
        Field("shift", 13, 4, "shift amount"),
        Field("shift_right", 17, 1, "shift right"),
        Field("pass_high", 18, 4, "upper bits of the input pass count, when flattening"),
        Field("weight_size", 22, 2, "0: 8 bits, 1: 1 bit, 2: 2 bits, 3: 4 bits"),
        Field("timeslots", 24, 1, "time slots on"),
        Field("one_by_one", 25, 1, "pass-through"),
        Field("absolute", 26, 1, "absolute value; wins over ReLU"),
        Field("flatten", 27, 1, "flatten"),
        Field("transpose", 28, 1, "transposed convolution"),
    )),
    Register("STRM0", 16, "streaming start", (
        Field("stream_start", 0, 14, "words to arrive before the layer starts"),
    )),
    Register("STRM1", 17, "streaming steps", (
        Field("stream_volume", 0, 4, "input-volume offset"),
        Field("stream_delta1", 4, 5, "step between columns"),
        Field("stream_delta2", 16, 12, "step between rows"),
    )),
    Register("FBUF", 18, "ring buffer", (
        Field("ring_words", 0, 17, "ring-buffer length in words"),
    )),
    Register("IFRM", 19, "input frame", (
        Field("frame_words", 0, 20, "FIFO words in a frame (layer 0 only)"),
    )),
    Register("LCTL1", 20, "passes", (
        Field("pass_count", 0, 4, "input passes, less 1"),
        Field("write_step", 4, 4, "extra write-pointer step of a pixel"),
        Field("span_bits", 8, 9, "output channels of one pass, less 1, times the weight width"),
    )),
)  # fmt: skip

GLOBAL_REGISTERS = (
    Register("CTRL", 0, "quadrant control", (
        Field("enable", 0, 1, "run; the master starts on the change from 0 to 1"),
        Field("wait_states", 1, 2, "wait states"),
        Field("clock", 3, 1, "clock on"),
        Field("global_pool_max", 4, 1, "global maximum pooling"),
        Field("global_pool", 5, 1, "global pooling"),
        Field("global_big_data", 6, 1, "global CHW"),
        Field("bus_clock", 7, 1, "bus clock always on"),
        Field("one_shot", 8, 1, "one layer for every start"),
        Field("master_quadrant", 9, 2, "number of the master quadrant"),
        Field("synchronise", 11, 1, "start with the master"),
        Field("interrupt", 12, 1, "interrupt pending; cleared by writing 0"),
        Field("average_rounding", 13, 1, "average pooling rounds half away from zero"),
        Field("streaming", 14, 1, "streaming"),
        Field("fifo", 15, 1, "input from the FIFOs"),
        Field("mlator", 16, 1, "mlator load"),
        Field("mlator_lane", 17, 2, "mlator byte lane"),
        Field("circular", 19, 1, "circular stream buffers"),
        Field("packed_kernels", 20, 1, "packed ('mexpress') kernel writes"),
        Field("simple_1bit", 21, 1, "simple 1-bit weights"),
        Field("fast_fifo", 22, 1, "fast FIFO"),
        Field("fifo_group", 23, 1, "one FIFO for a group of channels"),
    )),
    Register("SRAM", 1, "memory timing", (
        Field("timing", 0, 32, "timing margins; no functional effect"),
    )),
    Register("LCNT_MAX", 2, "layer count", (
        Field("last_layer", 0, 5, "index of the last layer"),
    )),
    Register("TEST", 3, "self test", (
        Field("test_data", 0, 1, "test data memory; it is zero afterwards"),
        Field("zero_data", 1, 1, "zero data memory"),
        Field("test_kernel", 2, 1, "test kernel memory"),
        Field("zero_kernel", 3, 1, "zero kernel memory"),
        Field("test_line", 4, 1, "test the line buffers"),
        Field("zero_line", 5, 1, "zero the line buffers"),
        Field("test_bias", 6, 1, "test bias memory"),
        Field("zero_bias", 7, 1, "zero bias memory"),
        Field("failed", 14, 4, "data, kernel, line-buffer, bias test failed"),
        Field("tested", 18, 4, "data, kernel, line-buffer, bias test done"),
        Field("zeroed", 22, 4, "data, kernel, line buffers, bias zeroed"),
        Field("tests_done", 27, 1, "every test that was asked for is done"),
        Field("zeroing_done", 28, 1, "everything that was asked for is zeroed"),
    )),
)  # fmt: skip

FIFO_REGISTERS = (
    Register("FIFO_CTRL", 0, "FIFO control", (
        Field("wait_states", 0, 2, "wait states"),
        Field("almost_full", 2, 5, "almost-full threshold"),
        Field("almost_empty", 7, 4, "almost-empty threshold"),
        Field("couple", 11, 1, "the FIFOs move together"),
        Field("enable", 12, 4, "bit i: FIFO i is on"),
    )),
    Register("FIFO_STAT", 1, "FIFO status", (
        Field("full", 0, 4, "bit i: FIFO i is full"),
        Field("empty", 4, 4, "bit i: FIFO i is empty"),
    )),
)  # fmt: skip

FAST_FIFO_REGISTERS = (
    Register("FAST_FIFO_CR", 0, "fast FIFO control", (
        Field("threshold", 4, 4, "words at which the core is told"),
    )),
    Register("FAST_FIFO_SR", 1, "fast FIFO status", (
        Field("full", 1, 1, "full"),
    )),
    Register("FAST_FIFO_IE", 2, "fast FIFO interrupts", ()),
    Register("FAST_FIFO_IS", 3, "fast FIFO interrupt flags", ()),
)  # fmt: skip

ALWAYS_ON_REGISTERS = (
    Register("AON_CTRL", 0, "kernel memories while the rest sleeps", (
        Field("deep_sleep", 8, 4, "bit q: kernel memory of quadrant q keeps its contents, asleep"),
        Field("power_down", 12, 4, "bit q: kernel memory of quadrant q is off"),
    )),
)  # fmt: skip

POWER_REGISTERS = (
    Register("GCFR_REG0", 0, "power", (
        Field("power", 0, 4, "bit q: quadrant q has power"),
    )),
    Register("GCFR_REG1", 1, "memory power", (
        Field("memory", 0, 4, "bit q: the memories of quadrant q have power"),
    )),
    Register("GCFR_REG2", 2, "isolation", (
        Field("isolate", 0, 4, "bit q: quadrant q is cut off from the bus"),
    )),
    Register("GCFR_REG3", 3, "reset", (
        Field("reset", 0, 4, "bit q: quadrant q is held in reset"),
    )),
)  # fmt: skip

MAX78000 = Device(
    name="MAX78000",
    regions=REGIONS,
    layer_registers=LAYER_REGISTERS,
    global_registers=GLOBAL_REGISTERS,
    fifo_registers=FIFO_REGISTERS,
    fast_fifo_registers=FAST_FIFO_REGISTERS,
    always_on_registers=ALWAYS_ON_REGISTERS,
    power_registers=POWER_REGISTERS,
    limits=Limits(
        layers=32,
        stream_layers=8,
        processors=64,
        processors_per_group=16,
        processors_per_instance=4,
        channels=1024,
        rows_and_columns=1023,
        passes=16,
        pool=16,
        flatten_pixels=256,
        flatten_features=16384,
        bias_channels=512,
        accumulator_bits=26,
        total_shift=15,
    ),
    executes=True,
)
