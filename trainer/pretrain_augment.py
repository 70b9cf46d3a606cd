"""Variants of samples for pretraining: moved, mirrored, turned, stretched, louder, noisier.

Real samples [sample, channel, row, column] to the same; every sample draws its own variant.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .recipe import Recipe

BLACK = -1.0  # what comes in at the edge of an image


def augmented(images: Tensor, recipe: Recipe) -> Tensor:
    """What a recipe makes of samples; those it asks nothing of come back as they are."""
    if recipe.wave:
        return sounds(images, recipe)
    if recipe.turn_degrees or recipe.stretch:
        images = turned(images, recipe)
    if recipe.shift_pixels or recipe.mirror:
        images = moved(images, recipe.shift_pixels, recipe.mirror)
    return loud_and_noisy(images, recipe)


def moved(images: Tensor, reach: int, mirror: bool) -> Tensor:
    """Each image moved by up to ``reach`` pixels, black coming in, and perhaps half mirrored."""
    count, _, rows, columns = images.shape
    padded = functional.pad(images, (reach,) * 4, value=BLACK)
    down = torch.randint(2 * reach + 1, (count, 1)) + torch.arange(rows)
    across = torch.randint(2 * reach + 1, (count, 1)) + torch.arange(columns)
    if mirror:
        across = torch.where(torch.rand(count, 1) < 0.5, across.flip(1), across)
    sample = torch.arange(count)[:, None, None]
    return padded[sample, :, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2).contiguous()


def turned(images: Tensor, recipe: Recipe) -> Tensor:
    """Each image turned and stretched about its centre, between pixels linearly."""
    count = len(images)
    angle = either_way(count) * math.radians(recipe.turn_degrees)
    size = 1 + either_way(count, 2) * recipe.stretch
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros(count)
    rows = (cosine * size[:, 0], -sine, zero), (sine, cosine * size[:, 1], zero)
    maps = torch.stack([torch.stack(row, 1) for row in rows], 1)  # [sample, 2, 3]
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images - BLACK, grid, align_corners=False) + BLACK


def sounds(waves: Tensor, recipe: Recipe) -> Tensor:
    """Sounds [sample, channel, length, 1], unfolded (sample t of each at [t % channels,
    t // channels]), warped, made louder and noisier, and folded again."""
    count, channels, length, _ = waves.shape
    lines = waves[:, :, :, 0].transpose(1, 2).reshape(count, -1)  # [sample, time]
    if recipe.shift_pixels or recipe.stretch:
        lines = warped(lines, recipe)
    lines = loud_and_noisy(lines, recipe)
    return lines.reshape(count, length, channels).transpose(1, 2)[..., None]


def warped(lines: Tensor, recipe: Recipe) -> Tensor:
    """Sounds [sample, time] moved and stretched, silence coming in; linear between samples."""
    count, length = lines.shape
    times, middle = np.arange(length), length / 2
    start = either_way(count).numpy() * recipe.shift_pixels
    rate = 1 + either_way(count).numpy() * recipe.stretch
    result = np.empty(lines.shape, np.float32)
    for number, line in enumerate(lines.numpy()):
        places = (times - middle) * rate[number] + middle + start[number]
        result[number] = np.interp(places, times, line, 0, 0)
    return torch.from_numpy(result)


def loud_and_noisy(data: Tensor, recipe: Recipe) -> Tensor:
    """Each sample louder or softer, with noise of its own strength; saturated as int8 is."""
    if not recipe.gain and not recipe.noise:
        return data
    each = (len(data), *[1] * (data.ndim - 1))
    louder = data * 2.0 ** (either_way(*each) * recipe.gain)
    noise = torch.randn_like(data) * torch.rand(each) * recipe.noise
    return (louder + noise).clamp(-1, 127 / 128)


def either_way(*shape: int) -> Tensor:
    """Random numbers from -1 to 1."""
    return 2 * torch.rand(shape) - 1
