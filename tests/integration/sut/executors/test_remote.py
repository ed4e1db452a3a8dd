"""The scheduler on nodes: each sample is answered once, with its own answer, whatever happens on the way."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import nodes
import pytest
from nodes import FEATURES
from scheduled import PATIENCE_S, Test

from sut.errors import RunFailedError
from sut.executors.base import Ready
from sut.executors.remote.executor import RemoteExecutor
from sut.nodes.frames import Frame, FrameParser, Kind
from sut.serving import frame_server
from sut.serving.frame_server import FrameServer


@pytest.fixture(scope="module")
def fast() -> Iterator[FrameServer]:
    with nodes.node() as found:
        yield found


@pytest.fixture(scope="module")
def other() -> Iterator[FrameServer]:
    with nodes.node("fake:sleep_ms=2") as found:
        yield found


@pytest.mark.parametrize("plan_at_issue", [True, False])
def test_two_nodes_answer_each_sample_once(fast: FrameServer, other: FrameServer, plan_at_issue: bool) -> None:
    with nodes.executor(fast.address, other.address) as executor:
        test = Test(executor, plan_at_issue=plan_at_issue)
        test.issue()
        test.end()
        found = executor.record()
    assert sum(one.samples for one in found) == 300
    assert found[0].samples > found[1].samples > 0  # work goes to whoever is done
    assert {one.sent for one in found} == {"indexes"}
    assert not any(one.losses or one.unowned_answers for one in found)


def test_a_node_with_other_features_gets_tokens() -> None:
    with nodes.node(identity=nodes.identity(features="other")) as other, nodes.executor(other.address) as executor:
        test = Test(executor)
        test.issue()
        test.end()
        assert executor.record()[0].sent == "tokens"


def test_what_a_nodes_instances_say_of_themselves_is_in_the_runs_record() -> None:
    measured = Ready(load_s=0.1, samples_per_s=1e4, batch_s=1e-4, token_s=1e-6, packed=True, blas_threads=2)
    said = [replace(measured, remark=one) for one in ("sparse products 96 of 96, 80% zeros", "\x1b[2Jcleared")]
    ready: list[Ready] = []
    with nodes.node(instances=frame_server.speeds(said)) as node, nodes.executor(node.address, ready=ready):
        assert [one.remark for one in ready] == ["sparse products 96 of 96, 80% zeros", r"\x1b[2Jcleared"]
        assert {one.blas_threads for one in ready} == {2}


def stall(data: bytes) -> bytes | None:
    return None


def garbage_for_answers(data: bytes) -> bytes:
    return b"\xff" * 64 if data[4] == Kind.ANSWER else data


def garbage(data: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def lie(data: bytes) -> bytes:
    """Says that a frame is longer than any may be."""
    return struct.pack("<IBQ", 2**32 - 1, Kind.ANSWER, 1) + data


def reorder(data: bytes) -> bytes:
    return data[::-1]


def unasked(data: bytes) -> bytes:
    """An answer to a query that was never sent."""
    return Frame(Kind.ANSWER, 2**40, bytes(28)).encode() + data


def empty_answer(data: bytes) -> bytes:
    return Frame(Kind.ANSWER, 5, b"").encode() + data


def one_row_less(data: bytes) -> bytes:
    """Answers that are whole frames, and not whole answers."""
    frames = FrameParser().feed(data)
    answers = (frame._replace(payload=frame.payload[:-8]) for frame in frames if frame.kind is Kind.ANSWER)
    return b"".join(frame.encode() for frame in answers)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (one_row_less, r"expected \d+ rows for a batch, found \d+"),
        (stall, "no answer to a batch within 0.2 s"),
        (garbage, "expected a frame of the protocol"),
        (lie, "at most .* bytes in ANSWER"),
        (reorder, "expected"),
        (unasked, "expected an answer to a query, found one to 1099511627776"),
        (empty_answer, "rows of two float32, found 0 bytes"),
    ],
)
def test_what_a_broken_node_had_is_done_by_another(
    fast: FrameServer,
    other: FrameServer,
    change: Callable[[bytes], bytes | None],
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with nodes.proxies(other) as [proxy], nodes.executor(fast.address, proxy.address, patience_s=0.2) as executor:
        test = Test(executor)
        proxy.change = change
        test.issue()
        test.end()
        good, bad = executor.record()
    assert good.losses == ()
    assert bad.losses[0].jobs_moved > 0
    assert re.search(reason, bad.losses[0].reason)
    [line, *_] = [one for one in capfd.readouterr().err.splitlines() if str(proxy.address) in one]
    assert "is lost" in line and "to be done again elsewhere" in line


def test_what_a_node_stalls_on_at_the_end_is_done_by_an_idle_one(fast: FrameServer, other: FrameServer) -> None:
    with nodes.proxies(other) as [proxy], nodes.executor(fast.address, proxy.address) as executor:
        test = Test(executor)
        proxy.change = stall
        test.issue()
        test.end()
        assert sum(one.samples for one in executor.record()) == 300
        assert not any(one.losses for one in executor.record())


def test_a_copy_that_is_answered_late_counts_once(fast: FrameServer, other: FrameServer) -> None:
    with nodes.proxies(other) as [proxy], nodes.executor(fast.address, proxy.address) as executor:
        held: list[bytes] = []

        def hold(data: bytes) -> None:
            held.append(data)

        test = Test(executor)
        proxy.change = hold
        test.issue()
        test.end()
        proxy.change = lambda data: b"".join(held) + data
        executor.names()  # the node's next bytes
        record = executor.record()[1]
        assert record.samples == 0 and record.unowned_answers > 0 and not record.losses


def test_two_runs_share_a_node(other: FrameServer) -> None:
    with nodes.executor(other.address) as one, nodes.executor(other.address) as two:
        tests = [Test(one), Test(two)]
        for test in tests:
            test.issue()
        for test in tests:
            test.end()
        assert not any(found.losses for executor in (one, two) for found in executor.record())


def test_a_cut_node_comes_back_and_gets_work(fast: FrameServer, other: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address, other.address) as executor:
        test = Test(executor)
        test.issue(3000, then=proxy.cut)
        test.end(3000)
        [loss] = executor.record()[0].losses
        assert loss.back_unix_s is not None
        assert loss.back_unix_s >= loss.unix_s


def test_a_run_goes_on_when_its_only_node_comes_back(fast: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address) as executor:
        test = Test(executor)
        test.issue(2000, then=proxy.cut)
        test.end(2000)
        assert len(executor.record()[0].losses) == 1


def test_a_batch_that_is_lost_twice_ends_the_run(fast: FrameServer, other: FrameServer) -> None:
    with (
        nodes.proxies(fast, other) as pair,
        nodes.executor(*(one.address for one in pair)) as executor,
    ):
        test = Test(executor)
        for proxy in pair:
            proxy.change = garbage_for_answers
        test.issue()
        assert "is lost: expected a frame of the protocol, found kind 255" in test.fail()


def test_a_run_without_a_node_ends(fast: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address, none_left_s=0.2) as executor:
        test = Test(executor)
        proxy.cut(and_refuse=True)
        test.issue()
        assert "expected a node to answer, found all lost" in test.fail()


def test_an_engines_error_is_an_answer() -> None:
    with nodes.node("fake:raise_at=9") as bad, nodes.executor(bad.address) as executor:
        test = Test(executor)
        test.issue()
        assert f"the node at {bad.address}: RuntimeError: the fake backend was told to fail" in test.fail()


def test_a_late_answer_has_no_owner(fast: FrameServer) -> None:
    """A node that is slow, is lost, and then answers over a connection that is still there: nothing comes of it."""
    held: list[bytes] = []

    def hold(data: bytes) -> bytes | None:
        held.append(data)
        return None

    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address, fast.address, patience_s=0.3) as executor:
        test = Test(executor)
        proxy.change = hold
        test.issue()
        test.end()
        assert held


def test_an_answer_that_comes_twice_counts_once(fast: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address) as executor:
        test = Test(executor)
        proxy.change = lambda data: data + data if complete(data) else data
        test.issue()
        test.end()
        assert executor.record()[0].unowned_answers > 0


def complete(data: bytes) -> bool:
    """Whether these are whole frames."""
    parser = FrameParser()
    return sum(len(frame.encode()) for frame in parser.feed(data)) == len(data)


def test_a_frozen_node_fails_the_warm_up(fast: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy]:
        joined = nodes.connect(proxy.address)
        proxy.change = stall
        executor = RemoteExecutor(
            [(proxy.address, joined)], nodes.connect, FEATURES, nodes.DIGEST, nodes.terms(patience_s=0.2)
        )
        with pytest.raises(RunFailedError, match=r"is lost: no answer to a batch within 0\.2 s"):
            executor.start()
        executor.close()


def division(executor: RemoteExecutor) -> Test:
    """A test in the network division."""
    return Test(executor, plan_at_issue=False, room=lambda: executor.credits)


def test_in_the_network_division_nodes_form_the_batches() -> None:
    batch_s = 0.02  # far more than a busy machine adds to it
    with (
        nodes.node("fake:sleep_ms=20") as first,
        nodes.node("fake:sleep_ms=20") as second,
        nodes.executor(first.address, second.address, single_samples=True) as executor,
    ):
        test = division(executor)
        test.issue()
        test.end()
        found = executor.record()
        progress, times = test.scheduler.progress, test.scheduler.batch_times.facts(executor.instances, 1.0)
    assert {one.sent for one in found} == {"single samples"}
    assert [one.batches for one in found] == [one.samples for one in found]  # a query each
    assert sum(one.samples for one in found) == 300
    assert all(one.samples > 50 for one in found)  # equal nodes share the work
    assert progress.computed_tokens == progress.tokens  # each sample has its share of its batch's
    assert times.busy_s < 300 * batch_s / 2  # batches of several samples, the time of each counted once


def test_a_slow_node_does_not_get_all_the_samples_that_it_may_have(fast: FrameServer) -> None:
    with (
        nodes.node("fake:sleep_ms=50") as slow,
        nodes.executor(fast.address, slow.address, single_samples=True) as executor,
    ):
        test = division(executor)
        test.issue()
        test.end()
        quick, late = executor.record()
    assert quick.samples > 10 * late.samples


@pytest.mark.parametrize(("change", "reason"), [(stall, "no answer to a batch within 0.4 s"), (garbage, "expected a")])
def test_single_samples_of_a_lost_node_are_done_by_another(
    other: FrameServer, change: Callable[[bytes], bytes | None], reason: str
) -> None:
    with (
        nodes.proxies(other) as [proxy],
        nodes.executor(other.address, proxy.address, patience_s=0.4, single_samples=True) as executor,
    ):
        test = division(executor)
        proxy.change = change
        test.issue()
        test.end()
        loss = executor.record()[1].losses[0]
    assert loss.jobs_moved > 0 and reason in loss.reason


def test_a_node_that_forms_batches_takes_no_others(fast: FrameServer, capfd: pytest.CaptureFixture[str]) -> None:
    with nodes.executor(fast.address, single_samples=True) as executor:
        test = Test(executor)  # forms batches on this side
        test.issue()
        assert "expected single samples, since this node forms the batches, found" in test.fail()


def test_each_node_is_asked_for_its_name_each_time(fast: FrameServer, other: FrameServer) -> None:
    with nodes.proxies(fast) as [proxy], nodes.executor(proxy.address, other.address, single_samples=True) as executor:
        names = [f"box:{fast.address.port}", f"box:{other.address.port}"]
        asked: list[Kind] = []

        def seen(data: bytes) -> bytes:
            asked.extend(frame.kind for frame in FrameParser().feed(data))
            return data

        proxy.change = seen
        assert executor.names() == names
        assert executor.names() == names
        assert asked == [Kind.NAME, Kind.NAME]
        proxy.cut(and_refuse=True)
        until_s = time.monotonic() + PATIENCE_S
        while executor.active > 1:
            assert time.monotonic() < until_s
            time.sleep(0.01)
        assert executor.names() == [f"{proxy.address} (lost)", names[1]]
