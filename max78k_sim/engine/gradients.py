"""Exact gradients of convolutions with stride 1, of whole batches, from int16 errors.

Maps are [sample, row, column, channel]; a 1-D map has one row, a linear layer's map is 1x1, and so
is its kernel.  Products and sums are integers of 32 bits, the same on every path and for any
number of threads.  ``backward`` has the code; here are its jobs, and the tables of each shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from . import choose_path
from .backward import BIASES, INPUTS, JOB, LARGEST_SHIFT, WEIGHTS
from .native import BACKWARD, loaded
from .pairs import ROWS, VECTOR_BYTES, VECTORS, WORD
from .steps import LANES, SLACK, SUM_BYTES, address, zeros
from .threads import pool

Pair = tuple[int, int]  # of rows, of columns
PAIR_BYTES = 2  # of an int16
PIXELS = 256  # of a group of samples, about: tiles of a product are then nearly full
LARGEST_TILE = max(max(rows) for rows in ROWS.values())
PLACE = {name: number for number, name in enumerate(JOB)}
PLANS = 64  # shapes whose tables are kept, and their work
NEAR = 1 << 19  # bytes that stay in the processor's cache, about


@dataclass(frozen=True, eq=False)
class Work:
    """A job, and memory for it."""

    job: np.ndarray  # int64 [JOB]
    place: int  # address of the job
    memory: dict[str, np.ndarray]  # uint8, by the field with its address; zeros at first

    def run(self, code: Callable[[int], None], arrays: dict[str, np.ndarray], **numbers: int):
        """Run the job after some of its fields became addresses of arrays, and others numbers."""
        for name, array in arrays.items():
            self.job[PLACE[name]] = address(array)
        for name, number in numbers.items():
            self.job[PLACE[name]] = number
        code(self.place)


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on shapes only.  Work is kept: new memory costs as much as a small product."""

    fields: dict[str, int]  # of a job
    tables: dict[str, np.ndarray]  # int32 or int64, by the field with their address
    memory: dict[str, int]  # bytes
    spare: list[Work] = field(default_factory=list)

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Work that nobody else has now."""
        try:
            work = self.spare.pop()
        except IndexError:
            work = self.new_work()
        yield work
        self.spare.append(work)

    def new_work(self) -> Work:
        """Work that starts as zeros."""
        memory = {name: zeros(size) for name, size in self.memory.items()}
        fields = {name: address(array) for name, array in (self.tables | memory).items()}
        job = np.array([(self.fields | fields).get(name, 0) for name in JOB], np.int64)
        return Work(job, address(job), memory)


def input_gradients(
    errors: np.ndarray,
    weights: np.ndarray,
    padding: Pair,
    dilation: Pair,
    threads: int = 1,
    path: str | None = None,
) -> np.ndarray:
    """Gradients of a convolution's inputs: int32 [sample, row, column, in].

    ``errors``: int16 [sample, row, column, out], of its outputs; ``weights``: int8 [out, in, kernel
    row, kernel column], of a cross-correlation.  Sums wrap at 32 bits.
    """
    errors, weights = exactly(errors, np.int16), exactly(weights, np.int8)
    plan = plan_of_inputs(errors.shape, weights.shape, padding, dilation)
    samples, rows, columns, _ = errors.shape
    code = loaded(choose_path(path), BACKWARD)
    size = sizes((rows, columns), weights.shape[2:], padding, dilation)
    gradients = np.empty((samples, *size, weights.shape[1]), np.int32)
    arrays = {"data": errors, "weights": weights, "target": gradients}

    def part(first: int, last: int) -> None:
        with plan.work() as work:
            work.run(code, arrays, first=first, last=last)

    each_part(part, -(-samples // plan.fields["group"]), threads)
    return gradients


def weight_gradients(
    errors: np.ndarray,
    inputs: np.ndarray,
    kernel: Pair,
    padding: Pair,
    dilation: Pair,
    shifts: np.ndarray,
    limit: int,
    threads: int = 1,
    path: str | None = None,
) -> np.ndarray:
    """Gradients of a convolution's weights: int32 [out, in, kernel row, kernel column].

    ``errors``: int16 [sample, row, column, out]; ``inputs``: int8 [sample, row, column, in].  Each
    sample's gradients, which have to fit 32 bits, are divided by 2**shift (``shifts``: int
    [sample], from -31 to 31), rounded half up, saturated to +-limit, and then added.
    """
    errors, inputs = exactly(errors, np.int16), exactly(inputs, np.int8)
    shifts = checked(shifts)
    plan = plan_of_weights(errors.shape, inputs.shape, kernel, padding, dilation)
    code = loaded(choose_path(path), BACKWARD)
    arrays = {"data": inputs, "errors": errors, "shifts": shifts}
    shape = errors.shape[3], inputs.shape[3], *kernel

    def part(first: int, last: int) -> np.ndarray:
        with plan.work() as work:
            total = work.memory["target"]
            total[:] = 0
            work.run(code, arrays, first=first, last=last, limit=limit)
            return gathered(total.view(np.int32), plan, shape[0])

    groups = -(-len(errors) // plan.fields["group"])
    return added(each_part(part, groups, threads)).reshape(shape)


def gathered(total: np.ndarray, plan: Plan, outputs: int) -> np.ndarray:
    """int32 [output, (in, tap)] of sums that lie block by block, [(in, tap), output]."""
    count = plan.fields["row_count"]
    result = np.empty((outputs, count), np.int32)
    for width, _, first, place, _ in plan.tables["blocks"].tolist():
        wide, start = width * LANES, place // SUM_BYTES
        sums = total[start : start + count * wide].reshape(count, wide)
        part = result[first : first + wide]
        part[:] = sums.T[: len(part)]
    return result


def bias_gradients(
    errors: np.ndarray, shifts: np.ndarray, limit: int, threads: int = 1, path: str | None = None
) -> np.ndarray:
    """Gradients of biases, int32 [out]: those of a weight whose input is 128 everywhere."""
    errors, shifts = exactly(errors, np.int16), checked(shifts)
    plan, code = plan_of_biases(errors.shape), loaded(choose_path(path), BACKWARD)
    arrays = {"errors": errors, "shifts": shifts}

    def part(first: int, last: int) -> np.ndarray:
        with plan.work() as work:
            total = work.memory["target"]
            total[:] = 0
            work.run(code, arrays, first=first, last=last, limit=limit)
            return total.view(np.int32)[: errors.shape[3]].copy()

    return added(each_part(part, len(errors), threads))


# ---- jobs ---------------------------------------------------------------------------------------


def exactly(array: np.ndarray, kind: type) -> np.ndarray:
    """Contiguous; TypeError where values might not fit."""
    return np.asarray(array).astype(kind, order="C", casting="safe", copy=False)


def checked(shifts: np.ndarray) -> np.ndarray:
    """int64; ValueError where a shift is not one of 32 bits."""
    shifts = exactly(shifts, np.int64)
    values = shifts.tolist()
    if values and (min(values) < -LARGEST_SHIFT or max(values) > LARGEST_SHIFT):
        raise ValueError(f"shifts go from -{LARGEST_SHIFT} to {LARGEST_SHIFT}, not {shifts}")
    return shifts


def added(parts: list[np.ndarray]) -> np.ndarray:
    """The sum, in the first."""
    for other in parts[1:]:
        parts[0] += other
    return parts[0]


def each_part(part: Callable, count: int, threads: int) -> list:
    """``part(first, last)`` of so many things, in as many parts as there are threads."""
    threads = max(1, min(threads, count))
    ends = [count * n // threads for n in range(threads + 1)]
    if threads == 1:
        return [part(0, count)]
    return list(pool(threads).map(part, ends[:-1], ends[1:]))


# ---- tables, a shape ----------------------------------------------------------------------------


@lru_cache(PLANS)
def plan_of_inputs(errors: tuple, weights: tuple, padding: Pair, dilation: Pair) -> Plan:
    """Gradients of inputs, from the shapes of errors and weights."""
    samples, *size, outputs = errors
    _, inputs, *kernel = weights
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    border = [max(0, r - p) for r, p in zip(reach, padding, strict=True)]  # of zeros
    skipped = [max(0, p - r) for r, p in zip(reach, padding, strict=True)]  # pixels of errors
    rows, columns = sizes((size[0], size[1]), (kernel[0], kernel[1]), padding, dilation)
    pairs = -(-outputs // 2)
    pixel = 2 * PAIR_BYTES * pairs
    line = (size[1] + 2 * border[1]) * pixel
    whole = (size[0] + 2 * border[0]) * line
    group = max(1, min(samples, PIXELS // (rows * columns)))
    framed, dense = any(border) or outputs % 2, outputs % 2 == 0
    start = grid((group, whole), (rows, line), (columns, pixel))
    start += skipped[0] * line + skipped[1] * pixel
    taps = [(k, -d * step) for k, d, step in zip(kernel, dilation, (line, pixel), strict=True)]
    offsets = grid(*taps, (pairs, WORD)) + reach[0] * line + reach[1] * pixel
    tables, panel = product(start, offsets, inputs, inputs * SUM_BYTES)
    fields = {
        "operation": INPUTS,
        "words": offsets.size,
        "block_count": len(tables["blocks"]),
        "samples": samples,
        "group": group,
        "sample": size[0] * size[1] * outputs * PAIR_BYTES,
        "lines": size[0] if framed else 0,
        "pieces": 1 if dense else size[1],
        "piece": PAIR_BYTES * outputs * (size[1] if dense else 1),
        "inner": border[0] * line + border[1] * pixel,
        "line_step": line,
        "piece_step": pixel,
        "map_step": whole,
        "row_count": rows * columns,
        "columns": inputs,
        "taps": kernel[0] * kernel[1],
        "outputs": outputs,
    }
    return Plan(fields, tables, {"panel": panel, "map": group * whole if framed else 0})


@lru_cache(PLANS)
def plan_of_weights(
    errors: tuple, inputs: tuple, kernel: Pair, padding: Pair, dilation: Pair
) -> Plan:
    """Gradients of weights, from the shapes of errors and inputs."""
    samples, *size, outputs = errors
    _, *outer, channels = inputs
    tall, wide = (n + 2 * p for n, p in zip(outer, padding, strict=True))
    spots = tall * wide
    rows, columns = size if size[1] != wide else (1, size[0] * size[1])  # one run where it can be
    # A plane is an odd number of 64 bytes, so that planes do not meet in the processor's cache.
    plane = VECTOR_BYTES * (-(-(spots + 2) * PAIR_BYTES // VECTOR_BYTES) | 1)
    plane = plane if spots > 1 else PAIR_BYTES
    steps = [d * step * PAIR_BYTES for d, step in zip(dilation, (wide, 1), strict=True)]
    start = grid((channels, plane), *zip(kernel, steps, strict=True))
    offsets = grid((rows, wide * PAIR_BYTES), (-(-columns // 2), WORD))
    tables, panel = product(start, offsets, outputs)
    planes = vectors_of(channels) * LANES * plane + SLACK
    group = max(1, min(samples, NEAR // (planes + panel)))
    fields = {
        "operation": WEIGHTS,
        "samples": samples,
        "group": group,
        "planes_step": planes,
        "panel_step": panel,
        "words": offsets.size,
        "block_count": len(tables["blocks"]),
        "sample": outer[0] * outer[1] * channels,
        "lines": outer[0],
        "pieces": 1,
        "piece": outer[1] * channels,
        "inner": (padding[0] * wide + padding[1]) * channels,
        "line_step": wide * channels,
        "plane_step": plane,
        "spots": spots,
        "inputs": channels,
        "row_count": start.size,
        "columns": outputs,
        "error_rows": rows,
        "error_columns": columns,
        "outputs": outputs,
    }
    memory = {
        "panel": group * panel,
        "planes": group * planes,
        "map": (spots + LANES) * channels + SLACK,
        "target": len(tables["vectors"]) * tables["rows"].size * LANES * SUM_BYTES,
    }
    return Plan(fields, tables, memory)


@lru_cache(PLANS)
def plan_of_biases(errors: tuple) -> Plan:
    """Gradients of biases, from the shape of errors."""
    samples, rows, columns, outputs = errors
    fields = {
        "operation": BIASES,
        "samples": samples,
        "error_rows": rows * columns,
        "error_columns": 1,
        "outputs": outputs,
    }
    return Plan(fields, {}, {"target": vectors_of(outputs) * LANES * SUM_BYTES})


def sizes(size: Pair, kernel: Pair, padding: Pair, dilation: Pair) -> list[int]:
    """Rows and columns of the inputs, from those of the errors."""
    return [
        n + d * (k - 1) - 2 * p
        for n, d, k, p in zip(size, dilation, kernel, padding, strict=True)
    ]  # fmt: skip


def vectors_of(channels: int) -> int:
    """As many as hold them."""
    return -(-channels // LANES)


def grid(*axes: Pair) -> np.ndarray:
    """int64 [number of the first axis, ...], in one: sums of number * step; axes: (count, step)."""
    total = np.zeros((), np.int64)
    for count, step in axes:
        total = total[..., None] + step * np.arange(count)
    return total.reshape(-1)


def product(
    rows: np.ndarray, offsets: np.ndarray, columns: int, stride: int | None = None
) -> tuple[dict[str, np.ndarray], int]:
    """(tables, by the fields of a job that have their addresses; bytes of the panel).

    ``stride``: bytes between rows of the target; without, it has one block after the other.
    """
    vectors = vectors_of(columns)
    three = vectors % 2 and vectors >= VECTORS
    widths = [VECTORS] * three + [2] * ((vectors - VECTORS * three) // 2)
    widths += [1] * (vectors - sum(widths))
    blocks: list[tuple[int, ...]] = []
    lines = rows.size + LARGEST_TILE
    places: list[tuple[int, int]] = []
    for width in widths:
        first = len(places)
        start = first * offsets.size * VECTOR_BYTES
        column = first * LANES * SUM_BYTES  # bytes
        own = (column, stride) if stride else (column * lines, width * LANES * SUM_BYTES)
        blocks.append((width, start, first * LANES, *own))
        places += [(start + n * VECTOR_BYTES, width * VECTOR_BYTES) for n in range(width)]
    tables: dict[str, np.ndarray] = {
        "rows": np.pad(rows, (0, LARGEST_TILE), mode="edge").astype(np.int32),
        "offsets": offsets.astype(np.int32),
        "blocks": np.array(blocks, np.int64),
        "vectors": np.array(places, np.int64),
    }
    return tables, vectors * offsets.size * VECTOR_BYTES
