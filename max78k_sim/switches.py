"""The vendor's command line, switch by switch: what is here, what is refused, what is not needed.

One row a switch, or some that are alike.  ``HERE`` switches have the same names here and in
``load_network`` (with underscores), ``GENERATE`` ones in ``max78k generate``; ``REFUSED`` ones
change a result or a placement in a way that is not built, and say so; the rest change the generated
program, its test or its log, and nothing that is computed.  Source: ai8x-synthesis, command line
(commit ab4f4c01).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from .errors import NotEmulated

HERE, GENERATE, REFUSED, NOT_NEEDED = "here", "generate", "refused", "not needed"
ALL_LAYERS = tuple(range(128))  # of --no-bias without a list: more layers than any chip has
OTHER_CHIP = "a MAX78002 feature; MAX78000 has none of it"


@dataclass(frozen=True)
class Switch:
    """Switches of the vendor's generator that are treated alike; ``why`` is for people."""

    names: tuple[str, ...]
    status: str
    why: str


def _here(names: str, why: str) -> Switch:
    return Switch(tuple(names.split()), HERE, why)


def _generate(names: str, why: str) -> Switch:
    return Switch(tuple(names.split()), GENERATE, why)


def _refused(names: str, why: str) -> Switch:
    return Switch(tuple(names.split()), REFUSED, why)


def _not_needed(names: str, why: str) -> Switch:
    return Switch(tuple(names.split()), NOT_NEEDED, why)


SWITCHES = (
    _here("--config-file", "the same"),
    _here("--checkpoint-file", "the same; also `.xz` and `.npz`"),
    _here("--sample-input", "the same"),
    _here("--device", "the same"),
    _here("--avg-pool-rounding", "the same"),
    _here("--no-bias", "the same: a list of layers, or all without one"),
    _here("--output-width", "the same"),
    _here("--stop-after", "the same"),
    _here("--fifo --fast-fifo", "the same; `--fast-fifo` implies `--fifo`"),
    _here("--skip-yaml-layers", "the same; `--stop-after` counts the skipped layers too"),
    _here("--skip-checkpoint-layers", "the same"),
    _here("--ignore-activation", "the same"),
    _here("--ignore-streaming --streaming-layers", "the same"),
    _here("--input-offset", "the same: bytes, of the first layer"),
    _here("--weight-start", "the same: a kernel word, rounded up to a multiple of four"),
    _here("--no-deduplicate-weights", "the same: equal kernels are stored once for each layer"),
    _here("--overlap-data", "the same, where the check that it turns off is made"),
    _generate("--prefix", "the program's name, in `project.mk`; by default the network's"),
    _generate("--board-name", "the same; `make BOARD=` has the last word"),
    _generate("--softmax", "the same; base e, within 2 of 32768"),
    _generate("--timer", "the same"),
    _generate("--mexpress --no-mexpress", "the same"),
    _generate("--compact-data --no-compact-data", "the same"),
    _generate("--no-kat", "the same"),
    _generate("--max-verify-length --max-checklines", "the same: words"),
    _generate("--energy", "each part 100 times, between SYS_START and SYS_COMPLETE"),
    _generate("--forever", "the same"),
    _generate("--no-wfi", "the same"),
    _generate("--boost", "the same"),
    _generate("--clock-divider", "the same; the clock is half of the processor's"),
    _generate("--debugwait", "the same: seconds before the accelerator is used"),
    _refused("--simple1b", "multiplication by XOR of 1-bit weights is not known exactly"),
    _refused("--fast-fifo-quad", "one FIFO for several quadrants is not modelled"),
    _refused(
        "--start-layer --link-layer --one-shot --read-ahead --calcx4 --fifo-go --pipeline --pll",
        OTHER_CHIP,
    ),
    _refused("--repeat-layers", "layers that run again on what they wrote are not built"),
    _refused(
        "--override-start --increase-start --override-rollover --override-delta1 "
        "--increase-delta1 --override-delta2 --increase-delta2",
        "ring buffers are not modelled cycle by cycle, so that the effect of another size is not "
        "known; without the switch the vendor's values are used",
    ),
    _refused("--allow-streaming", "streaming without a FIFO; the vendor does not support it"),
    _refused("--ignore-hw-limits", "what the chip does past its limits is not known"),
    _refused("--ignore-bias-groups", "bias memory of a quadrant that is off is not known to work"),
    _refused("--ignore-bn", "weights without the batch normalisation give other results; fold it"),
    _refused("--max-proc", "the chip has 64 processors"),
    _refused("--apb-base", "addresses are those of the chip"),
    _refused("--legacy-kernels --old-kernel-loader", "kernels go where the new loader puts them"),
    _refused("--test-bist", "it clears kernels to test the self-test"),
    _refused(
        "--fixed-input --synthesize-input --synthesize-words --reshape-inputs --input-split "
        "--input-csv",
        "another input than the sample; put the values into the file of --sample-input",
    ),
    _refused("--weight-input --bias-input", "test data; give an .npz as --checkpoint-file"),
    _refused("--ext-rdy", "a mode of the FIFO that is not modelled"),
    _not_needed("--ai85", "`--device MAX78000`, the default"),
    _not_needed("--sample-numpy-filename --log-intermediate --log-pooling", "`run --dump`"),
    _not_needed(
        "--verbose -v --log -L --no-log --short-log --log-last-only --verbose-all --log-filename "
        "--display-checkpoint --kernel-format --debug -D --debug-computation --debug-latency "
        "--no-progress",
        "the log; `map`, `run --dump` and `validate` show what is in it",
    ),
    _not_needed(
        "--test-dir --overwrite --c-filename --api-filename "
        "--weight-filename --sample-filename --sample-output-filename --input-filename "
        "--output-filename --output-config-filename --output-data-filename "
        "--output-weights-filename --output-bias-filename --output-pass-filename "
        "--runtest-filename --autogen --autogen_list --queue-name --top-level",
        "names of generated files",
    ),
    _not_needed(
        "--embedded-code -e --rtl --rtl-sim --rtl-preload --rtl-preload-weights --timeout "
        "--result-output --legacy-test --input-csv-format --input-csv-retrace "
        "--input-csv-period --input-pix-clk --input-sync --input-fifo",
        "simulation of the circuit",
    ),
    _not_needed(
        "--define --define-default-arm --define-default-riscv --eclipse-includes "
        "--eclipse-variables --eclipse-openocd-args --riscv --riscv-flash --no-riscv-flash "
        "--riscv-cache --no-riscv-cache --riscv-debug --riscv-exclusive",
        "how the generated program is built, and on which core it runs",
    ),
    _not_needed(
        "--unload --no-unload --no-timer --switch-delay --stop-start --deepsleep --powerdown "
        "--clock-trim --no-pipeline --no-pll --apb --balance-speed --max-speed "
        "--unroll-mlator --unroll-8bit --unroll-wide",
        "what the generated program does around the accelerator",
    ),
    _not_needed(
        "--compact-weights --mlator --new-kernel-loader --no-fifo-wait --slow-load "
        "--debug-new-streaming",
        "how the program writes the same words, and reads them",
    ),
    _not_needed(
        "--verify-writes --verify-kernels --mlator-noverify --write-zero-registers --init-tram "
        "--zero-sram --pretend-zero-sram --zero-unused --ready-sel --ready-sel-fifo "
        "--ready-sel-aon --debug-snoop --snoop-loop",
        "self-tests and wait states; memory is zero here when a program is loaded",
    ),
    _not_needed(
        "--no-error-stop --no-warn-zero --ignore-energy-warning --ignore-mlator-warning "
        "--no-version-check --version-check-interval --upstream --yamllint",
        "messages of the generator",
    ),
)


def refused() -> dict[str, str]:
    """Why each refused switch is refused, by its name."""
    return {
        name: switch.why for switch in SWITCHES if switch.status == REFUSED for name in switch.names
    }


class Refuse(argparse.Action):
    """A switch that is recognised, so that the message can say why it is refused."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Raises NotEmulated with the switch and the reason."""
        raise NotEmulated(f"{option_string}: {refused()[self.option_strings[0]]}")
