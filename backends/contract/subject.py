"""What the checks are about: a backend by name, a model, a precision; and batches that are hard on an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from backends import BACKENDS, backend_class
from backends.base import Backend, Batch, Options
from backends.bert.model import Model
from backends.entry import Entry

_LENGTHS = (1, 2, 63, 64, 65)  # around the sizes of vectors and tiles
_LONGEST, _UNKNOWN = 512, 128  # of any model, and of a graph that does not say
_WORDS = 1000  # of a graph, which does not say how many it has


class ContractError(AssertionError):
    """What a backend does against the contract: what was expected, what was found."""


class NotApplicableError(Exception):
    """Why a check says nothing of this backend."""


@dataclass(frozen=True)
class Subject:
    """A backend with a model: small enough to send to another process."""

    backend: str  # as --backend takes it
    model: Model
    options: Options

    @property
    def entry(self) -> Entry:
        """Its row."""
        return BACKENDS[self.backend]

    @contextmanager
    def loaded(self, threads: int | None = None) -> Iterator[Backend]:
        """The backend with the model, until it is closed."""
        options = self.options if threads is None else replace(self.options, threads=threads)
        backend = backend_class(self.backend)(options)
        backend.load(self.model)
        try:
            yield backend
        finally:
            backend.close()

    @property
    def lengths(self) -> list[int]:
        """Odd lengths, from one token to the longest that the model takes."""
        most = min(self.model.most_tokens or _UNKNOWN, _LONGEST)
        return sorted({min(length, most) for length in (*_LENGTHS, most - 1, most)})

    def batch(self, lengths: Sequence[int], seed: int = 0) -> Batch:
        """Samples of these lengths, of random tokens and two segments."""
        draw, words = np.random.default_rng(seed), self.model.tables.words or _WORDS
        ids = [draw.integers(0, words, length) for length in lengths]
        return Batch.of([(one, (np.arange(len(one)) > len(one) // 3).astype(np.int64)) for one in ids])

    def rows(self, batch: Batch) -> int:
        """Rows that the model's head answers."""
        from backends.bert.heads import HEADS

        return int(HEADS[self.model.head].rows(batch.lengths).sum())
