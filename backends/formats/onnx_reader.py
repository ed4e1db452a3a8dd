"""BERT's weights from an exported ONNX graph, found by structure: names may be numbers, matrices may be transposed.

The walk goes from the logits back to the inputs, layer by layer, and verifies every step: anything that is not BERT is
an error that names the tensor. Quantization on the way becomes the layers' ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backends.bert.config import BertConfig
from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.errors import BackendError
from backends.formats import onnx_graph_walk, onnx_io_names
from backends.formats.base import ModelWeights, checked
from backends.formats.onnx_graph_walk import Array, OnnxGraph, OnnxNode
from backends.formats.onnx_patterns import LAYOUT, ROUNDING, GraphLinear, GraphNorm, linear, norm, through

# Operators of an exact GELU, and of activations that are not supported.
_SUMS = {"Add"} | LAYOUT | ROUNDING
_GELU, _OTHERS = {"Erf", "Gelu"}, {"Tanh", "Relu", "Sigmoid"}

files = onnx_graph_walk.files


def has_ranges(path: Path) -> bool:
    """True if the graph is quantized."""
    return onnx_graph_walk.has_op(path, "DequantizeLinear")


@dataclass(frozen=True)
class _GraphLayer:
    """One encoder layer; its parts by their Hugging Face names."""

    linears: Mapping[str, GraphLinear]
    norms: Mapping[str, GraphNorm]
    heads: int
    source: str


def read(path: Path) -> ModelWeights:
    """The weights of the graph in `path`.

    Raises:
        BackendError: it is not a graph, or not that of a BERT with a head of `heads.HEADS` as exporters write it.
    """
    graph = onnx_graph_walk.load(path)
    kind = CLASSES if onnx_io_names.classes(graph.outputs) else SPANS
    head, last = _HEADS[kind](graph)
    layers = list(_layers_back_from(graph, last))[::-1]
    if not layers:
        raise _no_bert(graph, last, "a layer of BERT")
    first = _norm(graph, layers[0].source)
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


def _spans(graph: OnnxGraph) -> tuple[dict[str, GraphLinear], str]:
    """The head's linear layer, with the start logits first, and the name of its input, the encoder's output."""
    head = graph.nearest(graph.outputs[0], lambda name: linear(graph, name))
    if head is None or len(head.weight) != COLUMNS:
        raise _no_bert(graph, graph.outputs[0], "the two outputs, start and end, of a linear layer")
    ends = sorted(graph.outputs[:2], key=lambda name: "end" in name)
    order = [_half(graph, name) for name in ends]
    if sorted(order) != [0, 1]:
        raise _no_bert(graph, ends[0], "the start's half of the logits, and the other as the end's")
    return {"qa_outputs": replace(head, weight=head.weight[order], bias=head.bias[order])}, head.source


def _classes(graph: OnnxGraph) -> tuple[dict[str, GraphLinear], str]:
    """The head's two linear layers, and the name of the encoder's output, of which the pooler reads the first token."""
    output = onnx_io_names.classes(graph.outputs)[0]
    classifier = linear(graph, output)
    if classifier is None or len(classifier.weight) != COLUMNS:
        raise _no_bert(graph, output, "a linear layer with two outputs")
    tanh = graph.node(through(graph, classifier.source))
    pooler = linear(graph, tanh.inputs[0]) if tanh is not None and tanh.op == "Tanh" else None
    first = graph.node(through(graph, pooler.source)) if pooler else None
    if pooler is None or first is None or first.op not in ("Gather", "Slice"):
        raise _no_bert(graph, classifier.source, "Tanh of a linear layer over the first token")
    return {"bert.pooler.dense": pooler, "classifier": classifier}, first.inputs[0]


_HEADS: dict[str, Callable[[OnnxGraph], tuple[dict[str, GraphLinear], str]]] = {SPANS: _spans, CLASSES: _classes}


def _half(graph: OnnxGraph, output: str) -> int:
    """0 or 1: which half of the head's outputs this is, by the node that splits them."""
    for name, node in graph.upstream(output):
        if node.op == "Split":
            return node.outputs.index(name)
        index = graph.constant(node.inputs[1]) if node.op in ("Gather", "Slice") else None
        if index is not None:
            return int(index.reshape(-1)[0])
    raise _no_bert(graph, output, "a half of the logits")


def _layers_back_from(graph: OnnxGraph, name: str) -> Iterator[_GraphLayer]:
    """The encoder layers up to the one that computes `name`, the last one first."""
    while (layer := _layer(graph, name)) is not None:
        yield layer
        name = layer.source


def _layer(graph: OnnxGraph, name: str) -> _GraphLayer | None:
    """The layer that computes `name`; None if the embeddings do."""
    ffn_norm = _norm(graph, name)
    halves = _projected(graph, ffn_norm.source)
    if halves is None:
        return None
    outer, middle = halves
    inner = _activated(graph, outer.source)
    attention_norm = _norm(graph, middle)
    halves = _projected(graph, attention_norm.source)
    if halves is None or through(graph, inner.source) != through(graph, middle):
        raise _no_bert(graph, middle, "the input of both the intermediate layer and the residual sum after it")
    projection, source = halves
    attention, heads = _attention(graph, projection.source)
    for one in attention.values():
        if through(graph, one.source) != through(graph, source):
            raise _no_bert(graph, one.source, "the layer's input, read by query, key and value")
    names = {"attention.output.dense": projection, "intermediate.dense": inner, "output.dense": outer}
    norms = {"attention.output.LayerNorm": attention_norm, "output.LayerNorm": ffn_norm}
    return _GraphLayer({**attention, **names}, norms, heads, source)


def _norm(graph: OnnxGraph, name: str) -> GraphNorm:
    found = norm(graph, name)
    if found is None:
        raise _no_bert(graph, name, "a LayerNorm with its weight and bias")
    return found


def _projected(graph: OnnxGraph, total: str) -> tuple[GraphLinear, str] | None:
    """(linear layer, name of the residual) of their sum; None if neither addend is the output of a linear layer."""
    node = graph.node(through(graph, total))
    if node is None or node.op != "Add":
        raise _no_bert(graph, total, "a sum")
    for one, other in (node.inputs, node.inputs[::-1]):
        found = linear(graph, one)
        if found is not None:
            return found, other
    return None


def _activated(graph: OnnxGraph, name: str) -> GraphLinear:
    """The linear layer before the exact GELU that computes `name`."""
    operators: set[str] = set()
    found: GraphLinear | None = None
    for one, node in graph.upstream(name, lambda one, _: linear(graph, one) is not None):
        found = linear(graph, one) or found
        approximate = node.attributes.get("approximate", b"none") != b"none"
        operators.add("Tanh" if node.op == "Gelu" and approximate else node.op)
    if found is None or not operators & _GELU or operators & _OTHERS:
        raise _no_bert(graph, name, f"a linear layer and an exact GELU (through Erf), not {', '.join(operators)},")
    return found


def _attention(graph: OnnxGraph, context: str) -> tuple[dict[str, GraphLinear], int]:
    """Query, key and value, and the number of heads, found from the attention's output."""
    mixed = _product(graph, context)
    if mixed is None or not (softmax := graph.nearest(mixed.inputs[0], lambda name: graph.node_of(name, "Softmax"))):
        raise _no_bert(graph, context, "softmax(query x key) x value")
    scores = graph.nearest(softmax.inputs[0], lambda name: _product(graph, name))
    if scores is None:
        raise _no_bert(graph, softmax.inputs[0], "query x key")
    sources = {"query": scores.inputs[0], "key": scores.inputs[1], "value": mixed.inputs[1]}
    found = {name: graph.nearest(source, lambda one: linear(graph, one)) for name, source in sources.items()}
    for name, one in found.items():
        if one is None:
            raise _no_bert(graph, sources[name], f"the linear layer that computes {name}")
    width = len(found["query"].weight) if found["query"] else 0
    attention = {f"attention.self.{name}": one for name, one in found.items() if one is not None}
    return attention, _heads(graph, sources["query"], width)


def _heads(graph: OnnxGraph, query: str, width: int) -> int:
    """The number of heads, from the Reshape that splits the last axis of the query."""
    for _, node in graph.upstream(query):
        if node.op == "Reshape":
            sizes = _last_two(graph, node.inputs[1])
            heads = sizes[0] if len(sizes) == 2 and sizes[0] > 0 else width // sizes[-1] if sizes else 0
            if heads > 0 and width % heads == 0:
                return heads
    raise _no_bert(graph, query, "a Reshape to [batch, sequence, heads, head size]")


def _last_two(graph: OnnxGraph, shape: str) -> list[int]:
    """The last two sizes of a shape; the first ones may be known at run time only."""
    sizes = graph.constant(shape)
    if sizes is not None:
        return [int(size) for size in sizes.reshape(-1)[-2:]]
    node = graph.node_of(shape, "Concat")
    parts = [graph.constant(name) for name in node.inputs[-2:]] if node else []
    return [int(part.reshape(-1)[-1]) for part in parts if part is not None]


def _product(graph: OnnxGraph, name: str) -> OnnxNode | None:
    """The product of two non-constant matrices that computes `name`; None for any other node."""
    node = graph.node_of(through(graph, name), "MatMul")
    return node if node is not None and len(graph.variable(node)) == 2 else None


def _tables(graph: OnnxGraph, total: str) -> dict[str, Array]:
    """The three embedding tables of a sum, told apart by their indices: ids, types (the smaller table), or no input."""
    read_from: list[Array] = []
    fixed: list[Array] = []
    for name, node in graph.upstream(total, lambda _, node: node.op not in _SUMS):
        table = graph.constant(node.inputs[0]) if node.op == "Gather" else None
        if table is None and node.op not in _SUMS:
            raise _no_bert(graph, name, "a sum of embeddings")
        if table is not None:
            (read_from if _reads_input(graph, node.inputs[1]) else fixed).append(table)
        addends = [graph.constant(one) for one in node.inputs] if node.op == "Add" else []
        fixed += [one.reshape(-1, one.shape[-1]) for one in addends if one is not None]
    if len(read_from) != 2 or len(fixed) != 1 or any(table.ndim != 2 for table in (*read_from, *fixed)):
        raise _no_bert(graph, total, "word, position and token type embeddings")
    types, word = sorted(read_from, key=len)
    return {"word": word, "position": fixed[0], "token_type": types}


def _reads_input(graph: OnnxGraph, indices: str) -> bool:
    """True if the indices depend on the values, not only on the shape, of an input of the graph."""
    if indices in graph.inputs:
        return True
    reached = graph.upstream(indices, lambda _, node: node.op == "Shape")
    return any(name in graph.inputs for _, node in reached if node.op != "Shape" for name in node.inputs)


def _check_all_taken(graph: OnnxGraph, taken: set[str]) -> None:
    """Raise if a constant matrix between the inputs and the logits was not read."""
    for output in graph.outputs[:2]:
        for name, node in graph.upstream(output):
            if node.op in ("MatMul", "Gemm") and len(graph.variable(node)) < 2 and name not in taken:
                raise _no_bert(graph, node.inputs[1], "no other weights")


def _no_bert(graph: OnnxGraph, name: str, expected: str) -> BackendError:
    node = graph.node(name)
    found = f"{node.op} ({', '.join(node.inputs)})" if node else "an input"
    return BackendError(
        f"expected {expected} at {name!r} in {graph.path} (its weights are read by the structure of an exported BERT), "
        f"found {found}. Run the graph as it is with --backend onnxruntime, or name the model it was exported from."
    )
