"""Exact gradients of convolutions with stride 1, of whole batches, from int16 errors.

Maps are [sample, row, column, channel]; a 1-D map has one row, a linear layer's map is 1x1, and so
is its kernel.  Products and sums are integers of 32 bits, the same on every path and for any
number of threads.  ``backward`` has the code; here are its jobs, and the tables of each shape.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from . import choose_path
from .backward import INPUTS, JOB, PACK, TOTALS, WEIGHTS
from .native import BACKWARD, loaded
from .pairs import ROWS, VECTOR_BYTES, VECTORS, WORD
from .steps import LANES, SLACK, SUM_BYTES

Pair = tuple[int, int]  # of rows, of columns
PAIR_BYTES = 2  # of an int16
PIXELS = 256  # of a group of samples, about: tiles of a product are then nearly full
LARGEST_TILE = max(max(rows) for rows in ROWS.values())
LARGEST_SHIFT = 31
INPUT_OF_BIAS = 128  # a bias is the weight of it
PLANS = 256  # shapes whose tables are kept


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on shapes only: fields of a job, tables that it points to, bytes of work."""

    fields: dict[str, int]
    tables: tuple[np.ndarray, ...]  # int32 or int64; fields have their addresses
    work: dict[str, int]  # bytes, of memory that starts as zeros, by the field with its address


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
    samples, inputs = len(errors), weights.shape[1]
    size = [
        n + d * (k - 1) - 2 * p
        for n, d, k, p in zip(errors.shape[1:3], dilation, weights.shape[2:], padding, strict=True)
    ]
    gradients = np.empty((samples, *size, inputs), np.int32)
    panel = np.zeros(plan.work["panel"], np.uint8)
    run, fields = loaded(choose_path(path), BACKWARD), {
        **plan.fields,
        "data": errors.ctypes.data,
        "weights": weights.ctypes.data,
        "panel": panel.ctypes.data,
        "target": gradients.ctypes.data,
    }  # fmt: skip
    execute(run, fields | {"operation": PACK})

    def part(first: int, last: int) -> None:
        work = np.zeros(plan.work["map"], np.uint8)
        execute(run, fields | {"first": first, "last": last, "map": work.ctypes.data})

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
    run, fields = loaded(choose_path(path), BACKWARD), {
        **plan.fields,
        "data": inputs.ctypes.data,
        "errors": errors.ctypes.data,
        "shifts": shifts.ctypes.data,
        "limit": limit,
    }  # fmt: skip

    def part(first: int, last: int) -> np.ndarray:
        work = {name: np.zeros(size, np.uint8) for name, size in plan.work.items()}
        places = {name: array.ctypes.data for name, array in work.items()}
        execute(run, fields | places | {"first": first, "last": last})
        return work["target"].view(np.int32)

    results = each_part(part, len(errors), threads)
    total = results[0]
    for other in results[1:]:
        total += other
    columns = plan.fields["stride"] // SUM_BYTES
    count, channels = plan.fields["row_count"], errors.shape[3]
    sums = total.reshape(-1, columns)[:count, :channels]
    return np.ascontiguousarray(sums.T).reshape(channels, inputs.shape[3], *kernel)


def bias_gradients(
    errors: np.ndarray, shifts: np.ndarray, limit: int, path: str | None = None
) -> np.ndarray:
    """Gradients of biases, int32 [out]: those of a weight whose input is 128 everywhere."""
    errors, shifts = exactly(errors, np.int16), checked(shifts)
    samples, rows, columns, outputs = errors.shape
    sums = np.empty((samples, outputs), np.int32)
    fields = {
        "operation": TOTALS,
        "last": samples,
        "errors": errors.ctypes.data,
        "error_rows": rows * columns,
        "outputs": outputs,
        "target": sums.ctypes.data,
    }
    execute(loaded(choose_path(path), BACKWARD), fields)
    right = np.maximum(shifts, 0)[:, None]
    scaled = (INPUT_OF_BIAS * sums.astype(np.int64)) << np.maximum(-shifts, 0)[:, None].clip(0, 31)
    scaled = (scaled + ((1 << right) >> 1)) >> right
    return np.clip(scaled, -limit, limit).sum(axis=0).astype(np.int32)


# ---- jobs ---------------------------------------------------------------------------------------


def exactly(array: np.ndarray, kind: type) -> np.ndarray:
    """Contiguous; TypeError where values might not fit."""
    return np.asarray(array).astype(kind, order="C", casting="safe", copy=False)


def checked(shifts: np.ndarray) -> np.ndarray:
    """int64; ValueError where a shift is not one of 32 bits."""
    shifts = exactly(shifts, np.int64)
    if (abs(shifts) > LARGEST_SHIFT).any():
        raise ValueError(f"shifts go from -{LARGEST_SHIFT} to {LARGEST_SHIFT}, not {shifts}")
    return shifts


def execute(run: Callable[[int], None], fields: dict[str, int]) -> None:
    """Run one job."""
    job = np.array([fields.get(name, 0) for name in JOB], np.int64)
    run(job.ctypes.data)


def each_part(part: Callable, count: int, threads: int) -> list:
    """``part(first, last)`` of so many things, in as many parts as there are threads."""
    threads = max(1, min(threads, count))
    ends = [count * n // threads for n in range(threads + 1)]
    if threads == 1:
        return [part(0, count)]
    return list(pool(threads).map(part, ends[:-1], ends[1:]))


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work."""
    return ThreadPoolExecutor(threads)


# ---- tables, a shape ----------------------------------------------------------------------------


@lru_cache(PLANS)
def plan_of_inputs(errors: tuple, weights: tuple, padding: Pair, dilation: Pair) -> Plan:
    """Gradients of inputs, from the shapes of errors and weights."""
    samples, *size, outputs = errors
    _, inputs, *kernel = weights
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    border = [max(0, r - p) for r, p in zip(reach, padding, strict=True)]  # of zeros
    skipped = [max(0, p - r) for r, p in zip(reach, padding, strict=True)]  # pixels of errors
    rows, columns = (n + r - 2 * p for n, r, p in zip(size, reach, padding, strict=True))
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
    fields, tables, panel = product(start, offsets, inputs)
    fields |= {
        "operation": INPUTS,
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
        "stride": inputs * SUM_BYTES,
        "taps": kernel[0] * kernel[1],
        "outputs": outputs,
    }
    return Plan(fields, tables, {"panel": panel, "map": group * whole if framed else 0})


@lru_cache(PLANS)
def plan_of_weights(
    errors: tuple, inputs: tuple, kernel: Pair, padding: Pair, dilation: Pair
) -> Plan:
    """Gradients of weights, from the shapes of errors and inputs."""
    _, *size, outputs = errors
    _, *outer, channels = inputs
    tall, wide = (n + 2 * p for n, p in zip(outer, padding, strict=True))
    spots = tall * wide
    rows, columns = size if size[1] != wide else (1, size[0] * size[1])  # one run where it can be
    # A plane is an odd number of 64 bytes, so that planes do not meet in the processor's cache.
    plane = VECTOR_BYTES * (-(-(spots + 2) * PAIR_BYTES // VECTOR_BYTES) | 1)
    steps = [d * step * PAIR_BYTES for d, step in zip(dilation, (wide, 1), strict=True)]
    start = grid((channels, plane), *zip(kernel, steps, strict=True))
    offsets = grid((rows, wide * PAIR_BYTES), (-(-columns // 2), WORD))
    fields, tables, panel = product(start, offsets, outputs)
    vectors = fields["vector_count"]
    fields |= {
        "operation": WEIGHTS,
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
        "stride": vectors * LANES * SUM_BYTES,
        "error_rows": rows,
        "error_columns": columns,
        "outputs": outputs,
    }
    work = {
        "panel": panel,
        "map": (spots + LANES) * channels + SLACK,
        "planes": -(-channels // LANES) * LANES * plane + SLACK,
        "target": (start.size + LARGEST_TILE) * fields["stride"],
    }
    return Plan(fields, tables, work)


def grid(*axes: Pair) -> np.ndarray:
    """int64 [number of the first axis, ...], in one: sums of number * step; axes: (count, step)."""
    total = np.zeros((), np.int64)
    for count, step in axes:
        total = total[..., None] + step * np.arange(count)
    return total.reshape(-1)


def product(
    rows: np.ndarray, offsets: np.ndarray, columns: int
) -> tuple[dict[str, int], tuple[np.ndarray, ...], int]:
    """(fields of a job, the tables that they point to, bytes of the panel)."""
    vectors = -(-columns // LANES)
    three = vectors % 2 and vectors >= VECTORS
    widths = [VECTORS] * three + [2] * ((vectors - VECTORS * three) // 2)
    widths += [1] * (vectors - sum(widths))
    blocks: list[tuple[int, int, int]] = []
    places: list[tuple[int, int]] = []
    for width in widths:
        first = len(places)
        start = first * offsets.size * VECTOR_BYTES
        blocks.append((width, start, first * LANES))
        places += [(start + n * VECTOR_BYTES, width * VECTOR_BYTES) for n in range(width)]
    tables: dict[str, np.ndarray] = {
        "rows": np.pad(rows, (0, LARGEST_TILE), mode="edge").astype(np.int32),
        "offsets": offsets.astype(np.int32),
        "blocks": np.array(blocks, np.int64),
        "vectors": np.array(places, np.int64),
    }
    fields = {name: table.ctypes.data for name, table in tables.items()}
    fields |= {"words": offsets.size, "block_count": len(widths), "vector_count": vectors}
    return fields, tuple(tables.values()), vectors * offsets.size * VECTOR_BYTES
