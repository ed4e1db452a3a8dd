"""The tasks, as a table: what a data set becomes, under which key LoadGen knows the benchmark, how it is scored.

A row also has the demo that ships for the task, so that `--task NAME` alone runs (docs/design/adding-a-task.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accuracy import squad as squad_score
from accuracy import sst2 as sst2_score
from accuracy.score import Score
from accuracy.targets import Metric
from backends.bert.heads import CLASSES, SPANS
from foundation.rules import SAMPLES
from qsl import calibration_list, demo, demo_sst2, squad, sst2
from qsl.base import Features


@dataclass(frozen=True)
class Demo:
    """The embedded model, and the generator of the data set that it reads."""

    folder: str  # below assets
    target: str  # what it must reach on its own data
    suffix: str  # of the data set's file
    write: Callable[[Path, str, int | None], None]  # to this file, of "dev" or "train", so many samples (None: all)
    generator: Path  # the package of the generator; another one writes another file


@dataclass(frozen=True)
class Task:
    """One row; `load` and `score` take the data set, the vocabulary and the cache directory."""

    model_key: str  # the name in LoadGen's embedded mlperf.conf
    head: str  # what a model must answer with, of backends.bert.heads
    metric: Metric  # what targets are of
    load: Callable[[Path, Path, Path], Features]
    score: Callable[[Path, Path, Path, Path], Score]  # LoadGen's accuracy log comes first
    check: Callable[[Path], object]  # that an accuracy run on this data set could be scored
    listed: Callable[[Path, Path, Path, Path], list[int]]  # features that a calibration list, which comes first, names
    demo: Demo
    full_size: int  # samples of the data set that official results are made on
    dataset_sha256: str | None = (
        None  # of that data set's file, as its publisher gives it; None: MLPerf has no such task
    )
    targets: tuple[str, ...] = ()  # the accuracy targets on that data set, the first by default


def _squad_features(dataset: Path, vocab: Path, cache_dir: Path) -> Features:
    return squad.load(dataset, vocab, cache_dir).features


def score_squad(log_file: Path, dataset: Path, vocab: Path, cache_dir: Path) -> squad_score.SquadScore:
    """SQuAD's own kind of score, of which a submission needs more than every score offers."""
    return squad_score.score_log(log_file, dataset, vocab, squad.load(dataset, vocab, cache_dir), dtype="float32")


def _sst2_score(log_file: Path, dataset: Path, vocab: Path, cache_dir: Path) -> sst2_score.Sst2Score:
    return sst2_score.score_log(log_file, dataset, dtype="float32")


def _sst2_listed(path: Path, dataset: Path, vocab: Path, cache_dir: Path) -> list[int]:
    return calibration_list.read_indices(path, dataset, len(sst2.load(dataset, vocab, cache_dir)))


TASKS = {
    "squad": Task(
        model_key="bert",
        head=SPANS,
        metric="f1",
        load=_squad_features,
        score=score_squad,
        check=squad.read_examples,
        listed=calibration_list.read,
        demo=Demo(
            "demo",
            "demo",
            ".json",
            lambda path, split, count: demo.write(path, split, questions=count),
            Path(demo.__file__).parent,
        ),
        full_size=SAMPLES,
        dataset_sha256="95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",  # dev-v1.1.json
        targets=("bert-99", "bert-99.9"),
    ),
    "sst2": Task(
        model_key="sst2",  # which mlperf.conf does not have: bert's rows and its sample count do not apply
        head=CLASSES,
        metric="accuracy",
        load=sst2.load,
        score=_sst2_score,
        check=sst2.read_labels,
        listed=_sst2_listed,
        demo=Demo(
            "demo-sst2",
            "demo-sst2",
            ".tsv",
            lambda path, split, count: demo_sst2.write(path, split, sentences=count),
            Path(demo_sst2.__file__).parent,
        ),
        full_size=872,
    ),
}
