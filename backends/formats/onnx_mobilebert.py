"""The encoder layers of a MobileBERT in an ONNX graph, found from their outputs by what their nodes compute."""

from __future__ import annotations

from collections.abc import Iterator

from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_layers import GraphLayer, attention, projected
from backends.formats.onnx_patterns import (
    LAYOUT,
    ROUNDING,
    GraphLinear,
    GraphNorm,
    clips_below_zero,
    constant_and_other,
    linear,
    norm,
    not_bert,
    through,
)

Parts = tuple[dict[str, GraphLinear], dict[str, GraphNorm]]


def no_norm(graph: OnnxGraph, name: str) -> GraphNorm | None:
    """The NoNorm with the output `name`, x * weight + bias; None for another node, a LayerNorm among them."""
    total = graph.node_of(through(graph, name), "Add")
    shifted = constant_and_other(graph, total) if total else None
    product = graph.node_of(through(graph, shifted[1]), "Mul") if shifted else None
    scaled = constant_and_other(graph, product) if product else None
    if not shifted or not scaled or shifted[0].ndim != 1 or scaled[0].ndim != 1 or norm(graph, name):
        return None
    return GraphNorm(scaled[0], shifted[0], 0.0, scaled[1])


def layers_back_from(graph: OnnxGraph, name: str) -> Iterator[GraphLayer]:
    """The encoder layers up to the one that computes `name`, the last one first.

    Raises:
        BackendError: a layer is not that of a MobileBERT.
    """
    while (layer := _layer(graph, name)) is not None:
        yield layer
        name = layer.source


def required(graph: OnnxGraph, name: str) -> GraphNorm:
    """The NoNorm with the output `name`. Raises BackendError if there is none."""
    found = no_norm(graph, name)
    if found is None:
        raise not_bert(graph, name, "a NoNorm with its weight and bias")
    return found


def _layer(graph: OnnxGraph, name: str) -> GraphLayer | None:
    """The layer that computes `name`; None if the embeddings do."""
    last = required(graph, name)
    halves = projected(graph, last.source)
    if halves is None or no_norm(graph, halves[0].source) is None:
        return None
    outer, source = halves
    linears, norms = {"output.bottleneck.dense": outer}, {"output.bottleneck.LayerNorm": last}
    at, networks = outer.source, []
    while (network := _feedforward(graph, at)) is not None:
        networks.append(network[:2])
        at = network[2]
    for number, (found, normed) in enumerate(reversed(networks)):
        below = f"ffn.{number}." if number + 1 < len(networks) else ""
        linears |= {below + part: one for part, one in found.items()}
        norms[f"{below}output.LayerNorm"] = normed
    (inside, normed), heads = _attention(graph, at, source)
    return GraphLayer(linears | inside, norms | normed, heads, source)


def _feedforward(graph: OnnxGraph, name: str) -> tuple[dict[str, GraphLinear], GraphNorm, str] | None:
    """(linear layers, NoNorm, input) of the feed-forward network that computes `name`; None if attention does."""
    normed = required(graph, name)
    halves = projected(graph, normed.source)
    before = _before_relu(graph, halves[0].source) if halves else None
    if halves is None or before is None:
        return None
    inner, residual = linear(graph, before), halves[1]
    if inner is None or through(graph, inner.source) != through(graph, residual):
        raise not_bert(graph, residual, "the input of both the intermediate layer and the residual sum after it")
    return {"intermediate.dense": inner, "output.dense": halves[0]}, normed, residual


def _before_relu(graph: OnnxGraph, name: str) -> str | None:
    """The input of the relu that computes `name`; None if there is none.

    It may be a QuantizeLinear whose least byte is zero, which exporters let a relu disappear in.
    """
    while (node := graph.node(name)) is not None and node.op in LAYOUT | ROUNDING:
        if node.op == "QuantizeLinear" and clips_below_zero(graph, node) and linear(graph, node.inputs[0]):
            return node.inputs[0]
        name = node.inputs[0]
    return node.inputs[0] if node is not None and node.op == "Relu" else None


def _attention(graph: OnnxGraph, name: str, source: str) -> tuple[Parts, int]:
    """(linear layers, NoNorms) of the attention that computes `name` from `source`, and the number of heads."""
    last = required(graph, name)
    halves = projected(graph, last.source)
    if halves is None:
        raise not_bert(graph, last.source, "the sum of attention's output and the bottleneck's")
    found, heads = attention(graph, halves[0].source)
    shared = found["attention.self.query"].source
    if through(graph, found["attention.self.key"].source) != through(graph, shared):
        raise not_bert(graph, shared, "a bottleneck that query and key share")
    linears, norms = {**found, "attention.output.dense": halves[0]}, {"attention.output.LayerNorm": last}
    for part, output in (("input", halves[1]), ("attention", shared)):
        normed = required(graph, output)
        dense = linear(graph, normed.source)
        if dense is None:
            raise not_bert(graph, normed.source, "a linear layer into the bottleneck")
        linears[f"bottleneck.{part}.dense"], norms[f"bottleneck.{part}.LayerNorm"] = dense, normed
    readers = ("attention.self.value", "bottleneck.input.dense", "bottleneck.attention.dense")
    for one in readers:
        if through(graph, linears[one].source) != through(graph, source):
            raise not_bert(graph, linears[one].source, "the layer's input, read by the bottleneck and by value")
    return (linears, norms), heads
