"""ONNX Runtime on the CPU: the default backend, and the only one that the core install needs.

It runs the graph that `graph` or `int8_graph` writes from a model's weights, or a user's .onnx file as it is. ONNX
Runtime has no packed attention on CPUs, so it gets the padded view; the scheduler batches samples of similar length, so
little is padded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backends import BACKENDS, narrowing
from backends.base import Backend, Batch, EngineWork, Options
from backends.bert.checkpoints import read_weights
from backends.bert.layer_widths import Widths
from backends.bert.model import Model
from backends.errors import BackendError, brief
from backends.formats.graph_calls import GraphCalls
from backends.onnxruntime_cpu import session
from backends.quantization.int8_model import read_model_engine
from foundation.arrays import Float32


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime on CPU cores: padded batches, in the graphs of `graph` and `int8_graph` or a file as it is."""

    name = "onnxruntime"
    entry = BACKENDS["onnxruntime"]
    _widths: Widths | None = None  # of the layers, where structured pruning narrowed them

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._session: Any = None

    def load(self, model: Model) -> None:
        """Open a session on the model's graph, weights or engine. Raises BackendError if it cannot be run."""
        if self.runs_as_graph(model):
            self._calls = GraphCalls.of_file(model)
            self._session = self._open_file(model.path)
        else:
            self._session, head = self._open_weights(model)
            self._calls = GraphCalls.of_built(head)

    def _open_file(self, path: Path | None) -> Any:
        assert path is not None  # a graph has a path
        try:
            return session.open_file(path, self.options)
        except Exception as error:
            raise BackendError(
                f"expected an ONNX graph in {path}, found a file that ONNX Runtime does not open "
                f"({brief(error)}). Copy or fetch it again."
            ) from error

    def _open_weights(self, model: Model) -> tuple[Any, str]:
        """A session of the graph that is written from the weights or the engine, and its head."""
        from backends.onnxruntime_cpu import graph as onnx_graph
        from backends.onnxruntime_cpu import int8_graph

        if self.options.precision == "int8":
            whole, directory = read_model_engine(model)
            engine, self._widths = narrowing.engine(whole)
            opened = session.open_cached(directory, lambda: int8_graph.build(engine), self.options)
            return opened, engine.config.head
        weights = read_weights(model)
        tensors, self._widths = narrowing.floats(weights.config, weights.tensors)
        if self.options.precision == "int8-dynamic":
            built = int8_graph.build_dynamic(weights.config, tensors)
        else:
            built = onnx_graph.build(weights.config, tensors)
        self._arrays = built[1]  # the session reads them in place
        return session.open_built(built, self.options), weights.config.head

    def infer(self, batch: Batch) -> Float32:
        return self._calls.infer(batch, lambda feed: self._session.run(self._calls.signature.outputs, feed))

    def remark(self) -> str | None:
        return str(self._widths) if self._widths else None

    def work(self) -> EngineWork | None:
        return EngineWork.of(self._widths)

    def computed_tokens(self, batch: Batch) -> int:
        return self._calls.computed_tokens(batch)

    def close(self) -> None:
        self._session = None
