"""The contract of `Backend`, for every row of the table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from small_bert import random_batch

from backends import BACKENDS, accelerators, backend_class
from backends.base import Backend, Batch, Options
from backends.bert.model import Model
from backends.errors import BackendError

LENGTHS = [1, 2, 63, 64, 65, 383, 384]
# One has stored answers only, the other needs a server: test_replay_backend.py, test_v2_faces.py.
ANSWERING = sorted(set(BACKENDS) - {"replay", "v2"})


@pytest.fixture(scope="module", params=ANSWERING)
def backend(request: pytest.FixtureRequest, model: Model) -> Iterator[Backend]:
    pytest.importorskip(BACKENDS[request.param].needs)
    try:
        accelerators(request.param)
    except BackendError as error:
        pytest.skip(str(error))
    loaded = backend_class(request.param)(Options(BACKENDS[request.param].first_precision, threads=2))
    loaded.load(Model("fake", None, None) if request.param == "fake" else model)
    yield loaded
    loaded.close()


def alone(backend: Backend, batch: Batch) -> list[np.ndarray]:
    """The answer of each sample in a batch with no other sample."""
    ends = batch.cu_seqlens
    pieces = [slice(ends[i], ends[i + 1]) for i in range(len(batch))]
    return [backend.infer(Batch.of([(batch.input_ids[p], batch.token_type_ids[p])])) for p in pieces]


def test_answers_one_float32_pair_per_token(backend: Backend) -> None:
    batch = random_batch(LENGTHS)
    answer = backend.infer(batch)
    assert answer.shape == (sum(LENGTHS), 2)
    assert answer.dtype == np.float32
    assert answer.flags.c_contiguous
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neither_neighbours_nor_padding_reach_an_answer(backend: Backend, seed: int) -> None:
    lengths = np.random.default_rng(seed).permutation(LENGTHS).tolist()
    batch = random_batch(lengths, seed)
    np.testing.assert_allclose(backend.infer(batch), np.concatenate(alone(backend, batch)), atol=2e-4)


def test_different_tokens_give_different_answers(backend: Backend) -> None:
    first, second = random_batch([64], seed=1), random_batch([64], seed=2)
    assert not np.allclose(backend.infer(first), backend.infer(second), atol=1e-2)


def test_counts_at_least_the_tokens_it_was_given(backend: Backend) -> None:
    even, uneven = random_batch([64, 64]), random_batch([64, 1])
    assert backend.computed_tokens(even) == 128
    assert 65 <= backend.computed_tokens(uneven) <= 128


def test_threads_do_not_change_the_answers(backend: Backend) -> None:
    batch = random_batch([17, 31])
    before = backend.infer(batch)
    for threads in (1, 2):
        backend.use_threads(threads)
        np.testing.assert_allclose(backend.infer(batch), before, atol=2e-4)


def test_warm_up_does_not_change_the_answers(backend: Backend) -> None:
    batch = random_batch([17, 31])
    before = backend.infer(batch)
    backend.warm_up([(3, 50), (1, 384)])
    np.testing.assert_array_equal(backend.infer(batch), before)


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_refuses_a_precision_that_it_does_not_have(name: str) -> None:
    pytest.importorskip(BACKENDS[name].needs)
    with pytest.raises(BackendError, match="int3"):
        backend_class(name)(Options(precision="int3"))


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_class_reads_its_own_row(name: str) -> None:
    pytest.importorskip(BACKENDS[name].needs)
    found = backend_class(name)
    assert found.name == name
    assert found.entry is BACKENDS[name]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BackendError, match="Did you mean onnxruntime"):
        backend_class("onnxruntim")
