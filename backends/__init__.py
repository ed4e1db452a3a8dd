"""The table of backends: where each class is, what it can do, and what installs its engine.

Rows hold text only, and classes are imported on first use. Listing backends therefore loads neither numpy nor an
engine, and a missing engine is an error only if that backend is requested. To add one, here or in another package: a
module and a row (docs/design/adding-a-backend.md).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from backends.entry import Entry
from backends.errors import BackendError, brief
from foundation import telemetry
from foundation.plugged_table import PluggedTable

if TYPE_CHECKING:
    from backends.access import Access
    from backends.base import Accelerator, Backend
    from backends.quantization.engine_store import EngineBuilder
    from backends.served import Served

telemetry.switch_off()  # before any engine is imported

_OURS = {
    "onnxruntime": Entry(
        target="backends.onnxruntime_cpu.backend:OnnxRuntimeBackend",
        title="ONNX Runtime",
        needs="onnxruntime",
        distributions=("onnxruntime",),
        precisions={"fp32": "graph", "int8": "engine", "int8-dynamic": "load"},
    ),
    "pytorch": Entry(
        target="backends.pytorch_cpu.backend:PyTorchBackend",
        title="PyTorch",
        needs="torch",
        extra="pytorch",
        brings="tokens packed, never padded; pytorch_model.bin",
        precisions={"fp32": "load", "bf16": "load", "int8": "engine"},
        forkable=True,
    ),
    "openvino": Entry(
        target="backends.openvino_cpu.backend:OpenVinoBackend",
        title="OpenVINO",
        needs="openvino",
        extra="openvino",
        brings="int8 quantized by NNCF; .onnx files",
        precisions={"fp32": "graph", "bf16": "graph", "int8": "engine"},
        builder="backends.openvino_cpu.quantizer:BUILDER",
    ),
    "gpu": Entry(
        target="backends.gpu.backend:GpuBackend",
        title="PyTorch",
        needs="torch",
        extra="gpu",
        brings="NVIDIA GPUs (docs/guide/gpu.md)",
        precisions={"fp16": "load", "bf16": "load", "fp8": "engine", "int8": "engine"},
        builder="backends.gpu.builder:BUILDER",
        accelerators="backends.gpu.device:find",
    ),
    "fake": Entry(
        target="backends.fake:FakeBackend",
        forkable=True,
        script="backends.fake:read_script",
        notice="fake backend: no model ran, the answers mean nothing",
        answers_count=False,
    ),
    "replay": Entry(
        target="backends.replay:ReplayBackend",
        forkable=True,
        script="backends.replay:read_spec",
        notice="replay backend: no model ran, stored answers were given again",
    ),
    "v2": Entry(
        target="backends.v2.backend:V2Backend",
        title="a server of KServe v2",
        needs="grpc",
        extra="serve",
        script="backends.v2.address:parse",
        served="backends.v2.look_up:look_up",
        notice="v2 backend: the model ran on a server, its weights and precision are not known here: not submittable",
        batch_tokens=6144,  # a call costs as much as a sample or two, and a server divides its batches itself
    ),
}


def _row(spec: str, found: object) -> Entry:
    """The row of another package, which is at "module:NAME": an Entry, or a class that has one as `entry`."""
    entry = getattr(found, "entry", None) if isinstance(found, type) else found
    if not isinstance(entry, Entry):
        raise BackendError(
            f"expected {spec} to be a subclass of backends.base.Backend, or a backends.entry.Entry, found "
            f"{found if isinstance(found, type) else type(found)}."
        )
    if entry is found and not entry.target:
        raise BackendError(f'expected the class of {spec} in its row, found none. Write target="module:Class" there.')
    return replace(entry, target=entry.target or spec)


BACKENDS: PluggedTable[Entry] = PluggedTable(_OURS, what="backend", group="sut.backends", read=_row, error=BackendError)


def check(name: str) -> None:
    """Check that `name` is a backend and that its engine is installed, without importing the engine.

    Raises:
        BackendError: it is not; the message suggests the nearest name, or says what to type.
    """
    if not _is_installed(BACKENDS[name].needs):
        raise _not_installed(name, BACKENDS[name].needs)


def backend_class(name: str) -> type[Backend]:
    """The class of backend `name`; this imports its engine.

    Raises:
        BackendError: as `check` does.
    """
    check(name)
    try:
        found: type[Backend] = resolve_name(BACKENDS[name].target)
    except ModuleNotFoundError as error:
        raise _not_installed(name, error.name) from error
    except (ImportError, OSError) as error:  # a shared library of it: missing, damaged, for another system, too large
        if (getattr(error, "name", None) or "").startswith(("backends", "foundation")):
            raise
        raise BackendError(
            f"expected the engine of backend {name!r} to load, found {brief(error)}. Raise the limit of memory "
            "(ulimit -v), or install the engine again."
        ) from error
    return found


def engine_builder(name: str) -> EngineBuilder:
    """The builder of a backend's engines, for its precisions of kind "engine"."""
    found: EngineBuilder = resolve_name(BACKENDS[name].builder)
    return found


def read_script(name: str, spec: str) -> None:
    """Check the --model of a backend without a model. Raises BackendError if the backend cannot parse it."""
    read: Callable[[str], object] = resolve_name(BACKENDS[name].script)
    read(spec)


def look_up(name: str, spec: str, access: Access) -> Served | None:
    """The model that `spec` names on a server, as the server describes it; None if backend `name` runs it here.

    Raises:
        BackendError: it is not there, not ready, or no model that this package can drive.
    """
    if not BACKENDS[name].served:
        return None
    found: Served = resolve_name(BACKENDS[name].served)(spec, access)
    return found


def accelerators(name: str) -> tuple[Accelerator, ...]:
    """The devices that a backend runs on; empty if it runs on the CPU.

    Raises:
        BackendError: it needs a device, and no usable one was found.
    """
    if not BACKENDS[name].accelerators:
        return ()
    found: tuple[Accelerator, ...] = resolve_name(BACKENDS[name].accelerators)()
    return found


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that the module would be in
        return False


def _not_installed(name: str, module: str | None) -> BackendError:
    from foundation import installation  # only now: a run does without what it imports

    entry, found = BACKENDS[name], f"backend {name!r} needs {module}, which is not installed."
    if name not in BACKENDS.own and not entry.extra:
        return BackendError(f"{found} Install it.")
    todo = installation.command(entry.extra) if entry.extra else installation.repair(entry.needs)
    return BackendError(f"{found} Type: {todo}")
