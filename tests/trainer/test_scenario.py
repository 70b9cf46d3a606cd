"""Scenarios: read, refused with file, line, field and value, and run."""

import json

import numpy as np
import pytest

from max78k_sim.errors import InputError
from tests import fashion
from tests.conftest import ROOT
from trainer.data.datasets import load_dataset
from trainer.learning.scenario import noised, run_scenario
from trainer.learning.scenario_file import FIELDS, KINDS, field_table, read_scenario

NETWORK = f"network: {fashion.CONFIG}\ncheckpoint: {fashion.CHECKPOINT}\n"
QUICK = "examples: 4\nseeds: [3]\ntest_images: 30\nreplay: 4000\nrecipe: {steps: 2, batch: 4}\n"
WHOLE = "kind: class-incremental\n" + NETWORK + "data: fashion\nnew_class: 8\n" + QUICK


def written(tmp_path, content: str):
    file = tmp_path / "scenario.yaml"
    file.write_text(content, encoding="utf-8")
    return file


def test_a_file_is_read_with_its_defaults(tmp_path):
    files = "network: a.yaml\ncheckpoint: b/c.tar\ndata: npz:d.npz\n"
    content = "kind: class-incremental\n" + files + "new_class: 8\n"
    scenario = read_scenario(written(tmp_path, content))
    assert scenario.network == str(tmp_path / "a.yaml")
    assert scenario.checkpoint == str(tmp_path / "b" / "c.tar")
    assert scenario.data == f"npz:{tmp_path / 'd.npz'}"
    assert (scenario.new_class, scenario.examples, scenario.replay) == (8, 100, 65536)
    assert (scenario.seeds, scenario.strategy, scenario.layers) == ((1,), "whitened", None)


REFUSED = [
    ("", "is no YAML mapping"),
    ("a: [", "is no YAML"),
    ("kind: other\n", "1: kind 'other': it is one of: class-incremental; domain-shift"),
    ("data: fashion\n", "kind is missing: what is new"),
    (WHOLE + "data: fashion\n", "11: data is given twice, first in line 4"),
    (WHOLE.replace("steps: 2", "steps: 2, steps: 3"), "10: steps is given twice, first in line 10"),
    (WHOLE.replace("examples: 4", "examples: !!int ''"), "6: is no YAML: a value does not fit its"),
    (WHOLE.replace("examples: 4", "examples: \x01"), "is no YAML: unacceptable character #x0001"),
    (WHOLE.replace("examples: 4", "examples: !!bool maybe"), "6: is no YAML: a value does not fit"),
    (WHOLE.replace("examples: 4", "examples: !!timestamp now"), "6: is no YAML: a value does not"),
    (WHOLE.replace("examples: 4", "examples: " + "9" * 4400), "6: is no YAML: .* is too long"),
    (WHOLE + "layers: [&a [x, x], *a]\n", "11:.*: YAML aliases are not supported"),
    ("kind: " + 99 * "[", "1:.*: more than 20 nested levels"),
    (WHOLE + "? [a]\n: 1\n", "11: a key is a list or a mapping; write a name"),
    (WHOLE + "# " + (1 << 16) * "x", "has 65[0-9]* bytes; 65536 are possible"),
    (
        WHOLE.replace("steps: 2", "parts: [[fc]]"),
        "10: recipe: parts .'fc'.: of a layer",
    ),
    (
        WHOLE + "speed: 3\n",
        "11: field 'speed' is not known; a class-incremental scenario has: kind",
    ),
    (WHOLE + "noise: 3\n", "11: noise: a class-incremental scenario has none; domain-shift has"),
    (WHOLE.replace("new_class: 8", "new_class: eight"), "5: new_class 'eight': it is an integer"),
    (WHOLE.replace("new_class: 8\n", ""), "new_class is missing: the class to learn"),
    (WHOLE.replace("examples: 4", "examples: 0"), "6: examples 0: it is 1 to 16777216"),
    (WHOLE.replace("[3]", "[3, 3]"), "7: seeds .3, 3.: it is a list of different seeds"),
    (WHOLE.replace("[3]", "3"), "7: seeds 3: it is a list of different seeds, for example"),
    (WHOLE.replace("steps: 2", "step: 2"), "10: recipe .*holds fields of a recipe: parts"),
    (WHOLE.replace("steps: 2", "steps: 0"), "10: recipe: steps 0 is not in 1 to"),
    (WHOLE.replace("steps: 2", "steps: fast"), "10: recipe .*holds steps 'fast'; it is like 300"),
    (WHOLE + "strategy: magic\n", "11: strategy 'magic': it is one of: fine-tune; last layer"),
    (WHOLE + "layers: []\n", "11: layers .*list of different layers, for example .fc."),
    (WHOLE + 'joint_network: "a\\0b"\n', "11: joint_network .*: it is text"),
    (WHOLE + "joint_network: a\n", "joint_network and joint_checkpoint: give both or neither"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_what_is_wrong_is_said_with_its_place(tmp_path, content, message):
    file = written(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_scenario(file)
    assert str(caught.value).startswith(str(file))


def test_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_scenario(tmp_path / "none.yaml")


def user_data(tmp_path):
    """The shipped images, brighter: another user's."""
    images = load_dataset("fashion", "train")
    pixels = (images.images[:, 0].astype(np.int16) + 128).clip(30, 255).astype(np.uint8)
    file = tmp_path / "user.npz"
    np.savez(file, x=pixels[:60], y=images.labels[:60])
    return file


OTHERS = {
    "class-incremental": "new_class: 8\n",
    "domain-shift": "noise: 20\n",
    "user-adaptation": "user_data: npz:user.npz\nstrategy: replay latent\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs(tmp_path, kind):
    user_data(tmp_path)
    joint = f"joint_network: {fashion.CONFIG}\njoint_checkpoint: {fashion.CHECKPOINT}\n"
    content = f"kind: {kind}\n" + NETWORK + "data: fashion\n" + OTHERS[kind] + QUICK + joint
    if kind == "domain-shift":
        content += "strategy: replay latent\nlayers: [conv4, fc]\n"
    result = run_scenario(read_scenario(written(tmp_path, content)))
    (outcome,) = result.outcomes
    assert outcome.steps == 2 and outcome.seed == 3 and 0 < outcome.replay_bytes <= 4000
    assert result.gap == pytest.approx(result.joint - outcome.overall[1])
    back = json.loads(result.json())
    assert back["scenario"]["kind"] == kind
    assert back["outcomes"][0]["sha256"] == outcome.sha256 and len(outcome.sha256) == 64


LABELS = np.arange(30)
UNFIT = [  # images, labels, test_images
    (np.zeros((30, 27, 28)), LABELS % 10, 30, "images of 1x27x28 .CHW.; ai85net5fashion takes"),
    (np.zeros((30, 28, 28)), LABELS % 12, 30, "labels of the train part reach 11; ai85net5fash"),
    (np.zeros((30, 28, 28)), LABELS % 10, 30, "own: no test images; give at least five of a"),
    (np.zeros((30, 28, 28)), LABELS // 6 + 5, 1, "no new samples to count; .* within test_images"),
    (np.zeros((30, 28, 28)), LABELS * 0 + 8, 30, "no old samples to learn from; a class-incremen"),
    (np.zeros((30, 28, 28)), LABELS * 0 + 7, 30, "no new samples to learn from; a class-incremen"),
]


@pytest.mark.parametrize(("images", "labels", "tests", "message"), UNFIT)
def test_data_that_a_scenario_cannot_use(tmp_path, images, labels, tests, message):
    np.savez(tmp_path / "own.npz", x=images.astype(np.uint8), y=labels)
    own = WHOLE.replace("data: fashion", "data: npz:own.npz")
    file = written(tmp_path, own.replace("test_images: 30", f"test_images: {tests}"))
    with pytest.raises(InputError, match=message):
        run_scenario(read_scenario(file))


def test_a_joint_network_of_another_shape_is_refused_before_anything_is_learnt(tmp_path):
    other = fashion.CONFIG.parents[1] / "keywords"
    joint = f"joint_network: {other}/network.yaml\njoint_checkpoint: {other}/checkpoint.pth.tar\n"
    with pytest.raises(InputError, match=r"network.yaml: takes \(128, 128, 1\), not \(1, 28, 28\)"):
        run_scenario(read_scenario(written(tmp_path, WHOLE + joint)))


def test_a_class_beyond_the_network_is_refused(tmp_path):
    file = written(tmp_path, WHOLE.replace("new_class: 8", "new_class: 10"))
    with pytest.raises(InputError, match="new_class 10: the network has classes 0 to 9"):
        run_scenario(read_scenario(file))


def test_a_strategy_for_a_new_class_is_refused_where_none_is_new(tmp_path):
    content = "kind: domain-shift\n" + NETWORK + "data: fashion\nnoise: 20\n" + QUICK
    with pytest.raises(InputError, match="a whitened start is of a new class, and none is new"):
        run_scenario(read_scenario(written(tmp_path, content)))


def test_noise_is_repeatable_and_as_large_as_asked():
    data = load_dataset("fashion", "test").subset(np.arange(20))
    noisy = noised(data, 10, 0)
    assert np.array_equal(noisy.images, noised(data, 10, 0).images)
    middle = (data.images > -80) & (data.images < 80)
    change = noisy.images[middle].astype(int) - data.images[middle]
    assert abs(change.std() - 10) < 0.5 and not np.array_equal(change, 0 * change)


def test_the_documentation_lists_every_field():
    assert field_table() in (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    assert set(FIELDS) >= {"kind", "network", "data"}
