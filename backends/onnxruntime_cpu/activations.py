"""The inputs of every linear layer of a model, computed in fp32 by ONNX Runtime: the data of a calibration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.base import Batch, Options
from backends.bert.encoder import EncoderConfig, LinearInputs
from backends.formats.base import Tensors
from backends.formats.graph_calls import GraphCalls
from backends.onnxruntime_cpu import graph as onnx_graph
from backends.onnxruntime_cpu import session as onnxruntime_cpu_session


def run(config: EncoderConfig, tensors: Tensors, batches: list[Batch], threads: int) -> Iterator[LinearInputs]:
    """The inputs of all linear layers, batch by batch: about 700 KB per token for BERT-Large."""
    built = onnx_graph.build(config, tensors, with_linear_inputs=True)
    session = onnxruntime_cpu_session.open_built(built, Options(threads=threads))
    calls = GraphCalls.of_built(config.head)
    places = [(layer, name) for layer in range(config.num_hidden_layers) for name in config.linears()]
    names = [output.name for output in session.get_outputs()][-len(places) :]  # the head's come first
    for batch in batches:
        found = session.run(names, calls.feed(batch))
        yield {place: batch.pack(np.asarray(x)) for place, x in zip(places, found, strict=True)}
