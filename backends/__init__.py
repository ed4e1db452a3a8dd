"""Backends by name: where each class lives and which extra brings its engine.

Classes are named as text and imported on first use, so that listing them costs nothing and a missing engine is an
error only for the one who asked for it. To add one: a file here, a row below, a preset (docs/adding-a-backend.md).
"""

from __future__ import annotations

import difflib
import importlib
from typing import NamedTuple

from backends.base import Backend, BackendError


class Entry(NamedTuple):
    """Where a backend's class lives, and the extra that installs what it needs ("" for the core install)."""

    target: str
    extra: str


BACKENDS: dict[str, Entry] = {
    "onnxruntime": Entry("backends.onnx_cpu:OnnxRuntimeBackend", ""),
    "pytorch": Entry("backends.torch_cpu:PyTorchBackend", "pytorch"),
    "fake": Entry("backends.fake:FakeBackend", ""),
}


def backend_class(name: str) -> type[Backend]:
    """The class behind `name`.

    Raises:
        BackendError: there is no such backend, or its extra is not installed (the message says what to type).
    """
    if name not in BACKENDS:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BackendError(f"wanted a backend out of {', '.join(BACKENDS)}, found {name!r}.{hint}")
    module, _, attribute = BACKENDS[name].target.partition(":")
    try:
        found: type[Backend] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        extra = BACKENDS[name].extra
        if not extra:
            raise
        raise BackendError(
            f"backend {name!r} needs {error.name}, which is not installed. Type: pip install 'mlperf-bert-sut[{extra}]'"
        ) from error
    return found
