"""The encoder layers of a BERT in an ONNX graph, found from their outputs by what their nodes compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_patterns import (
    LAYOUT,
    ROUNDING,
    GraphLinear,
    GraphNorm,
    constant_and_other,
    linear,
    norm,
    not_bert,
    through,
)

# Operators of an exact GELU, and of activations that are not supported.
_GELU, _OTHERS = {"Erf", "Gelu"}, {"Tanh", "Relu", "Sigmoid"}


@dataclass(frozen=True)
class GraphLayer:
    """One encoder layer; its parts by their Hugging Face names."""

    linears: Mapping[str, GraphLinear]
    norms: Mapping[str, GraphNorm]
    heads: int
    source: str


def layers_back_from(graph: OnnxGraph, name: str) -> Iterator[GraphLayer]:
    """The encoder layers up to the one that computes `name`, the last one first.

    Raises:
        BackendError: a layer is not that of a BERT.
    """
    while (layer := _layer(graph, name)) is not None:
        yield layer
        name = layer.source


def _layer(graph: OnnxGraph, name: str) -> GraphLayer | None:
    """The layer that computes `name`; None if the embeddings do."""
    ffn_norm = layer_norm(graph, name)
    halves = projected(graph, ffn_norm.source)
    if halves is None:
        return None
    outer, middle = halves
    inner = _activated(graph, outer.source)
    attention_norm = layer_norm(graph, middle)
    halves = projected(graph, attention_norm.source)
    if halves is None or through(graph, inner.source) != through(graph, middle):
        raise not_bert(graph, middle, "the input of both the intermediate layer and the residual sum after it")
    projection, source = halves
    qkv, heads = attention(graph, projection.source)
    for one in qkv.values():
        if through(graph, one.source) != through(graph, source):
            raise not_bert(graph, one.source, "the layer's input, read by query, key and value")
    names = {"attention.output.dense": projection, "intermediate.dense": inner, "output.dense": outer}
    norms = {"attention.output.LayerNorm": attention_norm, "output.LayerNorm": ffn_norm}
    return GraphLayer({**qkv, **names}, norms, heads, source)


def layer_norm(graph: OnnxGraph, name: str) -> GraphNorm:
    """The LayerNorm with the output `name`. Raises BackendError if there is none."""
    found = norm(graph, name)
    if found is None:
        raise not_bert(graph, name, "a LayerNorm with its weight and bias")
    return found


def projected(graph: OnnxGraph, total: str) -> tuple[GraphLinear, str] | None:
    """(linear layer, name of the residual) of their sum; None if neither addend is the output of a linear layer."""
    node = graph.node(through(graph, total))
    if node is None or node.op != "Add":
        raise not_bert(graph, total, "a sum")
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
        raise not_bert(graph, name, f"a linear layer and an exact GELU (through Erf), not {', '.join(operators)},")
    return found


def attention(graph: OnnxGraph, context: str) -> tuple[dict[str, GraphLinear], int]:
    """Query, key and value, and the number of heads, found from the attention's output."""
    mixed = _product(graph, context)
    if mixed is None or not (softmax := graph.nearest(mixed.inputs[0], lambda name: graph.node_of(name, "Softmax"))):
        raise not_bert(graph, context, "softmax(query x key) x value")
    scores = graph.nearest(softmax.inputs[0], lambda name: _product(graph, name))
    if scores is None:
        raise not_bert(graph, softmax.inputs[0], "query x key")
    sources = {"query": scores.inputs[0], "key": scores.inputs[1], "value": mixed.inputs[1]}
    found = {name: graph.nearest(source, lambda one: linear(graph, one)) for name, source in sources.items()}
    for name, one in found.items():
        if one is None:
            raise not_bert(graph, sources[name], f"the linear layer that computes {name}")
    width = len(found["query"].weight) if found["query"] else 0
    parts = {f"attention.self.{name}": one for name, one in found.items() if one is not None}
    heads = _heads(graph, sources["query"], width)
    _check_scale(graph, softmax.inputs[0], scores, (width // heads) ** -0.5)
    return parts, heads


def _check_scale(graph: OnnxGraph, scaled: str, scores: OnnxNode, expected: float) -> None:
    """Raises BackendError if the scores are scaled by another constant than BERT's; one that is computed is trusted."""
    parts = [_factor(graph, scaled, lambda name: name in scores.outputs)]
    parts += [_factor(graph, name, lambda name: linear(graph, name) is not None) for name in scores.inputs]
    found = math.prod(part for part in parts if part is not None)
    if None not in parts and not math.isclose(found, expected, rel_tol=0.01):
        raise not_bert(
            graph, scaled, f"scores that are multiplied by {expected:.4g} before the softmax, not {found:.4g},"
        )


def _factor(graph: OnnxGraph, name: str, is_source: Callable[[str], bool]) -> float | None:
    """The product of the constants by which `name` is a multiple of its source; None if others take part."""
    factor = 1.0
    while not is_source(name):
        node = graph.node(name)
        step = _multiple(graph, node, is_source) if node else None
        if step is None:
            return None
        factor, name = factor * step[0], step[1]
    return factor


def _multiple(graph: OnnxGraph, node: OnnxNode, is_source: Callable[[str], bool]) -> tuple[float, str] | None:
    """(constant, tensor) of which the node is the product, without the mask that it adds; None for another node."""
    if node.op in LAYOUT | ROUNDING:
        return 1.0, node.inputs[0]
    if node.op in ("Add", "Where"):
        reaching = (one for one in node.inputs if graph.nearest(one, lambda name: is_source(name) or None))
        return next(((1.0, one) for one in reaching), None)
    split = constant_and_other(graph, node) if node.op in ("Mul", "Div") else None
    if split is None or split[0].size != 1 or not split[0].any():
        return None
    value = float(split[0].reshape(()))
    if node.op == "Mul":
        return value, split[1]
    return (1 / value, split[1]) if split[1] == node.inputs[0] else None


def _heads(graph: OnnxGraph, query: str, width: int) -> int:
    """The number of heads, from the Reshape that splits the last axis of the query."""
    for _, node in graph.upstream(query):
        if node.op == "Reshape":
            sizes = _last_two(graph, node.inputs[1])
            heads = sizes[0] if len(sizes) == 2 and sizes[0] > 0 else width // sizes[-1] if sizes and sizes[-1] else 0
            if heads > 0 and width % heads == 0:
                return heads
    raise not_bert(graph, query, "a Reshape to [batch, sequence, heads, head size]")


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
