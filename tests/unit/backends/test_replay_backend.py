"""The replay backend: stored answers bit for bit in any batch, and an error for samples that were not stored."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from small_bert import random_batch

from backends.base import Backend, Batch, Options
from backends.bert.model import Model
from backends.errors import BackendError
from backends.replay import ReplayBackend, read_spec, write_answers


def samples(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
    ends = zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)
    return [(batch.input_ids[start:stop], batch.token_type_ids[start:stop]) for start, stop in ends]


def stored(path: Path, batch: Batch, answers: np.ndarray) -> None:
    pieces = np.split(answers, batch.cu_seqlens[1:-1])
    write_answers(path, zip((ids for ids, _ in samples(batch)), pieces, strict=True))


def loaded(spec: str) -> Backend:
    backend = ReplayBackend(Options())
    backend.load(Model(spec, None, None))
    return backend


def test_returns_each_samples_answer_in_any_batch_and_order(tmp_path: Path) -> None:
    batch = random_batch([5, 9, 384, 1])
    answers = np.random.default_rng(0).standard_normal((batch.tokens, 2), np.float32)
    stored(tmp_path / "answers.npz", batch, answers)
    backend = loaded(f"replay:{tmp_path / 'answers.npz'}")
    np.testing.assert_array_equal(backend.infer(batch), answers)
    backwards = backend.infer(Batch.of(samples(batch)[::-1]))
    np.testing.assert_array_equal(backwards, np.concatenate(np.split(answers, batch.cu_seqlens[1:-1])[::-1]))


def test_refuses_a_sample_that_was_not_stored(tmp_path: Path) -> None:
    batch = random_batch([5, 9])
    stored(tmp_path / "answers.npz", batch, np.zeros((14, 2), np.float32))
    with pytest.raises(BackendError, match="without one"):
        loaded(f"replay:{tmp_path / 'answers.npz'}").infer(random_batch([5], seed=8))


def test_sleeps_for_each_sample(tmp_path: Path) -> None:
    batch = random_batch([5, 9])
    stored(tmp_path / "answers.npz", batch, np.zeros((14, 2), np.float32))
    backend = loaded(f"replay:{tmp_path / 'answers.npz'},sample_ms=20")
    start_s = time.perf_counter()
    backend.infer(batch)
    backend.warm_up([(1, 384)])
    assert time.perf_counter() - start_s >= 0.06


@pytest.mark.parametrize("spec", ["replay", "replay:", "replay:none.npz", "replay:f,x=1", "replay:f,sample_ms=-1", "f"])
def test_refuses_a_spec_without_answers(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").touch()
    with pytest.raises(BackendError, match="found"):
        read_spec(spec)
