"""A memory plan in sentences: what was chosen, why, and what the other ways would have cost."""

from __future__ import annotations

from max78k_sim.latency import milliseconds

from .plan import MemoryPlan, Source

PLAIN = {  # scheme -> what it means
    "in place": "lies unharmed in data memory after the run",
    "re-planned": "lies unharmed in data memory with the changed offsets",
    "stashed": "is copied into SRAM",
    "run again": "is computed again when backward needs it",
    "kept sample": "is the sample, which the processor keeps",
}


def explain(plan: MemoryPlan) -> list[str]:
    """Sentences, in the order in which a person asks; times are estimates."""
    trained = [need.layer.name for need in plan.needs.layers if need.weights or need.bias]
    lines = [f"Training {', '.join(reversed(trained))}: backward reads {count(plan)}."]
    lines += [source_line(source) for source in plan.sources]
    for move in plan.changes:
        lines.append(
            f"{move.layer}: in_offset 0x{move.in_offset:04x}, out_offset 0x{move.out_offset:04x}."
        )
    lines.append(runs_line(plan))
    taken = sum(plan.sram.values())
    lines.append(f"SRAM: {taken:,} of {plan.budget:,} bytes ({sram_text(plan)}).")
    lines.append(
        f"Over the bus, {plan.bus_words:,} words are read for a sample, the kernels through which "
        "the error passes included."
    )
    lines += alternative_lines(plan)
    return lines


def count(plan: MemoryPlan) -> str:
    """How many tensors."""
    whole = sum(tensor.whole for tensor in plan.needs.tensors)
    masks = len(plan.needs.tensors) - whole
    text = f"{whole} tensor{'s' * (whole != 1)}"
    return text + (f" and {masks} clip mask{'s' * (masks != 1)}" if masks else "")


def source_line(source: Source) -> str:
    """One tensor."""
    place = f" (0x{source.address:08x})" if source.address is not None else ""
    cost = f", {source.bytes:,} bytes of SRAM" if source.bytes else ""
    words = f", {source.words:,} words read" if source.words else ""
    return f"{source.tensor} {PLAIN[source.scheme]}{place}{cost}{words}: {source.reason}."


def runs_line(plan: MemoryPlan) -> str:
    """The accelerator's runs."""
    layers = plan.plan.network.layers
    each = ", ".join(
        f"{layers[run.first].name} to {layers[run.last].name} ({run.purpose})" for run in plan.runs
    )
    total = milliseconds(plan.accelerator_cycles)
    return (
        f"The accelerator runs {plan.accelerator_runs} times for a sample, {total:.2f} ms "
        f"(estimate): {each}."
        if plan.accelerator_runs > 1
        else f"The accelerator runs once for a sample, {total:.2f} ms (estimate)."
    )


def sram_text(plan: MemoryPlan) -> str:
    """By purpose, what is not 0."""
    return ", ".join(f"{name} {size:,}" for name, size in plan.sram.items() if size) or "nothing"


def alternative_lines(plan: MemoryPlan) -> list[str]:
    """The plain ways, where there was a choice."""
    if len(plan.alternatives) < 2:
        return []
    return [
        f"{way.name}: {way.milliseconds:.2f} ms (estimate: runs and bus), {way.bytes:,} bytes of "
        f"SRAM, {way.words:,} words{'' if way.fits else '; more SRAM than is left'}."
        for way in plan.alternatives
    ]
