"""Networks that have never seen a class, their data, and the outcomes of runs, kept on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.evaluator import Evaluation, Evaluator
from max78k_sim.whole_files import write_whole

from ..data.array_files import readable
from ..data.datasets import load_dataset
from ..data.streams import Dataset
from ..learning.experiment import REPLAY_BYTES, Material, Outcome, class_incremental, experiment
from ..learning.scenario import machine_of

PAIRS = ("new", "old", "overall")
MOST = 100  # examples of a new class
JOINT = "joint"
SCRATCH = "scratch"  # a network a class, trained on the host with as few examples of it


@dataclass(eq=False)
class Bases:
    """Folders of networks by the class that they have never seen, and the data.

    ``work``: where latents and outcomes are kept; delete it after a change of code or data.
    """

    folders: dict[int, Path]
    joint: Path | None
    shown: Dataset
    test: Dataset
    work: Path
    _materials: dict[int, Material] = field(default_factory=dict)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)

    def of_bits(self, width: int) -> Bases | None:
        """The same with networks of narrower weights, which lie in ``bits-<width>``, if any do."""
        folder = next(iter(self.folders.values())).parent / f"bits-{width}"
        found = {label: folder / str(label) for label in self.folders}
        found = {key: each for key, each in found.items() if (each / "network.yaml").exists()}
        if not found:
            return None
        work = self.work / folder.name
        work.mkdir(exist_ok=True)
        bases = Bases(found, None, self.shown, self.test, work)
        bases.check_work()
        bases._read_outcomes()
        return bases

    @staticmethod
    def find(
        folder: Path, data: str, test_data: str, work: Path, first_classes: int | None = None
    ) -> Bases:
        """All that a folder holds, with the data's first classes; InputError without a network."""
        found = {
            int(each.name): each
            for each in sorted(folder.glob("[0-9]*"))
            if each.name.isdigit() and (each / "network.yaml").exists()
        }
        if not found:
            raise InputError(
                "holds no network; a folder a class, such as 8/network.yaml and "
                "8/checkpoint.pth.tar, made by max78k pretrain --held-out-class 8",
                file=folder,
            )
        joint = folder / JOINT
        work.mkdir(parents=True, exist_ok=True)
        bases = Bases(
            found, joint if (joint / "network.yaml").exists() else None,
            first_of(load_dataset(data, "train"), first_classes),
            first_of(load_dataset(test_data, "test"), first_classes), work,
        )  # fmt: skip
        bases.check_work()
        bases._read_outcomes()
        return bases

    def check_work(self) -> None:
        """InputError where the work folder keeps what other data, or other networks, gave."""
        data = hashlib.sha256()
        for part in (self.shown, self.test):
            for array in (part.images, part.labels):
                data.update(np.ascontiguousarray(array).data)
        made_from = {"data": data.hexdigest()}
        for label, folder in self.folders.items():
            checkpoint = Path(files_of(folder)[1])
            made_from[str(label)] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        file = self.work / "made-from.json"
        with readable(file):
            known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if not isinstance(known, dict):
                raise InputError("is no record of data and networks; delete it", file=file)
            other = [key for key in made_from if known.get(key, made_from[key]) != made_from[key]]
        if other:
            what = "other data" if other[0] == "data" else f"another network of class {other[0]}"
            message = f"keeps what was made from {what}; give another --work, or delete it"
            raise InputError(message, file=self.work)
        text = json.dumps(known | made_from)
        write_whole(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def only(self, labels: list[int] | None) -> None:
        """Leave out all classes but these; None: none is left out."""
        for label in labels or ():
            if label not in self.folders:
                known = ", ".join(map(str, self.folders))
                raise InputError(f"class {label}: there are networks without {known}")
        if labels:
            self.folders = {label: self.folders[label] for label in labels}

    def material(self, label: int) -> Material:
        """The network that has never seen a class, with its data."""
        if label not in self._materials:
            machine = machine_of(*files_of(self.folders[label]))
            assert machine.program is not None
            outputs = machine.program.plan.network.output_shape[0]
            if outputs < len(self.shown.class_names):
                raise InputError(
                    f"tells {outputs} classes apart, the data have {len(self.shown.class_names)}; "
                    f"give --first-classes {outputs}",
                    file=self.folders[label],
                )
            material = class_incremental(machine, self.shown, self.test, label)
            material.folder = self.work / f"latents-{label}"
            self._materials[label] = material
        return self._materials[label]

    def run(
        self, label: int, strategy: str, examples: int, seed: int, budget: int = REPLAY_BYTES,
        **recipe: str,
    ) -> Outcome:  # fmt: skip
        """One run, or what came of it before; ``recipe``: fields of it that differ."""
        key = json.dumps([label, strategy, examples, seed, budget, *recipe.items()])
        if key not in self._outcomes:
            found = experiment(self.material(label), strategy, examples, seed, budget, recipe)
            self._outcomes[key] = found
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, asdict(found)]) + "\n")
        return self._outcomes[key]

    @property
    def _file(self) -> Path:
        return self.work / "outcomes.jsonl"

    def _read_outcomes(self) -> None:
        """What runs before this one wrote; a last line that a killed one left half is dropped."""
        if not self._file.exists():
            return
        content = self._file.read_bytes()
        if whole := content[: content.rfind(b"\n") + 1]:
            for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
                try:
                    key, values = json.loads(line)
                    self._outcomes[key] = outcome_from(values)
                except (ValueError, TypeError, AttributeError):
                    message = "is no outcome of a run; delete the line"
                    raise InputError(message, file=self._file, line=number) from None
        if whole != content:
            with self._file.open("rb+") as stream:
                stream.truncate(len(whole))

    def joint_evaluation(self) -> Evaluation | None:
        """The joint network on the whole test part."""
        return None if self.joint is None else self.evaluation(self.joint)

    def scratch_evaluations(self) -> dict[int, Evaluation]:
        """By class, of those networks trained from scratch with few examples of it that are there.

        They lie in ``scratch/<class>`` beside the others.
        """
        found = {label: each.with_name(SCRATCH) / each.name for label, each in self.folders.items()}
        return {
            label: self.evaluation(each)
            for label, each in found.items()
            if (each / "network.yaml").exists()
        }

    def evaluation(self, folder: Path) -> Evaluation:
        """A network on the whole test part."""
        evaluator = Evaluator(machine_of(*files_of(folder)))
        return evaluator.evaluate([(self.test.images, self.test.labels)])


def first_of(data: Dataset, count: int | None) -> Dataset:
    """The samples of the first classes; None: all."""
    if count is None:
        return data
    return replace(data.of_classes(tuple(range(count))), class_names=data.class_names[:count])


def outcome_from(values: dict) -> Outcome:
    """The inverse of ``asdict``, from JSON."""
    names = {each.name for each in fields(Outcome)}
    pairs = {name: tuple(each) for name, each in values.items() if isinstance(each, list)}
    return Outcome(**{name: each for name, each in (values | pairs).items() if name in names})


def files_of(folder: Path) -> tuple[str, str]:
    """Description and checkpoint in a folder."""
    return str(folder / "network.yaml"), str(folder / "checkpoint.pth.tar")
