"""One measurement, and how seconds are taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Name = TypeVar("Name")


@dataclass(frozen=True)
class Figure:
    """One measurement; ``goal`` (same unit) is asserted where it is given, as the most that it may
    be, or with ``at_least`` the least.  ``value`` None: could not be measured, which misses."""

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the goal, if there is one, was reached."""
        if self.goal is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def goal_text(self) -> str:
        """ "≤ 5 ms"; nothing without a goal."""
        sign = "≥" if self.at_least else "≤"
        return "" if self.goal is None else f"{sign} {self.goal:g} {self.unit}".strip()

    @property
    def value_text(self) -> str:
        """ "0.431 ms"."""
        return "not measured" if self.value is None else f"{digits(self.value)} {self.unit}".strip()


def digits(value: float) -> str:
    """Three digits that count: 12,345, 123, 12.3, 1.23, 0.123."""
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{places}f}"


def best(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several calls."""
    return min(seconds(work) for _ in range(times))


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(
    works: dict[Name, Callable[[], object]],
    spent: dict[Name, float] | None = None,
    budget: float = 0.5,
    most: float = 4.0,
) -> dict[Name, float]:
    """Best seconds of one call of each, taken in turns so that noise meets all alike.

    A work has ``budget`` seconds and at least three turns, unless those take more than ``most``
    seconds.  ``spent``: seconds of a call that each has done already, its first turn.
    """
    spent = dict(spent) if spent else dict.fromkeys(works, 0.0)
    found = {name: each or float("inf") for name, each in spent.items()}
    turns = {name: int(each > 0) for name, each in spent.items()}

    def unfinished(name: Name) -> bool:
        return spent[name] < (budget if turns[name] >= 3 else most)

    while waiting := [name for name in works if unfinished(name)]:
        for name in waiting:
            start = time.perf_counter()
            found[name] = min(found[name], turn(works[name]))
            spent[name] += time.perf_counter() - start
            turns[name] += 1
    return found


def turn(work: Callable[[], object], at_least: float = 0.01) -> float:
    """Best seconds of the calls that fit in 10 ms, or of the one that does not.

    The first call meets what the work before left behind (caches, threads that still spin).
    """
    end = time.perf_counter() + at_least
    fastest = seconds(work)
    while time.perf_counter() < end:
        fastest = min(fastest, seconds(work))
    return fastest
