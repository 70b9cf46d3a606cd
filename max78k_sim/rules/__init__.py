"""What a network may be: RULES, one row a limit, from the vendor's chapters and its generator.

A message names the layer, the field, the value, the limit and, where there is one, a value that
works.  In words: docs/rules.md.
"""

from __future__ import annotations

from ..errors import InputError, Max78kError
from ..layer import Layer
from . import buffers, elsewhere, memory, sizes, streams, values
from .rule import LIMITATIONS, PROJECT, Checked, Rule, layer_error
from .sizes import KERNEL_SHAPES, PADDINGS

__all__ = [
    "KERNEL_SHAPES",
    "PADDINGS",
    "RULES",
    "Checked",
    "Rule",
    "check_network",
    "fault",
    "faults",
]

HAS_LAYERS = Rule(
    "has-layers", PROJECT, "A network has at least one layer.", InputError, where="rules"
)
LAYER_COUNT = Rule(
    "layer-count", LIMITATIONS, "A network has at most 32 layers.", where="rules"
)  # fmt: skip
LAYER_RULES = (*sizes.RULES, *memory.RULES, *values.RULES, *streams.RULES, *buffers.RULES)
RULES = (HAS_LAYERS, LAYER_COUNT, *LAYER_RULES, *elsewhere.RULES)
BY_NAME = {rule.name: rule for rule in RULES}


def fault(network: Checked, layer: Layer, rule: str, message: str) -> Max78kError:
    """The error for one layer that breaks a rule which is enforced elsewhere."""
    return layer_error(network, layer, BY_NAME[rule], message)


def check_network(network: Checked) -> None:
    """Raise the first rule that the network breaks."""
    found = faults(network, first=True)
    if found:
        raise found[0]


def faults(network: Checked, first: bool = False) -> list[Max78kError]:
    """Every rule that the network breaks, layer by layer (or only the first), as errors.

    ``network`` need not be a checked Network: ``network.Draft`` is one whose rules are open.
    """
    found = count_faults(network)
    for layer in network.layers:
        for rule in LAYER_RULES if not found or not first else ():
            assert rule.check is not None
            broken = [
                layer_error(network, layer, rule, text) for text in rule.check(network, layer)
            ]
            found += broken
            if broken and (rule.basic or first):
                break
    return found


def count_faults(network: Checked) -> list[Max78kError]:
    """No layers, or too many."""
    count, most = len(network.layers), network.device.limits.layers
    if not count:
        message = "the network has no layers; 'layers' needs at least one"
        return [InputError(message, file=network.file, rule=HAS_LAYERS.name)]
    if count > most:
        text = (
            f"{count} layers: {network.device.name} runs at most {most} (--stop-after {most - 1})"
        )
        return [layer_error(network, network.layers[most], LAYER_COUNT, text)]
    return []
