"""Other ways to run the same BERT, by name: a module for each engine and precision, imported when it is used.

If it is not obvious which setting is fastest for an engine, both are contestants, and ratios use the faster one.
"""

from __future__ import annotations

import importlib
import importlib.util

from benchmarks.peers.base import Peer
from foundation import installation

PEERS = {
    "pytorch-reference": "benchmarks.peers.pytorch_reference:PyTorchReference",
    "onnxruntime-reference": "benchmarks.peers.onnxruntime_plain:OnnxRuntimeReference",
    "onnxruntime-fp32": "benchmarks.peers.onnxruntime_plain:OnnxRuntimeFp32",
    "onnxruntime-int8": "benchmarks.peers.onnxruntime_dynamic:OnnxRuntimeInt8",
    "onnxruntime-int8 side by side": "benchmarks.peers.onnxruntime_dynamic:SideBySide",
    "ctranslate2-int8": "benchmarks.peers.ctranslate2_int8:CTranslate2Int8",
    "ctranslate2-int8 side by side": "benchmarks.peers.ctranslate2_int8:SideBySide",
    "torchao-int8": "benchmarks.peers.torchao_int8:TorchaoInt8",
    "openvino-fp32": "benchmarks.peers.openvino_plain:OpenVinoFp32",
    "openvino-fp32 latency": "benchmarks.peers.openvino_plain:LatencyFp32",
    "openvino-int8": "benchmarks.peers.openvino_nncf:OpenVinoInt8",
    "openvino-int8 latency": "benchmarks.peers.openvino_nncf:LatencyInt8",
    "pytorch-gpu": "benchmarks.peers.pytorch_gpu:PyTorchGpu",
    "pytorch-gpu compiled": "benchmarks.peers.pytorch_gpu:PyTorchGpuCompiled",
}
OURS = {  # backend and precision
    "pytorch fp32": "benchmarks.peers.own_engine:OwnFp32",
    "pytorch int8": "benchmarks.peers.own_engine:OwnInt8",
}
ALL = {**PEERS, **OURS}


def peer_class(name: str) -> type[Peer]:
    """The class behind `name`; its engine is imported later, when the peer prepares or loads."""
    module, _, attribute = ALL[name].partition(":")
    found: type[Peer] = getattr(importlib.import_module(module), attribute)
    return found


def on_cores() -> list[str]:
    """The names of the peers that run on CPUs."""
    return [name for name in PEERS if not peer_class(name).on_gpu]


def missing(name: str) -> str:
    """The modules of this peer that are not installed, as text; "" if it can run."""
    peer = peer_class(name)
    absent = [module for module in peer.needs if importlib.util.find_spec(module) is None]
    return f"not installed: {', '.join(absent)} ({peer.install or installation.command('bench')})" if absent else ""
