"""``max78k evaluate`` and ``max78k warmup``, as a user types them."""

import json

import numpy as np
import pytest

from max78k_sim import cli, engine
from tests import fashion
from tests.unit.test_cli import run
from trainer.data.datasets import load_dataset

COUNT = 12
EVALUATE = ("evaluate", *fashion.NETWORK_OPTIONS)
SHIPPED = load_dataset("fashion", "test")
IMAGES, LABELS = SHIPPED.images[:COUNT], SHIPPED.labels[:COUNT]
MAP_NET = """arch: unet
dataset: x
layers:
  - {op: conv2d, name: only, processors: 0b11, out_channels: 3, out_offset: 0x2000,
     kernel_size: 1x1, pad: 0, in_channels: 2, in_dim: [4, 5], data_format: HWC}
"""


def expected_confusion():
    chip, confusion = fashion.machine(), np.zeros((10, 10), int)
    for image, label in zip(IMAGES, LABELS, strict=True):
        confusion[label, chip.run(image).argmax()] += 1
    return confusion.tolist()


def test_json(capsys):
    code, out, err = run(capsys, *EVALUATE, "--data", "fashion", "--limit", COUNT, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")  # no progress bar where there is no terminal
    assert result["confusion"] == expected_confusion()
    assert (result["network"], result["data"]) == ("ai85net5fashion", "fashion")
    assert (result["split"], result["samples"], result["labels"]) == ("test", COUNT, COUNT)
    assert result["accuracy"] == result["top"][0] == np.trace(result["confusion"]) / COUNT
    assert len(result["top"]) == 5
    assert [row["name"] for row in result["classes"]] == list(SHIPPED.class_names)
    assert [row["count"] for row in result["classes"]] == np.bincount(LABELS, minlength=10).tolist()
    assert result["images_per_second"] == pytest.approx(COUNT / result["seconds"])


def test_in_words(capsys):
    code, out, _ = run(capsys, *EVALUATE, "--data", "fashion", "--limit", COUNT, "--jobs", 1)
    lines = out.splitlines()
    right = np.trace(expected_confusion()) / COUNT
    assert code == 0 and lines[0] == "ai85net5fashion: 12 images of fashion (test)"
    assert lines[1].startswith(f"accuracy: {right:.2%}; among the 5 largest: ")
    assert lines[3].split() == ["class", "images", "correct", "recall", "precision"]
    assert next(line for line in lines if line.startswith("8 bag")).split()[-2:] == ["-", "-"]
    assert "label \\ predicted  0  1" in out and out.rstrip().endswith(", 1 thread")


def test_jobs_and_batches_change_nothing(capsys):
    found = []
    for more in (("--jobs", 1, "--batch", 1), ("--jobs", 2, "--batch", 5)):
        arguments = (*EVALUATE, "--data", "fashion", "--limit", COUNT, "--json", *more)
        found.append(json.loads(run(capsys, *arguments)[1])["confusion"])
    assert found[0] == found[1] == expected_confusion()


@pytest.mark.parametrize("form", ["npz", "npy"])
def test_own_data(capsys, tmp_path, form):
    arrays = {"x": IMAGES[:2], "y": LABELS[:2], "x_test": IMAGES, "y_test": LABELS}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    data = f"npy:{tmp_path}" if form == "npy" else f"npz:{tmp_path / 'set.npz'}"
    result = json.loads(run(capsys, *EVALUATE, "--data", data, "--json")[1])
    assert result["samples"] == COUNT and result["confusion"] == expected_confusion()
    result = json.loads(run(capsys, *EVALUATE, "--data", data, "--split", "train", "--json")[1])
    assert result["samples"] == 2


def test_data_without_a_test_part(capsys, tmp_path):
    np.savez(tmp_path / "set.npz", x=IMAGES, y=np.arange(COUNT) % 2)
    command = (*EVALUATE, "--data", f"npz:{tmp_path / 'set.npz'}")
    out = run(capsys, *command)[1]
    assert out.startswith("ai85net5fashion: 2 images of set (test part; --split all has 12)\n")
    assert run(capsys, *command, "--split", "all")[1].startswith(
        "ai85net5fashion: 12 images of set (all)\n"
    )


def test_layers_are_dumped(capsys, tmp_path):
    file = tmp_path / "layers"  # written under exactly this name
    arguments = (*EVALUATE, "--data", "fashion", "--limit", COUNT, "--batch", 5, "--json")
    code, out, _ = run(capsys, *arguments, "--layers", "conv2,fc", "--dump", file)
    assert code == 0 and json.loads(out)["confusion"] == expected_confusion()
    assert [path.name for path in tmp_path.iterdir()] == ["layers"]
    machine = fashion.machine()
    with np.load(file) as stored:
        assert sorted(stored.files) == ["conv2", "fc", "input", "labels"]
        assert np.array_equal(stored["input"], IMAGES) and np.array_equal(stored["labels"], LABELS)
        assert stored["conv2"].dtype == np.int8 and stored["conv2"].shape == (COUNT, 48, 16, 16)
        for image, conv2, final in zip(IMAGES, stored["conv2"], stored["fc"], strict=True):
            outputs = [machine.output_of(trace) for trace in machine.traces(image)]
            assert np.array_equal(conv2, outputs[1]) and np.array_equal(final, outputs[4])
    again = tmp_path / "again"
    run(capsys, *arguments, "--layers", "fc, conv2", "--dump", again)
    run(capsys, *arguments, "--layers", "fc, conv2", "--dump", file)
    assert again.read_bytes() == file.read_bytes()


def test_a_dump_of_one_sample_is_what_validate_takes(capsys, tmp_path):
    file, layers = tmp_path / "one.npz", "conv1,conv2,conv3,conv4,fc"
    arguments = ("--data", "fashion", "--limit", 1, "--layers", layers, "--dump", file)
    assert run(capsys, *EVALUATE, *arguments)[0] == 0
    code, out, _ = run(capsys, "validate", *fashion.NETWORK_OPTIONS, "--against", file)
    assert code == 0 and "of 5 layers" in out.splitlines()[-1]


def map_network(tmp_path):
    config, weights = tmp_path / "map.yaml", tmp_path / "map.npz"
    config.write_text(MAP_NET)
    kernel = np.random.default_rng(1).integers(-128, 128, (3, 2, 1, 1)).astype(np.int8)
    np.savez(weights, w0=kernel)
    return "evaluate", "--config-file", config, "--checkpoint-file", weights


def test_classes_of_pixels(capsys, tmp_path):
    images = np.random.default_rng(2).integers(-128, 128, (10, 2, 4, 5)).astype(np.int8)
    labels = np.zeros((10, 4, 5), np.uint8)
    arrays = {"x": images, "y": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "set.npz", **arrays)
    command = (*map_network(tmp_path), "--data", f"npz:{tmp_path / 'set.npz'}")
    code, out, _ = run(capsys, *command)
    assert code == 0 and out.startswith("unet: 10 images of set (test), 200 pixels\n")
    result = json.loads(run(capsys, *command, "--json")[1])
    assert (result["samples"], result["labels"]) == (10, 200)
    assert sum(result["confusion"][0]) == 200 and len(result["classes"]) == 3


def test_without_labels_layers_can_be_dumped(capsys, tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    data, file = ("--data", f"npy:{tmp_path}"), tmp_path / "dump.npz"
    code, out, _ = run(capsys, *EVALUATE, *data, "--layers", "fc", "--dump", file)
    assert code == 0 and out.endswith("12 images of " + tmp_path.stem + ", without labels\n")
    with np.load(file) as stored:
        assert sorted(stored.files) == ["fc", "input"] and len(stored["fc"]) == COUNT
    code, out, err = run(capsys, *EVALUATE, *data)
    assert code == 2 and "x.npy: has no labels to compare with; give an array 'y'" in err


def bad_data(folder):
    """What a user may have lying about."""
    np.savez(folder / "rgb.npz", x=np.zeros((9, 3, 28, 28), np.uint8), y=np.zeros(9, int))
    np.savez(folder / "labels.npz", x=np.zeros((9, 28, 28), np.uint8), y=np.arange(9) + 4)
    np.savez(folder / "few.npz", x=np.zeros((4, 28, 28), np.uint8), y=np.zeros(4, int))
    np.savez(folder / "map.npz", x=np.zeros((9, 28, 28), np.uint8), y=np.zeros((9, 28, 28), int))
    (folder / "cut.npz").write_bytes((folder / "few.npz").read_bytes()[:500])


BAD = (
    (("--data", "mnist"), "data 'mnist' is not known; use fashion, digits, idx:DIRECTORY, npz:"),
    (("--data", "fashion", "--split", "all"), "'fashion' has a training and a test part; give"),
    (("--data", "npz:absent.npz"), "absent.npz: is not a file; give an .npz with arrays x and y"),
    (("--data", "npz:cut.npz"), "cut.npz: cannot be read as .npz: "),
    (("--data", "npz:rgb.npz"), "rgb.npz: images of 3x28x28 (CHW); ai85net5fashion takes 1x28x28"),
    (("--data", "npz:labels.npz", "--split", "train"),
     "labels.npz: labels from 4 to 12; the network has 10 classes, 0 to 9"),
    (("--data", "npz:map.npz"), "map.npz: labels of shape (1, 28, 28) for 1 images; "),
    (("--data", "fashion", "--input-shape", "3,28,28"),
     "network.yaml:7: --input-shape 3,28,28: conv1 reads 1,28,28, by in_channels and in_dim"),
    (("--data", "npz:few.npz"), "few: no test images; give at least five of a class"),
    (("--data", "fashion", "--limit", "0"), "--limit 0: at least 1 sample is needed"),
    (("--data", "fashion", "--jobs", "0"), "jobs 0: at least 1 is needed"),
    (("--data", "fashion", "--batch", "-3"), "batch -3: at least 1 is needed"),
    (("--data", "fashion", "--layers", "fc"), "--layers NAME,... and --dump NPZ go together"),
    (("--data", "fashion", "--dump", "x.npz"), "--layers NAME,... and --dump NPZ go together"),
    (("--data", "fashion", "--layers", "fc,conv9", "--dump", "x.npz"),
     "ai85net5fashion has no layer 'conv9'; its layers are: conv1, conv2, conv3, conv4, fc"),
    (("--data", "fashion", "--limit", "2", "--layers", "fc", "--dump", "no/such/x.npz"),
     "no/such/x.npz: cannot be written: No such file or directory"),
    (("--data", "npz:labels.npz", "--split", "train", "--layers", "fc", "--dump", "x.npz"),
     "labels.npz: labels from 4 to 12; the network has 10 classes, 0 to 9"),
)  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input(capsys, tmp_path, monkeypatch, arguments, message):
    bad_data(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *EVALUATE, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("max78k: error: ") and message in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_data_is_required(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(EVALUATE))
    assert stopped.value.code == 2 and "--data" in capsys.readouterr().err


def test_warmup(capsys, monkeypatch):
    done = [("avx2", 4.25), ("one inference", 0.5)]
    monkeypatch.setattr(engine, "choose_path", lambda: "avx2", raising=False)
    monkeypatch.setattr(engine, "warmup", lambda path: done, raising=False)
    monkeypatch.setenv("MAX78K_CACHE", "/cache/avx2")
    code, out, _ = run(capsys, "warmup")
    assert code == 0 and out == (
        "avx2: 4.25 s\none inference: 0.50 s\ninstruction path: avx2; cache: /cache/avx2\n"
    )
    assert json.loads(run(capsys, "warmup", "--json")[1]) == {
        "path": "avx2",
        "cache": "/cache/avx2",
        "done": [{"what": what, "seconds": seconds} for what, seconds in done],
    }
