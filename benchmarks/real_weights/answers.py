"""The answers of one engine to the half that a model is tested on, without LoadGen; scored as a run's are.

In a clean checkout they are kept next to the model, so a measurement that was interrupted computes none of them twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sut
from accuracy.log import PAD_LOGIT
from accuracy.squad import SquadScore, score_logits
from backends.base import Backend, Batch
from backends.bert.heads import COLUMNS
from benchmarks.real_weights.folds import FINE_TUNED, Fold
from foundation import array_files, atomic_write
from foundation.arrays import Float32
from qsl import feature_cache
from qsl.base import Features
from qsl.squad import SquadDataSet
from sut.machine import facts as machine_facts

_BATCH_TOKENS = 1536


@dataclass(frozen=True)
class Answers:
    """Of one engine to N samples: their logits, [T, 2] end to end in the order of `data`, and their score."""

    logits: Float32
    score: SquadScore


def of_engine(fold: Fold, backend: str, precision: str, cache_dir: Path, threads: int) -> Answers:
    """The answers of a backend that this package has.

    int8 is calibrated on the half that the model was trained on, unless ranges were learned with it.

    Raises:
        UserError: the backend is not installed, or cannot run the model.
    """
    data, path = fold.data(cache_dir), _place(fold, backend, precision)
    if path and path.is_file():
        return of_logits(data, array_files.parse_array(path.read_bytes()))
    with sut.open_backend(
        backend=backend,
        precision=precision,
        model=str(fold.model),
        vocab=fold.model / "vocab.txt",
        dataset=fold.tested_on,
        calibration_dataset=fold.trained_on if precision == "int8" and fold.made_by == FINE_TUNED else None,
        cache_dir=cache_dir,
        threads=threads,
    ) as engine:
        logits = logits_of(engine, data.features)
    if path:
        path.parent.mkdir(exist_ok=True)
        with atomic_write.replacing(path) as file:
            np.save(file, logits)
    return of_logits(data, logits)


def _place(fold: Fold, backend: str, precision: str) -> Path | None:
    """The file for these answers, named by all that they depend on; None for code that no commit holds."""
    commit = machine_facts.commit()
    if commit is None or commit.endswith("-dirty"):
        return None
    software = commit, machine_facts.kind(), machine_facts.versions(), machine_facts.environment()
    key = feature_cache.key(software, fold.weights, fold.trained_on, fold.tested_on)
    return fold.model.with_name(f"{fold.model.name}-answers") / f"{backend}-{precision}-{key}.npy"


def logits_of(engine: Backend, features: Features) -> Float32:
    """The logits of all samples, float32 [T, 2]."""
    found = np.empty((features.total_tokens, COLUMNS), np.float32)
    for rows in batches(features):
        answers = engine.infer(Batch.of([features.sample(row) for row in rows]))
        for row, part in zip(rows, np.split(answers, np.cumsum(features.lengths[rows])[:-1]), strict=True):
            found[features.offsets[row] : features.offsets[row + 1]] = part
    return found


def batches(features: Features) -> Iterator[list[int]]:
    """Samples of similar length, `_BATCH_TOKENS` at most."""
    rows: list[int] = []
    for row in np.argsort(features.lengths, kind="stable").tolist():
        if rows and (len(rows) + 1) * int(features.lengths[row]) > _BATCH_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    yield rows


def of_logits(data: SquadDataSet, logits: Float32) -> Answers:
    """Score logits that lie end to end, float32 [T, 2]."""
    lengths = data.features.lengths
    padded = np.full((len(lengths), int(lengths.max()), COLUMNS), PAD_LOGIT, np.float32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = logits
    every = np.ones(len(lengths), np.bool_)
    return Answers(logits, score_logits(padded, every, data.examples, data.squad_features, data.vocabulary))
