"""main.c of a generated project: what a user reads first, and takes for a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from max78k_sim.program import Program

from ..text import comment, fill, number
from . import tables

if TYPE_CHECKING:
    from .project import Choices

MADE_UP = "made-up values: no --sample-input was given"
TRAINING = """
#ifndef CNN_TRAIN_CHECK
#define CNN_TRAIN_CHECK 1 /* 0: without the known-answer test of the training step */
#endif
int train_check(void);
"""
TRAINED = """#if CNN_TRAIN_CHECK
    if (train_check() != 0)
        fail("training");
#endif
"""
VERIFY = """    if (cnn_verify_weights() != CNN_OK)
        fail("kernel memory");
"""
VERDICT = """    if (check_output() != CNN_OK)
        fail("output");
    printf("\\n*** PASS ***\\n\\n");
"""
DONE = """    printf("Done; nothing was compared (--no-kat).\\n");
"""
SLEEP = """    SCB->SCR &= ~(uint32_t)SCB_SCR_SLEEPDEEP_Msk;
    __disable_irq();
    while (cnn_time == 0) {
        __WFI();
        __enable_irq();
        __ISB();
        __disable_irq();
    }
    __enable_irq();
"""
POLL = """    while (cnn_time == 0) {
    }
"""


def main_source(program: Program, sample: np.ndarray, choices: Choices, checked: int) -> str:
    """main.c: what a user reads first, and takes for a start."""
    network = program.plan.network
    fifo = network.fifo
    run = (
        "    cnn_start();\n    load_input();\n" if fifo else "    load_input();\n    cnn_start();\n"
    )
    repeat = f"    for (;;) {{\n{indent(run)}        wait_for_cnn();\n    }}\n"
    time = (
        '    printf("Approximate inference time: %lu us\\n\\n", (unsigned long)cnn_time);\n'
        if choices.timer is not None
        else ""
    )
    softmax = "    softmax_layer();\n    print_classes();\n" if choices.softmax else ""
    return fill(
        "main.c.in",
        network=comment(network.name),
        sample=sample_source(choices),
        known_answer_include='#include "sampleoutput.h"\n' if choices.kat else "",
        port_include='#include "cnn_port.h"\n' if uses_port(program, choices) else "",
        training_include=TRAINING if choices.train else "",
        load_input=(fifo_input if fifo else memory_input)(program, sample, choices),
        check_prototype="int check_output(void);\n" if choices.kat else "",
        check_output=check_text(program, choices, checked),
        classification=softmax_text(program) if choices.softmax else "",
        wait=SLEEP if choices.wfi else POLL,
        energy=energy_text(run, fifo) if choices.energy else "",
        clock=f"half of the processor's, divided by {choices.clock_divider}",
        divider=choices.clock_divider,
        boost=boost_text(choices.boost),
        debugwait=choices.debugwait,
        verify=VERIFY if choices.kat else "",
        run=run,
        verdict=VERDICT if choices.kat else DONE,
        results=time + softmax,
        training=TRAINED if choices.train else "",
        measurement="    measure_energy();\n" if choices.energy else "",
        repeat=repeat if choices.forever else "",
    )


def uses_port(program: Program, choices: Choices) -> bool:
    """Whether main.c reads or writes the accelerator itself."""
    return choices.kat or program.plan.network.fifo or not choices.compact_data


def memory_input(program: Program, sample: np.ndarray, choices: Choices) -> str:
    """load_input() for data memory."""
    runs = tables.input_runs(program, sample)
    shape = " x ".join(map(str, sample.shape))
    note = f"{shape} values: {sample_source(choices)}.  Put your own data here."
    if choices.compact_data:
        arrays = "".join(sample_array(n) for n in range(len(runs)))
        loads = (
            f"    memcpy32((uint32_t *)0x{address:08x}, input_{n}, {len(words)});\n"
            for n, (address, words) in enumerate(runs)
        )
    else:
        arrays = ""
        loads = (
            f"    cnn_write({number(address + 4 * n)}, {number(word)});\n"
            for address, words in runs
            for n, word in enumerate(words.tolist())
        )
    return fill("main_memory.c.in", note=note, arrays=arrays, loads="".join(loads))


def fifo_input(program: Program, sample: np.ndarray, choices: Choices) -> str:
    """load_input() for the FIFOs."""
    fifos = tables.input_fifos(program, sample)
    shape = " x ".join(map(str, sample.shape))
    feeds = (
        f"        feed({number(fifo.full)}, {number(fifo.port)}, input_{n}[n]);\n"
        for n, fifo in enumerate(fifos)
    )
    return fill(
        "main_fifo.c.in",
        note=f"{shape} values: {sample_source(choices)}.  Put your own data here.",
        arrays="".join(sample_array(n) for n in range(len(fifos))),
        status=number(tables.fifo_status(program)),
        words=len(fifos[0].words),
        feeds="".join(feeds),
    )


def sample_array(n: int) -> str:
    """The array of one macro of sampledata.h."""
    return f"static const uint32_t input_{n}[] = SAMPLE_INPUT_{n};\n"


def check_text(program: Program, choices: Choices, checked: int) -> str:
    """check_output()."""
    if not choices.kat:
        return ""
    place = tables.output_placement(program)
    all_of = len(place.words)
    note = f"Expected output of layer {comment(program.plan.network.layers[-1].name)}"
    note += f": {checked} of {all_of} words" if checked < all_of else f": {all_of} words"
    return fill("main_check.c.in", note=f"{note}.  For production, leave this test out.")


def softmax_text(program: Program) -> str:
    """softmax_layer(): values as Q17.14, whatever their width."""
    bits = tables.output_placement(program).bits
    value = "(q31_t)unloaded[n]" if bits == 32 else "((const int8_t *)unloaded)[n] * 128"
    return fill("main_softmax.c.in", value=value)


def energy_text(run: str, fifo: bool) -> str:
    """measure_energy()."""
    phase = (
        "    SYS_START;\n    for (int n = 0; n < CNN_ENERGY_RUNS; n++)\n        load_input();\n"
        "    SYS_COMPLETE;\n    MXC_Delay(MXC_DELAY_SEC(1));\n"
    )
    parts = "input and inference" if fifo else "input, input and inference"
    return fill("main_energy.c.in", parts=parts, input="" if fifo else phase, run=indent(run))


def boost_text(boost: tuple[int, int] | None) -> str:
    """The pin that turns on a stronger supply."""
    if boost is None:
        return ""
    port, pin = boost
    return f"    cnn_boost_enable(MXC_GPIO{port}, MXC_GPIO_PIN_{pin});\n"


def indent(text: str) -> str:
    """One level deeper."""
    return "".join(f"    {line}" for line in text.splitlines(keepends=True))


def sample_source(choices: Choices) -> str:
    """Where the sample comes from, for comments."""
    return comment(choices.sample_name) if choices.sample is not None else MADE_UP
