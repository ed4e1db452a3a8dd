"""The demo in every published format: each backend scores the same, and learned ranges keep the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
from published import FLOAT, ROUNDED

from accuracy.squad import score_logits
from backends import backend_class
from backends.base import Batch, Options
from backends.bert.checkpoints import find_model, read_weights
from backends.quantization import qat_ranges
from backends.quantization.int8_model import write_engine
from qsl import demo, squad
from qsl.squad_examples import read_examples
from qsl.wordpiece import WordPiece
from sut.fetch.resolve import demo_model

ENGINES = ("onnxruntime", "pytorch")  # which run our own int8 engines
FLOAT_ENGINES = (*ENGINES, "openvino")
QUESTIONS = 150
# Each engine and each format. That all formats hold the same bytes, on every engine: unit/backends/test_formats.py.
PAIRS = [*((engine, "safetensors") for engine in FLOAT_ENGINES), *zip(cycle(FLOAT_ENGINES), [*FLOAT][1:], strict=False)]


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, squad.SquadFeatures]:
    path = tmp_path_factory.mktemp("demo") / "dev.json"
    demo.write(path, "dev", questions=QUESTIONS)
    return path, squad.load(path, demo_model() / "vocab.txt", None)


def score(logits_of: Callable[[Batch], np.ndarray], data: tuple[Path, squad.SquadFeatures]) -> tuple[float, float]:
    path, found = data
    features = found.features
    logits = np.full((len(features), int(features.lengths.max()), 2), -np.inf, np.float32)
    for row in range(0, len(features), 8):
        rows = range(row, min(row + 8, len(features)))
        batch = Batch.of([features.sample(one) for one in rows])
        for one, part in zip(rows, np.split(logits_of(batch), batch.cu_seqlens[1:-1]), strict=True):
            logits[one, : len(part)] = part
    vocabulary = WordPiece(demo_model() / "vocab.txt")
    scored = score_logits(logits, np.ones(len(features), bool), read_examples(path), found, vocabulary)
    return scored.exact_match, scored.f1


@pytest.mark.timeout(300)
def test_the_demo_scores_the_same_in_every_format(tmp_path: Path, demo_set: tuple[Path, squad.SquadFeatures]) -> None:
    weights = read_weights(find_model(str(demo_model())))
    config, tensors = weights.config, weights.tensors
    train = tmp_path / "train.json"
    demo.write(train, "train", questions=60)
    features = squad.load(train, demo_model() / "vocab.txt", None).features
    samples = [Batch.of([features.sample(index)]) for index in range(len(features))]
    learnt = published.naive_ranges(config, tensors, published.greatest(config, tensors, samples))
    scores = {run(engine, FLOAT[form](tmp_path / engine / form, config, tensors), demo_set) for engine, form in PAIRS}
    assert len(scores) == 1, scores
    ((_, f1),) = scores
    rounded: dict[str, set[tuple[float, float]]] = {engine: set() for engine in ENGINES}
    for form, write in ROUNDED.items():
        path = write(tmp_path / form, config, tensors, learnt)
        built = write_engine(tmp_path / f"{form}.engine", qat_ranges.quantize(read_weights(find_model(str(path))), {}))
        for engine in ENGINES:
            rounded[engine].add(run(engine, path, demo_set, "int8", built))
    for ((_, int8),) in rounded.values():  # each form scores the same; ranges as naive as these may cost an answer
        assert int8 >= f1 - 100 / QUESTIONS


def run(engine: str, path: Path, data: Any, precision: str = "fp32", built: Path | None = None) -> tuple[float, float]:
    backend = backend_class(engine)(Options(precision))
    backend.load(replace(find_model(str(path)), engine=built))
    return score(backend.infer, data)
