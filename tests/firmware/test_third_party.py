"""How the third-party firmware's text is compared; the firmware is no part of the project."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.firmware.third_party import compare, parse

TEXT = """Classification results of [0] lap:
[ -24204] -> Class 0: 0.0%
[ 385998] -> Class 1: 100.0%

step:    0, timer = 4762
"""


def test_blocks_are_compared_number_for_number():
    printed = parse(TEXT)
    assert printed.blocks == {
        "Classification results of [0] lap": [("-24204", "0", "0.0"), ("385998", "1", "100.0")]
    }
    assert printed.steps == {0: 4762}
    assert compare(printed, printed) == []
    (line,) = compare(printed, parse(TEXT.replace("-24204", "-24203")))
    assert "the board ('-24204', '0', '0.0'), here ('-24203'" in line
    assert compare(printed, parse("")) == ["missing: Classification results of [0] lap"]


if os.environ.get("MAX78K_THIRD_PARTY"):  # a clone of it; takes minutes

    def test_the_firmware():
        folder = Path(os.environ["MAX78K_THIRD_PARTY"]).resolve()
        command = [sys.executable, "-m", "tests.firmware.third_party", "--folder", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True)
