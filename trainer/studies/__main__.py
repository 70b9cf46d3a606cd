"""The command line of the studies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from max78k_sim.errors import Max78kError

from ..learning.strategies import STRATEGIES
from . import ablation, bits, bound, new_class, noise, replace
from .bases import Bases

STUDIES = {
    "new-class": new_class.study,
    "replace": replace.study,
    "rounding": ablation.study,
    "bits": bits.study,
    "noise": noise.study,
    "bound": bound.study,
}


def positive(text: str) -> int:
    """A number from 1 up."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one study; 2 for what a user asked wrong."""
    parser = argparse.ArgumentParser(prog="python -m trainer.studies", description=__doc__)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("name", help="of the data, for titles and files: digits, fashion, keywords")
    parser.add_argument("--bases", type=Path, required=True, help="folder of networks, one a class")
    parser.add_argument("--data", help="default: the name; as max78k evaluate takes it")
    parser.add_argument("--test-data", help="where the test part comes from, if from elsewhere")
    parser.add_argument(
        "--first-classes", type=positive, help="only so many of the data's (default: all)"
    )
    parser.add_argument("--classes", type=int, nargs="+", help="default: all that bases has")
    parser.add_argument("--strategy", choices=STRATEGIES, default="whitened", help="the main one")
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument(
        "--strategy-seeds", type=positive, default=2, help="where strategies compare"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for latents and outcomes")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    try:
        data = options.data or options.name
        test = options.test_data or data
        bases = Bases.find(options.bases, data, test, options.work, options.first_classes)
        bases.only(options.classes)
        options.out.mkdir(parents=True, exist_ok=True)
        STUDIES[options.study](options, bases)
    except Max78kError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
