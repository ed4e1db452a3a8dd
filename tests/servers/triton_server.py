"""Triton serving an .onnx file through its Python backend: triton_server.py FILE HTTP_PORT GRPC_PORT, in its own
virtual environment. The graph's sessions belong to this process, which Triton's stub calls."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MOST_BATCH = 16
path, http_port, grpc_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # Triton gives up its stub when the machine is too busy for its heartbeat
session = onnxruntime.InferenceSession(path, options)
outputs = [one.name for one in session.get_outputs()]


@batch  # type: ignore[untyped-decorator] # pytriton is not installed where types are checked
def infer(**inputs: Any) -> dict[str, Any]:
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))


config = TritonConfig(
    http_address="127.0.0.1", http_port=http_port, grpc_address="127.0.0.1", grpc_port=grpc_port, allow_metrics=False
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="bert",
        infer_func=infer,
        inputs=[Tensor(name=one.name, dtype=np.int64, shape=(-1,)) for one in session.get_inputs()],
        outputs=[Tensor(name=name, dtype=np.float32, shape=(-1,)) for name in outputs],
        config=ModelConfig(max_batch_size=MOST_BATCH),
    )
    triton.serve()
