"""What goes into every linear layer of a model, as ONNX Runtime computes it in fp32: what calibration looks at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.base import Batch, Options
from backends.bert.config import BertConfig
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS
from backends.onnxruntime_cpu import graph as onnx_graph
from backends.onnxruntime_cpu import session as onnxruntime_cpu_session
from backends.quantization.int8_model import LINEARS
from foundation.arrays import Float32

LinearInputs = dict[tuple[int, str], Float32]  # (layer, one of LINEARS) → float32 [T, K], real tokens only


def run(config: BertConfig, tensors: Tensors, batches: list[Batch], threads: int) -> Iterator[LinearInputs]:
    """The linear_inputs of one batch after the other: some 700 KB a token for BERT-Large."""
    built = onnx_graph.build(config, tensors, with_linear_inputs=True)
    session = onnxruntime_cpu_session.open_built(built, Options(threads=threads))
    places = [(layer, name) for layer in range(config.num_hidden_layers) for name in LINEARS]
    names = [output.name for output in session.get_outputs()][-len(places) :]  # the head's come first
    for batch in batches:
        padded = batch.padded()
        feed = (padded.input_ids, padded.attention_mask, padded.token_type_ids)
        found = session.run(names, dict(zip(INPUTS, feed, strict=True)))
        yield {place: batch.pack(np.asarray(site)) for place, site in zip(places, found, strict=True)}
