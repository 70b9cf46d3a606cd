"""Pictures of a training run: confusion before and after, accuracy over steps (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluation

OLD, NEW = "#4477aa", "#cc6633"


@dataclass(frozen=True)
class Point:
    """Accuracy on held-out images after some steps; shares from 0 to 1."""

    step: int
    old: float
    new: float


def draw_training(
    file: Path,
    before: Evaluation,
    after: Evaluation,
    points: Sequence[Point],
    class_names: Sequence[str],
    new_class: int,
) -> None:
    """Write one PNG; raises InputError when matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "pictures need matplotlib; install the extra: pip install 'max78k[plots]'"
        ) from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(17, 5.6), width_ratios=(1, 1, 0.9))
    for axis, title, accuracy in ((axes[0], "before", before), (axes[1], "after", after)):
        draw_confusion(axis, title, accuracy, class_names, new_class)
    draw_curve(axes[2], points, class_names[new_class])
    figure.tight_layout()
    figure.savefig(file, dpi=110, format="png")
    plt.close(figure)


def draw_confusion(axis, title: str, accuracy: Evaluation, names: Sequence[str], new: int) -> None:
    """A confusion matrix in percent of each label's images; the new class is marked."""
    counts = accuracy.confusion
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for label, predicted in np.ndindex(share.shape):
        value = share[label, predicted]
        if value >= 0.5:
            color = "white" if value > 55 else "black"
            axis.text(
                predicted, label, f"{value:.0f}", ha="center", va="center", color=color, size=8
            )
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        ticks[new].set_color(NEW)
        ticks[new].set_fontweight("bold")
    axis.set_xlabel("predicted")
    axis.set_ylabel("label")
    axis.set_title(f"{title}: images of each label, in percent")


def draw_curve(axis, points: Sequence[Point], new_name: str) -> None:
    """Accuracy on a fixed part of the held-out images, over steps."""
    steps = [point.step for point in points]
    for values, color, label in (
        ([100 * point.old for point in points], OLD, "old classes"),
        ([100 * point.new for point in points], NEW, f"new class: {new_name}"),
    ):
        axis.plot(steps, values, color=color, marker="o", markersize=4, label=label)
    axis.set_xlabel("training steps on the chip")
    axis.set_ylabel("accuracy on held-out images, percent")
    axis.set_ylim(-2, 102)
    axis.grid(alpha=0.3)
    axis.legend(loc="center right")
    axis.set_title("accuracy while training")
