"""The tasks, as a table: what a data set becomes, under which key LoadGen knows the benchmark, how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accuracy.squad import Score, score_log
from qsl import calibration_list, squad
from qsl.base import Features


@dataclass(frozen=True)
class Task:
    """One row; `load` and `score` take the data set, the vocabulary and the cache directory."""

    model_key: str  # the name in LoadGen's embedded mlperf.conf
    load: Callable[[Path, Path, Path], Features]
    score: Callable[[Path, Path, Path, Path], Score]  # LoadGen's accuracy log comes first
    listed: Callable[[Path, Path, Path, Path], list[int]]  # features that a calibration list, which comes first, names
    full_size: int  # samples of the data set that official results are made on
    dataset_sha256: str  # of that data set's file, as its publisher gives it
    targets: tuple[str, ...]  # the accuracy targets on that data set, the first by default


def _squad_features(dataset: Path, vocab: Path, cache_dir: Path) -> Features:
    return squad.load(dataset, vocab, cache_dir).features


def _squad_score(log_file: Path, dataset: Path, vocab: Path, cache_dir: Path) -> Score:
    return score_log(log_file, dataset, vocab, squad.load(dataset, vocab, cache_dir), dtype="float32")


TASKS = {
    "squad": Task(
        model_key="bert",
        load=_squad_features,
        score=_squad_score,
        listed=calibration_list.read,
        full_size=10_833,
        dataset_sha256="95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",  # dev-v1.1.json
        targets=("bert-99", "bert-99.9"),
    )
}
