"""The scheduler with the contract of real executors: each id once, with its own answer, in any order."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from sut.executors.base import Answer, Done, Job, Outcome, Ready
from sut.queries.expected_ends import BatchCost
from sut.queries.scheduler import Scheduler
from sut.queries.server_queue import BatchLimits

LENGTHS = np.random.default_rng(7).integers(1, 384, 300)


def answer(index: int) -> npt.NDArray[np.float32]:
    """Sample `index` answers its own number, once a token."""
    return np.full((LENGTHS[index], 2), index, np.float32)


class PoolExecutor:
    """Answers on its own threads, in random order; can be set to fail."""

    failure: Exception | None = None

    def __init__(self, instances: int, seed: int, fail_at: int = 0) -> None:
        self.instances = self.active = instances
        self._fail_at = fail_at
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._waiting: list[tuple[Job, Done]] = []
        self.most_waiting = self.jobs = 0

    def start(self) -> list[Ready]:
        return []

    def submit(self, job: Job, done: Done) -> None:
        with self._lock:
            self._waiting.append((job, done))
            self.jobs += 1
            self.most_waiting = max(self.most_waiting, len(self._waiting))

    def close(self) -> None:
        self._waiting.clear()

    def step(self) -> bool:
        """Answer one of the waiting jobs; False when there is none."""
        with self._lock:
            if not self._waiting:
                return False
            job, done = self._waiting.pop(self._random.randrange(len(self._waiting)))
        if self._fail_at and self.jobs >= self._fail_at:
            done(Outcome(job, Answer(None, error=RuntimeError("told to fail"))))
        else:
            outputs = np.concatenate([answer(index) for index in job.indexes])
            done(Outcome(job, Answer(outputs, computed_tokens=1)))
        return True


class Answers:
    """Stands where LoadGen does; keeps what it is given."""

    def __init__(self) -> None:
        self.by_id: dict[int, npt.NDArray[np.float32]] = {}

    def __call__(
        self, ids: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
    ) -> None:
        for id, rows in zip(ids.tolist(), np.split(outputs, np.cumsum(lengths)[:-1]), strict=True):
            assert id not in self.by_id, "answered twice"
            self.by_id[id] = rows.copy()


def make(executor: PoolExecutor, answers: Answers, plan_at_issue: bool, packed: bool = False) -> Scheduler:
    return Scheduler(executor, LENGTHS, LENGTHS, answers, limits=BatchLimits(700, packed), plan_at_issue=plan_at_issue)


def issue(scheduler: Scheduler, samples: Sequence[tuple[int, int]]) -> None:
    scheduler.issue_queries([id for id, _ in samples], [index for _, index in samples])


@pytest.mark.parametrize("plan_at_issue", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_every_id_is_answered_once_with_its_own_data(
    plan_at_issue: bool, packed: bool, instances: int, seed: int
) -> None:
    executor, answers = PoolExecutor(instances, seed), Answers()
    scheduler = make(executor, answers, plan_at_issue, packed)
    rng = random.Random(seed)
    expected = {id: rng.randrange(len(LENGTHS)) for id in rng.sample(range(10**9), 500)}
    for chunk in range(0, 500, 50):
        issue(scheduler, list(expected.items())[chunk : chunk + 50])
        for _ in range(rng.randrange(6)):
            executor.step()
    while executor.step():
        pass
    assert scheduler.failure is None and scheduler.oldest_job is None
    assert answers.by_id.keys() == expected.keys()
    for id, index in expected.items():
        np.testing.assert_array_equal(answers.by_id[id], answer(index))
    assert executor.most_waiting <= 2 * instances
    progress = scheduler.progress
    assert (progress.issued, progress.completed) == (500, 500)
    assert progress.tokens == sum(LENGTHS[index] for index in expected.values())
    assert progress.squared_tokens == sum(LENGTHS[index] ** 2 for index in expected.values())
    assert progress.computed_tokens == executor.jobs
    times = scheduler.batch_times.columns()
    assert (len(times.samples), times.samples.sum(), times.tokens.sum()) == (executor.jobs, 500, progress.tokens)
    assert len(times.latency_s) == 500 and times.latency_s.min() >= 0


@pytest.mark.parametrize("plan_at_issue", [True, False])
def test_a_failure_is_kept_and_nothing_is_answered_after_it(plan_at_issue: bool) -> None:
    executor, answers = PoolExecutor(1, 0, fail_at=4), Answers()
    scheduler = make(executor, answers, plan_at_issue)
    issue(scheduler, [(id, id) for id in range(300)])
    while executor.step():
        pass
    answered = len(answers.by_id)
    assert 0 < answered < 300
    assert str(scheduler.failure) == "told to fail"
    issue(scheduler, [(id, 0) for id in range(1000, 1010)])
    assert not executor.step()
    assert len(answers.by_id) == answered


def test_the_oldest_job_stays_until_it_is_answered() -> None:
    executor = PoolExecutor(2, 0)
    scheduler = make(executor, Answers(), plan_at_issue=True)
    issue(scheduler, [(id, id) for id in range(300)])
    first = scheduler.oldest_job
    assert first is not None
    while any(job is first for job, _ in executor._waiting):
        assert scheduler.oldest_job is first
        executor.step()
    assert scheduler.oldest_job is not first


def test_a_wrong_shape_is_a_failure_not_an_answer() -> None:
    class WrongShape(PoolExecutor):
        def submit(self, job: Job, done: Done) -> None:
            done(Outcome(job, Answer(np.zeros((3, 2), np.float32))))

    answers = Answers()
    scheduler = make(WrongShape(1, 0), answers, plan_at_issue=True)
    issue(scheduler, [(1, 0)])
    assert answers.by_id == {}
    assert "float32" in str(scheduler.failure)


def test_an_index_that_is_not_there_fails_the_run_instead_of_raising() -> None:
    scheduler = make(PoolExecutor(1, 0), Answers(), plan_at_issue=True)
    issue(scheduler, [(1, 10**6)])
    assert isinstance(scheduler.failure, IndexError)


@pytest.mark.parametrize("flushed_first", [True, False])
def test_it_completes_with_the_last_answer_after_the_last_query(flushed_first: bool) -> None:
    executor, answers = PoolExecutor(1, 0), Answers()
    answered_when_over: list[int] = []
    scheduler = Scheduler(
        executor,
        LENGTHS,
        LENGTHS,
        answers,
        limits=BatchLimits(2000, False, batch_size=2),
        plan_at_issue=True,
        on_complete=lambda: answered_when_over.append(len(answers.by_id)),
    )
    issue(scheduler, [(id, id) for id in range(10)])
    if flushed_first:
        scheduler.flush_queries()
    while executor.step():
        pass
    if not flushed_first:
        assert answered_when_over == []  # more queries might have come
        scheduler.flush_queries()
    assert answered_when_over == [10]
    assert executor.jobs == 5


def test_server_batches_grow_while_instances_are_busy() -> None:
    executor, answers = PoolExecutor(1, 0), Answers()
    scheduler = make(executor, answers, plan_at_issue=False)
    for id in range(200):
        issue(scheduler, [(id, id)])
    while executor.step():
        pass
    assert len(answers.by_id) == 200
    assert executor.jobs < 100


@pytest.mark.parametrize(("token_s", "early"), [(0.0, 1), (1e3, 0)], ids=["ends at once", "ends in an hour"])
@pytest.mark.parametrize("instances", [1, 3])
def test_a_device_gets_its_next_server_batch_when_its_last_is_about_to_end(
    instances: int, token_s: float, early: int
) -> None:
    executor = PoolExecutor(instances, 0)
    cost, limits = BatchCost(batch_s=0.0, token_s=token_s), BatchLimits(700, packed=True, batch_size=100)
    scheduler = Scheduler(executor, LENGTHS, LENGTHS, Answers(), limits=limits, plan_at_issue=False, cost=cost)
    shortest = int(LENGTHS.argmin())
    for id in range(3 * instances):
        issue(scheduler, [(id, shortest)])
    assert executor.jobs == instances * (1 + early)
    while executor.step():
        pass
    assert scheduler.failure is None and scheduler.progress.completed == 3 * instances
