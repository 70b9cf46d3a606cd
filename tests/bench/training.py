"""A training step of a whole network: on the simulated chip, and by PyTorch's autograd in float32.

Both take a batch of samples and labels from the input to new weights: forward, loss, gradients of
every kernel and bias, momentum, update.  PyTorch updates float32 weights; the trainer reads and
writes kernels at their addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional

from trainer.loop import Trainer
from trainer.recipe import Recipe

from . import figures
from .figures import Figure
from .subjects import SEED, Subject
from .torch_forms import Form, TorchNetwork

BATCHES = (8, 64)
NETWORKS = ("mnist", "kws20_v3", "simplenet")  # with one 32-bit output a class
GOAL = 1.5  # times PyTorch's seconds, at most
RATE, MOMENTUM = 1e-3, 0.875


def step_figures(measured: Iterable[Subject]) -> Iterator[Figure]:
    """Seconds of a step of ours / of PyTorch's, one thread; the better order of tensors counts."""
    torch.set_num_threads(1)
    for subject in measured:
        if subject.name not in NETWORKS:
            continue
        for batch in BATCHES:
            works = contestants(subject, batch)
            for work in works.values():
                work()
            found = figures.in_turns(works, budget=1.5, most=10.0)
            ours, theirs = found["max78k"], min(found["planes"], found["channels last"])
            text = f"{subject.name}, {batch} samples: a training step"
            yield Figure(f"{text} / PyTorch float32", ours / theirs, "times", GOAL)
            yield Figure(text, ours * 1e3, "ms")


def contestants(subject: Subject, batch: int) -> dict[str, Callable[[], object]]:
    """A call each, of one step."""
    samples = subject.samples(batch)
    classes = subject.network.output_shape[0]
    labels = np.random.default_rng(SEED).integers(classes, size=batch)
    trainer = trainer_of(subject, samples, labels)
    works: dict[str, Callable[[], object]] = {
        "max78k": lambda: trainer.train_batch(samples, labels)
    }
    for name, last in (("planes", False), ("channels last", True)):
        works[name] = TorchStep(subject, last, samples, labels)
    return works


def trainer_of(subject: Subject, samples: np.ndarray, labels: np.ndarray) -> Trainer:
    """Every layer is trained; the rate is small, so that the network stays what it is."""
    names = tuple(layer.name for layer in subject.network.layers if layer.has_kernels)
    batch, momentum = len(samples), 3 if len(samples) < 64 else 2
    recipe = Recipe(layers=names, batch=batch, momentum_shift=momentum, rate_shift=14)
    trainer = Trainer(subject.machine(), recipe)
    trainer.choose_scales(samples[:8], labels[:8])
    return trainer


class TorchStep:
    """One step of float32 training; a call does it."""

    def __init__(self, subject: Subject, last: bool, samples: np.ndarray, labels: np.ndarray):
        self.model = TorchNetwork(subject.network, Form("float32", last))
        self.data = self.model.prepare(samples)
        self.labels = torch.from_numpy(labels)
        tensors = [tensor for step in self.model.steps for tensor in (step.weight, step.bias)]
        self.parameters = [tensor for tensor in tensors if tensor is not None]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.SGD(self.parameters, RATE, MOMENTUM)

    def __call__(self) -> None:
        """Forward, backward, update."""
        self.optimizer.zero_grad()
        logits = self.model.compute(self.data).reshape(len(self.labels), -1)
        functional.cross_entropy(logits * 1e-4, self.labels).backward()
        self.optimizer.step()
