"""The example in the docstring of `Executor`: under the scheduler it answers every id once, with its own data."""

from __future__ import annotations

import doctest
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from backends.base import Batch, Options
from backends.bert.model import Model
from backends.fake import FakeBackend, fake_answer
from foundation.arrays import Float32, Int64
from qsl.base import Features
from sut.executors import base
from sut.executors.base import Executor
from sut.queries.scheduler import Scheduler
from sut.queries.server_queue import BatchLimits

LENGTHS = np.array([5, 1, 9, 30, 2, 7])
TOKENS = np.arange(LENGTHS.sum(), dtype=np.int32)
FEATURES = Features(TOKENS, np.zeros_like(TOKENS), np.concatenate([[0], np.cumsum(LENGTHS)]))


@pytest.fixture
def example() -> Any:
    """The class that the docstring defines."""
    names = {"ThreadPoolExecutor": ThreadPoolExecutor, "Batch": Batch}
    (found,) = doctest.DocTestFinder(recurse=False).find(Executor, "Executor", base, extraglobs=names)
    assert doctest.DocTestRunner().run(found, clear_globs=False) == doctest.TestResults(failed=0, attempted=1)
    return found.globs["ThreadExecutor"]


def fake(script: str) -> FakeBackend:
    backend = FakeBackend(Options())
    backend.load(Model(script, None, None))
    return backend


@pytest.mark.parametrize("plan_at_issue", [True, False])
def test_every_id_is_answered_once(example: Any, plan_at_issue: bool) -> None:
    executor: Executor = example(fake("fake"), FEATURES, 2)
    answers: dict[int, Float32] = {}
    done = threading.Event()

    def complete(ids: Int64, outputs: Float32, rows: Int64) -> None:
        for id, own in zip(ids.tolist(), np.split(outputs, np.cumsum(rows)[:-1]), strict=True):
            assert id not in answers
            answers[id] = own.copy()

    limits = BatchLimits(max_batch_tokens=12, packed=True)
    scheduler = Scheduler(
        executor, LENGTHS, LENGTHS, complete, limits=limits, plan_at_issue=plan_at_issue, on_complete=done.set
    )
    assert len(executor.start()) == 2
    indexes = [index % len(LENGTHS) for index in range(60)]
    scheduler.issue_queries([1000 + number for number in range(60)], indexes)
    scheduler.flush_queries()
    assert done.wait(10)
    executor.close()
    assert sorted(answers) == list(range(1000, 1060))
    for number, index in enumerate(indexes):
        np.testing.assert_array_equal(answers[1000 + number], fake_answer(Batch.of([FEATURES.sample(index)])))


def test_an_error_reaches_the_scheduler(example: Any) -> None:
    executor: Executor = example(fake("fake:raise_at=1"), FEATURES, 1)
    outcomes: queue.SimpleQueue[base.Outcome] = queue.SimpleQueue()
    executor.submit(base.Job(np.array([7]), np.array([0])), outcomes.put)
    outcome = outcomes.get(timeout=10)
    executor.close()
    assert isinstance(outcome.answer.error, RuntimeError)
    assert outcome.job.ids.tolist() == [7]
