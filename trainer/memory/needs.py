"""What the backward pass of some trained layers needs: tensors whole, clip masks, kernels.

The pass goes from the loss at the last layer down to the earliest trained one, through the layers
that lie between a trained layer and the output.  A tensor is the network's input or what one layer
writes; two layers that need it need one tensor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.layer import DATA_BUFFER, NETWORK_INPUT
from max78k_sim.network import Layer, Network

WIDE = 32  # bits of an output that is neither shifted nor clipped
LINEAR_ELTWISE = ("add", "sub")


@dataclass(frozen=True)
class Need:
    """What one layer's backward reads.

    ``inputs``: numbers of the tensors that it needs whole (layer indices, NETWORK_INPUT); ``mask``:
    which of its outputs lie strictly inside the range; ``passes_down``: the error goes on to a
    layer below, through its kernels if it has any.
    """

    layer: Layer
    weights: bool  # are trained
    bias: bool
    inputs: tuple[int, ...]
    mask: bool
    passes_down: bool


@dataclass(frozen=True)
class Tensor:
    """One tensor that backward reads: ``number`` is a layer's index or NETWORK_INPUT.

    ``whole``: its values are needed; otherwise only its clip mask is, a bit an element.
    """

    number: int
    name: str
    elements: int
    bits: int
    whole: bool

    @property
    def bytes(self) -> int:
        """That a copy takes: of the values, or of the mask."""
        return -(-self.elements * (self.bits if self.whole else 1) // 8)


@dataclass(frozen=True)
class Needs:
    """``layers``: from the last one down; ``tensors``: by ascending number."""

    layers: tuple[Need, ...]
    tensors: tuple[Tensor, ...]

    @cached_property
    def uses(self) -> tuple[int, ...]:
        """Numbers of the tensors in the order in which backward reads them, repeats included."""
        order: list[int] = []
        for position, need in enumerate(self.layers):
            if need.mask or position == 0:
                order.append(need.layer.index)
            order += need.inputs
        return tuple(order)

    @property
    def first(self) -> Layer:
        """The earliest trained layer."""
        return self.layers[-1].layer


def find_needs(network: Network, trained: Iterable[str], biases: Iterable[str] = ()) -> Needs:
    """What backward needs when the weights and biases of ``trained`` layers are learned.

    ``biases``: layers of which the bias alone is trained; their input is not needed for it.
    InputError for layers that do not exist, have no weights or do not lead to the output;
    NotEmulated where the error would pass what has no derivative here.
    """
    weighted, biased = indices(network, trained), indices(network, biases)
    chosen = weighted | biased
    if not chosen:
        names = ", ".join(layer.name for layer in network.layers if layer.has_kernels)
        raise InputError(f"no layer is trained; name one or more of: {names}")
    active = active_layers(network, chosen)
    layers = tuple(
        need_of(network, network.layers[index], active, weighted, biased)
        for index in sorted(active, reverse=True)
    )
    return Needs(layers, tuple(tensors_of(network, layers)))


def indices(network: Network, names: Iterable[str]) -> set[int]:
    """Layers by name; InputError for one without weights."""
    chosen = [network.layer(name) for name in names]
    for layer in chosen:
        if not layer.has_kernels:
            raise InputError(
                f"layer {layer.name} ({layer.op}) has no weights that could be trained"
            )
    return {layer.index for layer in chosen}


def active_layers(network: Network, chosen: Collection[int]) -> set[int]:
    """Layers that the error reaches on its way down to a trained one."""
    last = len(network.layers) - 1
    leads = {last}
    for layer in reversed(network.layers):
        if layer.index in leads:
            leads |= {source for source in layer.sources if source >= 0}
    for index in sorted(chosen):
        if index not in leads:
            name, output = network.layers[index].name, network.layers[last].name
            raise InputError(
                f"layer {name} cannot be trained: its output does not reach {output}, the last "
                "layer, whose output the loss is of"
            )
    active: set[int] = set()
    for layer in network.layers:
        if layer.index in chosen or active.intersection(layer.sources):
            active.add(layer.index)
    return active & leads


def need_of(
    network: Network, layer: Layer, active: set[int], weighted: set[int], biased: set[int]
) -> Need:
    """One layer's needs."""
    refuse_unknown(layer, passes_down := bool(active.intersection(layer.sources)))
    pools = layer.pool != (1, 1)
    winners = pools and not layer.pool_average
    in_flight = bool(layer.eltwise) and (layer.has_kernels or (pools and not layer.pool_first))
    signs = layer.activation == "abs"  # are not stored: the sums are computed again
    whole = layer.index in weighted or signs or (passes_down and (winners or in_flight))
    clips = layer.has_kernels or bool(layer.eltwise) or layer.activation is not None
    return Need(
        layer,
        weights=layer.index in weighted,
        bias=layer.index in weighted | biased and has_bias(network, layer),
        inputs=tuple(dict.fromkeys(layer.sources)) if whole else (),
        mask=clips and layer.output_bits != WIDE,
        passes_down=passes_down,
    )


def has_bias(network: Network, layer: Layer) -> bool:
    """Whether a layer has a bias, as far as is known without a checkpoint."""
    parameters = network.parameters[layer.index]
    return parameters is None or parameters.bias is not None


def refuse_unknown(layer: Layer, passes_down: bool) -> None:
    """NotEmulated where no rule says how the error passes."""
    reason = ""
    if DATA_BUFFER in layer.sources or layer.buffer_shift or layer.buffer_insert:
        reason = "it uses a rolling buffer, which holds the samples before"
    elif passes_down and layer.eltwise and layer.eltwise not in LINEAR_ELTWISE:
        reason = f"element-wise {layer.eltwise} has no derivative; train layers after it"
    if reason:
        raise NotEmulated(f"training through layer {layer.name}: {reason}")


def tensors_of(network: Network, layers: tuple[Need, ...]) -> list[Tensor]:
    """The tensors that these layers need, each once."""
    whole = {number for need in layers for number in need.inputs} | {layers[0].layer.index}
    masks = {need.layer.index for need in layers if need.mask}
    tensors = []
    for number in sorted(whole | masks):
        if number == NETWORK_INPUT:
            elements = int(np.prod(network.input_shape))
            tensors.append(Tensor(number, "the network's input", elements, 8, True))
            continue
        layer = network.layers[number]
        if network.streams_into_next(layer):
            raise NotEmulated(
                f"training needs the output of layer {layer.name}, which is streamed into "
                f"{network.layers[number + 1].name} and lies nowhere whole; train later layers "
                "only, or remove streaming"
            )
        elements = layer.out_channels * layer.out_size[0] * layer.out_size[1]
        tensors.append(Tensor(number, layer.name, elements, layer.output_bits, number in whole))
    return tensors
