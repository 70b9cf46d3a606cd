"""Pretrain a network on a host and write it, as int8, in the vendor's own file formats.

First in float with batch normalisation, then on the chip's grid (see pretrain_network.py), where
torch computes the very integers that the chip does.  The files are then read back into the
simulated chip, which is counted once more, and the two accuracies are reported side by side.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim.errors import InputError, Max78kError
from max78k_sim.evaluator import Evaluator
from max78k_sim.loading import load_network
from max78k_sim.machine import Machine
from max78k_sim.program import compile_network
from trainer.datasets import Dataset, load_dataset, without_shipped_images
from trainer.pretrain_network import (
    POOL_SIZE,
    UNIT,
    IntegerLayer,
    build_network,
    functional,
    nn,
    quantise,
    real_images,
    to_integers,
    torch,
)

ARCHITECTURE = "ai85net5fashion"
POOL_KEYS = {"max": "max_pool", "average": "avg_pool"}
CHW_SPACING = 4  # processors from one input channel to the next, since a word holds one channel
CHW_CHANNELS = 16
LOWEST_OPTIONS = {
    "float_epochs": 0,
    "quantised_epochs": 0,
    "batch_size": 2,
    "float_rate": 0,
    "quantised_rate": 0,
    "weight_decay": 0,
    "shift_pixels": 0,
    "threads": 1,
}


@dataclass(frozen=True)
class Recipe:
    """How the training is run; the same recipe, threads and torch give the same network."""

    holdout_class: int | None = 8
    float_epochs: int = 18
    quantised_epochs: int = 6
    batch_size: int = 128
    float_rate: float = 4e-3  # peak of a one-cycle schedule
    quantised_rate: float = 8e-4  # falls to 0 along a half cosine
    weight_decay: float = 1e-2
    shift_pixels: int = 1  # augmentation: up to so many pixels in either direction
    seed: int = 1
    threads: int = 2

    def __post_init__(self) -> None:
        for name, lowest in LOWEST_OPTIONS.items():
            if not getattr(self, name) >= lowest:
                raise InputError(f"{name} is {getattr(self, name)}; {lowest} or more is needed")


@dataclass(frozen=True)
class PretrainResult:
    """What came of a run; accuracies are shares of the test images of the pretrained classes."""

    layers: tuple[IntegerLayer, ...]
    float_accuracy: float
    quantised_accuracy: float
    exact_accuracy: float


# ---- training -----------------------------------------------------------------------------------


def augmented(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Each image moved by up to ``reach`` pixels, black coming in, and half of them mirrored."""
    count, _, rows, columns = images.shape
    padded = functional.pad(images, (reach,) * 4, value=-1.0)
    down = torch.randint(2 * reach + 1, (count, 1)) + torch.arange(rows)
    across = torch.randint(2 * reach + 1, (count, 1)) + torch.arange(columns)
    mirrored = torch.rand(count, 1) < 0.5
    across = torch.where(mirrored, across.flip(1), across)
    sample = torch.arange(count)[:, None, None]
    return padded[sample, :, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2).contiguous()


def batches(dataset: Dataset, recipe: Recipe) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in random order: augmented images and their labels."""
    order = torch.randperm(len(dataset))
    for chosen in order.split(recipe.batch_size):
        if len(chosen) < 2:  # a lone image cannot be normalised
            continue
        images = real_images(dataset.images[chosen.numpy()])
        labels = torch.from_numpy(dataset.labels[chosen.numpy()])
        yield augmented(images, recipe.shift_pixels), labels


def train_epochs(
    network: nn.Sequential,
    dataset: Dataset,
    recipe: Recipe,
    epochs: int,
    peak_rate: float,
    warm_share: float,
) -> Iterator[float]:
    """Train, giving each epoch's mean loss; the rate rises for ``warm_share``, then falls to 0."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay},
              {"params": vectors, "weight_decay": 0.0}]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=peak_rate)
    steps = epochs * math.ceil(len(dataset) / recipe.batch_size)
    warm = max(1, round(warm_share * steps))

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for _ in range(epochs):
        network.train()
        losses = []
        for images, labels in batches(dataset, recipe):
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        yield float(np.mean(losses))


def accuracy(network: nn.Sequential, dataset: Dataset, chunk: int = 500) -> float:
    """Share of images whose largest output is their label's, by torch."""
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(dataset), chunk):
            guess = network(real_images(dataset.images[start : start + chunk])).argmax(dim=1)
            right += int((guess.numpy() == dataset.labels[start : start + chunk]).sum())
    return right / len(dataset)


def pretrain(
    data: str,
    out_directory: str | Path,
    recipe: Recipe | None = None,
    report: Callable[[str], None] = print,
) -> PretrainResult:
    """Train a network without the held-out class and write it in the vendor's formats.

    ``data`` is a specification of trainer.datasets; of the full Fashion-MNIST the images shipped
    for training on the chip are left out.  Into ``out_directory`` go network.yaml,
    checkpoint.pth.tar, sample.npy, expected.npy and training.log (every line that ``report``
    gets).  Raises InputError for data or options that cannot be trained.
    """
    recipe = recipe or Recipe()
    directory = Path(out_directory)
    directory.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        report(line)

    train, test = training_parts(data, recipe.holdout_class)
    tell(f"torch {torch.__version__}: pretrain({data!r}, recipe={recipe})")
    tell(f"{len(train)} training images {train.images.shape[1:]}, {len(test)} test images")
    check_that_the_chip_holds(train, recipe)
    layers, reached = train_in_two_phases(train, test, recipe, tell)
    with TemporaryDirectory(suffix=".partial", dir=directory) as partial:
        exact = export(Path(partial), layers, test, recipe, reached["quantised"])
        result = PretrainResult(layers, reached["float"], reached["quantised"], exact)
        for line in summary(result):
            tell(line)
        Path(partial, "training.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for file in sorted(Path(partial).iterdir()):  # all are whole, so no reader meets half a one
            file.replace(directory / file.name)
    return result


def summary(result: PretrainResult) -> tuple[str, str]:
    """The log's last lines: the accuracies, and what makes two networks the same."""
    digest = hashlib.sha256(b"".join(x.weight.tobytes() + x.bias.tobytes() for x in result.layers))
    return (
        f"float {result.float_accuracy:.4f}, quantised {result.quantised_accuracy:.4f}, "
        f"exact {result.exact_accuracy:.4f}",
        f"shifts {[layer.shift for layer in result.layers]}, sha256 {digest.hexdigest()}",
    )


def training_parts(data: str, holdout_class: int | None) -> tuple[Dataset, Dataset]:
    """The train and test images of every class but the held-out one."""
    train, test = (load_dataset(data, split) for split in ("train", "test"))
    if data != "fashion":
        train = without_shipped_images(train)
    classes = range(len(train.class_names))
    if holdout_class is not None and holdout_class not in classes:
        raise InputError(f"held-out class {holdout_class} is not in 0..{len(classes) - 1}")
    kept = tuple(label for label in classes if label != holdout_class)
    train, test = train.of_classes(kept), test.of_classes(kept)
    if train.images.shape[1] > CHW_CHANNELS:
        raise InputError(f"images have {train.images.shape[1]} channels; 1..{CHW_CHANNELS} can be")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(
            f"training images are {train.images.shape[1:]}, test images {test.images.shape[1:]}"
        )
    if len(train) < 2 or len(test) < 1:
        raise InputError(f"data {data!r} leaves {len(train)} training and {len(test)} test images")
    return train, test


def train_in_two_phases(
    train: Dataset, test: Dataset, recipe: Recipe, tell: Callable[[str], None]
) -> tuple[tuple[IntegerLayer, ...], dict[str, float]]:
    """Float epochs with batch normalisation, then epochs on the chip's grid; tells every epoch.

    Returns the layers, and the test accuracy at the end of each phase, float and quantised.
    """
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(recipe.seed)
    network = build_network(train.images.shape[1:], len(train.class_names))
    phases = (("float", recipe.float_epochs, recipe.float_rate, 0.25),
              ("quantised", recipe.quantised_epochs, recipe.quantised_rate, 0.0))  # fmt: skip
    reached = {"float": accuracy(network, test)}
    for phase, epochs, peak_rate, warm_share in phases:
        if phase == "quantised":
            quantise(network)
            reached[phase] = accuracy(network, test)
            tell(f"quantised, untrained: test accuracy {reached[phase]:.4f}")
        losses = train_epochs(network, train, recipe, epochs, peak_rate, warm_share)
        for epoch, loss in enumerate(losses, 1):
            reached[phase] = accuracy(network, test)
            tell(f"{phase} epoch {epoch}/{epochs}: loss {loss:.4f}, test {reached[phase]:.4f}")
    return to_integers(network), reached


# ---- files --------------------------------------------------------------------------------------


def check_that_the_chip_holds(dataset: Dataset, recipe: Recipe) -> None:
    """Raise, before the training and not after it, what the chip has against such a network."""
    network = build_network(dataset.images.shape[1:], len(dataset.class_names))
    quantise(network)
    with TemporaryDirectory() as trial:
        write_network(Path(trial), to_integers(network), dataset, recipe, 0.0)
        try:
            read_machine(Path(trial))
        except Max78kError as error:
            message = f"images {dataset.images.shape[1:]}: {error.message}"
            raise type(error)(message) from None


def export(
    directory: Path,
    layers: tuple[IntegerLayer, ...],
    test: Dataset,
    recipe: Recipe,
    share: float,
) -> float:
    """Write the network, and one test image with the output that the chip gives for it.

    ``share``: the accuracy noted in the checkpoint.  Returns the accuracy of the chip as these
    files make it, 0 to 1.
    """
    write_network(directory, layers, test, recipe, share)
    machine = read_machine(directory)
    np.save(directory / "sample.npy", test.images[0].astype(np.int64))
    np.save(directory / "expected.npy", machine.run(test.images[0]).reshape(-1))
    counted = Evaluator(machine, recipe.threads).evaluate([(test.images, test.labels)])
    return counted.of(range(len(test.class_names)))


def write_network(
    directory: Path,
    layers: tuple[IntegerLayer, ...],
    dataset: Dataset,
    recipe: Recipe,
    share: float,
) -> None:
    """network.yaml and checkpoint.pth.tar, for images such as the data set's."""
    text = network_text(layers, dataset.name, dataset.images.shape[1:])
    (directory / "network.yaml").write_text(text, encoding="utf-8")
    torch.save(checkpoint(layers, recipe, share), directory / "checkpoint.pth.tar")


def read_machine(directory: Path) -> Machine:
    """The chip with the network that ``write_network`` wrote, by nothing but its files."""
    network = load_network(directory / "network.yaml", directory / "checkpoint.pth.tar")
    machine = Machine()
    machine.load(compile_network(network))
    return machine


def checkpoint(layers: tuple[IntegerLayer, ...], recipe: Recipe, share: float) -> dict:
    """The vendor's quantised checkpoint: float32 tensors that hold integers.

    A bias stands there times 128.  The linear layer's shift gives its scale (real weight =
    weight * 2**shift / 128); the chip does not use it, since a 32-bit output is never shifted.
    ``share``: the accuracy to note, 0 to 1.
    """
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for layer in layers:
        settings = {"output_shift": layer.shift, "weight_bits": 8, "bias_bits": 8,
                    "quantize_activation": 1, "adjust_output_shift": 0}  # fmt: skip
        for key, setting in settings.items():
            state[f"{layer.name}.{key}"] = torch.tensor([float(setting)])
        state[f"{layer.name}.op.weight"] = torch.from_numpy(layer.weight.astype(np.float32))
        state[f"{layer.name}.op.bias"] = torch.from_numpy(layer.bias.astype(np.float32) * UNIT)
    percent = round(100 * share, 2)
    return {
        "epoch": recipe.float_epochs + recipe.quantised_epochs,
        "arch": ARCHITECTURE,
        "state_dict": state,
        "extras": {
            "current_top1": percent,
            "best_top1": percent,
            "seed": recipe.seed,
            "holdout_class": recipe.holdout_class,
        },
    }


def network_text(
    layers: tuple[IntegerLayer, ...], dataset_name: str, image_shape: tuple[int, ...]
) -> str:
    """The vendor's YAML; outputs alternate between two places in data memory."""
    dataset = "FashionMNIST" if "fashion" in dataset_name else json.dumps(dataset_name)
    channels, rows, columns = image_shape
    lines = [
        "# Written by max78k pretrain; the weights are in checkpoint.pth.tar.",
        f"\narch: {ARCHITECTURE}\ndataset: {dataset}\n\nlayers:",
    ]
    for index, layer in enumerate(layers):
        keys: dict[str, object] = {"name": layer.name}
        if index == 0:
            used = sum(1 << (CHW_SPACING * channel) for channel in range(channels))
            keys |= {"in_channels": channels, "in_dim": f"[{rows}, {columns}]"}
            keys |= {"data_format": "CHW"}
        else:
            used = (1 << len(layers[index - 1].bias)) - 1
        keys |= {"processors": f"0x{used:016x}"}
        keys |= {"out_offset": "0x2000" if index % 2 == 0 else "0x0000"} | operation_keys(layer)
        entry = [f"{key}: {value}" for key, value in keys.items()]
        lines.append("  - " + "\n    ".join(entry))
    return "\n".join(lines) + "\n"


def operation_keys(layer: IntegerLayer) -> dict[str, object]:
    """The YAML keys that say what a layer computes."""
    if layer.weight.ndim == 2:
        return {"op": "linear", "flatten": "true", "output_width": 32, "activate": "None"}
    pooling = {POOL_KEYS[layer.pool]: POOL_SIZE, "pool_stride": POOL_SIZE} if layer.pool else {}
    convolution = {"op": "conv2d", "kernel_size": "3x3", "pad": layer.pad, "activate": "ReLU"}
    return pooling | convolution
