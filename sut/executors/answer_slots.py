"""Memory shared by an instance and the main process for outputs, so that they need not go through a pipe.

Jobs use the slots in turn. There is one slot more than jobs per instance, so that a slot that the main process still
reads is never overwritten; both sides count jobs, so the slot's number need not be sent.
"""

from __future__ import annotations

import ctypes
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np

from foundation.arrays import Float32
from sut.executors.base import JOBS_PER_INSTANCE, Answer

_SLOTS = JOBS_PER_INSTANCE + 1
_MOST_ROWS = 1 << 20  # 8 MiB


class AnswerSlots:
    """The slots of one instance; passed to it as an argument of its process."""

    def __init__(self, context: SpawnContext, tokens: int) -> None:
        """Allocate slots for outputs of up to `tokens` rows; a job has at most as many rows as tokens.

        More than `_MOST_ROWS` go through the pipe."""
        tokens = min(tokens, _MOST_ROWS)
        self._tokens = tokens
        self._memory: Any = context.RawArray(ctypes.c_float, _SLOTS * tokens * 2)
        self._slots: list[Float32] = []  # views, made where they are used: the memory alone is handed on
        self._jobs = 0

    def put(self, answer: Answer) -> Answer:
        """Store an answer's outputs in the next slot; returns the answer to send, without outputs that are stored."""
        slot, outputs = self._next(), answer.outputs
        if outputs is None or not self._fits(outputs):
            return answer
        slot[: len(outputs)] = outputs
        return answer._replace(outputs=None, slot_rows=len(outputs))

    def take(self, sent: Answer) -> Answer:
        """The answer that was given to `put`; its outputs are a view of the slot."""
        slot = self._next()
        if sent.slot_rows is None:
            return sent
        return sent._replace(outputs=slot[: sent.slot_rows], slot_rows=None)

    def _fits(self, outputs: Float32) -> bool:
        """Whether they have the required form; the scheduler refuses others."""
        is_pairs = outputs.ndim == 2 and outputs.shape[1] == 2
        return outputs.dtype == np.float32 and is_pairs and len(outputs) <= self._tokens

    def _next(self) -> Float32:
        if not self._slots:
            self._slots = list(np.frombuffer(self._memory, np.float32).reshape(_SLOTS, self._tokens, 2))
        number, self._jobs = self._jobs % _SLOTS, self._jobs + 1
        return self._slots[number]
