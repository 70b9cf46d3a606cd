"""Sound for pretraining: variants of it, and the filters that a first layer starts with.

A sample is [channel, length, 1]: value t of the sound in channel t % channels at t // channels.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from .augment import either_way
from .recipe import Recipe

RATE = 16000  # values a second
LOWEST_TONE, HIGHEST_TONE = 80.0, 7000.0  # Hz
FRACTION = 16  # bits of a place between two values of a sound
NOISE_LENGTHS = 2  # sounds' lengths of noise that a batch takes its pieces from
FIRST_ECHO, LAST_ECHO = 2, 1600  # values later; the near ones colour a sound


def sounds(waves: np.ndarray, recipe: Recipe) -> Tensor:
    """Real variants of sounds, int8 [sample, channel, length, 1]: each stretched, moved (silence
    comes in), tilted, with an echo, louder or softer, noisier; saturated as int8 is."""
    count, channels, length, _ = waves.shape
    size = channels * length
    rates, shifts = 1 / (1 + either_way(count).double() * recipe.stretch), moves(count, recipe)
    middle = (size - 1) / 2
    places = torch.stack([middle - (middle + shifts) * rates, rates], 1) * 2**FRACTION
    delays = FIRST_ECHO * (LAST_ECHO / FIRST_ECHO) ** torch.rand(count)
    noise = torch.randn(NOISE_LENGTHS * size) if recipe.noise else torch.zeros(size)
    starts = torch.randint(len(noise) - size + 1, (count,))
    strengths = torch.stack([either_way(count) * recipe.tilt, either_way(count) * recipe.echo,
                             2.0 ** (either_way(count) * recipe.gain) / 128,
                             torch.rand(count) * recipe.noise], 1)  # fmt: skip
    lines = np.empty((count, size), np.float32)  # [sample, time]
    vary(waves[..., 0], places.round().long().numpy(), delays.round().long().numpy(),
         noise.numpy(), starts.numpy(), strengths.numpy(), lines)  # fmt: skip
    return torch.from_numpy(lines).reshape(count, length, 1, channels).permute(0, 3, 1, 2)


def moves(count: int, recipe: Recipe) -> Tensor:
    """How many values later each sound comes."""
    return torch.randint(-recipe.shift_pixels, recipe.shift_pixels + 1, (count,))


@numba.njit(nogil=True, cache=True)
def vary(waves, places, delays, noise, starts, strengths, lines):
    """Fill float32 ``lines`` [sample, time] with int8 ``waves`` [sample, channel, length].

    ``places`` [sample]: where value 0 is read, and how far on each next one, with FRACTION bits;
    ``delays`` of echoes, ``starts`` in ``noise``; ``strengths`` [sample]: of the value before, of
    the echo, of all of it, of noise.  One pass a sound: in torch's steps it takes thrice as long.
    """
    count, channels, length = waves.shape
    size = channels * length
    around = np.zeros(3 * size, np.float32)  # silence, the sound, silence
    bare = np.zeros(2 * size, np.float32)  # silence, the sound as stretched and moved
    unit, mask = np.float32(1 / (1 << FRACTION)), (1 << FRACTION) - 1
    for sample in range(count):
        for row in range(length):
            for channel in range(channels):
                around[size + row * channels + channel] = waves[sample, channel, row]
        first, step = places[sample]
        for time in range(size):
            place = first + time * step
            at = min(max(size + (place >> FRACTION), 0), 3 * size - 2)
            part = np.float32(place & mask) * unit
            bare[size + time] = around[at] + part * (around[at + 1] - around[at])
        tilt, echo, gain, hiss = strengths[sample]
        delay, start = min(delays[sample], size), starts[sample]
        before, earlier = bare[size - 1 : -1], bare[size - delay : 2 * size - delay]
        now, white = bare[size:], noise[start : start + size]
        for time in range(size):
            value = gain * (now[time] + tilt * before[time] + echo * earlier[time])
            value += hiss * white[time]
            lines[sample, time] = min(max(value, np.float32(-1)), np.float32(127 / 128))


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
