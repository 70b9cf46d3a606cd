"""Pretrain a network on a host and write it, as int8 or less, in the vendor's own file formats.

First in float with batch normalisation, then on the chip's grid (see network.py), where
torch computes the very integers that the chip does.  The files are then read back into the
simulated chip, which is counted once more, and the two accuracies are reported side by side.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from max78k_sim.errors import InputError, Max78kError
from max78k_sim.whole_files import make_directory

from ..data.datasets import Dataset, load_dataset, without_shipped_images
from .augment import augmented
from .files import Plan, export, read_machine, read_plan, write_network
from .network import ChipNetwork, IntegerLayer, functional, real_images, torch
from .recipe import Policy, Recipe
from .sounds import sounds, start_as_filters

Report = Callable[[str], None]
LOG_FILE = "training.log"
NO_POLICY = Policy()
SHOWN = 512  # images, at most, that show a network without normalisation what its outputs are
MALLOC_SETTINGS = ((-1, 1 << 30), (-3, 1 << 25))  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (the most)


@dataclass(frozen=True)
class PretrainResult:
    """What came of a run; accuracies are shares of the test images of the pretrained classes."""

    layers: tuple[IntegerLayer, ...]
    float_accuracy: float
    quantised_accuracy: float
    exact_accuracy: float


# ---- training -----------------------------------------------------------------------------------


def batches(dataset: Dataset, recipe: Recipe) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in random order: augmented images and their labels."""
    order = torch.randperm(len(dataset))
    for chosen in order.split(recipe.batch_size):
        if len(chosen) < 2:  # a lone image cannot be normalised
            continue
        images = dataset.images[chosen.numpy()]
        labels = torch.from_numpy(dataset.labels[chosen.numpy()])
        yield (
            sounds(images, recipe) if recipe.wave else augmented(real_images(images), recipe),
            labels,
        )


def train_epochs(
    network: ChipNetwork,
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
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, fused=True)
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


def accuracy(
    network: ChipNetwork, dataset: Dataset, outputs: int | None = None, chunk: int = 500
) -> float:
    """Share of images whose largest output, of all or the first ``outputs``, is their label's."""
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(dataset), chunk):
            scores = network(real_images(dataset.images[start : start + chunk]))[:, :outputs]
            guess = scores.argmax(dim=1).numpy()
            right += int((guess == dataset.labels[start : start + chunk]).sum())
    return right / len(dataset)


def train_in_two_phases(
    plan: Plan, train: Dataset, test: Dataset, recipe: Recipe, tell: Report
) -> tuple[tuple[IntegerLayer, ...], dict[str, float]]:
    """Float epochs with batch normalisation, then epochs on the chip's grid; tells every epoch.

    Returns the layers, and the test accuracy at the end of each phase, float and quantised.
    """
    keep_freed_memory()
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(recipe.seed)
    network = plan.build()
    if recipe.filters:
        start_as_filters(first_kernels(network))
    written = plan.network.output_shape[0] - recipe.helping_classes
    phases = (("float", recipe.float_epochs, recipe.float_rate, 0.25),
              ("quantised", recipe.quantised_epochs, recipe.quantised_rate, 0.0))  # fmt: skip
    reached = {"float": accuracy(network, test, written)}
    for phase, epochs, peak_rate, warm_share in phases:
        if phase == "quantised":
            network.quantise(real_images(train.images[:: math.ceil(len(train) / SHOWN)]))
            reached[phase] = accuracy(network, test, written)
            tell(f"quantised, untrained: test accuracy {reached[phase]:.4f}")
        losses = train_epochs(network, train, recipe, epochs, peak_rate, warm_share)
        for epoch, loss in enumerate(losses, 1):
            reached[phase] = accuracy(network, test, written)
            tell(f"{phase} epoch {epoch}/{epochs}: loss {loss:.4f}, test {reached[phase]:.4f}")
    return network.to_integers(), reached


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: a batch's tensors are megabytes, and zeroing their pages, given
    back and asked for again at every step, takes a sixth of the time."""
    keep = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if keep is not None:
        for setting, bytes_kept in MALLOC_SETTINGS:
            keep(setting, bytes_kept)


def first_kernels(network: ChipNetwork) -> torch.Tensor:
    """The kernels of a first layer that listens; InputError for one that does not."""
    first = network.layers[0]
    if first.layer.op != "conv1d" or first.layer.index:
        raise InputError(f"filters: true, but {first.layer.name} is no conv1d that reads the sound")
    return first.weight


# ---- a run --------------------------------------------------------------------------------------


def pretrain(
    config_file: str | Path,
    out_directory: str | Path,
    recipe: Recipe,
    policy: Policy = NO_POLICY,
    report: Report = print,
) -> PretrainResult:
    """Train the network of a description without the held-out class; write the vendor's formats.

    ``recipe.data`` is as trainer.data.datasets takes it; of the full Fashion-MNIST the images
    shipped for training on the chip are left out.  Into ``out_directory`` go network.yaml,
    checkpoint.pth.tar, sample.npy, expected.npy and training.log (every line that ``report``
    gets).  Raises InputError for data or options that cannot be trained, HardwareLimit for what
    the chip does not hold.
    """
    recipe = split_epochs(recipe, policy)
    train, test = training_parts(recipe)
    plan, written = plans(config_file, policy, recipe, train, test)
    check_that_the_chip_holds(plan)
    directory = make_directory(out_directory)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        report(line)

    for line in heading(plan, recipe, policy, train, test):
        tell(line)
    layers, reached = train_in_two_phases(plan, train, test, recipe, tell)
    notes = {"epoch": recipe.float_epochs + recipe.quantised_epochs, "seed": recipe.seed,
             "accuracy": reached["quantised"], "holdout_class": recipe.holdout_class}  # fmt: skip
    with TemporaryDirectory(suffix=".partial", dir=directory) as partial:
        exact = export(Path(partial), written, without_helpers(layers, recipe), test, notes)
        result = PretrainResult(layers, reached["float"], reached["quantised"], exact)
        for line in summary(result):
            tell(line)
        Path(partial, LOG_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for file in sorted(Path(partial).iterdir()):  # all are whole, so no reader meets half a one
            file.replace(directory / file.name)
    return result


def pretrain_each(
    config_file: str | Path,
    out_directory: str | Path,
    recipe: Recipe,
    policy: Policy = NO_POLICY,
    classes: Sequence[int] | None = None,
    report: Report = print,
) -> None:
    """A network for each held-out class (None: every class) in a folder of its number.

    What is there already, made by the same recipe from the same data, is kept.
    """
    _, test = training_parts(replace(recipe, holdout_class=None, held_out_examples=0))
    labels = range(len(test.class_names))
    for label in classes or ():  # before the first network is trained
        check_held_out(label, labels)
    for label in labels if classes is None else dict.fromkeys(classes):
        directory = Path(out_directory, str(label))
        one = replace(recipe, holdout_class=label)
        if is_made(directory, config_file, one, policy):
            report(f"{directory}: is there already")
        else:
            pretrain(config_file, directory, one, policy, report)


def check_held_out(label: int, classes: range) -> None:
    """InputError unless the data have this class."""
    if label not in classes:
        raise InputError(f"held-out class {label} is not in 0..{len(classes) - 1}")


def is_made(directory: Path, config_file: str | Path, recipe: Recipe, policy: Policy) -> bool:
    """Whether a folder holds what this run would write, by the head of its log."""
    log = directory / LOG_FILE
    if not log.is_file() or not (directory / "checkpoint.pth.tar").is_file():
        return False
    recipe = split_epochs(recipe, policy)
    train, test = training_parts(recipe)
    plan, _ = plans(config_file, policy, recipe, train, test)
    head = heading(plan, recipe, policy, train, test)
    return log.read_text(encoding="utf-8").splitlines()[: len(head)] == list(head)


def plans(
    config_file: str | Path, policy: Policy, recipe: Recipe, train: Dataset, test: Dataset
) -> tuple[Plan, Plan]:
    """The network as it is trained, and as it is written: without outputs of helping classes."""
    trained, written = (
        read_plan(config_file, policy, train.images.shape[1:], len(part.class_names))
        for part in (train, test)
    )
    more = trained.network.output_shape[0] - written.network.output_shape[0]
    if more != recipe.helping_classes:
        name = written.network.layers[-1].name
        message = f"{name}: leave out_channels out, or helping_classes cannot be dropped"
        raise InputError(message, file=config_file)
    return trained, written


def without_helpers(layers: tuple[IntegerLayer, ...], recipe: Recipe) -> tuple[IntegerLayer, ...]:
    """The layers, the last one without the outputs of helping classes."""
    *others, last = layers
    outputs = len(last.bias) - recipe.helping_classes
    return (*others, replace(last, weight=last.weight[:outputs], bias=last.bias[:outputs]))


def split_epochs(recipe: Recipe, policy: Policy) -> Recipe:
    """The recipe's epochs as the policy's start_epoch divides them."""
    if policy.start_epoch is None:
        return recipe
    total = recipe.float_epochs + recipe.quantised_epochs
    if policy.start_epoch > total:
        raise InputError(
            f"the policy's start_epoch is {policy.start_epoch}; there are {total} epochs in all: "
            f"start_epoch 0 to {total}, or more epochs"
        )
    rest = total - policy.start_epoch
    return replace(recipe, float_epochs=policy.start_epoch, quantised_epochs=rest)


def heading(
    plan: Plan, recipe: Recipe, policy: Policy, train: Dataset, test: Dataset
) -> tuple[str, str, str]:
    """The log's first lines: everything that the result depends on."""
    data = hashlib.sha256(train.images.tobytes() + train.labels.tobytes()).hexdigest()
    layers = plan.network.layers
    widths = {layer.name: layer.weight_bits for layer in layers if layer.weight_bits != 8}
    description = hashlib.sha256(plan.text.encode()).hexdigest()
    return (
        f"torch {torch.__version__}: {recipe}",
        f"{len(train)} training images {train.images.shape[1:]}, {len(test)} test images, "
        f"sha256 {data[:16]}",
        f"{plan.network.name}, {len(layers)} layers, weights of 8 bits but {widths or 'none'}, "
        f"policy {'None' if policy == NO_POLICY else policy}, sha256 {description[:16]}",
    )


def summary(result: PretrainResult) -> tuple[str, str]:
    """The log's last lines: the accuracies, and what makes two networks the same."""
    digest = hashlib.sha256(b"".join(x.weight.tobytes() + x.bias.tobytes() for x in result.layers))
    return (
        f"float {result.float_accuracy:.4f}, quantised {result.quantised_accuracy:.4f}, "
        f"exact {result.exact_accuracy:.4f}",
        f"shifts {[layer.shift for layer in result.layers]}, sha256 {digest.hexdigest()}",
    )


def training_parts(recipe: Recipe) -> tuple[Dataset, Dataset]:
    """The train and test images of every class but the held-out one.

    With ``held_out_examples``, the first so many of it are trained with, and all of it is tested.
    Helping classes are trained with, and not tested.
    """
    if recipe.data is None:
        raise InputError("no data; give --data, for example --data digits or --data npz:mine.npz")
    train, test = (load_dataset(recipe.data, split) for split in ("train", "test"))
    if recipe.data != "fashion":
        train = without_shipped_images(train)
    classes = range(len(train.class_names))[: recipe.first_classes]
    if recipe.holdout_class is not None:
        check_held_out(recipe.holdout_class, classes)
    few = recipe.held_out_examples
    if few and recipe.holdout_class is None:
        raise InputError(
            f"held_out_examples {few}, but no class is held out; give --held-out-class, or leave "
            "them out"
        )
    told_apart = range(len(train.class_names))[: len(classes) + recipe.helping_classes]
    if len(told_apart) < len(classes) + recipe.helping_classes:
        raise InputError(
            f"helping_classes {recipe.helping_classes}: {recipe.data} has "
            f"{len(train.class_names) - len(classes)} after the first {len(classes)}"
        )

    def shown(part: Dataset, labels: range) -> Dataset:
        kept = tuple(label for label in labels if few or label != recipe.holdout_class)
        return replace(part.of_classes(kept), class_names=part.class_names[: len(labels)])

    train, test = shown(train, told_apart), shown(test, classes)
    if few:
        held_out = train.labels == recipe.holdout_class
        if held_out.sum() < few:
            raise InputError(
                f"held_out_examples {few}: {recipe.data} has {held_out.sum()} training images of "
                f"class {recipe.holdout_class}; at most so many"
            )
        train = train.subset(~held_out | (np.cumsum(held_out) <= few))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(
            f"training images are {train.images.shape[1:]}, test images {test.images.shape[1:]}"
        )
    if len(train) < 2 or len(test) < 1:
        raise InputError(
            f"data {recipe.data!r} leaves {len(train)} training and {len(test)} test images"
        )
    return train, test


def check_that_the_chip_holds(plan: Plan) -> None:
    """Raise, before the training and not after it, what the chip has against such a network."""
    network = plan.build()
    network.quantise()
    notes = {"epoch": 0, "accuracy": 0.0, "seed": 0, "holdout_class": None}
    with TemporaryDirectory() as trial:
        write_network(Path(trial), plan, network.to_integers(), notes)
        try:
            read_machine(Path(trial))
        except Max78kError as error:
            raise type(error)(f"{plan.config_file}: {error.message}") from None
