"""Where an instance leaves its answers: memory shared with the main process, instead of a way through a pipe.

A job's answers lie in the slot of its number. There is one slot more than an instance has jobs, so that what the main
process still reads is never written to; both sides count jobs, and no word is needed on which slot it was.
"""

from __future__ import annotations

import ctypes
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np

from foundation.arrays import Float32
from sut.executors.base import JOBS_PER_INSTANCE, Answer

_SLOTS = JOBS_PER_INSTANCE + 1


class Slots:
    """One instance's; it travels to the instance with the arguments of its process."""

    def __init__(self, context: SpawnContext, tokens: int) -> None:
        """Room for answers to `tokens` tokens a job; no head gives more rows."""
        self._tokens = tokens
        self._memory: Any = context.RawArray(ctypes.c_float, _SLOTS * tokens * 2)
        self._jobs = 0

    def put(self, answer: Answer) -> Answer:
        """The answer to send: its outputs stay here, unless they do not fit."""
        slot, outputs = self._next(), answer.outputs
        if outputs is None or not self._fits(outputs):
            return answer
        slot[: len(outputs)] = outputs
        return answer._replace(outputs=None, slot_rows=len(outputs))

    def take(self, sent: Answer) -> Answer:
        """The answer that `put` was given; its outputs as a view."""
        slot = self._next()
        if sent.slot_rows is None:
            return sent
        return sent._replace(outputs=slot[: sent.slot_rows], slot_rows=None)

    def _fits(self, outputs: Float32) -> bool:
        """False for what a backend may not answer, which the scheduler refuses."""
        is_pairs = outputs.ndim == 2 and outputs.shape[1] == 2
        return outputs.dtype == np.float32 and is_pairs and len(outputs) <= self._tokens

    def _next(self) -> Float32:
        number = self._jobs % _SLOTS
        self._jobs += 1
        at = number * self._tokens * 2
        return np.frombuffer(self._memory, np.float32, self._tokens * 2, at * 4).reshape(self._tokens, 2)
