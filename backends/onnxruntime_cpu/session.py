"""ONNX Runtime sessions: of a file, of a graph in memory, or of an optimized graph that is cached on disk.

The cached graph is optimized and its weights are packed for this processor's kernels. The file is mapped, so instances
share one copy of the packed weights; packed in memory, each would hold its own. It is stored in the engine's directory,
under a name with ONNX Runtime's version and the processor, which both determine the packing.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from backends.base import Options
from backends.errors import brief
from backends.onnxruntime_cpu.graph_builder import BuiltGraph
from foundation import atomic_write, cpu_info, sealed_directory
from foundation.sealed_directory import is_intact

_GRAPH, _WEIGHTS = "graph.onnx", "graph.weights"
_PACKED = {
    "session.save_external_prepacked_constant_initializers": "1",
    "session.optimized_model_external_initializers_file_name": _WEIGHTS,
    "session.optimized_model_external_initializers_min_size_in_bytes": "256",
}

# Whatever ONNX Runtime logs it also raises.
ort.set_default_logger_severity(4)


def open_file(path: Path, options: Options) -> Any:
    """A session of an .onnx file."""
    return ort.InferenceSession(str(path), _options(options), providers=["CPUExecutionProvider"])


def open_built(built: BuiltGraph, options: Options) -> Any:
    """A session of a graph in memory. It reads the arrays in place: keep them as long as the session."""
    return _open_built(built, _options(options))


def open_cached(directory: Path, build: Callable[[], BuiltGraph], options: Options) -> Any:
    """A session of the optimized graph in `directory`, which is written first if it is not there or is damaged.

    If it cannot be written or opened, the session is made in memory, which costs memory and time.
    """
    path = directory / f"onnxruntime-{ort.__version__}-{_processor()}"
    if path.exists() and not is_intact(path):
        print(f"the optimized graph in {path} is damaged: it is written again", file=sys.stderr)
    try:
        if not is_intact(path):
            _cache(path, build)
        return open_file(path / _GRAPH, options)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own errors, of a full disk among them
        print(f"the optimized graph in {path} cannot be used ({brief(error)}): not shared in memory", file=sys.stderr)
    built = build()
    session = open_built(built, options)
    session.arrays = built
    return session


def _cache(path: Path, build: Callable[[], BuiltGraph]) -> None:
    with atomic_write.replacing_directory(path, is_intact) as directory:
        options = _options(Options())
        options.optimized_model_filepath = str(directory / _GRAPH)
        for name, value in _PACKED.items():
            options.add_session_config_entry(name, value)
        _open_built(build(), options)
        sealed_directory.seal(directory)


def _open_built(built: BuiltGraph, options: Any) -> Any:
    proto, weights = built
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _options(chosen: Options) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = chosen.threads
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.x64quantprecision", "1"
    )  # without VNNI, bytes by int8 weights would saturate
    if chosen.fpmath_mode == "bf16":
        options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    return options


def _processor() -> str:
    return hashlib.sha256(f"{platform.machine()} {sorted(cpu_info.flags())}".encode()).hexdigest()[:8]
