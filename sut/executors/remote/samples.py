"""A job as the frame that a node gets: indexes where it has the same features, else the tokens themselves."""

from __future__ import annotations

import numpy as np

from foundation.arrays import Int64
from qsl.base import Features
from sut.errors import UsageError
from sut.executors.base import Job
from sut.nodes import messages
from sut.nodes.frames import Frame, Kind
from sut.nodes.messages import Tokens


class SampleFrames:
    """The features of a run, ready to be sent.

    Raises:
        UsageError: token types that are not 0 up to a position and 1 from there on.
    """

    def __init__(self, features: Features) -> None:
        self._features = features
        types, starts = features.token_type_ids, features.offsets[:-1]
        self._splits = features.lengths - np.add.reduceat(types, starts, dtype=np.int64)
        within = np.arange(len(types)) - np.repeat(starts, features.lengths)
        if not np.array_equal(types, within >= np.repeat(self._splits, features.lengths)):
            raise UsageError("expected token types 0, then 1, in each sample, as --executor remote sends them.")

    def frame(self, job: Job, number: int, *, has_features: bool) -> Frame:
        """The query for a job, with this number."""
        if job.tokens is not None:
            return Frame(Kind.TOKENS, number, messages.to_tokens(job.tokens))
        if has_features:
            return Frame(Kind.INDEXES, number, messages.to_indexes(job.indexes))
        return Frame(Kind.TOKENS, number, messages.to_tokens(self.tokens(job.indexes)))

    def tokens(self, indexes: Int64) -> Tokens:
        """The samples themselves."""
        ids = np.concatenate([self._features.sample(index)[0] for index in indexes.tolist()])
        starts = self._features.offsets[indexes]
        return Tokens(ids, self._features.offsets[indexes + 1] - starts, self._splits[indexes])


def blank(samples: int, length: int) -> Job:
    """A job of samples with id 0, for warm-up."""
    lengths = np.full(samples, length, np.int64)
    nothing = np.zeros(samples, np.int64)
    return Job(nothing, nothing, Tokens(np.zeros(samples * length, np.int32), lengths, lengths))
