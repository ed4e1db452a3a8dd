"""OpenVINO on the CPU: fp32, bf16 if the processor has it, int8 quantized by NNCF; or a user's .onnx file.

OpenVINO can run several requests in parallel streams of its own. Here an instance is one stream with one request: the
instances are pinned processes already and the scheduler gives each its batches, so streams would only compete with them
for cores. Like ONNX Runtime it gets the padded view, in batches of similar length.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from backends import BACKENDS, narrowing
from backends.base import Backend, Batch, EngineWork, Options
from backends.bert.checkpoints import read_weights
from backends.bert.layer_widths import Widths
from backends.bert.model import Model
from backends.errors import BackendError, brief
from backends.formats import onnx_file
from backends.formats.graph_calls import Feed, GraphCalls
from backends.formats.onnx_io_names import OUTPUTS
from backends.openvino_cpu import graph as openvino_cpu_graph
from backends.openvino_cpu.quantizer import GRAPH, fits_16_bits, widths
from backends.quantization.engine_store import built_for
from foundation import cpu_info
from foundation.arrays import Float32

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # the arithmetic of everything that is not int8


class OpenVinoBackend(Backend):
    """OpenVINO on CPU cores: padded batches, in the graph of `graph`, one that NNCF quantized, or a file as it is."""

    name = "openvino"
    entry = BACKENDS["openvino"]
    _widths: Widths | None = None  # of the layers, where structured pruning narrowed them
    _in_floats: str | None = None  # what does not run in int8, and why

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._core = ov.Core()
        self._request: Any = None

    def load(self, model: Model) -> None:
        """Compile the model's graph, weights or engine. Raises BackendError if it cannot be run."""
        if self.options.precision == "bf16":
            check_bf16(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        as_it_is = self.runs_as_graph(model)
        calls = GraphCalls.of_file(model) if as_it_is else None
        graph = self._graph(model)
        self._calls = calls or GraphCalls.of_built(_head(graph))
        saturates = cpu_info.adds_bytes_in_16_bits() and (as_it_is or not self._fits_16_bits(model))
        if saturates and any(one.get_type_name() == "FakeQuantize" for one in graph.get_ops()):
            self._in_floats = "int8 products in floating point, without VNNI they would saturate"
        try:
            properties = self._properties(saturates)
            self._request = self._core.compile_model(graph, "CPU", properties).create_infer_request()
        except RuntimeError as error:
            raise BackendError(
                f"expected a graph that OpenVINO compiles, found {model.spec} ({_brief(error)}). "
                f"Type: --backend onnxruntime."
            ) from error

    def _properties(self, in_floats: bool) -> dict[str, Any]:
        return {
            **({"LP_TRANSFORMS_MODE": False} if in_floats else {}),
            "INFERENCE_PRECISION_HINT": _HINTS[self.options.precision],
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.options.threads,
            "ENABLE_CPU_PINNING": False,  # the instance has pinned itself, and OpenVINO's threads inherit that
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # otherwise fp32 inputs of int8 weights are quantized too
        }

    def _fits_16_bits(self, model: Model) -> bool:
        return self.options.precision != "int8" or fits_16_bits(built_for(model))

    def _graph(self, model: Model) -> Any:
        if self.runs_as_graph(model):
            assert model.path is not None  # a graph has a path
            behind_links = any(file.is_symlink() for file in onnx_file.files(model.path))  # which OpenVINO refuses
            return self._read(onnx_file.embedded(model.path) if behind_links else model.path, model.path)
        if self.options.precision == "int8":
            self._widths = widths(built_for(model))
            return self._read(built_for(model) / GRAPH, model.engine)
        weights = read_weights(model)
        self._tensors, self._widths = narrowing.floats(weights.config, weights.tensors)  # the graph reads them in place
        return openvino_cpu_graph.build(weights.config, self._tensors)

    def _read(self, graph: Path | bytes, path: Path | None) -> Any:
        try:
            return self._core.read_model(graph)
        except RuntimeError as error:
            raise BackendError(
                f"expected an ONNX graph or a built engine in {path}, found a file that OpenVINO does not open "
                f"({_brief(error)}). Make, copy or fetch it again."
            ) from error

    def infer(self, batch: Batch) -> Float32:
        return self._calls.infer(batch, self._run)

    def _run(self, feed: Feed) -> list[Float32]:
        found = self._request.infer(feed, share_inputs=True, share_outputs=True)
        return [found[name] for name in self._calls.signature.outputs]

    def remark(self) -> str | None:
        return ", ".join(filter(None, (str(self._widths or ""), self._in_floats))) or None

    def work(self) -> EngineWork | None:
        return EngineWork.of(self._widths)

    def computed_tokens(self, batch: Batch) -> int:
        return self._calls.computed_tokens(batch)

    def close(self) -> None:
        self._request = None


def _head(graph: Any) -> str:
    """The head (a key of `heads.HEADS`) of a graph that was written here, by the names of its outputs."""
    names = {name for port in graph.outputs for name in port.names}
    return next(head for head, outputs in OUTPUTS.items() if names >= set(outputs))


def check_bf16(capabilities: list[str]) -> None:
    """Check that OpenVINO lists bfloat16 among a processor's `capabilities`.

    Raises:
        BackendError: it does not.
    """
    if "BF16" not in capabilities:
        raise BackendError(
            f"expected a processor with bfloat16 for --precision bf16, found one with {', '.join(capabilities)}. "
            f"Type: --precision fp32, or int8."
        )


def _brief(error: RuntimeError) -> str:
    """The last line: OpenVINO's first lines name places in its own source, the last gives the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else brief(error)
