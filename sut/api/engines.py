"""`sut.open_backend`: an engine with a model, loaded in this process, without LoadGen."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Unpack

from backends.base import Backend
from sut.api.runs import resolved
from sut.running import engines as built_engines
from sut.running import in_process, model_choice
from sut.settings import fp16_fallback
from sut.settings.keywords import RunSettings
from sut.tasks import TASKS


def open_backend(*, progress: bool = False, **settings: Unpack[RunSettings]) -> Backend:
    """Load a model on an engine in this process; close it at the end, or use it as a context.

    The engine is the one of a run with the same settings: int8 and fp8 engines are built if the cache has none.

    Args:
        progress: show the building of an engine on sys.stderr.
        settings: as for `sut.run`; those that choose and load a model count, such as `backend`, `model`, `precision`,
            `threads` (default: all cores) and `task`.

    Raises:
        UserError: a setting or a file that cannot be used, or an engine that is not installed.

    >>> from backends.base import Batch
    >>> with sut.open_backend(threads=1) as backend:
    ...     logits = backend.infer(Batch.blank(samples=2, length=16))
    >>> logits.shape  # a start and an end logit for each token
    (32, 2)
    """
    config = fp16_fallback.resolve(resolved(settings))
    with contextlib.nullcontext() if progress else _silence():
        model = model_choice.model_of(config, TASKS[config.task])
        return in_process.loaded(config, built_engines.ready(config, model, built_engines.data_of(config)))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()):
        yield
