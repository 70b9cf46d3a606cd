"""Whether a network fits and is legal: every problem found, and how much room is left.

``check`` computes; ``verbs/check.py`` prints.
"""

from __future__ import annotations

from dataclasses import dataclass

from .allocation import Plan, allocate
from .errors import Max78kError
from .latency import Latency, latency
from .network import Network
from .program import compile_network
from .report import MemoryUse, memory_use


@dataclass(frozen=True)
class Share:
    """How much of a memory a network takes: ``used`` of ``available`` ``unit``s, at ``place``."""

    name: str
    used: int
    available: int
    unit: str
    place: str = ""

    @property
    def left(self) -> int:
        """What is free."""
        return self.available - self.used


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was checked and what came of it; ``plan`` is None where the network is not legal.

    ``not_checked``: what could not be looked at, each with its reason.
    """

    network: Network | None
    plan: Plan | None
    problems: tuple[Max78kError, ...]
    warnings: tuple[str, ...]
    shares: tuple[Share, ...]
    latency: Latency | None
    not_checked: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


def check(network: Network | None, problems: list[Max78kError]) -> Verdict:
    """Place a network and write its program; nothing is run.

    ``problems``: what ``loading.find_faults`` found; ``network`` is None where it breaks a rule.
    """
    if network is None:
        return Verdict(None, None, tuple(problems), (), (), None, ())
    not_checked = []
    weights = all(
        network.parameters[layer.index] is not None for layer in network.layers if layer.has_kernels
    )
    if not weights:
        not_checked.append(
            "weights, biases and their memory: no checkpoint was given (--checkpoint-file)"
        )
    if not network.device.executes:
        not_checked.append(f"registers: {network.device.name} is known by its addresses only")
    if problems:
        return Verdict(network, None, tuple(problems), (), (), None, tuple(not_checked))
    ready = weights and network.device.executes
    plan = compile_network(network).plan if ready else allocate(network)
    return Verdict(
        network,
        plan,
        tuple(problems),
        plan.warnings,
        tuple(shares(plan, memory_use(plan))),
        latency(plan),
        tuple(not_checked),
    )


def shares(plan: Plan, use: MemoryUse) -> list[Share]:
    """Layers, kernel words (in all, and of the fullest processor), biases, data of an instance."""
    filled = (plan.kernel_map >= 0).sum(axis=1)
    fullest = int(filled.argmax())
    quadrant = max(range(len(use.bias_bytes)), key=lambda group: use.bias_bytes[group])
    instance = max(range(len(use.data_peak)), key=lambda number: use.data_peak[number])
    return [
        Share("layers", len(plan.network.layers), plan.device.limits.layers, "layers"),
        Share("kernels", use.kernel_words, use.kernel_words_available, "words"),
        Share(
            "kernels of one processor",
            int(filled[fullest]),
            plan.kernel_map.shape[1],
            "words",
            f"processor {fullest}",
        ),
        Share(
            "biases of one quadrant",
            use.bias_bytes[quadrant],
            use.bias_bytes_available,
            "bytes",
            f"quadrant {quadrant}",
        ),
        Share(
            "data of one instance",
            use.data_peak[instance],
            use.data_bytes_available,
            "bytes",
            f"instance {instance}, at once",
        ),
    ]
