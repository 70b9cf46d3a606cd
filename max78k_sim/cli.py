"""The command line: parsing only.  VERBS is the table; a verb's module is imported when used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from . import __version__
from .errors import Max78kError, printable
from .options import (
    data_options,
    json_option,
    kept_options,
    network_options,
    numbers,
    recipe_options,
    sram_option,
)
from .verbs import EXIT_USER_ERROR
from .verbs.generate_options import generate_options
from .verbs.quantize_options import quantize_options

EXIT_INTERRUPTED = 130


def map_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``map``."""
    network_options(parser, checkpoint=False)
    group = parser.add_argument_group("look up (default: the whole map)")
    group.add_argument(
        "--where",
        nargs="+",
        action="extend",
        metavar="ELEMENT",
        help="'conv3.weight[12,5,1,2]', 'conv1.output[3,:,0]', 'fc.bias': where it lies",
    )
    group.add_argument(
        "--what",
        nargs="+",
        action="extend",
        metavar="ADDRESS",
        help="0x50184a10, or a range 0x50184a10+64 (bytes): what lies there",
    )
    group = parser.add_argument_group("output (- writes to the terminal)")
    json_option(group)
    group.add_argument("--csv", metavar="FILE", help="a row for each run of words, or each element")
    group.add_argument(
        "--c-header", metavar="FILE.h", help="the map as C, and beside it FILE_check.c, its test"
    )


def check_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``check``."""
    network_options(parser, checkpoint=False)
    json_option(parser)


def run_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``run``."""
    network_options(parser)
    parser.add_argument("--sample-input", metavar="NPY", required=True, help="integers, CHW")
    parser.add_argument(
        "--dump", metavar="NPZ", help="write every layer's values and their addresses there"
    )
    json_option(parser)


def validate_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``validate``."""
    parser.add_argument(
        "--against",
        metavar="WHAT",
        required=True,
        help="golden folder, .npz of arrays, log.txt, sampleoutput.h, or what a board printed",
    )
    network_options(parser, checkpoint=None)
    parser.add_argument("--sample-input", metavar="NPY", help="default: the reference's own")
    json_option(parser)


def explain_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``explain``."""
    parser.add_argument(
        "what", nargs="+", help="as map --what and --where: 0x50180042, 'conv2.weight[3,5,1,2]'"
    )
    network_options(parser, checkpoint=None)


def replay_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``replay``."""
    parser.add_argument("trace", nargs="+", help="what a program did on the bus (.npz)")
    parser.add_argument(
        "--control", metavar="N", type=int, default=0, help="also corrupt N bits of each kind"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the corruptions")
    json_option(parser)


def exec_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``exec``."""
    parser.add_argument("folder", metavar="DIR", help="a C project: the vendor's, generated, yours")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=60, help="default: %(default)s"
    )
    parser.add_argument(
        "--on-fault", choices=("stop", "report"), default="stop", help="of an illegal access"
    )
    parser.add_argument("--record", metavar="NPZ", help="keep its accesses, for replay")
    network_options(parser, checkpoint=None)


def registers_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``registers``."""
    parser.add_argument(
        "program",
        nargs="*",
        help="a trace (.npz), a C project or file, a golden case, or an ELF; two are compared",
    )
    network_options(parser, checkpoint=None)
    json_option(parser)


def evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate``."""
    network_options(parser)
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        metavar="WHERE",
        required=True,
        help="fashion (shipped), idx:DIR, npz:FILE, npy:DIR, wav:DIR, kws20:DIR or digits; read "
        "part by part",
    )
    group.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        default="test",
        help="default: %(default)s; of data without a test part, every fifth of a class; "
        "validation: of wav files",
    )
    group.add_argument("--limit", metavar="N", type=int, help="only the first N samples")
    group = parser.add_argument_group("engine (neither changes a bit)")
    group.add_argument("--jobs", metavar="N", type=int, help="threads (default: one a processor)")
    group.add_argument("--batch", metavar="N", type=int, help="samples that are run at a time")
    group = parser.add_argument_group("output")
    group.add_argument("--layers", metavar="NAME,...", help="layers whose outputs are dumped")
    group.add_argument("--dump", metavar="NPZ", help="write input, labels and those outputs there")
    json_option(group)


def warmup_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``warmup``."""
    json_option(parser)


def train_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``."""
    network_options(parser, checkpoint=None)
    parser.add_argument(
        "--scenario", metavar="YAML", help="all of what is learnt, and how (docs/scenarios.md)"
    )
    data_options(parser)
    recipe_options(parser)
    parser.add_argument("--out", metavar="DIR", required=True, help="results")
    parser.add_argument(
        "--seeds", type=numbers, metavar="N,N", help="several runs, each in a folder of its own"
    )
    sram_option(parser)
    kept_options(parser, "as a board with --rehearse: each step a new example and kept ones")
    parser.add_argument("--tensorboard", action="store_true", help="also write its events")
    parser.add_argument(
        "--keep-snapshot", action="store_true", help="keep what a killed run is resumed from"
    )
    json_option(parser)


def cosim_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``cosim``."""
    network_options(parser)
    data_options(parser)
    recipe_options(parser)
    sram_option(parser)
    parser.add_argument("--seeds", type=numbers, metavar="N,N", help="one run for each")
    parser.add_argument(
        "--arm",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also in the emulator (default), or only on this computer",
    )
    parser.add_argument("--out", metavar="DIR", help="keep the C projects there")
    json_option(parser)


def demo_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``demo``."""
    data_options(parser)
    recipe_options(parser)
    parser.add_argument("--out", metavar="DIR", default="max78k-demo", help="default: %(default)s")


def emulate_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``emulate``."""
    parser.add_argument("elf", metavar="ELF", help="an Arm program, as for the board")
    parser.add_argument("--uart", metavar="FILE|pty", help="where its text goes (default: stdout)")
    parser.add_argument("--gdb", metavar="PORT", type=int, help="wait there for a debugger")
    parser.add_argument(
        "--trace",
        metavar="FILE",
        nargs="?",
        const="-",
        help="every access to accelerator and peripherals, by name (default: stderr)",
    )
    parser.add_argument("--record", metavar="NPZ", help="keep accesses to the accelerator")
    parser.add_argument("--profile", action="store_true", help="processor cycles by function")
    limits = parser.add_argument_group("when to stop")
    limits.add_argument("--max-instructions", metavar="N", type=int)
    limits.add_argument("--max-cycles", metavar="N", type=int, help="of the processor")
    limits.add_argument("--max-seconds", metavar="S", type=float, help="on the chip")
    limits.add_argument("--until", metavar="TEXT", help="once the program has sent this")
    network_options(parser, checkpoint=None)


def board_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``board``."""
    parser.add_argument(
        "--port", metavar="PORT", required=True, help="/dev/ttyACM0, COM3, or what emulate says"
    )
    parser.add_argument("--baud", metavar="N", type=int, default=115_200, help="default: 115200")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=2.0, help="for an answer (default: 2)"
    )
    network_options(parser)
    group = parser.add_argument_group("what to do (in this order)")
    group.add_argument("--load", metavar="PATCH", help="kernels from a patch file")
    group.add_argument("--train", action="store_true", help="show it examples to learn")
    group.add_argument(
        "--rehearse",
        action="store_true",
        help="with --train: the board keeps examples, and learns each new one with kept ones",
    )
    group.add_argument("--evaluate", action="store_true", help="its accuracy on test images")
    group.add_argument("--save", action="store_true", help="keep what it learnt in its flash")
    group.add_argument("--dump", metavar="PATCH", help="kernels of its trained layers to a file")
    group.add_argument(
        "--pull", metavar="PTH", help="what it learnt, as the vendor's checkpoint (.pth.tar)"
    )
    group.add_argument("--forget", action="store_true", help="erase its saves")
    data_options(parser)
    recipe_options(parser)
    json_option(parser)


def size_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``size``."""
    parser.add_argument("elf", metavar="ELF", help="an Arm program, as for the board")
    json_option(parser)


def keywords_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``keywords``."""
    parser.add_argument("--out", metavar="DIR", required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--words",
        type=int,
        choices=(20, 35),
        default=20,
        help="KWS20's, or all of Speech Commands, of which KWS20 calls 15 unknown (default: 20)",
    )
    parser.add_argument(
        "--counts",
        metavar="TRAIN,VALIDATION,TEST,FOREIGN",
        type=numbers,
        default=(200, 60, 60, 30),
        help="files of each word (default: 200,60,60,30)",
    )
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="threads; change no bit")


def pretrain_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pretrain``."""
    parser.add_argument(
        "--config-file", metavar="YAML", help="the network (default: networks/fashion)"
    )
    parser.add_argument(
        "--recipe", metavar="YAML", help="how to train (default: recipe.yaml beside the network)"
    )
    parser.add_argument("--data", metavar="WHERE", help="training data (default: the recipe's)")
    parser.add_argument("--out", metavar="DIR", help="default: networks/fashion")
    parser.add_argument(
        "--held-out-class",
        metavar="N",
        help="class never shown, or none; several (0,5,8) or all: a network for each, in DIR/N",
    )
    parser.add_argument(
        "--held-out-examples",
        metavar="N",
        type=int,
        help="so many of that class are shown after all, as a chip would see them (default: 0)",
    )
    parser.add_argument("--epochs", metavar="FLOAT,QUANTISED", type=numbers, help="of each phase")
    parser.add_argument(
        "--qat-policy", metavar="YAML", help="the vendor's: start_epoch, weight_bits, overrides"
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int)


# verb, what it does, its arguments
VERBS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("demo", "the whole, once: simulate, train on the chip, prove the C equal", demo_options),
    ("map", "where everything lies, and whether it fits; addresses both ways", map_options),
    ("check", "does a network fit, and is it legal", check_options),
    ("run", "one inference through the simulated chip", run_options),
    ("evaluate", "a whole data set through the simulated chip: accuracy", evaluate_options),
    ("warmup", "compile the engine now, once, so that nothing waits for it later", warmup_options),
    ("validate", "compare a run with somebody else's, layer by layer", validate_options),
    ("explain", "map --what and --where, also without a network", explain_options),
    ("replay", "what a program did on the bus, again: every read is compared", replay_options),
    ("registers", "each layer's registers in words, or two programs compared", registers_options),
    ("quantize", "a trained checkpoint's real weights to integers", quantize_options),
    ("train", "train layers of a network on the simulated chip", train_options),
    ("generate", "a C project for the board, with known-answer tests", generate_options),
    ("cosim", "train in Python, in C and on an emulated Arm, step by step", cosim_options),
    ("exec", "a C project on this computer, against the simulated chip", exec_options),
    ("emulate", "an Arm program on an emulated board, before there is one", emulate_options),
    ("board", "a board at a serial port: train it, watch it, read it back", board_options),
    ("size", "what an Arm program takes of flash and SRAM; does it fit", size_options),
    ("keywords", "20 spoken words as wav files, synthetic (needs espeak-ng)", keywords_options),
    ("pretrain", "train a network on this computer, for the chip (needs torch)", pretrain_options),
)


def build_parser(arguments: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The command line; where ``arguments`` are given, with the options of the verbs in them."""
    parser = argparse.ArgumentParser(
        prog="max78k",
        description="MAX78000 CNN accelerator: simulate to the bit, train at the addresses, "
        "generate C.",
    )
    parser.add_argument("--version", action="version", version=f"max78k {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, meaning, add_options in VERBS:
        verb = verbs.add_parser(name, help=meaning, description=meaning[0].upper() + meaning[1:])
        if arguments is None or name in arguments:
            add_options(verb)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 when it succeeded, 2 when something asked for is wrong."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        options = build_parser(given).parse_args(given)
        return import_module(f"max78k_sim.verbs.{options.verb}").main(options) or 0
    except Max78kError as error:
        print(f"max78k: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("max78k: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_INTERRUPTED
    except OSError as error:  # of a file that may not be looked at, or whose name is too long
        if error.filename is None:
            raise
        print(f"max78k: error: {printable(error.filename)}: {error.strerror}", file=sys.stderr)
        return EXIT_USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
