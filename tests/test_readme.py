"""What the README shows, works."""

import re
import shlex
import subprocess
import sys

import pytest

from max78k_sim import cli
from tests import fashion
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples():
    training, chip = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = training + "print(trainer.slots_written['kernel'] > 0)\n"
    code += chip + "print(hex(kernels.address[3, 77]), logits.shape)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n0x50190a67 (10, 1, 1)\n"


def commands():
    """Lines that show a command, without their comments, for the shipped network."""
    lines = re.findall(r"^    max78k (.*)$", README, re.MULTILINE)
    return [line.split("#")[0].strip() for line in lines]


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    files = {
        "\u2026": str(fashion.CONFIG),
        "network.yaml": str(fashion.CONFIG),
        "network-q.pth.tar": str(fashion.CHECKPOINT),
    }
    arguments = [files.get(part, part) for part in shlex.split(re.sub(r"\[.*?\] ?$", "", line))]
    arguments = [part for part in arguments if not part.startswith("[--") and part != "all.npz]"]
    cli.build_parser().parse_args([part.strip("[]") for part in arguments])


def printed():
    """(command, what it prints) of every look-up that a page shows."""
    pages = (README, (ROOT / "docs" / "address-map.md").read_text(encoding="utf-8"))
    blocks = [
        block for page in pages for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    ]
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [part.split("\n", 1) for part in parts if part.startswith("max78k map \u2026")]


@pytest.mark.parametrize(("command", "text"), printed())
def test_look_ups_print_what_is_shown(command, text, capsys):
    arguments = shlex.split(command.replace("\u2026", shlex.join(fashion.NETWORK_OPTIONS)))
    assert cli.main(arguments[1:]) == 0
    assert capsys.readouterr().out == text


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
