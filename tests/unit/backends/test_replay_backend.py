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
from backends.fake import read_script
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


@pytest.mark.parametrize(
    "changes",
    [
        {"offsets": np.array([0, 9, 5])},
        {"offsets": np.array([0, 5, 99])},
        {"offsets": np.array([0.0, 5, 9])},
        {"digests": np.zeros((3, 16), np.uint8)},
        {"logits": np.zeros((9, 3), np.float32)},
        {"logits": np.zeros((9, 2), np.int32)},
    ],
)
def test_refuses_answers_of_another_form(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    path = tmp_path / "answers.npz"
    stored(path, random_batch([5, 4]), np.zeros((9, 2), np.float32))
    with np.load(path) as content:
        np.savez(path, **{**content, **changes})
    with pytest.raises(BackendError, match=r"expected answers as .*answers\.npz"):
        loaded(f"replay:{path}")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BackendError, match=r"expected answers as .*answers\.npz"):
        loaded(f"replay:{path}")


@pytest.mark.parametrize(
    "script",
    ["sleep_ms=nan", "sleep_ms=-5", "sleep_ms=inf", "raise_at=inf", "exit_at=nan", "hang_at=1.5", "x=1", "sleep_ms="],
)
def test_a_script_of_faults_that_cannot_happen_is_refused(script: str) -> None:
    with pytest.raises(BackendError, match="found fake:"):
        read_script(f"fake:{script}")
    assert read_script("fake:sleep_ms=0.5,raise_at=3").raise_at == 3


@pytest.mark.parametrize(
    "spec",
    ["replay", "replay:", "replay:none.npz", "replay:f,x=1", "replay:f,sample_ms=-1", "replay:f,sample_ms=nan", "f"],
)
def test_refuses_a_spec_without_answers(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").touch()
    with pytest.raises(BackendError, match="found"):
        read_spec(spec)
