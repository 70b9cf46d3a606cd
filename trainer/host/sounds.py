"""Sound for pretraining: variants of it, and the filters that a first layer starts with.

A sample is [channel, length, 1]: value t of the sound in channel t % channels at t // channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .augment import either_way, loud_and_noisy
from .recipe import Recipe

RATE = 16000  # values a second
LOWEST_TONE, HIGHEST_TONE = 80.0, 7000.0  # Hz


def sounds(waves: Tensor, recipe: Recipe) -> Tensor:
    """Sounds [sample, channel, length, 1], unfolded (sample t of each at [t % channels,
    t // channels]), warped, tilted, made louder and noisier, and folded again."""
    count, channels, length, _ = waves.shape
    lines = waves[:, :, :, 0].transpose(1, 2).reshape(count, -1)  # [sample, time]
    if recipe.shift_pixels or recipe.stretch:
        lines = warped(lines, recipe)
    if recipe.tilt:
        share = either_way(count, 1) * recipe.tilt
        lines = lines + share * functional.pad(lines, (1, 0))[:, :-1]
    lines = loud_and_noisy(lines, recipe)
    return lines.reshape(count, length, channels).transpose(1, 2)[..., None]


def warped(lines: Tensor, recipe: Recipe) -> Tensor:
    """Sounds [sample, time], each moved, silence coming in; all of a batch stretched alike.

    One by one would be ten times slower than everything else that is done to a sound.
    """
    count, length = lines.shape
    longer = round(length * (1 + float(either_way(1)) * recipe.stretch))
    if longer != length:
        lines = functional.interpolate(lines[:, None], longer, mode="linear")[:, 0]
    reach = recipe.shift_pixels + max(0, length - longer) // 2 + 1
    padded = functional.pad(lines, (reach, reach))
    middle = (padded.shape[1] - length) // 2
    start = middle + torch.randint(-recipe.shift_pixels, recipe.shift_pixels + 1, (count,))
    return torch.stack(
        [line[first : first + length] for line, first in zip(padded, start.tolist(), strict=True)]
    )


def start_as_filters(weight: Tensor) -> None:
    """Make the kernels of a first layer [out, channel, tap] band filters, in place.

    Two to a band, a quarter of a wave apart, so that the sum of their magnitudes is the strength
    of the band whatever the phase; bands as wide apart as the ear hears them (mel).
    """
    count, channels, taps = weight.shape
    times = torch.arange(channels * taps)
    window = torch.hann_window(channels * taps, periodic=False)
    low, high = (2595 * math.log10(1 + tone / 700) for tone in (LOWEST_TONE, HIGHEST_TONE))
    mels = torch.linspace(low, high, (count + 1) // 2)
    tones = 700 * (10 ** (mels / 2595) - 1)  # Hz
    waves = torch.outer(2 * math.pi / RATE * tones, times)
    pairs = torch.stack([waves.cos(), waves.sin()], 1).reshape(-1, len(times))[:count] * window
    size = weight.detach().square().mean().sqrt() / pairs.square().mean().sqrt()
    folded = pairs.reshape(count, taps, channels).transpose(1, 2)
    weight.data.copy_(folded * size)
