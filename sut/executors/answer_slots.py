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
from sut.executors.base import JOBS_PER_INSTANCE

_SLOTS = JOBS_PER_INSTANCE + 1


class Slots:
    """One instance's; it travels to the instance with the arguments of its process."""

    def __init__(self, context: SpawnContext, tokens: int) -> None:
        """Room for answers to `tokens` tokens a job; no head gives more rows."""
        self._tokens = tokens
        self._memory: Any = context.RawArray(ctypes.c_float, _SLOTS * tokens * 2)
        self._jobs = 0

    def put(self, outputs: Float32 | None) -> int | Float32 | None:
        """What to send for these answers: their rows; or, where they are none that fit, the answers themselves. None
        stands for an error."""
        slot = self._next()
        if (
            outputs is None
            or outputs.dtype != np.float32
            or outputs.ndim != 2
            or outputs.shape[1] != 2
            or len(outputs) > self._tokens
        ):
            return outputs
        slot[: len(outputs)] = outputs
        return len(outputs)

    def take(self, sent: int | Float32 | None) -> Float32 | None:
        """What `put` was given; the answers as a view."""
        slot = self._next()
        return slot[:sent] if isinstance(sent, int) else sent

    def _next(self) -> Float32:
        number = self._jobs % _SLOTS
        self._jobs += 1
        at = number * self._tokens * 2
        return np.frombuffer(self._memory, np.float32, self._tokens * 2, at * 4).reshape(self._tokens, 2)
