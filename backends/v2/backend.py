"""A model on another system's server as a backend: a batch is a call, and the next one is sent before its answer.

What the server computes, and in which precision, is its own matter: the protocol does not say it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from backends import BACKENDS
from backends.base import Backend, Batch, Pending
from backends.bert.model import Model
from backends.errors import BackendError
from backends.v2 import address, calls
from backends.v2.calls import Call
from backends.v2.client import Client
from backends.v2.connection import connect
from backends.v2.messages import InferRequest, InferResponse
from foundation.arrays import Float32

_FIRST_S = 10 * 60.0  # for a call at warm-up: some servers load or compile with the first
_LEAST_S, _TIMES = 60.0, 40  # later: this many times the duration of the slowest call at warm-up


class V2Backend(Backend):
    """A server that speaks KServe v2: Triton, OpenVINO Model Server, MLServer, KServe, `python -m sut serve`."""

    name = "v2"
    entry = BACKENDS[name]

    def load(self, model: Model) -> None:
        """Connect, and read the model's metadata. Raises BackendError: not there, not ready, or no BERT."""
        self._client: Client = connect(address.parse(model.spec), self.options.access)
        self._signature = self._client.look_up().signature
        self._slowest_s, self._deadline_s = 0.0, _FIRST_S

    def begin(self, batch: Batch) -> Pending[Float32]:
        waiting = [(call, self._send(call)) for call in calls.of(batch, self._signature)]

        def answers() -> Float32:
            parts = [self._answer(call, pending.answers()) for call, pending in waiting]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        return Pending(waiting[-1][1].is_ready, answers)

    def infer(self, batch: Batch) -> Float32:
        return self.begin(batch).answers()

    def _send(self, call: Call) -> Pending[InferResponse]:
        inputs = calls.inputs(call, self._signature)
        return self._client.begin(InferRequest(inputs, self._signature.graph.outputs), self._deadline_s)

    def _answer(self, call: Call, response: InferResponse) -> Float32:
        return calls.answer(call, self._signature, {one.name: one.array for one in response.outputs})

    def computed_tokens(self, batch: Batch) -> int:
        """Tokens that travel, padding included; what the server computes is not known."""
        return sum(call.shape[0] * call.shape[1] for call in calls.of(batch, self._signature))

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Runs the shapes, and learns from them how long an answer may take. Raises BackendError for NaN."""
        for samples, length in shapes:
            start_s = time.perf_counter()
            self._check_finite(self.infer(Batch.blank(samples, length)))
            self._slowest_s = max(self._slowest_s, time.perf_counter() - start_s)
        self._deadline_s = max(_LEAST_S, _TIMES * self._slowest_s)

    def _check_finite(self, answer: Float32) -> None:
        if not np.isfinite(answer).all():
            raise BackendError("expected finite logits of the model on the server, found NaN or infinity.")

    def close(self) -> None:
        self._client.close()
