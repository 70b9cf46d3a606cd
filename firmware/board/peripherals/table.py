"""Every peripheral of the MAX78000 that the processor sees: one row each (user guide, table 3-3).

Register offsets and bits: the device's CMSIS-SVD description.
"""

from __future__ import annotations

from .registers import Row

# GCR.CLKCTRL: every oscillator is ready at once.
OSCILLATORS_READY = 0x3E00_2000
UART_BAUD_READY = 1 << 19
TIMER_READY = 1 << 3 | 1 << 19
TIMER_ENABLED = 1 << 2 | 1 << 18
CALIBRATION_RUNS = 1 << 1
ALL = 0xFFFF_FFFF

ROWS = (
    Row(
        "GCR",
        0x40000000,
        0x400,
        "gcr",
        reset={0x08: 0x0000_0008, 0x18: 1, 0x24: ALL, 0x48: ALL, 0x50: 0xA1},
        ready={0x08: OSCILLATORS_READY},
        clears={0x04: ALL, 0x44: ALL, 0x2C: ALL, 0x00: 1 << 6},
    ),
    Row("SIR", 0x40000400, 0x400, reset={0x00: 3}),
    Row("FCR", 0x40000800, 0x400, clears={0x04: CALIBRATION_RUNS}),
    Row("WDT0", 0x40003000, 0x400, "wdt", line=1, ready={0x00: 1 << 28}),
    Row("DVS", 0x40003C00, 0x400),
    Row("SIMO", 0x40004400, 0x400, ready={0x40: 0xF}),
    Row("TRIMSIR", 0x40005400, 0x400),
    Row("RTC", 0x40006000, 0x400, "rtc", line=3),
    Row("WUT", 0x40006400, 0x400, line=53),
    Row("PWRSEQ", 0x40006800, 0x400, flags={0x04: ALL, 0x0C: ALL, 0x14: ALL, 0x1C: ALL, 0x30: ALL}),
    Row("MCR", 0x40006C00, 0x400),
    Row("AES", 0x40007400, 0x400, line=97),
    Row("AESKEY", 0x40007800, 0x400),
    Row("GPIO0", 0x40008000, 0x1000, "gpio", line=24),
    Row("GPIO1", 0x40009000, 0x1000, "gpio", line=25),
    Row("PCIF", 0x4000E000, 0x1000, line=91),
    Row("CRC", 0x4000F000, 0x1000),
    *(Row(f"TMR{n}", 0x40010000 + 0x1000 * n, 0x1000, "timer", line=5 + n) for n in range(4)),
    Row("I2C0", 0x4001D000, 0x1000, line=13),
    Row("I2C1", 0x4001E000, 0x1000, line=36),
    Row("I2C2", 0x4001F000, 0x1000, line=62),
    Row("DMA", 0x40028000, 0x1000, "dma", line=28),
    Row("FLC", 0x40029000, 0x400, "flash", line=23),
    Row("ICC0", 0x4002A000, 0x800, ready={0x100: 1 << 16}),
    Row("ICC1", 0x4002A800, 0x800, ready={0x100: 1 << 16}),
    Row("ADC", 0x40034000, 0x1000, line=20),
    Row("PTG", 0x4003C000, 0x20, line=59),
    *(Row(f"PT{n}", 0x4003C020 + 0x20 * n, 0x20) for n in range(4)),
    Row("OWM", 0x4003D000, 0x1000, line=67),
    Row("SEMA", 0x4003E000, 0x1000),
    Row("UART0", 0x40042000, 0x1000, "uart", line=14, ready={0x00: UART_BAUD_READY}),
    Row("UART1", 0x40043000, 0x1000, "uart", line=15, ready={0x00: UART_BAUD_READY}),
    Row("UART2", 0x40044000, 0x1000, "uart", line=34, ready={0x00: UART_BAUD_READY}),
    Row("SPI1", 0x40046000, 0x1000, line=16),
    Row("TRNG", 0x4004D000, 0x1000, "trng", line=4, ready={0x04: 1}),
    Row("I2S", 0x40060000, 0x1000, line=99),
    Row("LPGCR", 0x40080000, 0x400, reset={0x0C: ALL}, clears={0x08: ALL}),
    Row("GPIO2", 0x40080400, 0x200, "gpio", line=26),
    Row("GPIO3", 0x40080600, 0x200, "gpio", line=54),
    Row("WDT1", 0x40080800, 0x400, "wdt", line=57, ready={0x00: 1 << 28}),
    *(Row(f"TMR{n}", 0x40080C00 + 0x400 * (n - 4), 0x400, "timer", line=5 + n) for n in (4, 5)),
    Row("UART3", 0x40081400, 0x400, "uart", line=88, ready={0x00: UART_BAUD_READY}),
    Row("LPCMP", 0x40088000, 0x400, line=103),
    Row("SPI0", 0x400BE000, 0x400, line=56),
)
