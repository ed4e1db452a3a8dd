"""What travels between a run and an agent: several batches, or several answers, in one call.

A call costs a driver of Ray 0.15 to 1 ms, whatever it carries. Batches that are handed out together therefore travel
together, and an agent waits a moment after the first answer for others. Both are flat arrays, which Ray does not copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from foundation.arrays import Float32, Int64
from sut.executors.base import Answer
from sut.nodes.errors import ProtocolError

_SHARE = 0.25  # of a batch's time; an instance has the next batch already, so it is not idle meanwhile
_MOST_S = 0.1
_WORTH = 2  # answers in that time, else there is nothing to wait for


def linger_s(batch_s: float, instances: int, scenario: str) -> float:
    """How long an agent waits for more answers; 0 where few come, or where each is waited for."""
    found = min(_SHARE * batch_s, _MOST_S)
    return found if scenario == "Offline" and instances * found >= _WORTH * batch_s else 0.0


class Batches(NamedTuple):
    """Batches end to end: their numbers, int64[J], their samples, int64[J], and their QSL indexes, int64[samples]."""

    numbers: Int64
    samples: Int64
    indexes: Int64

    @classmethod
    def of(cls, batches: Sequence[tuple[int, Int64]]) -> Batches:
        numbers, indexes = zip(*batches, strict=True)
        samples = [len(one) for one in indexes]
        return cls(np.array(numbers, np.int64), np.array(samples, np.int64), np.concatenate(indexes))

    def each(self) -> Iterator[tuple[int, Int64]]:
        parts = np.split(self.indexes, np.cumsum(self.samples)[:-1])
        yield from zip(self.numbers.tolist(), parts, strict=True)


class Answered(NamedTuple):
    """A batch that an instance of a node has answered."""

    number: int
    instance: int  # of the node
    answer: Answer


class Answers(NamedTuple):
    """Answers end to end. An error has no rows."""

    heads: tuple[tuple[int, int, int, int, float, float, Exception | None], ...]
    outputs: Float32  # [rows, 2]

    @classmethod
    def of(cls, found: Sequence[Answered]) -> Answers:
        heads, outputs = [], [np.zeros((0, 2), np.float32)]
        for number, instance, answer in found:
            rows = 0 if answer.outputs is None else len(answer.outputs)
            heads.append(
                (number, instance, rows, answer.computed_tokens, answer.batch_s, answer.engine_s, answer.error)
            )
            if answer.outputs is not None:
                outputs.append(answer.outputs)
        return cls(tuple(heads), np.concatenate(outputs))

    def each(self) -> Iterator[Answered]:
        """Raises ProtocolError if the rows are not those of the heads."""
        expected = sum(head[2] for head in self.heads)
        if expected != len(self.outputs):
            raise ProtocolError(f"expected {expected} rows of answers, found {len(self.outputs)}")
        start = 0
        for number, instance, rows, computed_tokens, batch_s, engine_s, error in self.heads:
            outputs = None if error else self.outputs[start : start + rows]
            yield Answered(number, instance, Answer(outputs, computed_tokens, batch_s, engine_s, error))
            start += rows
