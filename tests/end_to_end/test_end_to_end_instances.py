"""Instances as a user asks for them: on cores of their own, in every scenario, and an error where they do not fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from command import SCENARIOS, Command, Run, assert_refused
from cores import ALL_CORES

Start = Callable[..., Command]
QUERIES = {"Offline": 60, "Server": 120, "SingleStream": 100, "MultiStream": 100}
CPUS = len(ALL_CORES)

pytestmark = pytest.mark.skipif(CPUS < 2, reason="two instances need two cores")


@pytest.mark.parametrize("executor", ("processes", "spawned"))
def test_each_instance_is_pinned_to_its_cores(start: Start, executor: str) -> None:
    slow = ("--backend", "fake", "--model", "fake:sleep_ms=50", "--max-batch-tokens", 200, "--test-query-count", 2000)
    with start(*slow, "--instances", 2, "--cores-per-instance", 1, "--executor", executor) as command:
        command.wait_for_run()
        held = [sorted(os.sched_getaffinity(pid)) for pid in command.instances()]
        command.interrupt()
        topology = command.end().record()["topology"]
    assert topology["pinned"] is True and topology["weights_shared"] is (executor == "processes")
    assert sorted(held) == sorted(place["cpus"] for place in topology["instances"])
    assert all(place["cores"] == 1 for place in topology["instances"])


def instances_of(record: dict[str, Any]) -> tuple[int, int, int]:
    assert len(record["topology"]["instances"]) == len(record["instances_ready"])
    return len(record["instances_ready"]), record["config"]["cores_per_instance"], record["config"]["threads"]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("backend", ("fake", "onnxruntime"))
def test_two_instances_answer_every_scenario(run: Run, scenario: str, backend: str) -> None:
    model = {"fake": "fake", "onnxruntime": "random:bert-tiny"}[backend]
    flags = ("--backend", backend, "--model", model, "--scenario", scenario, "--instances", 2, "--threads", 1)
    ended = run(*flags, "--test-query-count", QUERIES[scenario])
    assert ended.code == 0, ended.out + ended.err
    count, cores, threads = instances_of(ended.record())
    assert (count, threads) == (2, 1) and cores >= 1


@pytest.mark.parametrize("scenario", ("SingleStream", "MultiStream"))
def test_a_stream_has_one_instance_unless_asked_otherwise(run: Run, scenario: str) -> None:
    flags = ("--backend", "fake", "--model", "fake", "--scenario", scenario)
    count, cores, threads = instances_of(run(*flags, "--test-query-count", 100).record())
    assert count == 1 and cores == threads


@pytest.mark.parametrize(
    "flags",
    (("--instances", CPUS + 1), ("--cores-per-instance", CPUS + 1), ("--instances", 2, "--cores-per-instance", CPUS)),
)
def test_too_few_cores(refuse: Run, flags: tuple[str | int, ...]) -> None:
    ended = refuse("--backend", "fake", "--model", "fake", *flags)
    assert_refused(ended, "NUMA node", "--instances", "--cores-per-instance")
    assert ended.runs == []
