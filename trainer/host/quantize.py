"""A trained checkpoint's real weights as the chip's integers: the vendor's rules, to the bit.

A weight w becomes floor(w * factor + 1/2), limited to ``bits`` bits.  Training with quantisation
in mind (the default, MAX_BIT_SHIFT) has factor = 2**(bits - 1) * 2**shift, the largest power of two
with which the largest weight or bias still fits; the chip shifts back by ``output_shift`` = -shift.
The other methods multiply by a number of their own and leave ``output_shift`` alone.

All in the precision of the tensor (float32), operation by operation as PyTorch has them, for the
rounding is part of the result (docs/quantization.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from max78k_sim.errors import InputError, printable

WEIGHT_BITS = (1, 2, 4, 8)
DEFAULT_BITS = 8
ACTIVATION_BITS = 8  # a bias is stored in units of 2**(ACTIVATION_BITS - 1), times the weights'
FEWEST_BITS_LEFT, MOST_BITS_LEFT = -7, 23  # of shift + bits
FROM_THE_WEIGHTS = "MAX_BIT_SHIFT"


@dataclass(frozen=True)
class Method:
    """How to quantise.  ``clip`` None: the shift follows from the weights (MAX_BIT_SHIFT)."""

    clip: str | None = None  # a key of CLIPS
    scale: float = 0.85  # of SCALE
    deviations: float = 2.0  # of STDDEV
    weight_bits: int | None = None  # of layers whose bits nothing else says; None: 8
    layer_bits: tuple[int | None, ...] | None = None  # of layers with weights, in order; above all
    round_up: bool = False  # the shift, as the vendor's tool did before it had shift_quantile

    def __post_init__(self):
        if self.clip is not None and self.clip not in CLIPS:
            raise InputError(f"no clipping method {self.clip!r}; there are: {', '.join(CLIPS)}")
        for name in ("scale", "deviations"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise InputError(f"{name} {value}: a number above 0, for example 1.0")
        for bits in (self.weight_bits, *(self.layer_bits or ())):
            if bits is not None and bits not in WEIGHT_BITS:
                raise InputError(f"weight bits {bits}: 1, 2, 4 or 8")


@dataclass(frozen=True)
class QuantisedLayer:
    """What became of one layer."""

    name: str
    bits: int
    factor: float  # that its weights were multiplied by
    largest: float  # weight or bias, absolute, before
    clipped: int  # weights that did not fit
    shift: int | None  # output_shift; None: left as it was
    trained_shift: int | None  # output_shift that was stored before; None: none


@dataclass(frozen=True)
class Quantised:
    """A new checkpoint, to be written, and a row for each layer."""

    root: dict[Any, Any]
    layers: tuple[QuantisedLayer, ...]


# --- factors --------------------------------------------------------------------------------------


def quantile(values: np.ndarray, share: float) -> np.floating:
    """The value below which ``share`` (0 to 1) of the values lie, interpolated; as torch.quantile.

    Everything in the type of ``values`` (1-D), but the product and the sum of the interpolation,
    which are rounded once.
    """
    ordered = np.sort(values)
    precise = values.dtype.type
    rank = precise(share) * precise(len(ordered) - 1)
    below, above = ordered[int(rank)], ordered[min(int(np.ceil(rank)), len(ordered) - 1)]
    weight = rank - precise(int(rank))
    near, part = (below, weight) if weight < 0.5 else (above, weight - precise(1))
    once = np.longdouble(part) * np.longdouble(above - below) + np.longdouble(near)
    return precise(once)


def bit_shift(values: np.ndarray, bits: int, share: float, rounded_up: bool = False) -> int:
    """The left shift with which the largest value (or the quantile ``share``) still fits.

    ``rounded_up``: one more, unless that value is a power of two; it is clipped then.
    """
    limit = quantile(np.abs(values), share)
    low, high = FEWEST_BITS_LEFT - bits, MOST_BITS_LEFT - bits
    if limit == 0:
        return high
    with np.errstate(over="ignore"):
        inverse = values.dtype.type(1) / limit
    logarithm = values.dtype.type(np.log2(np.float64(inverse)))  # rounded: 2**k less an ulp is k
    return int(np.clip(np.ceil(logarithm) if rounded_up else np.floor(logarithm), low, high))


def largest(values: np.ndarray) -> np.floating:
    """The largest absolute value."""
    return max(abs(values.min()), abs(values.max()))


def largest_on_average(values: np.ndarray) -> np.floating:
    """As ``largest``, of the means over output channels of their smallest and largest values."""
    rows = values.reshape(len(values), -1)
    return max(abs(mean(rows.min(axis=1))), abs(mean(rows.max(axis=1))))


def within_deviations(values: np.ndarray, deviations: float) -> np.floating:
    """As ``largest``, of what lies within that many standard deviations around the mean.

    Not a number for a single value.
    """
    precise = values.dtype.type
    if values.size == 1:
        return precise(np.nan)
    spread = precise(deviations) * precise(np.std(values, dtype=np.float64, ddof=1))
    middle = mean(values)
    low = max(values.min(), middle - spread)
    high = min(values.max(), middle + spread)
    return max(abs(low), abs(high))


def mean(values: np.ndarray) -> np.floating:
    """Summed in float64; PyTorch's sum in float32 depends on the processor, by a last bit."""
    return values.dtype.type(np.mean(values, dtype=np.float64))


Clip = Callable[[np.ndarray, Method], "np.floating | float"]
CLIPS: dict[str, Clip] = {
    "AVGMAX": lambda values, method: largest_on_average(values),
    "MAX": lambda values, method: largest(values),
    "STDDEV": lambda values, method: within_deviations(values, method.deviations),
    "SCALE": lambda values, method: method.scale,
}


def clip_factor(name: str, weight: np.ndarray, bits: int, method: Method) -> np.floating:
    """The factor of the methods in CLIPS; InputError where it is no finite number."""
    with np.errstate(all="ignore"):
        clip = CLIPS[method.clip or ""](weight, method)
        factor = weight.dtype.type((1 << bits - 1) * clip)
    if not np.isfinite(factor):
        raise InputError(
            f"{printable(name)}: {method.clip} gives the factor {factor}; take another method"
        )
    return factor


def integers(values: np.ndarray, factor: np.floating, bits: int) -> tuple[np.ndarray, int]:
    """floor(values * factor + 1/2) limited to ``bits`` bits, and how many had to be limited."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    half = values.dtype.type(0.5)
    with np.errstate(over="ignore"):  # infinite is clipped
        whole = np.floor(values * factor + half)
    return np.clip(whole, low, high), int(np.count_nonzero((whole < low) | (whole > high)))


# --- checkpoints ----------------------------------------------------------------------------------


def quantise(root: dict[Any, Any], method: Method) -> Quantised:
    """The checkpoint that the vendor's tool makes of one with real weights.

    ``root``: of saved_state.SavedState, left as it is.  Weights become integers, biases integers
    times 2**(weight bits - 1), both in their float type; widths, shifts and what the method was are
    stored beside them.  Raises InputError for tensors that cannot be quantised.
    """
    done = root.get("extras")
    if isinstance(done, dict) and "clipping_method" in done:
        raise InputError(
            f"is quantised already (clipping_method {printable(done['clipping_method'])}); give "
            "the checkpoint that training wrote"
        )
    if are_integers(root["state_dict"]):
        raise InputError(
            "is quantised already: its weights are whole numbers; give the checkpoint that "
            "training wrote"
        )
    job = _Job(root, method)
    layers: list[QuantisedLayer] = []
    for key, value in root["state_dict"].items():
        name, _, kind = key.rpartition(".") if isinstance(key, str) else ("", "", "")
        if not name:
            continue
        if kind in ("w_zero_point", "b_zero_point") and np.any(value):
            raise InputError(f"{printable(key)} is not zero; the chip has no zero points")
        if kind == "running_mean" or (kind == "weight" and np.ndim(value) == 1):
            raise InputError(
                f"{printable(key)} has one dimension: batch normalisation is not folded: run the "
                "vendor's batchnormfuser.py first"
            )
        if kind == "weight" and job.has_room(len(layers)):
            layers.append(job.layer(key, len(layers)))
        elif kind in DROPPED:
            del job.state[key]
        elif kind in SETTLED:
            job.state[key] = stored(SETTLED[kind])
    if not layers:
        raise InputError("its state_dict has no layer: no key ends in .weight; train a model")
    return Quantised(job.result(), tuple(layers))


def are_integers(state: dict[Any, Any]) -> bool:
    """Whether all weights are whole numbers of 8 bits, some beyond -1 to 1: no training ends so."""
    weights = [
        value
        for key, value in state.items()
        if isinstance(key, str) and key.endswith(".weight") and isinstance(value, np.ndarray)
        if value.ndim > 1 and value.size and value.dtype.kind == "f"
    ]
    whole = all(np.array_equal(each, np.clip(np.rint(each), -128, 127)) for each in weights)
    return whole and any(np.abs(each).max() > 1 for each in weights)


DROPPED = ("w_zero_point", "b_zero_point", "base_b_q")
SETTLED = {"adjust_output_shift": 0, "quantize_activation": 1}


def stored(number: float) -> np.ndarray:
    """A number as the vendor stores it: float32 [1]."""
    return np.array([number], np.float32)


class _Job:
    """One checkpoint on its way: the new state_dict, and the masks of distiller that mirror it."""

    def __init__(self, root: dict[Any, Any], method: Method) -> None:
        self.root, self.method = root, method
        self.old = root["state_dict"]
        self.state = dict(self.old)
        schedule = root.get("compression_sched")
        masks = schedule.get("masks_dict") if isinstance(schedule, dict) else None
        self.masks = dict(masks) if isinstance(masks, dict) else None

    def has_room(self, number: int) -> bool:
        """Whether the description has a layer of this number; weights beyond it are left alone."""
        return self.method.layer_bits is None or number < len(self.method.layer_bits)

    def layer(self, key: str, number: int) -> QuantisedLayer:
        """Quantise "conv1.op.weight" and "conv1.op.bias"; older files have "conv1.weight"."""
        name, bias_key = key.rsplit(".", 2)[0], key.removesuffix("weight") + "bias"
        weight = _reals(key, self.old[key])
        bias = _reals(bias_key, self.old[bias_key], weight.dtype) if bias_key in self.old else None
        if bias is not None and bias.shape not in [(side,) for side in weight.shape[:2]]:
            raise InputError(
                f"{printable(bias_key)} has shape {bias.shape}; one value an output is needed, of "
                f"weights of shape {weight.shape}"
            )
        bits = self.bits(name, number)
        both = weight.ravel() if bias is None else np.concatenate([weight.ravel(), bias.ravel()])
        shift = None
        if self.method.clip is None:
            shift = bit_shift(both, bits, self.share(name), self.method.round_up)
            factor = weight.dtype.type(2.0 ** (bits - 1 + shift))
        else:
            factor = clip_factor(name, weight, bits, self.method)
        self.state[key], clipped = integers(weight, factor, bits)
        before = self.number(f"{name}.output_shift")
        self.set_widths(name)
        if bias is not None:
            unit = weight.dtype.type(2.0 ** (bits - DEFAULT_BITS + ACTIVATION_BITS - 1))
            self.state[bias_key] = integers(bias, factor, bits)[0] * unit
            self.state[f"{name}.bias_bits"] = stored(bits)
        if shift is not None:
            self.mirror(f"{name}.output_shift", stored(-float(shift)))
        return QuantisedLayer(
            printable(name),
            bits,
            float(factor),
            float(largest(both)),
            clipped,
            None if shift is None else -shift,
            None if before is None else int(before),
        )

    def bits(self, name: str, number: int) -> int:
        """Weight bits of a layer: of the description, the checkpoint, or asked for."""
        described = self.method.layer_bits[number] if self.method.layer_bits else None
        if described is not None:
            return described
        bits = self.number(f"{name}.weight_bits") or self.method.weight_bits or DEFAULT_BITS
        if bits not in WEIGHT_BITS:
            raise InputError(f"{printable(name)}.weight_bits is {bits}; legal: 1, 2, 4, 8")
        return int(bits)

    def share(self, name: str) -> float:
        """The share of weights and biases that have to fit; all, where the file does not say."""
        share = self.number(f"{name}.shift_quantile")
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"{printable(name)}.shift_quantile is {share}; legal: 0 to 1")
        return 1.0 if share is None else share

    def number(self, key: str) -> float | None:
        """A number of the state_dict; None without one."""
        value = self.old.get(key)
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or value.size != 1 or not np.isfinite(value).all():
            raise InputError(f"{printable(key)} is not one number; save the checkpoint again")
        return float(value.reshape(())[()])

    def set_widths(self, name: str) -> None:
        """Where no width is stored, 8: the vendor's tool, even for other bits of a description."""
        key = f"{name}.weight_bits"
        if key not in self.old:
            self.mirror(key, stored(DEFAULT_BITS))
        elif self.number(key) == 0:
            self.state[key] = stored(DEFAULT_BITS)

    def mirror(self, key: str, value: np.ndarray) -> None:
        """Store a value in the state, and where distiller's masks are kept, there."""
        self.state[key] = value
        if self.masks is not None:
            self.masks[key] = value

    def result(self) -> dict[Any, Any]:
        """The whole checkpoint with the new state."""
        method = self.method
        extras = self.root.get("extras")
        extras = dict(extras) if isinstance(extras, dict) else {}
        extras["clipping_method"] = method.clip or FROM_THE_WEIGHTS
        if method.clip == "STDDEV":
            extras["clipping_nstds"] = method.deviations
        if method.clip == "SCALE":
            extras["clipping_scale"] = method.scale
        root = {**self.root, "state_dict": self.state, "extras": extras}
        if self.masks is not None:
            root["compression_sched"] = {**self.root["compression_sched"], "masks_dict": self.masks}
        return root


def _reals(key: str, value: object, like: np.dtype | None = None) -> np.ndarray:
    """A tensor of finite real numbers, of one type with its weights."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{printable(key)} is of {kind}; save it as float32")
    if like is not None and value.dtype != like:
        raise InputError(f"{printable(key)} is of {value.dtype}, its weights of {like}; save one")
    if not value.ndim or not value.size or not np.isfinite(value).all():
        raise InputError(f"{printable(key)} is empty or has values not finite; train it again")
    return value
