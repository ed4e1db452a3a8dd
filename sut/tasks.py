"""The table of tasks: the data set, the model's head, LoadGen's name of the benchmark, the scorer.

Rows hold only text and names that are imported on first use: listing tasks loads neither scorers nor generators. Ours
also have an embedded demo, so that `--task NAME` alone runs. To add one, here or in another package:
docs/design/adding-a-task.md.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from foundation.plugged_table import PluggedTable
from foundation.rules import F1_TARGETS, SAMPLES
from qsl.tasks import DATA_TASKS, GROUP, DataTask
from sut.errors import UsageError

if TYPE_CHECKING:
    from accuracy.answered import AnsweredQuestion
    from accuracy.score import Score
    from qsl.data_set import DataSet

_SEED = 1  # of the demos' data sets


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The embedded model of a task and the generator of its data set."""

    folder: str  # below assets
    target: str  # the target on its own data
    suffix: str  # of the data set's file
    package: str  # the generator's package; the file's name depends on its sources

    @property
    def generator(self) -> Path:
        """The package's directory."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None and spec.origin is not None, self.package
        return Path(spec.origin).parent

    def write(self, path: Path, split: str, count: int | None) -> None:
        """Write the data set to a file: "dev" or "train", `count` samples or all. Raises OSError."""
        resolve_name(f"{self.package}:write")(path, split, _SEED, count)


@dataclass(frozen=True, kw_only=True)
class Task(DataTask):
    """One task. Functions and classes are "module:name".

    >>> task = TASKS["sst2"]
    >>> assert task.demo is not None
    >>> task.demo.write(folder / "dev.tsv", "dev", 3)  # "sentence<tab>label" and three rows
    >>> data = task.open(folder / "dev.tsv", vocab, None)  # nothing is read yet
    >>> len(data.features), data.labels.tolist()
    (3, [1, 0, 0])
    >>> task.score(log, data).metrics  # LoadGen's accuracy log, where two of three answers are right
    {'accuracy': 66.66666666666667}
    """

    about: str  # what a model answers, for --help
    model_key: str  # the name in LoadGen's embedded mlperf.conf
    head: str  # the model's head, of backends.bert.heads.HEADS
    demo: Demo | None = None  # None: every run names its --model and --dataset
    full_size: int = 0  # samples of the official data set, for its targets
    dataset_sha256: str | None = None  # of the official data set's file; None: not an MLPerf task
    targets: tuple[str, ...] = ()  # the accuracy targets on that data set, the first by default
    answers: str | None = None  # (the data set's file, predictions.json) → accuracy.answered.AnsweredQuestion's

    def score(self, accuracy_log: Path, data: DataSet) -> Score:
        """The score of a run over `data`. Raises AccuracyLogError, DatasetError."""
        found: Score = resolve_name(self.scorer)(accuracy_log, data)
        return found

    def answered(self, dataset: Path, predictions: Mapping[str, str]) -> list[AnsweredQuestion]:
        """The answers one by one, of a task that has `answers`. Raises DatasetError."""
        found: list[AnsweredQuestion] = resolve_name(self.answers or "")(dataset, predictions)
        return found


_OURS = {
    "squad": Task(
        **asdict(DATA_TASKS["squad"]),
        about="questions about passages",
        model_key="bert",
        head="spans",
        demo=Demo(folder="demo", target="demo", suffix=".json", package="qsl.demo"),
        full_size=SAMPLES,
        dataset_sha256="95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",  # dev-v1.1.json
        targets=tuple(F1_TARGETS),
        answers="accuracy.answered:squad",
    ),
    "sst2": Task(
        **asdict(DATA_TASKS["sst2"]),
        about="sentiment",
        model_key="sst2",  # not in mlperf.conf, so that bert's rows and sample count do not apply
        head="classes",
        demo=Demo(folder="demo-sst2", target="demo-sst2", suffix=".tsv", package="qsl.demo_sst2"),
        full_size=872,
        answers="accuracy.answered:sst2",
    ),
}


def _row(spec: str, found: object) -> Task:
    if not isinstance(found, Task):
        raise UsageError(f"expected {spec} to be a sut.tasks.Task, found {type(found)}.")
    return found


TASKS: PluggedTable[Task] = PluggedTable(_OURS, what="task", group=GROUP, read=_row, error=UsageError)
