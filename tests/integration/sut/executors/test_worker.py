"""What an instance says before the clock starts."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ASSETS
from small_bert import SMALL, random_tensors, write_model, write_onnx

from backends import BACKENDS
from backends.base import Batch, Options, Pending
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from backends.errors import BackendError
from backends.fake import FakeBackend
from foundation.arrays import Float32
from qsl import demo
from qsl.base import Features
from qsl.squad import SquadDataSet
from sut.executors.base import Ready
from sut.executors.worker import Worker, WorkerSpec, gather

WIDE = replace(SMALL, vocab_size=4000, num_hidden_layers=1)
VOCAB = ASSETS / "demo" / "vocab.txt"


def spec(tmp_path: Path, model: Model, backend: str = "onnxruntime") -> WorkerSpec:
    dataset = tmp_path / "dev.json"
    demo.write(dataset, "dev", questions=10)
    return WorkerSpec(
        backend=backend,
        options=Options(),
        model=model,
        features=SquadDataSet(dataset, VOCAB, tmp_path / "cache").handle,
        vocab=VOCAB,
        max_tokens=200,
        shapes=((2, 100), (2, 50)),
    )


def test_a_graph_with_fewer_rows_than_the_vocabulary_is_refused_before_the_test(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", SMALL, random_tensors(SMALL, 1))
    path = write_onnx(tmp_path / "model.onnx", find_model(str(directory)), {})
    with pytest.raises(BackendError, match=r"ids up to \d+ .*vocab\.txt.*fails"):
        Worker(spec(tmp_path, find_model(str(path)))).warm_up()


def test_logits_that_are_not_numbers_are_refused_before_the_test(tmp_path: Path) -> None:
    """A graph runs as it is, so its weights are not looked at."""
    tensors = random_tensors(WIDE, 1)
    directory = write_model(tmp_path / "model", WIDE, tensors)
    path = write_onnx(tmp_path / "model.onnx", find_model(str(directory)), {})
    proto = onnx.load(path)
    bias = next(one for one in proto.graph.initializer if one.name == "qa_outputs.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, np.float32), bias.name))
    onnx.save(proto, path)
    with pytest.raises(BackendError, match=r"expected finite logits from .*found NaN"):
        Worker(spec(tmp_path, find_model(str(path)))).warm_up()


def ready(found: WorkerSpec) -> Ready:
    worker = Worker(found)
    worker.warm_up()
    return worker.measure()


def test_it_says_how_fast_it_is(tmp_path: Path) -> None:
    slow, fast = (ready(spec(tmp_path, Model(script, None, None), "fake")) for script in ("fake:sleep_ms=20", "fake"))
    assert 0 < slow.samples_per_s <= 100
    assert fast.samples_per_s > slow.samples_per_s
    assert slow.batch_s > 0.01  # all of it, however many tokens
    assert fast.batch_s + 100 * fast.token_s == pytest.approx(2 / fast.samples_per_s)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_samples_are_gathered_end_to_end(indexes: list[int]) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 20, 10)
    ids, types = rng.integers(0, 99, (2, lengths.sum()), dtype=np.int32)
    features = Features(ids, types, np.concatenate([[0], np.cumsum(lengths)]))
    batch, expected = gather(features, np.array(indexes)), Batch.of([features.sample(index) for index in indexes])
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(batch, field.name), getattr(expected, field.name))
        assert getattr(batch, field.name).dtype == getattr(expected, field.name).dtype
    ids = (batch.input_ids, batch.token_type_ids, batch.position_ids)
    assert {array.dtype for array in ids} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    ("script", "index", "kind"), [("fake:raise_at=1", 0, RuntimeError), ("fake", 10**6, IndexError)]
)
def test_what_goes_wrong_is_the_answer(tmp_path: Path, script: str, index: int, kind: type[Exception]) -> None:
    worker = Worker(spec(tmp_path, Model(script, None, None), "fake"))
    failed, good = worker.infer(np.array([index])), worker.infer(np.array([1]))
    assert failed.outputs is None and isinstance(failed.error, kind)
    assert good.outputs is not None and good.error is None
    assert 0 < good.engine_s <= good.batch_s


class Fails(FakeBackend):
    """Enqueues a batch, and fails while it waits for it."""

    def begin(self, batch: Batch) -> Pending[Float32]:
        def fail() -> NoReturn:
            raise BackendError("the device failed")

        return Pending(fail, fail)


def test_an_engine_that_fails_while_it_is_waited_for_sends_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "fails", replace(BACKENDS["fake"], target="test_worker:Fails"))
    pending = Worker(spec(tmp_path, Model("fake", None, None), "fails")).begin(np.array([0]))
    assert pending.is_ready()
    assert str(pending.answers().error) == "the device failed"
