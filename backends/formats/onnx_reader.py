"""BERT's weights from an exported ONNX graph, found by structure: names may be numbers, matrices may be transposed.

The walk goes from the logits back to the inputs, layer by layer, and verifies every step: anything that is not BERT is
an error that names the tensor. Quantization on the way becomes the layers' ranges.
"""

from __future__ import annotations

from pathlib import Path

from backends.bert.config import BertConfig
from backends.formats import onnx_file, onnx_graph_walk, onnx_heads
from backends.formats.base import ModelWeights, checked
from backends.formats.onnx_file import Array
from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_io_names import FIELDS, plain
from backends.formats.onnx_layers import layer_norm, layers_back_from
from backends.formats.onnx_patterns import LAYOUT, ROUNDING, not_bert, through

# Operators of a sum of embeddings.
_SUMS = {"Add"} | LAYOUT | ROUNDING

files = onnx_file.files


def has_ranges(path: Path) -> bool:
    """True if the graph is quantized."""
    return onnx_file.has_op(path, "DequantizeLinear")


def read(path: Path) -> ModelWeights:
    """The weights of the graph in `path`.

    Raises:
        BackendError: it is not a graph, or not that of a BERT with a head of `heads.HEADS` as exporters write it.
    """
    graph = onnx_graph_walk.load(path)
    kind, head, last = onnx_heads.read(graph)
    layers = list(layers_back_from(graph, last))[::-1]
    if not layers:
        raise not_bert(graph, last, "a layer of BERT")
    first = layer_norm(graph, layers[0].source)
    tables = _tables(graph, first.source)
    at = "bert.encoder.layer."
    linears = {f"{at}{i}.{name}": one for i, layer in enumerate(layers) for name, one in layer.linears.items()}
    norms = {f"{at}{i}.{name}": one for i, layer in enumerate(layers) for name, one in layer.norms.items()}
    _check_all_taken(graph, {one.product for one in (*head.values(), *linears.values())})
    parts = {**linears, **norms, **head, "bert.embeddings.LayerNorm": first}
    found = {f"{at}.{part}": getattr(one, part) for at, one in parts.items() for part in ("weight", "bias")}
    found |= {f"bert.embeddings.{name}_embeddings.weight": table for name, table in tables.items()}
    inner = linears["bert.encoder.layer.0.intermediate.dense"]
    config = BertConfig(
        vocab_size=len(tables["word"]),
        hidden_size=tables["word"].shape[1],
        num_hidden_layers=len(layers),
        num_attention_heads=layers[0].heads,
        intermediate_size=len(inner.weight),
        max_position_embeddings=len(tables["position"]),
        type_vocab_size=len(tables["token_type"]),
        layer_norm_eps=first.epsilon,
        head=kind,
    )
    ranges = {at: one.range for at, one in linears.items() if one.range is not None}
    return ModelWeights(config, checked(path, config, found), ranges)


def _tables(graph: OnnxGraph, total: str) -> dict[str, Array]:
    """The three embedding tables of a sum, by what indexes them: an input's values, or a sample's length."""
    found: dict[str | None, list[Array]] = {}
    for name, node in graph.upstream(total, lambda _, node: node.op not in _SUMS):
        lookup = _lookup(graph, node)
        if lookup is None and node.op not in _SUMS:
            raise not_bert(graph, name, "a sum of embeddings")
        if lookup is not None:
            found.setdefault(_kind(graph, lookup[1]), []).append(lookup[0])
        addends = [graph.constant(one) for one in node.inputs] if node.op == "Add" else []
        fixed = [one.reshape(-1, one.shape[-1]) for one in addends if one is not None and one.ndim]
        found["position"] = found.get("position", []) + fixed
    unnamed, missing = found.pop(None, []), [kind for kind in ("token_type", "word") if kind not in found]
    if len(unnamed) == len(missing):  # inputs have names of their own: of the two tables, that of the types is smaller
        found |= {kind: [table] for kind, table in zip(missing, sorted(unnamed, key=len), strict=True)}
    tables = {str(kind): parts[0] for kind, parts in found.items() if len(parts) == 1 and parts[0].ndim == 2}
    if tables.keys() != {"word", "position", "token_type"}:
        raise not_bert(graph, total, "word, position and token type embeddings")
    return tables


_KINDS = {"input_ids": "word", "token_type_ids": "token_type", "positions": "position"}


def _kind(graph: OnnxGraph, indices: str) -> str | None:
    """The table that these indices belong to, by the input of the graph that they are the values of; the positions if
    they depend on the shape of inputs only."""
    reached = graph.upstream(indices, lambda _, node: node.op == "Shape")
    names = {indices, *(name for _, node in reached if node.op != "Shape" for name in node.inputs)}
    inputs = [name for name in graph.inputs if name in names]
    field = FIELDS.get(plain(inputs[0])) if inputs else "positions"
    return _KINDS.get(str(field))


def _lookup(graph: OnnxGraph, node: OnnxNode) -> tuple[Array, str] | None:
    """(table, name of the indices) of a Gather, of a product with a OneHot, as TensorFlow's exporter writes it, or of a
    Slice that takes as many rows from the first one on as a sample has tokens."""
    if node.op == "Slice" and len(node.inputs) > 2:
        table, start = (graph.constant(name) for name in node.inputs[:2])
        return (table, node.inputs[2]) if table is not None and start is not None and not start.any() else None
    if node.op not in ("Gather", "MatMul"):
        return None
    place = 0 if node.op == "Gather" else 1
    table, indices = graph.constant(node.inputs[place]), node.inputs[1 - place]
    if node.op == "MatMul":
        one_hot = graph.node_of(through(graph, indices), "OneHot")
        indices = one_hot.inputs[0] if one_hot else ""
    return (table, indices) if table is not None and indices else None


def _check_all_taken(graph: OnnxGraph, taken: set[str]) -> None:
    """Raise if a constant matrix between the inputs and the logits was not read."""
    for output in onnx_heads.outputs(graph)[1]:
        for name, node in graph.upstream(output):
            is_weight = node.op in ("MatMul", "Gemm") and len(graph.variable(node)) < 2 and not _lookup(graph, node)
            if is_weight and name not in taken:
                raise not_bert(graph, node.inputs[1], "no other weights")
