"""What goes through an instance's pipe comes out as it was."""

from __future__ import annotations

import multiprocessing as mp

import numpy as np
import pytest

from sut.executors import pipe_messages
from sut.executors.base import Answer
from sut.nodes.messages import Tokens


@pytest.mark.parametrize("indexes", [[3], [0, 2**40, 7], list(range(300))])
def test_indexes(indexes: list[int]) -> None:
    ours, theirs = mp.Pipe()
    pipe_messages.send_work(ours, np.array(indexes, np.int64))
    found = pipe_messages.receive_work(theirs)
    assert isinstance(found, np.ndarray) and found.dtype == np.int64 and found.tolist() == indexes


def test_tokens() -> None:
    ours, theirs = mp.Pipe()
    sent = Tokens(np.arange(5, dtype=np.int32), np.array([2, 3]), np.array([1, 3]))
    pipe_messages.send_work(ours, sent)
    found = pipe_messages.receive_work(theirs)
    assert isinstance(found, Tokens)
    assert [one.tolist() for one in found] == [one.tolist() for one in sent]


@pytest.mark.parametrize(
    "answer", [Answer(None, 128, 0.5, 0.25, slot_rows=3), Answer(None, 1 << 40, slot_rows=0), Answer(None, 128)]
)
def test_answers_in_slots_and_others(answer: Answer) -> None:
    ours, theirs = mp.Pipe()
    pipe_messages.send_answer(ours, answer)
    assert pipe_messages.receive_answer(theirs) == answer


def test_an_error_and_outputs_that_fit_no_slot() -> None:
    ours, theirs = mp.Pipe()
    pipe_messages.send_answer(ours, Answer(np.ones((2, 2), np.float32), error=RuntimeError("told to fail")))
    found = pipe_messages.receive_answer(theirs)
    assert found.outputs is not None and found.outputs.shape == (2, 2) and str(found.error) == "told to fail"
