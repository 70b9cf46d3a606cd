"""``max78k board``: a board that runs the generated program, at a serial port."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import TextColumn

from firmware.protocol.client import Answer, BoardClient, connect, patched
from firmware.protocol.link import Link, open_port
from firmware.protocol.patch import read_patch, write_patch
from trainer.data.datasets import load_for
from trainer.host.vendor_checkpoint import write_back
from trainer.learning.buffer import require_examples
from trainer.loop import Pool
from trainer.recipe import Recipe
from trainer.schedule import schedule_of

from ..errors import InputError
from ..program import Program
from .common import (
    compiled,
    network_from,
    new_class_from,
    part_of,
    pool_from,
    progress,
    recipe_from,
)

SHOWN = 100  # of the last examples: how many were right


def main(options: Namespace) -> None:
    """Connect, do what was asked for in a fixed order, and print the result."""
    network = network_from(options)
    program = compiled(network)
    link = Link(open_port(options.port, options.baud), seconds=options.timeout, baud=options.baud)
    client = connect(link, program)
    require(options, client)
    result: dict[str, Any] = {"network": network.name, "digest": client.greeting["digest"].hex()}
    result |= {"saved": client.greeting["saved"]}
    console = Console(stderr=True, quiet=options.json)
    if options.load:
        load(client, options.load, console)
    if options.train:
        result["trained"] = train(client, options, console)
    if options.evaluate:
        result["evaluated"] = evaluate(client, options, console)
    if options.save:
        result["save"] = client.save()
    if options.dump:
        write_patch(options.dump, dump(client, console))
    if options.pull:
        result["changed"] = pull(client, options, program, console)
    if options.forget:
        client.forget()
    result |= {"board": client.status(), "line": asdict(link.counts)}
    print(json.dumps(result) if options.json else "\n".join(lines(result, options)))


def require(options: Namespace, client: BoardClient) -> None:
    """InputError for what the board's program cannot do, before anything is done."""
    if options.train and not client.can("train"):
        raise InputError("the board's program does not train; generate it with --train --protocol")
    if options.rehearse and not client.can("keep"):
        raise InputError(
            "the board's program keeps no examples; generate it with --train --protocol --replay "
            "BYTES"
        )
    if (options.save or options.forget) and not client.can("save"):
        raise InputError(
            "the board's program does not save; generate it with --train --protocol --save"
        )
    if options.pull and str(options.checkpoint_file).endswith(".npz"):
        raise InputError("--pull writes the vendor's checkpoint; give it as --checkpoint-file")


# --- examples


def train(client: BoardClient, options: Namespace, console: Console) -> dict[str, Any]:
    """Show examples as ``max78k train`` would, batch by batch; what came of it."""
    network = client.program.plan.network
    recipe = recipe_from(options, network)
    new_class = new_class_from(options, network)
    pool = pool_from(options, load_for(network, options.data, "train"), new_class)
    schedule = schedule_of(pool, recipe)
    client.restart(recipe.seed)
    if options.rehearse:
        return rehearse(client, recipe, pool, console)

    def answers() -> Iterator[tuple[bool, Answer]]:
        for step in range(recipe.steps):
            shown = schedule.batch_at(step)
            for place, n in enumerate(shown):
                label, first, last = int(pool.labels[n]), place == 0, place == len(shown) - 1
                answer = client.example(pool.images[n], label, learn=True, begin=first, apply=last)
                yield answer.predicted == label, answer

    count = recipe.steps * recipe.batch
    return watched("learning", count, answers(), console) | {"steps": recipe.steps}


def rehearse(client: BoardClient, recipe: Recipe, pool: Pool, console: Console) -> dict[str, Any]:
    """Let the board keep the old examples, then learn each new one together with kept ones."""
    require_examples(pool.new, recipe.batch)

    def kept() -> Iterator[tuple[bool, Answer]]:
        for image, label in zip(pool.images[pool.new :], pool.labels[pool.new :], strict=True):
            answer = client.example(image, int(label), keep=True)
            yield answer.predicted == label, answer

    def answers() -> Iterator[tuple[bool, Answer]]:
        for step in range(recipe.steps):
            image, label = pool.images[step % pool.new], int(pool.labels[step % pool.new])
            first = step < pool.new  # is offered once
            answer = client.example(image, label, learn=True, apply=False, keep=first)
            client.rehearse(recipe.batch - 1, begin=False)
            yield answer.predicted == label, answer

    old = watched("keeping old examples", len(pool.labels) - pool.new, kept(), console)
    result = watched("learning new ones", recipe.steps, answers(), console)
    return result | {"steps": recipe.steps, "offered": old["examples"]}


def evaluate(client: BoardClient, options: Namespace, console: Console) -> dict[str, Any]:
    """Run the test images; accuracy."""
    network = client.program.plan.network
    test = part_of(load_for(network, options.data, "test"), options.test_images)

    def answers() -> Iterator[tuple[bool, Answer]]:
        for image, label in zip(test.images, test.labels, strict=True):
            answer = client.example(image, int(label))
            yield answer.predicted == int(label), answer

    return watched("test images", len(test.labels), answers(), console)


def watched(
    name: str, count: int, answers: Iterator[tuple[bool, Answer]], console: Console
) -> dict[str, Any]:
    """Go through answers with a progress bar; their means."""
    right: list[bool] = []
    seen: list[Answer] = []
    column = TextColumn("{task.fields[share]} · loss {task.fields[loss]}")
    with progress(console, column, disable=console.quiet) as bar:
        task = bar.add_task(name, total=count, share="-", loss="-")
        for correct, answer in answers:
            right.append(correct)
            seen.append(answer)
            share, loss = np.mean(right[-SHOWN:]), np.mean([a.loss for a in seen[-SHOWN:]])
            bar.update(task, advance=1, share=f"{share:.1%}", loss=f"{loss:.2f}")
    return {
        "examples": len(seen),
        "right": sum(right),
        "accuracy": sum(right) / max(len(right), 1),
        "loss": float(np.mean([answer.loss for answer in seen] or [0])),
        "inference_ms": float(np.mean([answer.inference for answer in seen] or [0])) * 1e3,
        "learning_ms": float(np.mean([answer.learning for answer in seen] or [0])) * 1e3,
    }


# --- memory


def dump(client: BoardClient, console: Console):
    """What the trained layers hold."""
    with progress(console, disable=console.quiet) as bar:
        task = bar.add_task("reading kernels", total=None)
        return client.dump(done=lambda words: bar.advance(task, words))


def load(client: BoardClient, file: str, console: Console) -> None:
    """Put a patch into the board's kernels."""
    patch = read_patch(file)
    with progress(console, disable=console.quiet) as bar:
        task = bar.add_task("writing kernels", total=sum(len(words) for _, words in patch.runs))
        client.load(patch, done=lambda words: bar.advance(task, words))


def pull(
    client: BoardClient, options: Namespace, program: Program, console: Console
) -> tuple[str, ...]:
    """The trained network as the vendor's checkpoint; names of the layers that changed."""
    machine = patched(program, dump(client, console))
    written = write_back(
        program.plan.network,
        machine.memory,
        options.checkpoint_file,
        Path(options.pull),
        options.skip_checkpoint_layers,
    )
    for warning in written.warnings:
        console.print(f"max78k: warning: {warning}")
    return written.changed


# --- text


def lines(result: dict[str, Any], options: Namespace) -> Iterator[str]:
    """The result for a person."""
    saved = f", with save {result['saved']} from its flash" if result["saved"] else ""
    yield f"board: {result['network']} ({result['digest']}){saved}"
    for name in ("trained", "evaluated"):
        if name in result:
            yield f"{name}: {sentence(result[name])}"
    if "save" in result:
        yield f"saved: number {result['save']['saved']}, in slot {result['save']['slot']}"
    if options.dump:
        yield f"kernels of its trained layers: {options.dump}"
    if options.pull:
        changed = ", ".join(result["changed"]) or "nothing"
        yield f"checkpoint: {options.pull} (changed: {changed})"
    if options.forget:
        yield "its saves are erased; the next start has the flashed network"
    line, board = result["line"], result["board"]
    yield (
        f"line: {line['requests']:,} requests, {line['repeated']:,} asked again; CRC errors: "
        f"{line['faulty']:,} here, {board['faulty']:,} there"
    )


def sentence(part: dict[str, Any]) -> str:
    """Accuracy, loss and times."""
    learning = f", learning {part['learning_ms']:.2f} ms" if "steps" in part else ""
    return (
        f"{part['right']:,} of {part['examples']:,} right ({part['accuracy']:.2%}), loss "
        f"{part['loss']:.3f}; inference {part['inference_ms']:.2f} ms{learning}"
    )
