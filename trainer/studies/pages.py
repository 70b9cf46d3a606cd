"""Pages of results: Markdown and a picture, each written whole or not at all."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path


def table(heads: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers to the right."""
    marks = ["---:" if number and is_number(rows[0][number]) else "---"
             for number in range(len(heads))]  # fmt: skip
    lines = [heads, marks, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def is_number(cell: object) -> bool:
    """Whether a cell is one number."""
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def write_page(file: Path, title: str, parts: Sequence[str], stem: str | None) -> None:
    """The page; ``stem``: of its picture and of the table of its runs, if it has them."""
    head = [f"# {title}", "Written by `python -m trainer.studies`."]
    if stem is not None:
        head += [f"Every run: [{stem}.csv]({stem}.csv).", f"![{title}]({stem}.png)"]
    whole = "\n\n".join([*head, *parts]) + "\n"
    temporary = file.with_suffix(".md.tmp")
    temporary.write_text(whole, encoding="utf-8")
    temporary.replace(file)


def write_table(
    options: Namespace, title: str, text: str, heads: Sequence[object], rows: Sequence[Sequence]
) -> None:
    """A page of one table: <study>-<name>.md."""
    file = options.out / f"{options.study}-{options.name}.md"
    write_page(file, f"{title}: {options.name}", [text, table(heads, rows)], None)


def picture(
    file: Path,
    title: str,
    counts: Sequence[int],
    lines: Mapping[str, Sequence[float]],
    level: float | None,
) -> None:
    """Percentages over numbers of examples; ``level``: of joint training."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, values in lines.items():
        axes.plot(counts, values, marker="o", label=name)
    if level is not None:
        axes.axhline(level, color="grey", linestyle=":", label="joint training: all classes")
    axes.set(xscale="log", xticks=counts, xticklabels=counts, title=title)
    axes.set(xlabel="examples of the new class", ylabel="right, %")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    temporary = file.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    temporary.replace(file)
