"""The vendor's switches: those that are here do what they say, the others say why not."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from max78k_sim import cli, load_network, simulate
from max78k_sim.allocation import allocate
from max78k_sim.errors import InputError, Max78kError
from max78k_sim.layer_builder import Options
from max78k_sim.network import Network
from max78k_sim.switches import GENERATE, HERE, SWITCHES, refused
from max78k_sim.verbs.generate_options import SWITCHED
from tests import fashion

OF_VERBS = {"--config-file", "--checkpoint-file", "--sample-input", "--device"}
SWITCHES_ALONE = {f"--{no}{name[2:]}" for name, _, _ in SWITCHED for no in ("", "no-")}
CONV = "{op: conv2d, kernel_size: 3x3, pad: 1, processors: 0x1, out_channels: 1, activate: ReLU"
CHAIN = f"""arch: chain
dataset: mnist
layers:
  - {CONV}, name: one, in_channels: 1, in_dim: [6, 6], out_offset: 0x1000}}
  - {CONV}, name: two, out_offset: 0x2000}}
  - {CONV}, name: three, out_offset: 0x3000}}
  - {{op: add, name: sum, in_sequences: [1, two], in_dim: [6, 6], processors: 0x1,
     out_channels: 1, out_offset: 0x4000}}
"""


@pytest.fixture
def chain(tmp_path):
    """Three convolutions with the same kernel, and a sum; and its weights."""
    (tmp_path / "network.yaml").write_text(CHAIN.replace("[1, two]", "[1, 2]"))
    kernel = np.random.default_rng(5).integers(-90, 90, (1, 1, 3, 3)).astype(np.int8)
    np.savez(tmp_path / "weights.npz", w0=kernel, w1=kernel, w2=kernel)
    return tmp_path / "network.yaml", tmp_path / "weights.npz"


def load(chain, **switches) -> Network:
    return load_network(*chain, **{"input_shape": (1, 6, 6), **switches})


def starts(network: Network) -> list[int]:
    return [plan.kernel_start for plan in allocate(network).layers]


def test_options_and_the_command_line_have_the_same_names():
    named = {f"--{field.name.replace('_', '-')}" for field in fields(Options)}
    rows = {name for switch in SWITCHES if switch.status == HERE for name in switch.names}
    assert rows - OF_VERBS == named
    parser = cli.build_parser()
    options = parser.parse_args(["map", "--config-file", "x"])
    assert all(hasattr(options, field.name) for field in fields(Options))


def test_generate_has_the_switches_of_generate():
    names = {name for switch in SWITCHES if switch.status == GENERATE for name in switch.names}
    command = ["generate", "--config-file", "x", "--checkpoint-file", "x", "--out", "x"]
    for name in names:
        value = [] if name in SWITCHES_ALONE else ["1"]
        cli.build_parser().parse_args([*command, name, *value])


def test_no_name_twice():
    names = [name for switch in SWITCHES for name in switch.names]
    assert len(names) == len(set(names)) > 150


@pytest.mark.parametrize("name", refused())
def test_refused_switches_say_why(capsys, name):
    code = cli.main(["map", *fashion.NETWORK_OPTIONS, name, "1"])
    assert code == 2 and capsys.readouterr().err == f"max78k: error: {name}: {refused()[name]}\n"


def test_ignore_activation(chain):
    assert {layer.activation for layer in load(chain).layers[:3]} == {"relu"}
    assert {layer.activation for layer in load(chain, ignore_activation=True).layers} == {None}


def test_weights_are_shared_unless_told_otherwise(chain):
    assert starts(load(chain))[:3] == [0, 0, 0]
    assert starts(load(chain, no_deduplicate_weights=True))[:3] == [0, 4, 8]
    assert starts(load(chain, weight_start=5))[:3] == [8, 8, 8]
    assert starts(load(chain, weight_start=5, no_deduplicate_weights=True))[:3] == [8, 12, 16]


def test_outputs_do_not_depend_on_where_kernels_lie(chain):
    sample = np.arange(-18, 18, dtype=np.int8).reshape(1, 6, 6)
    first = simulate(*chain, sample)["final"]
    again = simulate(*chain, sample, weight_start=100, no_deduplicate_weights=True)["final"]
    np.testing.assert_array_equal(first, again)


def test_input_offset(chain):
    layers = load(chain, input_offset=0x1800).layers
    assert [layer.in_offset for layer in layers[:2]] == [0x1800, 0x1000]


def test_skipped_layers(chain):
    network = load(chain, skip_yaml_layers=1, skip_checkpoint_layers=1, input_shape=(1, 6, 6))
    assert [layer.name for layer in network.layers] == ["two", "three", "sum"]
    assert network.layers[2].inputs == (0, 1) and network.parameters[0] is not None
    network = load(chain, skip_yaml_layers=1, skip_checkpoint_layers=1, stop_after=2)
    assert [layer.name for layer in network.layers] == ["two", "three"], "counted before skipping"


def test_streaming(tmp_path, chain):
    text = CHAIN.replace("name: one", "streaming: true, name: one").split("  - {op: add")[0]
    chain[0].write_text(text)
    assert [layer.streaming for layer in load(chain, fifo=True).layers] == [True, False, False]
    more = load(chain, fifo=True, streaming_layers=(1,)).layers
    assert [layer.streaming for layer in more] == [True, True, False]
    assert not any(layer.streaming for layer in load(chain, ignore_streaming=True).layers)
    both = load(chain, fifo=True, ignore_streaming=True, streaming_layers=(0,)).layers
    assert [layer.streaming for layer in both] == [True, False, False]


BAD = (
    ({"skip_yaml_layers": 4}, "skip_yaml_layers 4: the layers are 0 to 3"),
    ({"skip_yaml_layers": 2}, "in_sequences 1: skip_yaml_layers 2 leaves that layer out"),
    ({"skip_checkpoint_layers": 3}, "skip_checkpoint_layers 3: the checkpoint has 3 layers"),
    ({"streaming_layers": (7,)}, "streaming_layers 7: the layers are 0 to 3"),
    ({"weight_start": -4}, "weight_start -4: a kernel word from 0 up"),
    ({"weight_start": 766}, "only 0 are free"),
)


@pytest.mark.parametrize("switches, message", BAD)
def test_bad_values(chain, switches, message):
    with pytest.raises(Max78kError) as error:
        allocate(load(chain, **switches))
    assert message in str(error.value)


def test_no_bias_of_all_layers(capsys):
    options = cli.build_parser().parse_args(["map", *fashion.NETWORK_OPTIONS, "--no-bias"])
    assert options.no_bias[:3] == (0, 1, 2) and len(options.no_bias) > 32
    assert cli.main(["map", *fashion.NETWORK_OPTIONS, "--no-bias"]) == 0
    assert "biases: none" in capsys.readouterr().out


def test_a_wrong_switch_is_an_error_of_the_caller(chain):
    with pytest.raises(TypeError, match="load_network has no switch"):
        load(chain, banana=1)
    with pytest.raises(InputError):
        load(chain, stop_after=9)
