"""Answers through shared memory: what is put is what is taken, and what is still read is not written to."""

from __future__ import annotations

import multiprocessing as mp

import numpy as np
import pytest

from sut.executors.answer_slots import AnswerSlots
from sut.executors.base import JOBS_PER_INSTANCE, Answer


def both_sides(tokens: int) -> tuple[AnswerSlots, AnswerSlots]:
    """The instance's view of the same memory, and the main process's."""
    ours = AnswerSlots(mp.get_context("spawn"), tokens)
    theirs = AnswerSlots(mp.get_context("spawn"), tokens)
    theirs._memory = ours._memory  # as a process's arguments bring it there
    return theirs, ours


def test_outputs_stay_valid_until_the_next_jobs_are_answered() -> None:
    theirs, ours = both_sides(tokens=10)
    outputs = [np.full((number % 10 + 1, 2), number, np.float32) for number in range(20)]
    taken: list[np.ndarray] = []
    for number, output in enumerate(outputs):
        sent = theirs.put(Answer(output, computed_tokens=number))
        assert (sent.outputs, sent.slot_rows) == (None, len(output))
        found = ours.take(sent)
        assert found.outputs is not None and found.computed_tokens == number
        taken.append(found.outputs)
        for before in range(max(0, number - JOBS_PER_INSTANCE), number + 1):
            np.testing.assert_array_equal(taken[before], outputs[before])


@pytest.mark.parametrize(
    "outputs", [np.zeros((11, 2), np.float32), np.zeros((3, 2)), np.zeros((3, 4), np.float32), np.zeros(6, np.float32)]
)
def test_outputs_that_do_not_fit_a_slot_are_sent(outputs: np.ndarray) -> None:
    theirs, ours = both_sides(tokens=10)
    assert ours.take(theirs.put(Answer(outputs))).outputs is outputs


def test_an_error_takes_its_turn() -> None:
    theirs, ours = both_sides(tokens=10)
    error, outputs = RuntimeError("told to fail"), np.ones((2, 2), np.float32)
    assert ours.take(theirs.put(Answer(None, error=error))).error is error
    found = ours.take(theirs.put(Answer(outputs)))
    np.testing.assert_array_equal(found.outputs, outputs)
