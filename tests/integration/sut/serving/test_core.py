"""The queue of a node: batches as they are, single samples in batches of its own, and requests that are refused."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress

import nodes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import FEATURES, LONGEST, VOCABULARY

from sut.executors.base import Outcome
from sut.executors.remote.samples import SampleFrames
from sut.nodes import handshake, messages
from sut.nodes.errors import NodeError
from sut.nodes.frames import Frame, Kind
from sut.nodes.messages import Tokens
from sut.queries.server_queue import BatchLimits
from sut.serving.core import RefusedRequestError, Request, ServingCore
from sut.serving.frame_server import FrameServer

SAMPLES = SampleFrames(FEATURES)


@pytest.fixture(scope="module")
def core() -> Iterator[ServingCore]:
    with nodes.core() as found:
        yield found


def tokens(index: int) -> Tokens:
    return SAMPLES.tokens(np.array([index]))


def test_batches_and_single_samples_get_their_own_answers() -> None:
    found: queue.SimpleQueue[tuple[tuple[int, ...], Outcome]] = queue.SimpleQueue()

    def done(indexes: tuple[int, ...], outcome: Outcome) -> None:
        assert outcome.answer.outputs is not None
        np.testing.assert_array_equal(outcome.answer.outputs, np.concatenate([nodes.right(one) for one in indexes]))
        found.put((indexes, outcome))

    with nodes.core("fake:sleep_ms=1") as core:
        for index in range(40):
            work = tokens(index) if index % 2 else np.array([index])
            core.submit_sample(Request(work, lambda outcome, index=index: done((index,), outcome)))  # type: ignore[misc]
        for first in range(0, 12, 3):
            three = (first, first + 1, first + 2)
            core.submit_batch(Request(np.array(three), lambda outcome, three=three: done(three, outcome)))  # type: ignore[misc]
        assert core.drain(20.0)
        got = [found.get(timeout=5) for _ in range(44)]
        assert core.oldest_job is None
    expected = [*((one,) for one in range(40)), *((first, first + 1, first + 2) for first in range(0, 12, 3))]
    assert sorted(indexes for indexes, _ in got) == sorted(expected)
    jobs = {outcome.job for indexes, outcome in got if len(indexes) == 1}
    assert len(jobs) < 20  # single samples shared batches


def test_a_batch_stays_within_the_limit_of_the_latency() -> None:
    sizes: list[int] = []
    with nodes.core("fake:sleep_ms=1", BatchLimits(100, packed=True)) as core:
        for index in range(30):
            core.submit_sample(Request(np.array([index]), lambda outcome: sizes.append(len(outcome.job.ids))))
        assert core.drain(20.0)
    assert len(sizes) == 30
    assert 1 < max(sizes) <= 100 // FEATURES.lengths[:30].min()


def samples(*lengths: int, id: int = 5) -> Tokens:
    ids = np.full(sum(lengths), id, np.int32)
    return Tokens(ids, np.array(lengths, np.int64), np.array(lengths, np.int64))


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (samples(LONGEST + 1), "at most 120 tokens in a sample, found 121"),
        (samples(*[LONGEST] * 6), "at most 600 tokens in a batch, found 720"),
        (samples(3, id=VOCABULARY), "ids from 0 to 30521, found 30522 to 30522"),
        (samples(3, id=-1), "found -1"),
    ],
)
def test_requests_that_are_refused(core: ServingCore, work: Tokens, reason: str) -> None:
    for submit in (core.submit_batch, core.submit_sample):
        with pytest.raises(RefusedRequestError, match=reason):
            submit(Request(work, lambda _: pytest.fail("it was refused")))
    assert core.is_idle


def test_an_engines_error_goes_to_who_asked() -> None:
    errors: list[Exception | None] = []
    with nodes.core("fake:raise_at=2") as core:
        for _ in range(3):
            core.submit_batch(Request(np.array([1]), lambda outcome: errors.append(outcome.answer.error)))
            assert core.drain(20.0)
    assert [type(error) for error in errors] == [type(None), RuntimeError, type(None)]


def test_a_client_whose_samples_the_node_batches() -> None:
    """As the network division wants it: each sample is a query of its own."""
    with nodes.node("fake:sleep_ms=1") as node:
        channel, _ = handshake.connect(node.address, nodes.NOBODY, "1", batching="node")
        for number in range(1, 31):
            channel.send(Frame(Kind.TOKENS, number, messages.to_tokens(tokens(number))))
        channel.send(Frame(Kind.TOKENS, 31, messages.to_tokens(samples(LONGEST + 1))))
        answers: dict[int, Frame] = {}
        channel.connection.setblocking(True)
        while len(answers) < 31:
            answers |= {frame.number: frame for frame in channel.receive() if frame.number}
        channel.close()
    assert messages.from_text(answers.pop(31).payload).startswith("expected at most 120 tokens")
    for number, frame in answers.items():
        np.testing.assert_array_equal(messages.from_rows(frame.payload).outputs, nodes.right(number))


def test_a_node_that_ends_answers_first() -> None:
    said: list[Frame] = []
    with nodes.node("fake:sleep_ms=30") as node:
        channel, _ = nodes.connect(node.address)
        channel.send(Frame(Kind.INDEXES, 7, messages.to_indexes(np.array([3]))))
        ends = threading.Thread(target=lambda: node.drain(20.0))
        ends.start()
        channel.connection.setblocking(True)
        while not said or said[-1].kind is not Kind.BYE:
            said += channel.receive()
        ends.join()
        channel.close()
    assert [frame.number for frame in said if frame.kind is Kind.ANSWER] == [7]
    assert messages.from_text(said[-1].payload) == "it is ending"


@pytest.mark.parametrize("number", [0, 1])
def test_a_query_with_a_number_that_is_in_use_ends_the_connection(number: int) -> None:
    with nodes.node("fake:sleep_ms=30") as node:
        channel, _ = nodes.connect(node.address)
        for _ in range(2):
            channel.send(Frame(Kind.INDEXES, number, messages.to_indexes(np.array([3]))))
        channel.connection.setblocking(True)
        said: list[Frame] = []
        while not any(frame.kind is Kind.ERROR for frame in said):
            said += channel.receive()
        assert messages.from_text(said[-1].payload) == f"expected a new number of a query, found {number}"
        channel.close()


QUERIES = st.one_of(
    st.lists(st.integers(-2, 61), max_size=9).map(
        lambda found: Frame(Kind.INDEXES, 1, np.array(found, "<i4").tobytes())
    ),
    st.lists(st.integers(-2, 9), max_size=12).map(
        lambda found: Frame(Kind.TOKENS, 1, np.array(found, "<i4").tobytes())
    ),
    st.binary(max_size=60).map(lambda found: Frame(Kind.TOKENS, 2, found)),
)


@pytest.fixture(scope="module")
def node(core: ServingCore) -> Iterator[FrameServer]:
    with nodes.server(core) as found:
        yield found


@given(QUERIES, st.binary(max_size=20))
@settings(max_examples=60)
def test_any_query_is_answered_refused_or_the_end_of_the_connection(
    node: FrameServer, query: Frame, more: bytes
) -> None:
    channel, _ = nodes.connect(node.address)
    channel.send(query)
    channel.connection.setblocking(True)
    channel.connection.settimeout(20.0)
    said: list[Frame] = []
    with suppress(NodeError):
        while not any(frame.kind in (Kind.ANSWER, Kind.ERROR) for frame in said):
            said += channel.receive()
    with suppress(OSError):
        channel.connection.sendall(more)
    channel.close()
    assert {frame.kind for frame in said} & {Kind.ANSWER, Kind.ERROR}
    assert node.failure is None
