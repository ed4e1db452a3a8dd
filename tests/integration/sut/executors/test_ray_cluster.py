"""Agents without Ray: groups of batches and answers, and what happens when an agent is lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import nodes
import numpy as np
import pytest
from nodes import FEATURES
from scheduled import Test

from sut.executors.base import Answer, Ready
from sut.executors.fleet.deadlines import RunningClock, deadline_s
from sut.executors.fleet.member import About
from sut.executors.ray_cluster.agent_queue import AgentQueue
from sut.executors.ray_cluster.executor import Agent, Launch, RayExecutor, Started, Terms
from sut.executors.ray_cluster.groups import Answered, Answers, Batches, linger_s
from sut.nodes.errors import NodeError, ProtocolError
from sut.record.nodes import ClusterRecord

READY = Ready(load_s=0.1, samples_per_s=1e4, batch_s=1e-3, token_s=1e-6, packed=True)
CLUSTER = ClusterRecord(kind="ray", version="1", address="here", is_own=True, token_authentication=True)
DIED = NodeError("its agent does not answer any more")


class ThreadAgent(Agent):
    """An agent that is threads around an instance of the fake backend; `hurt` gets each result before the run does."""

    def __init__(self, script: str, hurt: Callable[[Any], Any] = lambda result: result) -> None:
        self._executor = nodes.instance(script)
        self._executor.start()
        self._queue = AgentQueue(self._executor, take_s=0.2)
        self._pool = ThreadPoolExecutor(4)
        self.hurt = hurt
        self.is_killed = False

    def call(self, method: str, *arguments: object) -> Future[Any]:
        if self.is_killed:
            failed: Future[Any] = Future()
            failed.set_exception(DIED)
            return failed
        return self._pool.submit(self._call, method, arguments)

    def _call(self, method: str, arguments: tuple[object, ...]) -> Any:
        found = getattr(self._queue, method)(*arguments)
        if self.is_killed:
            raise DIED
        return self.hurt(found) if method == "take" else found

    def kill(self) -> None:
        self.is_killed = True
        self._executor.close()


class Agents:
    """Two nodes, and each agent that was started on them."""

    record = CLUSTER

    def __init__(self, script: str) -> None:
        self.script, self.started = script, list[tuple[int, ThreadAgent]]()

    def launch(self, number: int, closing: threading.Event) -> Started:
        agent = ThreadAgent(self.script)
        self.started.append((number, agent))
        return Started(agent, about(number), [READY])

    def of(self, number: int) -> list[ThreadAgent]:
        return [agent for found, agent in self.started if found == number]

    def close(self) -> None:
        for _, agent in self.started:
            agent.kill()


def about(number: int) -> About:
    return About(address=f"node-{number}", name="box", instances=1, planned_for="Offline", sent="indexes")


@contextmanager
def executor(agents: Agents, launch: Launch | None = None, patience_s: float = 20.0) -> Iterator[RayExecutor]:
    """An executor that has been started."""
    terms = Terms(rows=FEATURES.lengths, batch_tokens=200, patience_s=patience_s, scenario="Offline", none_left_s=0.3)
    found = RayExecutor(agents, launch or agents.launch, [about(0), about(1)], terms)
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("plan_at_issue", [True, False])
def test_two_agents_answer_each_sample_once(plan_at_issue: bool) -> None:
    with executor(Agents("fake")) as found:
        test = Test(found, plan_at_issue=plan_at_issue)
        test.issue()
        test.end()
        record = found.record()
    assert sum(one.samples for one in record) == 300
    assert all(one.samples and not one.losses for one in record)


def test_what_a_dead_agent_had_is_done_by_another_and_a_new_one_takes_its_place() -> None:
    agents = Agents("fake:sleep_ms=2")
    with executor(agents) as found:
        test = Test(found)
        test.issue(900, then=agents.of(0)[0].kill)
        test.end(900)
        [loss] = found.record()[0].losses
    assert loss.jobs_moved > 0 and loss.reason == str(DIED)
    assert loss.back_unix_s is not None and len(agents.of(0)) == 2


def test_another_machine_takes_the_place_of_one_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    agents = Agents("fake:sleep_ms=2")

    def launch(number: int, closing: threading.Event) -> Started:
        started = agents.launch(number, closing)
        return replace(started, about=about(7)) if len(agents.of(0)) == 2 else started

    with executor(agents, launch) as found:
        test = Test(found)
        test.issue(900, then=agents.of(0)[0].kill)
        test.end(900)
        first = found.record()[0]
    assert (first.address, first.lost) == ("node-7", ("node-0",))
    assert "node node-7 takes the place of node-0." in capsys.readouterr().err


def silent(answers: Answers) -> Answers:
    """What a frozen agent says."""
    threading.Event().wait(0.5)
    return Answers.of([])


def one_row_less(answers: Answers) -> Answers:
    return answers._replace(outputs=answers.outputs[:-1])


def unasked(answers: Answers) -> Answers:
    return Answers.of([Answered(2**40, 0, Answer(np.zeros((1, 2), np.float32)))])


@pytest.mark.parametrize(
    ("hurt", "reason"),
    [
        (silent, "no answer to a batch within 0.3 s"),
        (one_row_less, "rows of answers, found"),
        (unasked, "expected an answer to a query, found one to 1099511627776"),
    ],
)
def test_what_a_broken_agent_had_is_done_by_another(hurt: Callable[[Answers], Answers], reason: str) -> None:
    agents = Agents("fake")
    with executor(agents, patience_s=0.3) as found:
        test = Test(found)
        agents.of(0)[0].hurt = hurt
        test.issue()
        test.end()
        losses = found.record()[0].losses
    assert reason in losses[0].reason
    assert agents.of(0)[0].is_killed


def test_an_engines_error_is_an_answer() -> None:
    with executor(Agents("fake:raise_at=3")) as found:
        test = Test(found)
        test.issue()
        assert "the fake backend was told to fail at batch 3" in test.fail()
        assert not any(one.losses for one in found.record())


def test_a_run_without_an_agent_ends() -> None:
    agents = Agents("fake")
    calls = itertools.count()

    def launch(number: int, closing: threading.Event) -> Started:
        if next(calls) >= 2:
            raise NodeError("no node is free")
        return agents.launch(number, closing)

    with executor(agents, launch) as found:
        test = Test(found)
        agents.close()
        test.issue()
        assert "is lost" in test.fail() or "found all lost" in test.fail()


def test_an_error_at_the_start_is_raised() -> None:
    def launch(number: int, closing: threading.Event) -> Started:
        raise NodeError(f"node-{number} has no model")

    with pytest.raises(NodeError, match="has no model"), executor(Agents("fake"), launch):
        pass


def test_an_instance_that_exits_ends_its_agent() -> None:
    inside = nodes.instance()
    inside.start()
    inside.failure = RuntimeError("instance-0 died with signal SIGKILL")
    with pytest.raises(NodeError, match="died with signal SIGKILL"):
        AgentQueue(inside).take(0.0)
    inside.close()


def test_batches_travel_end_to_end() -> None:
    sent = [(7, np.array([3, 1])), (9, np.array([5]))]
    found = list(Batches.of(sent).each())
    assert [(number, indexes.tolist()) for number, indexes in found] == [(7, [3, 1]), (9, [5])]


def test_answers_travel_end_to_end() -> None:
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    sent = [
        Answered(1, 0, Answer(rows[:2], 20, 0.5, 0.25)),
        Answered(2, 1, Answer(None, error=ValueError("no"))),
        Answered(3, 1, Answer(rows[2:], 30, 0.5, 0.25)),
    ]
    for before, after in zip(sent, Answers.of(sent).each(), strict=True):
        assert (after.number, after.instance, after.answer.error) == (
            before.number,
            before.instance,
            before.answer.error,
        )
        np.testing.assert_array_equal(after.answer.outputs, before.answer.outputs)
    assert list(Answers.of([]).each()) == []
    with pytest.raises(ProtocolError, match="expected 5 rows of answers, found 4"):
        list(one_row_less(Answers.of(sent)).each())


@pytest.mark.parametrize(
    ("batch_s", "instances", "scenario", "seconds"),
    [
        (0.04, 8, "Offline", 0.01),
        (0.04, 7, "Offline", 0.0),
        (5.0, 100, "Offline", 0.1),
        (5.0, 99, "Offline", 0.0),
        (0.04, 8, "Server", 0.0),
        (0.04, 8, "SingleStream", 0.0),
    ],
)
def test_an_agent_waits_for_more_answers_where_several_come_and_latency_does_not_count(
    batch_s: float, instances: int, scenario: str, seconds: float
) -> None:
    assert linger_s(batch_s, instances, scenario) == seconds


@pytest.mark.parametrize(("batch_s", "asked_s", "seconds"), [(0.05, None, 5.0), (1.0, None, 20.0), (1.0, 3.0, 3.0)])
def test_deadlines(batch_s: float, asked_s: float | None, seconds: float) -> None:
    assert deadline_s(batch_s, asked_s) == seconds


def test_a_suspension_counts_for_no_deadline() -> None:
    clock = RunningClock()
    before_s = clock.now()
    clock._looked_s -= 3600  # as if this process had been stopped for an hour
    clock.tick()
    assert clock.now() - before_s < 1
