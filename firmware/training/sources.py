"""The tables of the training step as C text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from max78k_sim.allocation import Plan

from ..text import fill, number_lines, prefixes
from .linear import linear_header
from .runs import NONE, Kernels, Run
from .tables import Row, Tables, TrainingStep, find_tables

NUMBERS_A_LINE = 12
TRAIN_SOURCES = (  # of the step of any layers, in runtime/, each with its header
    "cnn_train", "cnn_backward", "cnn_update", "cnn_weights", "cnn_operands", "cnn_activations",
    "cnn_loss", "cnn_products", "cnn_blocks", "cnn_fast_step", "cnn_at_once",
    "cnn_changes", "cnn_fast_read", "cnn_narrow_step", "cnn_state", "cnn_weight_step",
)  # fmt: skip
LINEAR_SOURCES = ("cnn_train", "cnn_linear", "cnn_stream")  # of a linear layer and one sample
COMMON = ("cnn_dsp.h", "cnn_power.h", "cnn_random.h", "cnn_schedule.h")
TRAIN_FILES = {  # in a project: where in runtime/ they come from
    name: name
    for name in (
        *("cnn_layers.h", "cnn_products_m4.h", *COMMON),
        *("cnn_weight_gradients_m4.c", "cnn_data_gradients_m4.c"),
        *(f"{name}{end}" for name in TRAIN_SOURCES for end in (".h", ".c")),
    )
}
LINEAR_FILES = {
    name: name
    for name in (*COMMON, *(f"{name}{end}" for name in LINEAR_SOURCES for end in (".h", ".c")))
} | {"cnn_train.c": "linear/cnn_train.c"}
ALL_FILES = {*TRAIN_FILES, *LINEAR_FILES, "cnn_layers.c", "cnn_linear_config.h"}


def train_files(plan: Plan, step: TrainingStep) -> dict[str, str]:
    """cnn_train_config.h, and the tables of the step: cnn_layers.c or cnn_linear_config.h."""
    if step.copy is not None:
        sizes = {"LAYERS": 1, "RUNS": 0}
        return {
            "cnn_train_config.h": config_header(step, sizes, (plan.network.layers[-1].name,)),
            "cnn_linear_config.h": linear_header(plan, step),
        }
    tables = find_tables(plan, step)
    names = tuple(row.step.layer.name for row in tables.rows if row.step.numbers)
    return {
        "cnn_train_config.h": config_header(step, tables.sizes, names),
        "cnn_layers.c": layers_source(plan, tables),
    }


def config_header(step: TrainingStep, sizes: Mapping[str, int], layers: Sequence[str]) -> str:
    """cnn_train_config.h; ``layers``: names of those that learn."""
    return fill(
        "cnn_train_config.h.in",
        layers=", ".join(layers),
        sizes="".join(define(f"TRAIN_{name}", value) for name, value in sizes.items()),
        constants="".join(define(name, value) for name, value in step.constants.items()),
        powers=number_lines(step.powers, " \\"),
    )


def define(name: str, value: int | str) -> str:
    """A constant; beyond 16 bits without a sign."""
    suffix = "u" if isinstance(value, int) and value > 0x7FFF else ""
    text = f"({value})" if isinstance(value, int) and value < 0 else f"{value}{suffix}"
    return f"#define CNN_{name} {text}\n"


def layers_source(plan: Plan, tables: Tables) -> str:
    """cnn_layers.c."""
    names = prefixes(plan)
    return fill(
        "cnn_layers.c.in",
        network=plan.network.name,
        device=plan.device.name,
        tables="".join(
            table for row in tables.rows for table in tables_of(names[row.step.layer.name], row)
        ),
        rows="".join(layer_row(names[row.step.layer.name], row) for row in tables.rows),
    )


def tables_of(name: str, row: Row) -> Iterator[str]:
    """What a row points to."""
    yield f"/* {row.step.layer.name} */\n"
    for kind, runs in (("operands", row.operands), ("output", row.output)):
        if runs:
            yield array("cnn_run", f"{name}_{kind}_runs", map(run_text, runs))
    yield array("cnn_error", f"{name}_parts", (f"{sums}u, {n}u" for sums, n in row.parts))
    if row.slices:
        slices = (f"{c}u, {count}u, {{{s}u, {n}u}}" for c, count, s, n in row.slices)
        yield array("cnn_slice", f"{name}_slices", slices)
    if row.kernels is not None:
        yield from kernel_tables(name, row, row.kernels)
    if row.biases is not None:
        yield array("cnn_run", f"{name}_bias_runs", map(run_text, row.biases))
        yield struct(
            "cnn_biases",
            f"{name}_biases",
            {
                "at": f"{{{name}_bias_runs, {len(row.biases)}u}}",
                "first": number_of(row, "bias"),
                "fraction_bits": fraction_bits(row, "bias"),
            },
        )


def kernel_tables(name: str, row: Row, kernels: Kernels) -> Iterator[str]:
    """Segments, passes, and what they are of."""
    yield array(
        "cnn_segment",
        f"{name}_segments",
        (
            f"0x{each.address:08x}u, {each.element}u, {each.outputs}, {each.first_pass}, "
            f"{each.first_byte}, {each.first_lane}"
            for each in kernels.segments
        ),
    )
    texts = ["CNN_NONE" if value == NONE else f"{value}u" for value in kernels.passes]
    lines = [
        f"    {', '.join(texts[n : n + NUMBERS_A_LINE])},\n"
        for n in range(0, len(texts), NUMBERS_A_LINE)
    ]
    yield f"static const uint32_t {name}_passes[] = {{\n{''.join(lines)}}};\n"
    yield struct(
        "cnn_kernels",
        f"{name}_kernels",
        {
            "segment": f"{name}_segments",
            "pass": f"{name}_passes",
            "output_step": kernels.output_step,
            "first": number_of(row, "kernel"),
            "segments": len(kernels.segments),
            "passes": kernels.each,
            "bits": kernels.bits,
            "taps": len(kernels.taps),
            "tap": f"{{{', '.join(map(str, kernels.taps))}}}",
            "fraction_bits": fraction_bits(row, "kernel"),
        },
    )


def number_of(row: Row, part: str) -> str:
    """Of the first weight, as C."""
    number = row.step.number(part)
    return "CNN_NONE" if number == NONE else f"{number}u"


def fraction_bits(row: Row, part: str) -> int:
    """That are kept of a weight."""
    return (row.step.fraction_bits or {}).get(part, 0)


def run_text(run: Run) -> str:
    """The fields of a cnn_run."""
    return (
        f"0x{run.address:08x}u, {run.step}u, {run.element}u, {run.word_step}, {run.lane_step}, "
        f"{run.words}, {run.first_lane}, {run.lanes}"
    )


def array(kind: str, name: str, rows) -> str:
    """A static table of structs."""
    lines = "".join(f"    {{{row}}},\n" for row in rows)
    return f"static const {kind} {name}[] = {{\n{lines}}};\n"


def struct(kind: str, name: str, fields: Mapping[str, int | str]) -> str:
    """A static struct by its fields."""
    return f"static const {kind} {name} = {{\n{fields_text(fields)}}};\n\n"


def fields_text(fields: Mapping[str, int | str], indent: str = "    ") -> str:
    """Fields, a line each."""
    return "".join(f"{indent}.{name} = {value},\n" for name, value in fields.items())


def layer_row(name: str, row: Row) -> str:
    """One row of cnn_layers."""

    def table(kind: str, count: int) -> str:
        return f"{{{name}_{kind}_runs, {count}u}}" if count else "{NULL, 0}"

    inner = " " * 8
    how = fields_text(row.correlation, " " * 12) or f"{' ' * 12}.in_rows = 0,\n"
    return (
        f"    {{ /* {row.step.layer.name} */\n"
        f"{inner}.how = {{\n{how}{inner}}},\n"
        f"{inner}.source = {{\n{fields_text(row.source, ' ' * 12)}{inner}}},\n"
        f"{inner}.operands = {table('operands', len(row.operands))},\n"
        f"{inner}.output = {table('output', len(row.output))},\n"
        f"{inner}.kernels = {f'&{name}_kernels' if row.kernels is not None else 'NULL'},\n"
        f"{inner}.biases = {f'&{name}_biases' if row.biases is not None else 'NULL'},\n"
        f"{inner}.part = {name}_parts,\n"
        f"{inner}.slice = {f'{name}_slices' if row.slices else 'NULL'},\n"
        f"{inner}.parts = {len(row.parts)},\n"
        f"{inner}.slices = {len(row.slices)},\n"
        f"{fields_text(row.fields, inner)}"
        "    },\n"
    )
