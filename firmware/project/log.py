"""log.txt of a generated project: what was made, of what, and what to expect of it."""

from __future__ import annotations

from io import StringIO

import numpy as np

from max78k_sim.map_text import data_picture, render_map
from max78k_sim.program import Program

from .main import MADE_UP
from .project import Choices, Project

WIDTH = 100  # characters
SHOWN = 100  # outputs


def log_text(
    program: Program, choices: Choices, project: Project, command: str, training: str = ""
) -> str:
    """The whole log; ``command``: what was typed; ``training``: which step, "" for none."""
    parts = [
        command,
        mapped(program),
        *(f"warning: {text}" for text in (*program.plan.warnings, *project.warnings)),
        writes(program, choices),
        *([training] if training else []),
        sample(choices, project),
        output(program, choices, project),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def mapped(program: Program) -> str:
    """The map, as ``max78k map`` shows it."""
    from rich.console import Console

    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    console.print(render_map(program.plan), data_picture(program.plan), sep="\n")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def writes(program: Program, choices: Choices) -> str:
    """How many words the program writes."""
    form = "as packed streams" if choices.mexpress else "as words"
    weights = sum(len(write.words) for write in program.writes if write.stage == "weights")
    biases = sum(len(write.words) for write in program.writes if write.stage == "bias")
    registers = program.word_count - weights - biases + len(program.start)
    return f"{registers:,} registers, {weights // 4:,} kernel words ({form}), {biases:,} biases"


def sample(choices: Choices, project: Project) -> str:
    """Where the sample comes from."""
    shape = " x ".join(map(str, project.sample.shape))
    source = choices.sample_name if choices.sample is not None else MADE_UP
    return f"sample: {shape}, {source}"


def output(program: Program, choices: Choices, project: Project) -> str:
    """The expected output, and how much of it is compared."""
    values = project.outputs.reshape(-1)
    shape = " x ".join(map(str, project.outputs.shape))
    last = program.plan.network.layers[-1].name
    shown = np.array2string(values[:SHOWN], max_line_width=WIDTH, threshold=SHOWN + 1)
    rest = f"\n... {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
    compared = f"{project.checked:,} of {project.words:,} words are compared"
    return f"output of {last}: {shape}; {compared}\n{shown}{rest}"
