"""What both faces of the protocol do: describe the model, check a request, hand its samples to the serving core.

One sample waits for others, as in the Server scenario. Several make batches of their own, which the instances divide;
a request may therefore be larger than a batch. What is under way has a limit, above which requests are refused.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np

from backends.v2.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from foundation.arrays import Float32
from sut.executors.base import Outcome
from sut.nodes.messages import Tokens
from sut.serving.core import RefusedRequestError, Request, ServingCore
from sut.serving.v2 import samples
from sut.serving.v2.errors import RequestError
from sut.serving.v2.metrics import Metrics
from sut.serving.v2.samples import MODEL, VERSION

MOST_BYTES = 16 << 20  # of a request
GRACE_S = 1.0  # at the end, for answers that are on their way
_MOST_REQUESTS, _MOST_TOKENS = 1024, 1 << 22  # under way


class InferenceService:
    """One model behind the protocol; used from one event loop.

    Args:
        head: of the model, a key of `heads.HEADS`.
        packed: whether the engine computes no padding.
    """

    def __init__(
        self, core: ServingCore, server: ServerMetadata, platform: str, head: str, *, packed: bool, patience_s: float
    ) -> None:
        self.server = server
        self.model = ModelMetadata(MODEL, samples.INPUTS, samples.OUTPUTS[head], (VERSION,), platform)
        self.metrics = Metrics()
        self.is_ready = True
        self._core, self._head, self._packed, self._patience_s = core, head, packed, patience_s
        self._tokens = 0
        self._under_way: set[asyncio.Task[Any]] = set()
        self._end: str | None = None  # what requests are told once it has come

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return not self._under_way

    def check_model(self, name: str, version: str) -> None:
        """Raises RequestError for another model than this one."""
        if name != MODEL or version not in ("", VERSION):
            found = f"{name!a}, version {version!a}" if version else f"{name!a}"
            raise RequestError("unknown", f"expected model {MODEL!r}, version {VERSION!r}, found {found}")

    @contextmanager
    def under_way(self, face: str) -> Iterator[None]:
        """Around a request, before its body is read. Raises RequestError if it has to be refused.

        A request is one task: a connection of HTTP has one at a time, and gRPC makes one for each.
        """
        start_s, outcome = time.perf_counter(), "failed"
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            if not self.is_ready:
                raise RequestError("ending", "the node is ending")
            if len(self._under_way) > _MOST_REQUESTS:
                raise RequestError("busy", f"expected up to {_MOST_REQUESTS} requests at a time, found more")
            yield
            outcome = "answered"
        except RequestError as error:
            outcome = error.kind
            raise
        except asyncio.CancelledError:
            if self._end is None:
                raise  # its client is gone
            outcome = "ending"
            task.uncancel()
            raise RequestError("ending", self._end) from None
        finally:
            self._under_way.discard(task)
            self.metrics.request(face, outcome, time.perf_counter() - start_s)

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to a request. Raises RequestError."""
        known = [one.name for one in self.model.outputs]
        names = request.outputs or tuple(known)
        if not set(names) <= set(known) or len(set(names)) < len(names):
            raise RequestError("invalid", f"expected outputs among {', '.join(known)}, each once, found others")
        found = samples.read(request.inputs)
        size = found.is_token.size
        if self._tokens + size > _MOST_TOKENS:
            raise RequestError("busy", f"expected up to {_MOST_TOKENS} tokens under way, found more")
        self._tokens += size
        try:
            rows = await self._rows(found.tokens)
        finally:
            self._tokens -= size
        self.metrics.answered(len(found.tokens.lengths), len(found.tokens.ids))
        return InferResponse(MODEL, VERSION, samples.outputs(self._head, names, found, rows), request.id)

    async def _rows(self, tokens: Tokens) -> Float32:
        limits = self._core.model_limits
        parts = list(samples.pieces(tokens, limits.most_tokens, packed=self._packed))
        gathered = _Gathered(len(parts))
        submit = self._core.submit_sample if len(tokens.lengths) == 1 else self._core.submit_batch
        try:
            for part in parts:
                limits.check(part)
            for number, part in enumerate(parts):
                submit(Request(part, partial(gathered.put, number)))
        except RefusedRequestError as error:
            raise RequestError("invalid", str(error)) from error
        try:
            async with asyncio.timeout(self._patience_s):
                return await gathered.rows
        except TimeoutError:
            raise RequestError("late", f"no answer within {self._patience_s:g} s") from None

    def end(self, reason: str) -> None:
        """Refuse all requests from now on, those under way included, whether their bodies are there or not."""
        self.is_ready = False
        self._end = f"the node is ending: {reason}"
        for task in self._under_way:
            task.cancel()


class _Gathered:
    """The outcomes of a request's parts, which arrive on the executor's threads."""

    def __init__(self, parts: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.rows: asyncio.Future[Float32] = self._loop.create_future()
        self._parts: list[Float32 | None] = [None] * parts
        self._missing, self._lock = parts, threading.Lock()

    def put(self, number: int, outcome: Outcome) -> None:
        """Store a part; its memory is the executor's, so it is copied."""
        answer = outcome.answer
        if answer.error is not None or answer.outputs is None:
            self._wake(RequestError("failed", f"the engine failed: {type(answer.error).__name__}: {answer.error}"))
            return
        if not np.isfinite(answer.outputs).all():
            self._wake(RequestError("failed", "the model answers with NaN or infinity"))
            return
        self._parts[number] = np.array(answer.outputs)
        with self._lock:
            self._missing -= 1
        if not self._missing:
            self._wake(None)

    def _wake(self, error: RequestError | None) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: RequestError | None) -> None:
        if self.rows.done():
            return  # its client is gone, or another part failed
        if error is not None:
            self.rows.set_exception(error)
        else:
            self.rows.set_result(_joined([part for part in self._parts if part is not None]))


def _joined(parts: Sequence[Float32]) -> Float32:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
