"""Networks trained by this project: one folder each (description, checkpoint, sample, log)."""

from pathlib import Path

DIRECTORY = Path(__file__).parent
