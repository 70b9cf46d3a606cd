"""What pretraining reads and writes: a description for torch, and the vendor's files."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from max78k_sim.devices import MAX78000
from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluator
from max78k_sim.layer_builder import Options, layer_name
from max78k_sim.loading import build_network as build_description
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.network import Network
from max78k_sim.overrides import given
from max78k_sim.program import compile_network
from max78k_sim.yaml_reader import Description, LayerDescription, read_description

from ..data.streams import Dataset
from .network import ChipNetwork, IntegerLayer, build_network
from .recipe import Policy


@dataclass(frozen=True, eq=False)
class Plan:
    """A description, ready to be trained: what is to be learnt of which layers, how quantised."""

    config_file: str
    text: str  # of the description, as it will be written again
    network: Network
    shifts: dict[str, int]  # total ones that the description gives, by layer
    quantiles: dict[str, float]  # shares of weights that the shift leaves unclipped, by layer

    def build(self) -> ChipNetwork:
        """The network in float, for torch."""
        return build_network(self.network, self.shifts, self.quantiles)


def read_plan(config_file: str | Path, policy: Policy, shape: tuple, classes: int) -> Plan:
    """A description with the widths that a policy asks for, for samples (channel, row, column).

    Raises InputError or HardwareLimit for what the chip cannot run or torch cannot train.
    """
    description = with_widths(read_description(config_file), policy)
    last = description.layers[-1]
    if "out_channels" not in last.values:
        last = given(last, "out_channels", classes)
        description = replace(description, layers=(*description.layers[:-1], last))
    network = build_description(description, None, MAX78000, shape, Options())
    if network.input_shape != tuple(shape):
        wanted, found = ("x".join(map(str, each)) for each in (network.input_shape, shape))
        raise InputError(f"takes samples {wanted}, the data are {found}", file=config_file)
    if network.output_shape[0] < classes:
        message = f"{network.output_shape[0]} outputs for {classes} classes"
        raise InputError(message, file=config_file, line=last.line)
    entries = [(layer_name(entry, n), entry) for n, entry in enumerate(description.layers)]
    shifts = {
        name: layer.output_shift
        for (name, entry), layer in zip(entries, network.layers, strict=True)
        if "output_shift" in entry.values
    }
    asked = {name: policy.of(name, "shift_quantile") for name, _ in entries}
    quantiles = {name: share for name, share in asked.items() if share is not None}
    text = Path(config_file).read_text(encoding="utf-8")
    return Plan(str(config_file), text, network, shifts, quantiles)


def with_widths(description: Description, policy: Policy) -> Description:
    """The description with ``quantization`` in every layer: its own, the policy's, or 8 bits."""
    names = [layer_name(entry, number) for number, entry in enumerate(description.layers)]
    for name in policy.overrides:
        if name not in names:
            raise InputError(f"the policy overrides '{name}'; the layers are: {', '.join(names)}")
    entries = [
        with_width(entry, name, policy)
        for entry, name in zip(description.layers, names, strict=True)
    ]
    return replace(description, layers=tuple(entries))


def with_width(entry: LayerDescription, name: str, policy: Policy) -> LayerDescription:
    """One layer with its width; InputError where an override is not what the description says."""
    override = policy.overrides.get(name, {}).get("weight_bits")
    own = entry.get("quantization")
    if None not in (own, override) and own != override:
        raise InputError(
            f"{name}: quantization {own} in the description, weight_bits {override} in the policy; "
            "leave one of them out"
        )
    bits = own or override or policy.weight_bits or 8
    return given(entry, "quantization", bits)


# ---- writing ------------------------------------------------------------------------------------


def export(directory: Path, plan: Plan, layers: tuple[IntegerLayer, ...], test: Dataset,
           notes: dict) -> float:  # fmt: skip
    """Write the network, and one test sample with the output that the chip gives for it.

    ``notes``: see ``checkpoint``.  Returns the accuracy of the chip as these files make it, 0 to 1.
    """
    write_network(directory, plan, layers, notes)
    machine = read_machine(directory)
    np.save(directory / "sample.npy", test.images[0].astype(np.int64))
    np.save(directory / "expected.npy", machine.run(test.images[0]).reshape(-1))
    counted = Evaluator(machine, torch.get_num_threads()).evaluate([(test.images, test.labels)])
    return counted.of(range(len(test.class_names)))


def write_network(
    directory: Path, plan: Plan, layers: tuple[IntegerLayer, ...], notes: dict
) -> None:
    """network.yaml, as it was given, and checkpoint.pth.tar."""
    (directory / "network.yaml").write_text(plan.text, encoding="utf-8")
    torch.save(checkpoint(plan, layers, notes), directory / "checkpoint.pth.tar")


def read_machine(directory: Path) -> Machine:
    """The chip with the network that ``write_network`` wrote, by nothing but its files."""
    network = load_network(directory / "network.yaml", directory / "checkpoint.pth.tar")
    machine = Machine()
    machine.load(compile_network(network))
    return machine


def checkpoint(plan: Plan, layers: tuple[IntegerLayer, ...], notes: dict) -> dict:
    """The vendor's quantised checkpoint: float32 tensors that hold integers.

    A bias stands there times 2**(bits - 1), a shift without the 8 - bits that the chip adds.  The
    shift of a 32-bit output gives its scale (real weight = weight * 2**shift / 128); the chip does
    not use it.  ``notes``: epoch, and for the extras accuracy (0 to 1), seed, holdout_class.
    """
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for layer in layers:
        settings = {"output_shift": layer.shift - (8 - layer.bits), "weight_bits": layer.bits,
                    "bias_bits": 8, "quantize_activation": 1, "adjust_output_shift": 0}  # fmt: skip
        for key, setting in settings.items():
            state[f"{layer.name}.{key}"] = torch.tensor([float(setting)])
        state[f"{layer.name}.op.weight"] = torch.from_numpy(layer.weight.astype(np.float32))
        bias = layer.bias.astype(np.float32) * (1 << layer.bits - 1)
        state[f"{layer.name}.op.bias"] = torch.from_numpy(bias)
    percent = round(100 * notes["accuracy"], 2)
    extras = {"current_top1": percent, "best_top1": percent}
    extras |= {key: notes[key] for key in ("seed", "holdout_class")}
    return {"epoch": notes["epoch"], "arch": plan.network.name, "state_dict": state,
            "extras": extras}  # fmt: skip
