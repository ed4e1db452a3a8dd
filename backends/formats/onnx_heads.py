"""The heads of a BERT in an ONNX graph: their linear layers, found from the names of the graph's outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.formats import onnx_io_names
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_patterns import GraphLinear, linear, not_bert, through

Found = tuple[dict[str, GraphLinear], str]  # the head's linear layers by name, the name of the encoder's output


def read(graph: OnnxGraph) -> tuple[str, dict[str, GraphLinear], str]:
    """The head (a key of `heads.HEADS`), its linear layers by name, and the name of the encoder's output.

    Raises:
        BackendError: the graph has no such head.
    """
    kind = CLASSES if onnx_io_names.classes(graph.outputs) else SPANS
    return kind, *_READERS[kind](graph)


def _spans(graph: OnnxGraph) -> Found:
    """The head's linear layer, with the start logits first, and the name of its input, the encoder's output."""
    head = graph.nearest(graph.outputs[0], lambda name: linear(graph, name))
    if head is None or len(head.weight) != COLUMNS:
        raise not_bert(graph, graph.outputs[0], "the two outputs, start and end, of a linear layer")
    ends = sorted(graph.outputs[:2], key=lambda name: "end" in name)
    order = [_half(graph, name) for name in ends]
    if sorted(order) != [0, 1]:
        raise not_bert(graph, ends[0], "the start's half of the logits, and the other as the end's")
    return {"qa_outputs": replace(head, weight=head.weight[order], bias=head.bias[order])}, head.source


def _classes(graph: OnnxGraph) -> Found:
    """The head's two linear layers, and the name of the encoder's output, of which the pooler reads the first token."""
    output = onnx_io_names.classes(graph.outputs)[0]
    classifier = linear(graph, output)
    if classifier is None or len(classifier.weight) != COLUMNS:
        raise not_bert(graph, output, "a linear layer with two outputs")
    tanh = graph.node(through(graph, classifier.source))
    pooler = linear(graph, tanh.inputs[0]) if tanh is not None and tanh.op == "Tanh" else None
    first = graph.node(through(graph, pooler.source)) if pooler else None
    if pooler is None or first is None or first.op not in ("Gather", "Slice"):
        raise not_bert(graph, classifier.source, "Tanh of a linear layer over the first token")
    return {"bert.pooler.dense": pooler, "classifier": classifier}, first.inputs[0]


def _half(graph: OnnxGraph, output: str) -> int:
    """0 or 1: which half of the head's outputs this is, by the node that splits them."""
    for name, node in graph.upstream(output):
        if node.op == "Split":
            return node.outputs.index(name)
        index = graph.constant(node.inputs[1]) if node.op in ("Gather", "Slice") else None
        if index is not None:
            return int(index.reshape(-1)[0])
    raise not_bert(graph, output, "a half of the logits")


_READERS: dict[str, Callable[[OnnxGraph], Found]] = {SPANS: _spans, CLASSES: _classes}
