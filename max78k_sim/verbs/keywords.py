"""``max78k keywords``: a reproducible set of spoken words, made by programs that speak."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from trainer.data.synthetic_keywords import FOLDERS, SPLITS, make_keywords

from ..errors import InputError


def main(options: Namespace) -> None:
    """Make it, and say where it is and how it is read."""
    if len(options.counts) != len(SPLITS) or min(options.counts) < 0 or not sum(options.counts):
        given = ",".join(map(str, options.counts))
        raise InputError(
            f"--counts {given}: {len(SPLITS)} numbers from 0 up, not all of them 0, for example "
            "200,60,60,30"
        )
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: at least 1")
    counts = dict(zip(SPLITS, options.counts, strict=True))
    out = Path(options.out)
    made = make_keywords(out, options.seed, counts, jobs=options.jobs, words=options.words)
    print(", ".join(f"{count:,} {split}" for split, count in made.items()), "files, synthetic")
    for folder in FOLDERS.values():
        if (out / folder).is_dir():
            print(f"wav:{out / folder}")
