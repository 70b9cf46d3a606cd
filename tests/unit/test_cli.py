"""Every verb, as a user types it; errors are one message, exit code 2, and nothing half-written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from max78k_sim import cli
from tests import fashion

SAMPLE = str(fashion.DIRECTORY / "sample.npy")
SHORT = ("--steps", "3", "--batch", "2", "--test-images", "20", "--new-images", "4",
         "--replay-images", "1")  # fmt: skip


def run(capsys, *arguments):
    code = cli.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_map(capsys):
    code, out, _ = run(capsys, "map", *fashion.NETWORK_OPTIONS)
    assert code == 0 and "conv4" in out and "of 49,152 words" in out


def test_map_as_json(capsys):
    code, out, _ = run(capsys, "map", *fashion.NETWORK_OPTIONS, "--json")
    assert code == 0 and [layer["layer"] for layer in json.loads(out)["layers"]][-1] == "fc"


def test_map_where_and_what_are_inverse(capsys):
    network = fashion.NETWORK_OPTIONS
    code, out, _ = run(capsys, "map", *network, "--where", "conv3.weight[12,5,1,2]")
    assert code == 0 and out == (
        "conv3 kernel [out 12, in 5, row 1, column 2]: 0x501946cb, processor 5, kernel word 108, "
        "b5, byte 11 of the slot; packed address 0x501941b0 (strobe 0x501941b1)\n"
    )
    code, out, _ = run(capsys, "map", *network, "--what", "0x501946cb")
    assert code == 0 and out.startswith("0x501946cb: conv3 kernel [out 12, in 5, row 1, column 2]")
    code, again, _ = run(capsys, "explain", "0x501946cb", *network)
    assert code == 0 and again == out


def test_map_where_several(capsys):
    network = fashion.NETWORK_OPTIONS
    code, out, _ = run(capsys, "map", *network, "--where", "conv3.weight[12,5,:,:]", "fc.bias")
    assert code == 0 and "501946cb" in out and out.count("501941b0") == 9
    assert "fc bias" in out
    rows = run(capsys, "map", *network, "--where", "conv1.output[3,:2,0]", "--json")[1]
    assert [row["address"] for row in json.loads(rows)] == ["0x50402003", "0x50402073"]
    code, out, _ = run(capsys, "map", *network, "--where", "conv1.output[3,:,0]", "--csv", "-")
    assert code == 0 and len(out.splitlines()) == 29


def test_map_what_as_json(capsys):
    network = fashion.NETWORK_OPTIONS
    out = run(capsys, "map", *network, "--what", "0x50400000+8", "0x50100590", "--json")[1]
    first, second, register = json.loads(out)
    assert first["elements"][0]["name"] == "conv1.input[0,0,0]"
    assert second["address"] == "0x50400004"
    assert register["register"]["fields"]["master"] == 1


def test_map_files(capsys, tmp_path):
    table, header = tmp_path / "map.csv", tmp_path / "chip map.h"
    code, out, _ = run(capsys, "map", *fashion.NETWORK_OPTIONS, "--csv", table)
    assert (code, out) == (0, "") and table.read_text().startswith("kind,layer,unit_name,unit,")
    code, out, _ = run(capsys, "map", *fashion.NETWORK_OPTIONS, "--c-header", header)
    assert code == 0 and out.split("\n")[:2] == [str(header), str(tmp_path / "chip map_check.c")]
    printed = run(capsys, "map", *fashion.NETWORK_OPTIONS, "--c-header", "-")[1]
    assert printed == header.read_text()
    assert len(list(tmp_path.iterdir())) == 3


def test_run(capsys, tmp_path):
    layers = tmp_path / "layers"  # written under exactly this name
    code, out, _ = run(
        capsys,
        "run",
        *fashion.NETWORK_OPTIONS,
        "--sample-input",
        SAMPLE,
        "--json",
        "--dump",
        layers,
    )
    result = json.loads(out)
    assert code == 0 and result["final"] == np.load(fashion.DIRECTORY / "expected.npy").tolist()
    assert result["addresses"][3:5] == ["0x5040200c", "0x5040a000"]
    with np.load(layers) as stored:
        assert stored["layer3"].shape == stored["acc3"].shape == (16, 4, 4)
        assert stored["pool3"].shape == (1, 64, 4, 4) and stored["address4"][4] == 0x5040A000


def test_run_in_words(capsys):
    code, out, _ = run(capsys, "run", *fashion.NETWORK_OPTIONS, "--sample-input", SAMPLE)
    assert code == 0 and "output 10x1x1 (CHW), int32, of fc\n" in out
    assert "\nat 0x50402000: channels 0-3\nat 0x5040a000: channels 4-7\n" in out


def test_explain_both_ways(capsys):
    network = fashion.NETWORK_OPTIONS
    code, out, _ = run(capsys, "explain", "conv2.kernel[3,5,1,2]", *network)
    address = out.split(": ")[1].split(",")[0]
    assert code == 0
    code, out, _ = run(capsys, "explain", address, *network)
    assert code == 0 and "conv2 kernel [out 3, in 5, row 1, column 2]" in out


def test_train_and_load_what_came_of_it(capsys, tmp_path):
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--new-class", "8", "--out", tmp_path)
    code, out, _ = run(capsys, *arguments, "--json")
    result = json.loads(out)
    assert code == 0 and len(result["sha256"]) == 64
    files = ["result.json", "steps.csv", "trained.npz", "trained.pth.tar"]
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    outputs = set()
    for name in files[2:]:
        trained = ("--config-file", str(fashion.CONFIG), "--checkpoint-file", tmp_path / name)
        code, out, _ = run(capsys, "run", *trained, "--sample-input", SAMPLE)
        assert code == 0
        outputs.add(out)
    assert len(outputs) == 1


def test_train_several_layers_with_several_seeds(capsys, tmp_path):
    more = ("--layers", "conv4,fc", "--seeds", "1,2", "--wide-bias", "--teacher-share", "64")
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--new-class", "8", *more)
    code, out, _ = run(capsys, *arguments, "--out", tmp_path)
    assert code == 0 and "conv3 lies unharmed in data memory with the changed offsets" in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert [each["seed"] for each in result["runs"]] == [1, 2]
    assert result["runs"][0]["sha256"] != result["runs"][1]["sha256"]
    assert [len(each["wide_biases"]) for each in result["runs"]] == [10, 10]
    assert "32-bit biases: wide_biases of result.json; trained.* are without them" in out
    assert result["runs"][0]["sram_peak"] == sum(result["runs"][0]["sram_bytes"].values())
    rows = (tmp_path / "seed-1" / "steps.csv").read_text().splitlines()
    assert rows[0] == "step,right" and len(rows) == 1 + result["runs"][0]["steps"]


def test_train_as_a_scenario_says(capsys, tmp_path):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        f"kind: class-incremental\nnetwork: {fashion.CONFIG}\ncheckpoint: {fashion.CHECKPOINT}\n"
        "data: fashion\nnew_class: 8\nexamples: 5\nstrategy: replay latent\ntest_images: 40\n"
        "replay: 4096\nrecipe: {steps: 2}\n"
    )
    arguments = ("train", "--scenario", scenario, "--out", tmp_path / "out")
    code, out, _ = run(capsys, *arguments, "--seeds", "1,2")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert code == 0 and "replay latent" in out
    assert [each["seed"] for each in result["outcomes"]] == [1, 2]
    scenario.write_text(scenario.read_text().replace("new_class: 8", "new_class: 88"))
    code, _, err = run(capsys, *arguments)
    assert code == 2 and "new_class 88: the network has classes 0 to 9" in err


def test_train_writes_tensorboards_events(capsys, tmp_path):
    pytest.importorskip("tensorboardX")
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--tensorboard", "--out", tmp_path)
    assert run(capsys, *arguments)[0] == 0
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"right" in events.read_bytes()


def test_train_on_an_npz_file(capsys, tmp_path):
    random = np.random.default_rng(1)
    data = tmp_path / "data.npz"
    images = random.integers(0, 256, (60, 1, 28, 28)).astype(np.uint8)
    np.savez(data, x=images, y=np.arange(60) % 10)
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--data", f"npz:{data}")
    code, out, _ = run(capsys, *arguments, "--out", tmp_path / "out")
    assert code == 0 and "new class 9" in out


UNFIT = [
    ((60, 28, 28), 12, "labels of the train part reach 11; ai85net5fashion has 10 classes, 0 to 9"),
    ((60, 3, 28, 28), 10, "data.npz: images of 3x28x28 (CHW); ai85net5fashion takes 1x28x28"),
    ((40, 28, 28), 10, "data: no test images; give at least five of a class"),
    ((60, 28, 28), 9, "data: no training images of class 9; there are those of 0, 1, 2, 3, 4, 5"),
]


@pytest.mark.parametrize("shape, classes, message", UNFIT)
def test_train_on_data_that_do_not_fit(capsys, tmp_path, shape, classes, message):
    np.savez(tmp_path / "data.npz", x=np.zeros(shape, np.uint8), y=np.arange(shape[0]) % classes)
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--data", f"npz:{tmp_path}/data.npz")
    code, _, err = run(capsys, *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in err and not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_written_is_told_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda name, mode: False)
    for arguments in (
        ("train", *fashion.NETWORK_OPTIONS, *SHORT),
        ("pretrain", "--data", "digits"),
    ):
        code, _, err = run(capsys, *arguments, "--out", tmp_path)
        assert code == 2 and f"{tmp_path}: nothing may be written into this directory" in err
        assert not list(tmp_path.iterdir())


def test_train_where_nothing_measures_the_old_classes(capsys, tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((60, 28, 28), np.uint8), y=np.full(60, 9))
    arguments = ("train", *fashion.NETWORK_OPTIONS, *SHORT, "--data", f"npz:{tmp_path}/data.npz")
    code, out, _ = run(capsys, *arguments, "--out", tmp_path, "--seeds", "1,2")
    assert code == 0 and "old classes: no test images to measure on" in out
    assert json.loads((tmp_path / "result.json").read_text())["old_after"] is None


def test_generate_and_check(capsys, tmp_path):
    code, out, _ = run(capsys, "generate", *fashion.NETWORK_OPTIONS, "--train", "--out", tmp_path)
    assert code == 0 and str(tmp_path / "cnn_map.h") in out
    done = subprocess.run(["make", "-C", tmp_path, "check"], capture_output=True, text=True)
    assert done.returncode == 0 and "PASS" in done.stdout


def test_generate_the_map_alone(capsys, tmp_path):
    code, _, _ = run(capsys, "generate", *fashion.NETWORK_OPTIONS, "--out", tmp_path)
    assert code == 0 and not (tmp_path / "cnn_train.c").exists()


def test_demo(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", *SHORT, "--out", tmp_path)
    assert code == 0, out
    assert "all kernel and bias memory, by SHA-256: identical" in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["c_identical"] and result["new_before"] == 0.0
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "snapshot.npz").exists()


TALKS = ("--train", "--protocol")  # a program at a serial port
BAD = (
    (("run", "--config-file", "no.yaml", "--checkpoint-file", "no.npz", "--sample-input", SAMPLE),
     "no.yaml: cannot read the network description: No such file or directory"),
    (("explain", "rubbish"), "'rubbish' is neither an address (0x50180042) nor an element"),
    (("explain", "0x20000000"), "0x20000000 is in no memory of MAX78000"),
    (("explain", "conv1.kernel[0,0,0,0]"), "elements need a network; give --config-file"),
    (("explain", "conv9.kernel[0]", *fashion.NETWORK_OPTIONS), "has no layer 'conv9'"),
    (("map", *fashion.NETWORK_OPTIONS, "--where", "conv3.weight[64,0,0,0]"),
     "conv3 kernel has no element [64,0,0,0]; it has [out 0 to 63, in 0 to 47, row 0 to 2, "
     "column 0 to 2]"),
    (("map", *fashion.NETWORK_OPTIONS, "--where", "conv9.weight"),
     "has no layer 'conv9'; its layers are: conv1, conv2, conv3, conv4, fc"),
    (("map", *fashion.NETWORK_OPTIONS, "--what", "conv3.weight"),
     "'conv3.weight' is not an address (0x50184a10, or 0x50184a10+64 for 64 bytes); an element is "
     "asked for with --where"),
    (("map", *fashion.NETWORK_OPTIONS, "--what", "0x50180000+100000"),
     "'0x50180000+100000': a range has 1 to 65536 bytes; for the whole map give --csv"),
    (("map", *fashion.NETWORK_OPTIONS, "--what", "0x20000000+4"), "0x20000000 is in no memory of"),
    (("map", *fashion.NETWORK_OPTIONS, "--what", "0x50180000", "--csv", "x"),
     "--what and --csv do not go together"),
    (("map", *fashion.NETWORK_OPTIONS, "--json", "--csv", "x"), "--json and --csv do not go"),
    (("map", *fashion.NETWORK_OPTIONS, "--csv", "no/such/x"), "cannot be written: No such file"),
    (("map", *fashion.NETWORK_OPTIONS, "--device", "MAX99999"),
     "device 'MAX99999' is not known; the devices are: MAX78000, MAX78002"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--data", "idx:/no/such/place"), "/no/such"),
    (("train", "--out", "x"), "give --config-file and --checkpoint-file, or --scenario"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--layers", "conv9"),
     "has no layer 'conv9'; its layers are: conv1, conv2, conv3, conv4, fc"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--layers", "conv1,fc", "--sram", "8"),
     "and the budget is 8,192 bytes; the smallest budget that would do is"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--optimizer", "lion"),
     "optimizer 'lion': it is momentum, adam"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--new-class", "12"),
     "--new-class 12: the network has classes 0 to 9"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--steps", "0"), "steps 0 is not in 1 to"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--data", "npz:" + 300 * "a"),
     120 * "a" + ": File name too long"),
    (("evaluate", *fashion.NETWORK_OPTIONS, "--data", "fashion", "--limit", "1", "--layers", "fc",
      "--dump", 300 * "a"), "aaa: cannot be written: File name too long"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", ""), "--out has no name; give the folder for"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--new-images", "-1"),
     "--new-images -1: at least 1 is needed"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--replay-images", "-1"),
     "--replay-images -1: 0 (none) or more"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--test-images", "-3"),
     "--test-images -3: 0 (all) or more"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--seeds", "1,1"),
     "--seeds: 1 is given twice; a seed is one run"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--seeds", "1,-2"),
     "--seeds -2: a seed is 0 to 4294967295"),
    (("train", *fashion.NETWORK_OPTIONS, "--out", "x", "--parts", "weights"),
     "parts weights: of a layer, kernel and bias can be trained"),
    (("train", "--scenario", "none.yaml", "--out", "x", "--steps", "2"),
     "--steps beside --scenario: all but --out, --seeds and --json is said in the scenario's"),
    (("cosim", *fashion.NETWORK_OPTIONS, "--seeds", "2,2"), "--seeds: 2 is given twice"),
    (("generate", *fashion.NETWORK_OPTIONS, "--train", "--layer", "conv3", "--out", "x"),
     "most of it for velocities (110,848 bytes), and the budget is 98,304 bytes"),
    (("generate", *fashion.NETWORK_OPTIONS, "--train", "--new-class", "10", "--out", "x"),
     "--new-class 10: the network has classes 0 to 9"),
    (("generate", *fashion.NETWORK_OPTIONS, "--train", "--sram", "129", "--out", "x"),
     "--sram 129: the processor has 128 KB"),
    (("generate", *fashion.NETWORK_OPTIONS, *TALKS, "--wide-bias", "--out", "x"),
     "--wide-bias: the program at a serial port answers with, and saves, what the chip holds"),
    (("generate", *fashion.NETWORK_OPTIONS, "--layers", "fc", "--out", "x"),
     "--layers says how the program learns; give --train, too"),
    (("generate", *fashion.NETWORK_OPTIONS, "--train", "--save", "--out", "x"),
     "--save: the program that learns at a serial port keeps what it learnt; give --train and"),
    (("generate", *fashion.NETWORK_OPTIONS, *TALKS, "--replay", "9", "--out", "x"),
     "--replay 9: one example takes 786 bytes (8 bits a value, and its label); give at least"),
    (("train", *fashion.NETWORK_OPTIONS, "--wide-bias", "--parts", "kernel", "--out", "x"),
     "wide_bias: these are biases that are trained; parts need bias, too"),
    (("train", *fashion.NETWORK_OPTIONS, "--wide-bias", "--layers", "conv4", "--out", "x"),
     "wide_bias: these are biases of fc, which is not trained; add it to the layers"),
    (("train", *fashion.NETWORK_OPTIONS, "--data", "fashion", "--new-class", "8", "--replay",
      "8000", "--new-share", "9", "--out", "x"),
     "--new-share 9: with --replay the first example of each batch is new"),
    (("generate", *fashion.NETWORK_OPTIONS, *TALKS, "--replay", "90000", "--out", "x"),
     "are more than 96 KB of SRAM (--sram); --replay 71526 would fit"),
    (("demo", "--new-class", "77"), "no training images of class 77"),
    (("pretrain", "--epochs", "3"), "--epochs: two numbers, for example --epochs 18,6"),
    (("pretrain", "--data", "idx:/no/such/place", "--out", "x"), "/no/such/place"),
)  # fmt: skip


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_input(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("max78k: error: ") and message in err
    assert "Traceback" not in err + out
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_an_interrupt_is_not_a_traceback(capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("max78k_sim.verbs.map.main", interrupted)
    code, _, err = run(capsys, "map", *fashion.NETWORK_OPTIONS)
    assert (code, err) == (130, "max78k: interrupted\n")


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from max78k_sim import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'numba', 'torch', 'rich', 'yaml', 'matplotlib')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


TWICE = """arch: a
dataset: x
layers:
  - {op: conv2d, processors: 1, out_channels: 1, out_offset: 0x1000, avg_pool: 2, pool_stride: 2}
  - {op: conv2d, processors: 1, out_channels: 1, out_offset: 0x1020}
"""


def test_overlapping_data(capsys, tmp_path):
    """Refused without the switch; with it, warned of, and every warning once."""
    config, weights, sample = (tmp_path / name for name in ("n.yaml", "w.npz", "s.npy"))
    config.write_text(TWICE)
    kernel = np.ones((1, 1, 3, 3), np.int8)
    np.savez(weights, w0=kernel, w1=2 * kernel)
    np.save(sample, np.ones((1, 8, 8), np.int8))
    arguments = ("run", "--config-file", config, "--checkpoint-file", weights, "--sample-input")
    code, _, err = run(capsys, *arguments, sample)
    assert code == 2 and "n.yaml:5: layer 1 (layer1): its output overwrites 0x1020-0x103f of" in err
    code, _, err = run(capsys, *arguments, sample, "--overlap-data")
    assert code == 0 and err.count("max78k: warning: ") == 2
    assert err.count("layer 0 (layer0): vendor's sources disagree: average pooling of means") == 1
    assert err.count("layer 1 (layer1): its output overwrites") == 1
