"""``max78k pretrain``: train networks/fashion on this computer, and export it for the chip."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec

import networks

from ..errors import InputError


def main(options: Namespace) -> None:
    """Train with torch and write description, checkpoint, sample, expected output and log."""
    if find_spec("torch") is None:
        raise InputError("pretraining needs torch; install the extra: pip install 'max78k[train]'")
    from trainer.pretrain import Recipe, pretrain

    asked = {
        "holdout_class": options.held_out_class,
        "threads": options.threads,
        "seed": options.seed,
    }
    if options.epochs is not None:
        if len(options.epochs) != 2:
            raise InputError("--epochs: two numbers, for example --epochs 18,6")
        asked |= {"float_epochs": options.epochs[0], "quantised_epochs": options.epochs[1]}
    recipe = Recipe(**{name: value for name, value in asked.items() if value is not None})
    pretrain(options.data, options.out or networks.DIRECTORY / "fashion", recipe)
