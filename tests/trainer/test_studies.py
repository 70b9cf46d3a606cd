"""Studies: what they count, where they find networks, and what they leave on disk."""

import csv
import shutil
from dataclasses import replace

import pytest

import networks
from max78k_sim.errors import InputError
from trainer.data.datasets import load_dataset
from trainer.studies import new_class
from trainer.studies.__main__ import main
from trainer.studies.bases import Bases, first_of

DIGITS = networks.DIRECTORY / "digits"  # has never seen a nine
FEW = {name: new_class.STRATEGIES[name] for name in ("prototypes", "new row")}


@pytest.fixture
def bases(tmp_path):
    """One class; the joint network and the one from scratch are, for want of others, the same."""
    for name in ("9", "joint", "scratch/9", "bits-4/9"):
        shutil.copytree(DIGITS, tmp_path / "bases" / name)
    return tmp_path / "bases"


def options(bases, *more):
    folder = bases.parent
    places = ("--bases", bases, "--work", folder / "work", "--out", folder / "out")
    return [*map(str, places), "--seeds", "1", "--strategy", "new row", *more]


def test_a_new_class(bases, monkeypatch):
    monkeypatch.setattr(new_class, "STRATEGIES", FEW)
    monkeypatch.setattr(new_class, "EXAMPLES", (5, 100))
    asked = ["new-class", "digits", *options(bases)]
    assert main(asked) == 0
    out, outcomes = bases.parent / "out", bases.parent / "work" / "outcomes.jsonl"
    runs = list(csv.DictReader((out / "new-class-digits.csv").read_text().splitlines()))
    assert [(run["strategy"], run["examples"]) for run in runs] == [
        ("new row", "5"), ("new row", "100"), ("prototypes", "100")
    ]  # fmt: skip
    learnt = {run["examples"]: float(run["new"]) for run in runs if run["strategy"] == "new row"}
    assert 0.5 < learnt["5"] <= learnt["100"]
    page = (out / "new-class-digits.md").read_text()
    assert "## The fair bound: 100 examples" in page
    before = float(runs[0]["old_before"]) * 100
    assert f"| 9 (9) | {before:.2f} | {100 * learnt['100']:.1f} |" in page
    assert "| 9 (9) | 0.0 | +0.00 |" in page  # this network "from scratch" has seen no nine
    assert (out / "new-class-digits.png").stat().st_size > 10_000
    alone = ["bound", "digits", *options(bases), "--bases", str(bases / "scratch")]
    assert main(alone) == 0  # from the table of runs
    page = (out / "bound-digits.md").read_text()
    assert "| 9 (9) | 0.0 | +0.00 |" in page and f"| {100 * learnt['100']:.1f} |" in page
    stored = outcomes.read_text()
    assert main(asked) == 0 and outcomes.read_text() == stored  # nothing is run twice


def test_a_work_folder_of_other_data(bases, capsys):
    asked = ["bits", "digits", *options(bases)]
    assert main(asked) == 0
    content = (bases / "9" / "checkpoint.pth.tar").read_bytes()
    (bases / "9" / "checkpoint.pth.tar").write_bytes(content + b"0")
    assert main(asked) == 2
    assert "made from another network of class 9; give another --work" in capsys.readouterr().err
    (bases / "9" / "checkpoint.pth.tar").write_bytes(content)
    assert main([*asked, "--first-classes", "9"]) == 2
    assert "made from other data" in capsys.readouterr().err
    (bases.parent / "work" / "made-from.json").write_text("{")
    assert main(asked) == 2 and "made-from.json" in capsys.readouterr().err
    (bases.parent / "work" / "made-from.json").write_text("[]")
    assert main(asked) == 2 and "is no record of data and networks" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "new-class-digits.csv: is not there"),
        ("class,strategy,examples,seed,new\n9,new row,100,1,0.5\n", "csv:2: is no run of a study"),
        (
            "class,strategy,examples,seed,new,old_before,old_after,overall\n9,cwr,100,1,1,1,1,1\n",
            "has no runs of new row with 100 examples of class 9",
        ),
    ],
)
def test_a_bound_without_runs(bases, content, message, capsys):
    out = bases.parent / "out"
    out.mkdir()
    if content is not None:
        (out / "new-class-digits.csv").write_text(content)
    assert main(["bound", "digits", *options(bases)]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "bound-digits.md").exists()


def test_a_class_in_the_place_of_another(bases):
    assert main(["replace", "digits", *options(bases)]) == 0
    page = (bases.parent / "out" / "replace-digits.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    found = {(row[0][2:], row[1]): [float(cell) for cell in row[2:5]] for row in rows}
    assert len(found) == 6 and "36 unseen samples" in page
    for task in ("added", "replaced"):
        assert found[task, "main strategy: new row"][0] > 60
        assert found[task, "last layer, no replay"][2] < found[task, "main strategy: new row"][2]


def test_noise(bases):
    assert main(["noise", "digits", *options(bases)]) == 0
    page = (bases.parent / "out" / "noise-digits.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line[2:3].isdigit()]
    assert len(rows) == 12 and len({row[4] for row in rows}) == 1
    before = [float(row[2]) for row in rows[::4]]
    assert before == sorted(before, reverse=True)
    shutil.rmtree(bases / "joint")
    assert main(["noise", "digits", *options(bases)]) == 2


def test_some_of_the_classes():
    digits = load_dataset("digits", "test")
    few = first_of(digits, 3)
    assert set(few.labels) == {0, 1, 2} and few.class_names == digits.class_names[:3]
    assert first_of(digits, None) is digits


def test_widths_of_weights(bases):
    assert main(["bits", "digits", *options(bases)]) == 0
    page = (bases.parent / "out" / "bits-digits.md").read_text()
    rows = [line.split(" | ")[:2] for line in page.splitlines() if line[2:3].isdigit()]
    widths = [(int(bits[2:]), precision) for bits, precision in rows]
    assert widths == [(bits, name) for bits in (8, 4) for name in ("in place", "residual", "int16")]


def test_a_folder_without_networks(tmp_path, capsys):
    assert main(["new-class", "digits", "--bases", str(tmp_path), "--work", str(tmp_path)]) == 2
    assert "holds no network; a folder a class, such as 8/network.yaml" in capsys.readouterr().err


def test_a_class_that_there_is_not(bases, capsys):
    assert main(["new-class", "digits", *options(bases, "--classes", "4")]) == 2
    assert "class 4: there are networks without 9" in capsys.readouterr().err


def test_more_classes_than_the_network_has(bases, tmp_path):
    found = Bases.find(bases, "digits", "digits", tmp_path / "work")
    found.shown = replace(found.shown, class_names=tuple("abcdefghijkl"))
    with pytest.raises(InputError, match="tells 10 classes apart, the data have 12; give --first"):
        found.material(9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["key", {"strat', None),  # killed as it wrote
        ('{"key"}\n', ":1: is no outcome of a run; delete the line"),
        ('["key", {"strategy": "cwr"}]\n', ":1: is no outcome of a run; delete the line"),
    ],
)
def test_outcomes_of_a_killed_run(bases, tmp_path, content, message, capsys):
    file = tmp_path / "work" / "outcomes.jsonl"
    file.parent.mkdir()
    file.write_text(content)
    if message is None:
        Bases.find(bases, "digits", "digits", file.parent)
        assert file.read_text() == ""
        return
    assert main(["new-class", "digits", *options(bases)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--seeds", "0"), "argument --seeds: 0: at least 1"),
        (("--first-classes", "-1"), "argument --first-classes: -1: at least 1"),
    ],
)
def test_numbers_that_cannot_be(bases, more, message, capsys):
    with pytest.raises(SystemExit):
        main(["bits", "digits", *options(bases, *more)])
    assert message in capsys.readouterr().err


def test_a_folder_that_is_a_file(bases, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["bits", "digits", *options(bases, "--work", str(tmp_path / "file"))]) == 2
    assert "file: File exists" in capsys.readouterr().err
