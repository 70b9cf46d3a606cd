"""The competitors of ``make bench`` compute what the chip computes, and a missed goal is told."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import builders  # noqa: E402
from tests.bench import goals, page, subjects  # noqa: E402
from tests.bench.figures import Figure  # noqa: E402
from tests.bench.results import Results  # noqa: E402
from tests.bench.speed import COMPETITORS, Peak, Speed, Speeds  # noqa: E402
from tests.bench.torch_forms import FORMS, Form, TorchNetwork  # noqa: E402

EXACT = [form for form in FORMS if form.kind != "float32"]
SMALLER = {"unet": ("in_dim: [48, 48]", "in_dim: [16, 16]")}  # a tenth of the work


@pytest.fixture(scope="module", params=subjects.CASES)
def computed(request, tmp_path_factory):
    """A network of the benchmark, samples and the machine's outputs."""
    text = (subjects.FOLDER / f"{request.param}.yaml").read_text(encoding="utf-8")
    file = tmp_path_factory.mktemp("bench") / "network.yaml"
    file.write_text(text.replace(*SMALLER.get(request.param, ("", ""))), encoding="utf-8")
    subject = subjects.Subject(request.param, subjects.load_described(file))
    chip, samples = subject.machine(), subject.samples(2)
    return subject.network, samples, np.stack([chip.run(sample) for sample in samples])


@pytest.mark.parametrize("form", EXACT, ids=str)
def test_written_out_is_the_machine_to_the_bit(computed, form):
    network, samples, expected = computed
    model = TorchNetwork(network, form)
    output = model.run(model.prepare(samples)).numpy()
    assert np.array_equal(output.reshape(expected.shape), expected)


def test_float32_is_the_same_network_without_rounding(computed):
    """So that what is timed is the same work, on values that are not all 0 or saturated."""
    network, samples, expected = computed
    model = TorchNetwork(network, Form("float32", False))
    output = model.run(model.prepare(samples)).numpy()
    assert np.corrcoef(output.ravel(), expected.ravel())[0, 1] > 0.8
    assert len(np.unique(expected)) > 15


@pytest.mark.parametrize(
    ("name", "multiplications"),
    [
        ("mnist", 10_751_808),
        ("kws20_v3", 8_345_344),
        ("simplenet", 18_461_184),
        ("unet", 186_301_440),
    ],
)
def test_the_shapes_are_the_published_ones(name, multiplications):
    """Multiplications as the vendor's generator counts them."""
    assert subjects.load(name).multiplications == multiplications


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel_shape": (3, 3), "in_channels": 128}, r"first: sums can pass 2\*\*24"),
        ({"pool": (1, 1), "stride": 2}, "first: no form in PyTorch is written for this layer"),
        ({"activation": "abs"}, "first: no form in PyTorch is written for this layer"),
    ],
)
def test_what_would_not_be_equal_is_refused(fields, message):
    channels = fields.get("in_channels", 2)
    network = builders.one_layer(**fields, processors=(1 << min(channels, 64)) - 1)
    kernel = np.full(network.layers[0].kernel_tensor_shape, -128, np.int8)
    full = replace(network, parameters=(replace(network.parameters[0], kernel=kernel),))
    with pytest.raises(ValueError, match=message):
        TorchNetwork(full, EXACT[0])


@pytest.mark.parametrize(
    ("value", "goal", "at_least", "holds"),
    [
        (9.99, 10, True, False),
        (10, 10, True, True),
        (0.71, 0.7, False, False),
        (0.7, 0.7, False, True),
        (None, 65, True, False),  # what could not be measured is missed
        (None, None, True, True),
    ],
)
def test_a_goal_holds(value, goal, at_least, holds):
    assert Figure("any", value, "times", goal, at_least).holds is holds


def test_best_is_compared_with_best_and_a_missed_goal_is_told():
    rows = [  # threads, batch, images a second of each competitor
        (1, 1, (10, 9, 1, 2)),
        (1, 64, (80, 30, 20, 25)),
        (2, 64, (120, 10, 5, 5)),  # PyTorch does better with one thread
    ]
    peak = {1: 160e9, 2: None}
    speeds = tuple(
        Speed("mnist", threads, batch, who, each, each * 1e9, peak[threads])
        for threads, batch, images in rows
        for who, each in zip(COMPETITORS, images, strict=True)
    )
    measured = Speeds(speeds, (Peak(1, 160e9, 40e9), Peak(2, None, 79e9)))
    assert measured.ratio("mnist", 1, "written out") == 4
    assert measured.ratio("mnist", 2, "float32") == 4
    assert measured.scaling("mnist", 2) == 1.5
    assert (measured.share("mnist", 1), measured.share("mnist", 2)) == (50, None)
    figures = tuple(goals.speed_figures(measured))
    results = Results("any", "random", measured, (), {"Speed": figures})
    text = page.page(results)
    assert "**Missed: 4 of 5 goals**. mnist, 1 thread: max78k / PyTorch quantised: 4.00" in text
    assert "quantised | 4.00 times | ≥ 10 times | **MISSED** |" in text
    assert "2 threads / 1 thread | 1.50 times | ≥ 1.8 times | **MISSED** |" in text
    assert page.terminal(results).count("MISSED") == 4
