"""``max78k pretrain``: train a network on this computer, and export it for the chip."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec

import networks

from ..errors import InputError


def main(options: Namespace) -> None:
    """Train with torch and write description, checkpoint, sample, expected output and log."""
    if find_spec("torch") is None:
        raise InputError("pretraining needs torch; install the extra: pip install 'max78k[train]'")
    from trainer.host.recipe import Policy, Recipe, read_policy, read_recipe, recipe_beside

    config_file = options.config_file or networks.DIRECTORY / "fashion" / "network.yaml"
    out = options.out
    if out == "" or (out is None and (options.config_file or options.held_out_class)):
        raise InputError("--out is missing: the folder that the network is written to")
    asked = recipe_beside(config_file) if options.recipe is None else read_recipe(options.recipe)
    asked |= {name: getattr(options, name) for name in ("data", "threads", "seed",
                                                           "held_out_examples")
              if getattr(options, name) is not None}  # fmt: skip
    if options.epochs is not None:
        if len(options.epochs) != 2:
            raise InputError("--epochs: two numbers, for example --epochs 18,6")
        asked |= {"float_epochs": options.epochs[0], "quantised_epochs": options.epochs[1]}
    several, classes = held_out(options.held_out_class)
    if options.held_out_class is not None and not several:
        asked["holdout_class"] = classes[0] if classes else None
    policy = Policy()
    if str(options.qat_policy).lower() != "none":
        policy = read_policy(options.qat_policy)
    elif options.qat_policy is not None:  # the vendor's word for no quantisation-aware training
        asked["quantised_epochs"] = 0
    recipe = Recipe(**asked)
    from trainer.host.pretrain import pretrain, pretrain_each

    if several:
        pretrain_each(config_file, out, recipe, policy, classes)
    else:
        pretrain(config_file, out or networks.DIRECTORY / "fashion", recipe, policy)


def held_out(text: str | None) -> tuple[bool, list[int] | None]:
    """(whether there is a folder for each, the classes): "all" is (True, None); "none" none."""
    if text in (None, "all", "none"):
        return text == "all", None
    try:
        classes = [int(part) for part in str(text).split(",")]
    except ValueError:
        message = f"--held-out-class {text!r}: a class (8), several (0,5,8), all or none"
        raise InputError(message) from None
    return len(classes) > 1, classes
