"""Results -> two pictures beside the page."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from .goals import threads_text
from .growth import Series
from .page import label
from .results import Results
from .speed import COMPETITORS, Peak

COLOURS = dict(zip(COMPETITORS, ("#0b6e4f", "#8a8a8a", "#c8553d", "#e8a87c"), strict=True))


def draw(results: Results, folder: Path, name: str) -> None:
    """<name>-speed.png and <name>-growth.png."""
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    draw_speed(results, folder / f"{name}-speed.png")
    draw_growth(results.series, folder / f"{name}-growth.png")


def draw_speed(results: Results, file: Path) -> None:
    """Multiplications a second, competitors side by side, under the machine's peaks."""
    peaks = results.speeds.peaks
    figure, axes = pyplot.subplots(
        1, len(peaks), figsize=(5.2 * len(peaks), 4.4), sharey=True, squeeze=False
    )
    for axis, peak in zip(axes[0], peaks, strict=True):
        draw_threads(axis, results, peak)
    axes[0][0].set_ylabel("10⁹ multiplications a second, best batch\n(1/n: of max78k)")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.88))
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def draw_threads(axis: Axes, results: Results, peak: Peak) -> None:
    """One number of threads; a bar's number is the engine's advantage."""
    speeds = results.speeds
    networks = list(dict.fromkeys(speed.network for speed in speeds.speeds))
    for number, competitor in enumerate(COMPETITORS):
        found = [speeds.best(network, peak.threads, competitor) for network in networks]
        heights = [speed.multiplications / 1e9 for speed in found]
        place = np.arange(len(networks)) + 0.2 * (number - 1.5)
        bars = axis.bar(place, heights, 0.2, color=COLOURS[competitor], label=label(competitor))
        if number:
            ratios = [speeds.ratio(network, peak.threads, competitor) for network in networks]
            axis.bar_label(
                bars, [f"1/{ratio:.1f}" for ratio in ratios], fontsize=7, padding=2, rotation=90
            )
    if peak.int8 is not None:
        axis.axhline(peak.int8 / 1e9, color="black", lw=1, label="peak of int8 dot products")
    axis.axhline(peak.float32 / 1e9, color="black", lw=1, ls=":", label="float32 matrix product")
    axis.set_xticks(np.arange(len(networks)), networks)
    axis.set_title(threads_text(peak.threads), fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)


def draw_growth(every: tuple[Series, ...], file: Path) -> None:
    """Milliseconds against size, both logarithmic, with the power law of the larger half."""
    figure, axes = pyplot.subplots(1, len(every), figsize=(3.9 * len(every), 3.6))
    for axis, series in zip(axes, every, strict=True):
        half = len(series.sizes) // 2
        sizes, milliseconds = np.array(series.sizes), 1e3 * np.array(series.seconds)
        axis.loglog(sizes, milliseconds, "o", color=COLOURS["max78k"], label="measured")
        law = (sizes / sizes[half:].mean()) ** series.slope
        law *= np.exp(np.mean(np.log(milliseconds[half:] / law[half:])))
        axis.loglog(
            sizes[half:], law[half:], "-", color="black", lw=1, label=f"size^{series.slope:.2f}"
        )
        axis.set_title(series.name, fontsize=10)
        axis.set_xlabel(series.unit, fontsize=9)
        axis.set_xticks(
            sizes[:: 1 + len(sizes) // 8], [f"{n:,}" for n in sizes[:: 1 + len(sizes) // 8]]
        )
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=9)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds")
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
