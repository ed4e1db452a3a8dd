"""A backend without a model and with predictable answers: for tests, and to measure everything except a model.

The token with id `i` at position `p` of its sample has the start logit `i - p` and the end logit `i + p`, so an answer
that went to the wrong sample or kept padding is detected. A head with one answer per sample gets the sum of its ids,
minus and plus its number of tokens. `--model` is a script of faults:

    fake                  no fault
    fake:sleep_ms=5       every batch takes 5 ms
    fake:raise_at=3       the third batch raises an error
    fake:exit_at=3        the process exits at the third batch, like an engine that crashes
    fake:hang_at=3        the third batch never ends
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from backends import BACKENDS
from backends.base import Backend, Batch
from backends.bert.heads import CLASSES, SPANS
from backends.bert.model import Model
from backends.errors import BackendError
from foundation.arrays import Float32
from foundation.people_numbers import typed

FAKE = "fake"


@dataclass(frozen=True)
class Script:
    """The faults to inject; batches count from 1, and 0 is never."""

    sleep_ms: float = 0.0
    raise_at: int = 0
    exit_at: int = 0
    hang_at: int = 0


def read_script(spec: str) -> Script:
    """Parse `fake` or `fake:key=number,…`. Raises BackendError for anything else."""
    kinds: dict[str, type[int] | type[float]] = {one.name: type(getattr(Script, one.name)) for one in fields(Script)}
    head, _, tail = spec.partition(":")
    values = {key: typed(value) for key, _, value in (pair.partition("=") for pair in tail.split(",") if pair)}
    numbers = {
        key: kinds[key](value)
        for key, value in values.items()
        if key in kinds and value is not None and value == kinds[key](value)
    }
    if head != FAKE or numbers.keys() != values.keys():
        raise BackendError(
            f"expected 'fake' or 'fake:KEY=NUMBER,…' as the fake backend's model, found {spec}. Type keys of "
            f"{', '.join(sorted(kinds))}, and numbers from 0; batches are whole numbers."
        )
    return Script(**numbers)  # type: ignore[arg-type] # each has its field's type


class FakeBackend(Backend):
    """Answers that depend on nothing but the batch, with the delays and faults of a `Script`."""

    name = FAKE
    packed = True
    entry = BACKENDS[FAKE]

    def load(self, model: Model) -> None:
        """Read the script. Raises BackendError as `read_script`."""
        self._answer_to = _ANSWERS[model.head]
        self._script = read_script(model.spec)
        self._batches = 0

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """As slow as other batches, but the script does not count these."""
        for samples, length in shapes:
            self._answer(Batch.blank(samples, length))

    def infer(self, batch: Batch) -> Float32:
        """The answers by formula, unless the script has a fault for this batch."""
        self._batches += 1
        if self._batches == self._script.raise_at:
            raise RuntimeError(f"the fake backend was told to fail at batch {self._batches}")
        if self._batches == self._script.exit_at:
            os._exit(1)
        if self._batches == self._script.hang_at:
            threading.Event().wait()
        return self._answer(batch)

    def _answer(self, batch: Batch) -> Float32:
        if self._script.sleep_ms:
            time.sleep(self._script.sleep_ms / 1e3)
        return self._answer_to(batch)

    def computed_tokens(self, batch: Batch) -> int:
        return batch.tokens


def fake_answer(batch: Batch) -> Float32:
    """float32 [T, 2]: id - position, id + position."""
    ids, positions = batch.input_ids, batch.position_ids
    return np.stack([ids - positions, ids + positions], axis=1).astype(np.float32)


def fake_class(batch: Batch) -> Float32:
    """float32 [B, 2]: sum of the ids - tokens, sum of the ids + tokens."""
    sums = np.add.reduceat(batch.input_ids, batch.cu_seqlens[:-1])
    return np.stack([sums - batch.lengths, sums + batch.lengths], axis=1).astype(np.float32)


_ANSWERS = {SPANS: fake_answer, CLASSES: fake_class}
