"""Variants of images for pretraining: moved, mirrored, turned, stretched, louder, noisier.

Real samples [sample, channel, row, column] to the same; every sample draws its own variant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .recipe import Recipe

BLACK = -1.0  # what comes in at the edge of an image


def augmented(images: Tensor, recipe: Recipe) -> Tensor:
    """What a recipe makes of samples; those it asks nothing of come back as they are."""
    if recipe.turn_degrees or recipe.stretch:
        images = turned(images, recipe)
    if recipe.shift_pixels or recipe.mirror:
        images = moved(images, recipe.shift_pixels, recipe.mirror)
    return loud_and_noisy(images, recipe)


def moved(images: Tensor, reach: int, mirror: bool) -> Tensor:
    """Each image moved by up to ``reach`` pixels, black coming in, and perhaps half mirrored.

    What has one column is a series: it moves along its rows, and 0 comes in.
    """
    count, _, rows, columns = images.shape
    sideways, outside = (reach, BLACK) if columns > 1 else (0, 0.0)
    padded = functional.pad(images, (sideways, sideways, reach, reach), value=outside)
    down = torch.randint(2 * reach + 1, (count, 1)) + torch.arange(rows)
    across = torch.randint(2 * sideways + 1, (count, 1)) + torch.arange(columns)
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


def loud_and_noisy(data: Tensor, recipe: Recipe) -> Tensor:
    """Each sample louder or softer, with noise of its own strength; saturated as int8 is."""
    if not recipe.gain and not recipe.noise:
        return data
    each = (len(data), *[1] * (data.ndim - 1))
    louder = data * 2.0 ** (either_way(*each) * recipe.gain)
    return louder.add_(white(data) * torch.rand(each), alpha=recipe.noise).clamp_(-1, 127 / 128)


def white(data: Tensor) -> Tensor:
    """Noise of deviation 1 in the shape of samples: pieces of a noise that is a quarter as long.

    Drawing all of it anew would take as long as a network's first layer.
    """
    size = data[0].numel()
    noise = torch.randn(max(size + 1, data.numel() // 4))
    starts = torch.randint(len(noise) - size, (len(data),)).tolist()
    return torch.stack([noise[start : start + size] for start in starts]).reshape(data.shape)


def either_way(*shape: int) -> Tensor:
    """Random numbers from -1 to 1."""
    return 2 * torch.rand(shape) - 1
