"""Which cause explains a difference, best first; and what differences look like without one.

``causes.py`` has the causes that can be computed; here are the patterns that only can be seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .causes import CAUSES, FEW, LIKELY, Finding, Situation
from .recording import Record

SHOWN = 3  # causes that fit equally well; with few known values there are several


def find_causes(case: Situation, address: np.ndarray | None = None) -> tuple[Finding, ...]:
    """What explains the difference: causes that explain it all, or the best, or a pattern.

    ``address``: of every value of the layer, uint32, where it lies in memory.
    """
    if case.ours.shape != case.expected.shape:
        return (shape_finding(case),)
    found = [finding for finding in guesses(case) if finding.explained > 0]
    certain = [finding for finding in found if finding.certain]
    if certain:
        return tuple(certain[: 1 if case.known.all() else SHOWN])
    best = max(found, key=lambda finding: finding.explained, default=None)
    likely = best is not None and best.explained > LIKELY * best.different
    seen = pattern(case, address) if case.known.all() else None
    return tuple(finding for finding in (best if likely else None, seen) if finding)[:1]


def guesses(case: Situation) -> list[Finding]:
    """Every cause that could be tried, in the order of the table."""
    wrong = (case.ours != case.expected) & case.known
    different = int(wrong.sum())
    found = []
    for name, function in CAUSES:
        for sentence, output in function(case):
            if output is None or output.shape != case.expected.shape:
                continue
            right = (output == case.expected) & case.known
            gained = int((right & wrong).sum())
            spoilt = int((case.known & ~wrong & ~right).sum())
            certain = gained == different and not spoilt
            found.append(Finding(name, sentence, gained - spoilt, different, certain))
    return found


def shape_finding(case: Situation) -> Finding:
    """Another number of values: nothing can be compared one by one."""
    mine, theirs = case.ours.shape, case.expected.shape
    transposed = mine == (theirs[0], theirs[2], theirs[1])
    text = f"the reference has {theirs[0]}x{theirs[1]}x{theirs[2]}, here it is "
    text += f"{mine[0]}x{mine[1]}x{mine[2]} (channels, rows, columns)"
    text += ": rows and columns are exchanged" if transposed else ""
    return Finding("shape", text, 0, case.expected.size, False)


# --- patterns: what is seen, without knowing why


def channel_constant(case: Situation, _) -> str | None:
    """Every channel is off by a number of its own: a bias."""
    difference = case.expected - case.ours
    inside = (abs(case.ours) < 127) & (abs(case.expected) < 127) & (case.ours > 0)
    inside |= np.full(case.ours.shape, case.layer.output_bits == 32)
    if case.ours[0].size < 2 or not (inside & (difference != 0)).any():
        return None
    for plane, values in zip(inside, difference, strict=True):
        if plane.any() and len(np.unique(values[plane])) > 1:
            return None
    channel = int(np.argmax((inside & (difference != 0)).any(axis=(1, 2))))
    step = int(difference[channel][inside[channel]][0])
    return (
        "the difference is constant in each channel, as of another bias: "
        f"{step:+d} in channel {channel}"
    )


def dead_channels(case: Situation, _) -> str | None:
    """Some channels are zero in the reference, the others are right."""
    dead = ~case.expected.any(axis=(1, 2)) & case.ours.any(axis=(1, 2))
    if dead.any() and (case.expected == case.ours)[~dead].all():
        return (
            f"channels {named(np.asarray(dead))} are zero in the reference, the others are right: "
            "compare output_processors, and whether all kernels were loaded"
        )
    return None


def some_channels(case: Situation, _) -> str | None:
    """Whole channels are wrong, others are right."""
    wrong = (case.expected != case.ours).any(axis=(1, 2))
    if len(wrong) > 1 and not wrong.all():
        return (
            f"only channels {named(np.asarray(wrong))} differ: compare their kernels, their bias "
            "and output_processors"
        )
    return None


def off_by_one(case: Situation, _) -> str | None:
    """Rounding somewhere."""
    if abs(case.expected - case.ours).max() == 1:
        return (
            "no value is off by more than 1: rounding somewhere before; is the model quantised "
            "(quantize.py, simulate mode)?"
        )
    return None


def overwritten(case: Situation, address: np.ndarray | None) -> str | None:
    """The wrong values are few and lie in one place."""
    wrong = case.expected != case.ours
    if address is None or wrong.sum() > max(4, FEW * wrong.size):
        return None
    places = np.sort(address[wrong].astype(np.int64))
    if places[-1] - places[0] < 2 * 4 * len(places):
        return (
            f"the wrong values lie together, 0x{places[0]:08x} to 0x{places[-1]:08x}: was that "
            "overwritten by something else, or never written?"
        )
    return None


def named(channels: np.ndarray) -> str:
    """The numbers of some channels: the first few."""
    numbers = np.flatnonzero(channels).tolist()
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")


PATTERNS: tuple[tuple[str, Callable[[Situation, np.ndarray | None], str | None]], ...] = (
    ("bias", channel_constant),
    ("channels", dead_channels),
    ("overwritten", overwritten),
    ("channels", some_channels),
    ("rounding", off_by_one),
)


def pattern(case: Situation, address: np.ndarray | None) -> Finding | None:
    """The first pattern that is seen."""
    wrong = int((case.expected != case.ours).sum())
    for name, function in PATTERNS:
        sentence = function(case, address)
        if sentence:
            return Finding(name, sentence, 0, wrong, False)
    return None


def same_sums(record: Record, sums: np.ndarray | None) -> bool | None:
    """Whether the reference's accumulator is this one; None when it has none."""
    if sums is None or record.accumulator is None or sums.shape != record.accumulator.shape:
        return None
    return bool((sums == record.accumulator).all())
