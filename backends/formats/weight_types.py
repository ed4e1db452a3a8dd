"""The number types that a model file stores its weights in, in the words of MLPerf's submissions: fp32, fp16, int8 …

Readers convert all of them to float32, and a graph runs as it is, so neither the setting --precision nor the loaded
arrays tell. Only matrices count: biases, norms and scales are fp32 in nearly every quantized model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import GRAPH_SUFFIX

Shares = Mapping[str, float]  # word → share of all weights, the largest first
# Word → (bits, the types' names in ONNX, in safetensors and in torch). Integers of other widths are no weights.
_TYPES: dict[str, tuple[int, str]] = {
    "fp64": (64, "DOUBLE F64 torch.float64"),
    "fp32": (32, "FLOAT F32 torch.float32"),
    "fp16": (16, "FLOAT16 F16 torch.float16"),
    "bf16": (16, "BFLOAT16 BF16 torch.bfloat16"),
    "fp8": (8, "FLOAT8E4M3FN FLOAT8E5M2 F8_E4M3 F8_E5M2 torch.float8_e4m3fn torch.float8_e5m2"),
    "int8": (8, "INT8 UINT8 I8 U8 torch.int8 torch.uint8"),
    "fp4": (4, "FLOAT4E2M1"),
    "int4": (4, "INT4 UINT4"),
}
_WORDS = {name: word for word, (_, names) in _TYPES.items() for name in names.split()}
_LEAST = 0.1  # share from which a type characterizes the model: not for a table of embeddings that was left as it was
_MOVES = ("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # operators between a weight and its quantizer


def of_files(paths: Iterable[Path]) -> Shares:
    """The types in the weight files of one model; empty if they cannot be read, which their reader reports.

    Of a graph with external data, the graph has the types; of shards, the index has none.
    """
    files = [path for path in paths if path.suffix != ".json"]
    files = [path for path in files if path.suffix == GRAPH_SUFFIX] or files
    try:
        return _shares(entry for path in files for entry in _READERS.get(path.suffix, _torch)(path))
    except Exception:  # noqa: BLE001 - libraries raise anything for a broken file
        return {}


def of_graph(graph: Any) -> Shares:
    """The types in an `onnx.GraphProto`.

    Weights that the graph itself rounds with QuantizeLinear, as in quantization-aware training, count as int8.
    """
    return _shares(_of_graph(graph))


def narrowest(shares: Shares) -> str | None:
    """The type that characterizes the model: the one with the fewest bits of those with a notable share."""
    notable = [word for word, share in shares.items() if share >= _LEAST]
    return min(notable, key=lambda word: _TYPES[word][0], default=None)


def _shares(entries: Iterable[tuple[str, Sequence[int]]]) -> dict[str, float]:
    """Shares by word of (type's name or word, shape) pairs."""
    counts: Counter[str] = Counter()
    for name, shape in entries:
        word = name if name in _TYPES else _WORDS.get(name)
        if word and len(shape) > 1:
            counts[word] += math.prod(shape)
    total = sum(counts.values())
    return {word: round(count / total, 4) for word, count in counts.most_common() if count}


def _of_graph(graph: Any) -> Iterator[tuple[str, Sequence[int]]]:
    from onnx import TensorProto

    constants = [node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute]
    names = [node.output[0] for node in graph.node if node.op_type == "Constant" and node.attribute]
    kinds = _quantized(graph)
    for name, tensor in zip(
        [*(one.name for one in graph.initializer), *names], [*graph.initializer, *constants], strict=True
    ):
        yield kinds.get(name) or TensorProto.DataType.Name(tensor.data_type), tensor.dims


def _quantized(graph: Any) -> dict[str, str]:
    """Names of weights that the graph rounds or unpacks itself → the type that they are multiplied in."""
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type in _MOVES}
    found = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            found[_origin(node.input[0], sources)] = "int8"
        elif node.op_type == "MatMulNBits":
            bits = next((one.i for one in node.attribute if one.name == "bits"), 4)
            found[node.input[1]] = f"int{bits}" if f"int{bits}" in _TYPES else "int4"
    return found


def _origin(name: str, sources: Mapping[str, str]) -> str:
    for _ in range(len(sources)):  # a broken graph may have a loop
        if name not in sources:
            break
        name = sources[name]
    return name


def _graph(path: Path) -> Iterator[tuple[str, Sequence[int]]]:
    import onnx

    return _of_graph(onnx.load(path, load_external_data=False).graph)


def _safetensors(path: Path) -> Iterator[tuple[str, Sequence[int]]]:
    import safetensors

    with safetensors.safe_open(path, "numpy") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - it is no mapping
        yield from [(one.get_dtype(), one.get_shape()) for one in slices]


def _torch(path: Path) -> Iterator[tuple[str, Sequence[int]]]:
    import torch

    waiting = [torch.load(path, map_location="meta", weights_only=True)]
    for one in waiting:  # scripts store the tensors under a key of theirs
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, torch.Tensor):
            yield str(one.dtype), tuple(one.shape)


_READERS = {GRAPH_SUFFIX: _graph, ".safetensors": _safetensors}
