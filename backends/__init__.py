"""Backends by name: where each class lives and which extra brings its engine.

Classes are named as text and imported on first use, so that listing them costs nothing and a missing engine is an
error only for the one who asked for it. To add one: a file here and a row below (docs/design/adding-a-backend.md).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from backends.base import Accelerator, Backend
from backends.errors import BackendError

if TYPE_CHECKING:
    from backends.quantization.engine_store import Maker


class Entry(NamedTuple):
    """Where a backend's class lives, and what is known of it without importing its engine."""

    target: str
    needs: str  # the module that its engine comes as
    extra: str  # what installs that; "": the core does
    engine_precisions: tuple[str, ...] = ()  # as the class says
    forkable: bool = False  # as the class says
    graph_precisions: tuple[str, ...] = ()  # as the class says
    maker: str = "backends.quantization.int8_builder:MAKER"  # of its engines
    halves: tuple[str, ...] = ()  # its precisions of 16 bits, which `fp16` may become
    accelerators: str = ""  # what finds the devices that it runs on; "": the machine's cores


BACKENDS: dict[str, Entry] = {
    "onnxruntime": Entry(
        "backends.onnxruntime_cpu.backend:OnnxRuntimeBackend", "onnxruntime", "", ("int8",), graph_precisions=("fp32",)
    ),
    "pytorch": Entry(
        "backends.pytorch_cpu.backend:PyTorchBackend", "torch", "pytorch", ("int8",), forkable=True, halves=("bf16",)
    ),
    "openvino": Entry(
        "backends.openvino_cpu.backend:OpenVinoBackend",
        "openvino",
        "openvino",
        ("int8",),
        graph_precisions=("fp32", "bf16"),
        maker="backends.openvino_cpu.quantizer:MAKER",
        halves=("bf16",),
    ),
    "gpu": Entry(
        "backends.gpu.backend:GpuBackend",
        "torch",
        "gpu",
        ("fp8", "int8"),
        maker="backends.gpu.builder:MAKER",
        halves=("fp16", "bf16"),
        accelerators="backends.gpu.device:find",
    ),
    "fake": Entry("backends.fake:FakeBackend", "numpy", "", forkable=True),
    "replay": Entry("backends.replay:ReplayBackend", "numpy", "", forkable=True),
}


def check(name: str) -> None:
    """See that `name` is a backend and that its engine is installed, without importing it.

    Raises:
        BackendError: it is not; the message has the nearest name, or what to type.
    """
    if name not in BACKENDS:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BackendError(f"expected a backend out of {', '.join(BACKENDS)}, found {name!r}.{hint}")
    if importlib.util.find_spec(BACKENDS[name].needs) is None:
        raise _not_installed(name, BACKENDS[name].needs)


def backend_class(name: str) -> type[Backend]:
    """The class behind `name`; its engine is imported now.

    Raises:
        BackendError: as `check` does.
    """
    check(name)
    module, _, attribute = BACKENDS[name].target.partition(":")
    try:
        found: type[Backend] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise _not_installed(name, error.name) from error
    return found


def maker(name: str) -> Maker:
    """What builds the engines of a backend that has some."""
    module, _, attribute = BACKENDS[name].maker.partition(":")
    found: Maker = getattr(importlib.import_module(module), attribute)
    return found


def accelerators(name: str) -> tuple[Accelerator, ...]:
    """The devices that a backend runs on; none where it runs on the machine's cores.

    Raises:
        BackendError: it needs one, and there is none that it can use.
    """
    module, _, attribute = BACKENDS[name].accelerators.partition(":")
    if not module:
        return ()
    found: tuple[Accelerator, ...] = getattr(importlib.import_module(module), attribute)()
    return found


def _not_installed(name: str, module: str | None) -> BackendError:
    extra = f"[{BACKENDS[name].extra}]" if BACKENDS[name].extra else ""
    return BackendError(
        f"backend {name!r} needs {module}, which is not installed: pip install 'mlperf-bert-sut{extra}'"
    )
