"""A model's weights from an exported ONNX graph, found by structure: names may be numbers, matrices may be transposed.

The walk goes from the logits back to the inputs, layer by layer, and verifies every step: anything that is not BERT or
MobileBERT is an error that names the tensor. Quantization on the way becomes the layers' ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.bert.architectures import Geometry
from backends.bert.config import BertConfig
from backends.bert.mobilebert import MobileBertConfig
from backends.errors import BackendError
from backends.formats import (
    onnx_embeddings,
    onnx_file,
    onnx_graph_walk,
    onnx_heads,
    onnx_integers,
    onnx_mobilebert,
)
from backends.formats.base import ModelWeights, QatRange, checked, require_shapes
from backends.formats.onnx_file import Array
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_layers import GraphLayer, layer_norm, layers_back_from
from backends.formats.onnx_patterns import GraphLinear, GraphNorm, not_bert

files = onnx_file.files


def has_ranges(path: Path) -> bool:
    """True if inputs are quantized with scales of the file; weights alone may be, or with scales of the run time."""
    return onnx_file.has_op(path, {"QuantizeLinear"})


def read(path: Path) -> ModelWeights:
    """The weights of the graph in `path`.

    Raises:
        BackendError: it is not a graph, or not that of a BERT with a head of `heads.HEADS` as exporters write it.
    """
    config, found, ranges = _walked(onnx_graph_walk.load(path))
    return ModelWeights(config, checked(path, config, found), ranges)


def geometry(path: Path, proto: Any) -> Geometry | None:
    """The geometry of the graph in a GraphProto of the file `path`, whose weights are not read.

    It is None unless the whole structure is one that `read` takes: an optimizer's fused operators hide the heads.
    """
    try:
        config, found, _ = _walked(onnx_graph_walk.of_proto(path, proto, onnx_graph_walk.hollow))
        require_shapes(path, config, found)
    except BackendError:
        return None
    return config


def _walked(graph: OnnxGraph) -> tuple[Geometry, Mapping[str, Array], Mapping[str, QatRange]]:
    """The geometry, the tensors and the ranges of a graph, under Hugging Face's names."""
    graph = onnx_integers.in_floats(graph)
    kind, head, last = onnx_heads.read(graph)
    is_mobile = onnx_mobilebert.no_norm(graph, last) is not None
    walk, normed = (onnx_mobilebert.layers_back_from, onnx_mobilebert.required) if is_mobile else _BERT
    layers = list(walk(graph, last))[::-1]
    if not layers:
        raise not_bert(graph, last, "a layer of BERT")
    first = normed(graph, layers[0].source)
    tables, dense = onnx_embeddings.read(graph, first.source)
    linears = {
        f"encoder.layer.{i}.{name}": one for i, layer in enumerate(layers) for name, one in layer.linears.items()
    }
    norms = {f"encoder.layer.{i}.{name}": one for i, layer in enumerate(layers) for name, one in layer.norms.items()}
    linears |= {"embeddings.embedding_transformation": dense} if dense else {}
    _check_all_taken(graph, {one.product for one in (*head.values(), *linears.values())})
    config = _config(kind, tables, layers, linears, first)
    at = f"{config.model_type}."
    parts = {at + name: one for name, one in {**linears, **norms, "embeddings.LayerNorm": first}.items()} | head
    found = {f"{name}.{part}": getattr(one, part) for name, one in parts.items() for part in ("weight", "bias")}
    found |= {f"{at}embeddings.{name}_embeddings.weight": table for name, table in tables.items()}
    ranges = {at + name: one.range for name, one in linears.items() if one.range is not None and one is not dense}
    return config, found, ranges


_BERT = (layers_back_from, layer_norm)


def _config(
    kind: str,
    tables: Mapping[str, Array],
    layers: Sequence[GraphLayer],
    linears: Mapping[str, GraphLinear],
    first: GraphNorm,
) -> Geometry:
    sizes: dict[str, Any] = {
        "vocab_size": len(tables["word"]),
        "hidden_size": tables["position"].shape[1],
        "num_hidden_layers": len(layers),
        "num_attention_heads": layers[0].heads,
        "intermediate_size": len(linears["encoder.layer.0.intermediate.dense"].weight),
        "max_position_embeddings": len(tables["position"]),
        "type_vocab_size": len(tables["token_type"]),
        "head": kind,
    }
    bottleneck = linears.get("encoder.layer.0.bottleneck.input.dense")
    if bottleneck is None:
        return BertConfig(**sizes, layer_norm_eps=first.epsilon)
    return MobileBertConfig(
        **sizes,
        embedding_size=tables["word"].shape[1],
        intra_bottleneck_size=len(bottleneck.weight),
        num_feedforward_networks=sum(name.endswith("intermediate.dense") for name in layers[0].linears),
    )


def _check_all_taken(graph: OnnxGraph, taken: set[str]) -> None:
    """Raise if a constant matrix between the inputs and the logits was not read."""
    for output in onnx_heads.outputs(graph)[1]:
        for name, node in graph.upstream(output):
            is_weight = (
                node.op in ("MatMul", "Gemm")
                and len(graph.variable(node)) < 2
                and not onnx_embeddings.lookup_of(graph, node)
            )
            if is_weight and name not in taken:
                raise not_bert(graph, node.inputs[1], "no other weights")
