"""The heads of a BERT in an ONNX graph: its outputs, by name or by the half of the logits, and their linear layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.errors import BackendError
from backends.formats import onnx_io_names
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_patterns import GraphLinear, linear, not_bert, through

Found = tuple[dict[str, GraphLinear], str]  # the head's linear layers by name, the name of the encoder's output
_START, _END = (re.compile(rf"(?<![a-z]){word}(?![a-z])") for word in ("start", "end"))


def outputs(graph: OnnxGraph) -> tuple[str, tuple[str, ...]]:
    """The head (a key of `heads.HEADS`) and its outputs: start and end logits, or the logits of the classes.

    Names that exporters use count. Otherwise the first half of the head's logits is the start, whatever the order of
    the outputs: TensorFlow's exporter lists them as unstack:1, unstack:0.

    Raises:
        BackendError: the graph has neither.
    """
    for head in (SPANS, CLASSES):
        found = onnx_io_names.named(head, graph.outputs)
        if found is not None:
            return head, found
    halves = {half: name for name in graph.outputs[::-1] if (half := _half(graph, name)) is not None}
    if halves.keys() != {0, 1}:
        raise BackendError(
            f"expected the outputs output_start_logits and output_end_logits, or logits, in {graph.path}, or the two "
            f"halves of one output of a linear layer, found {', '.join(graph.outputs)}. Export it with these names."
        )
    start, end = halves[0], halves[1]
    return SPANS, (end, start) if _END.search(start.lower()) or _START.search(end.lower()) else (start, end)


def read(graph: OnnxGraph) -> tuple[str, dict[str, GraphLinear], str]:
    """The head (a key of `heads.HEADS`), its linear layers by name, and the name of the encoder's output.

    Raises:
        BackendError: the graph has no such head.
    """
    kind, found = outputs(graph)
    return kind, *_READERS[kind](graph, found)


def _spans(graph: OnnxGraph, found: tuple[str, ...]) -> Found:
    """The head's linear layer, with the start logits first, and the name of its input, the encoder's output."""
    head = graph.nearest(found[0], lambda name: linear(graph, name))
    if head is None or len(head.weight) != COLUMNS:
        raise not_bert(graph, found[0], "the two outputs, start and end, of a linear layer")
    order = [_half(graph, name) for name in found]
    if sorted(map(str, order)) != ["0", "1"]:
        raise not_bert(graph, found[0], "the start's half of the logits, and the other as the end's")
    rows = [int(half or 0) for half in order]
    return {"qa_outputs": replace(head, weight=head.weight[rows], bias=head.bias[rows])}, head.source


def _classes(graph: OnnxGraph, found: tuple[str, ...]) -> Found:
    """The head's two linear layers, and the name of the encoder's output, of which the pooler reads the first token."""
    output = found[0]
    classifier = linear(graph, output)
    if classifier is None or len(classifier.weight) != COLUMNS:
        raise not_bert(graph, output, "a linear layer with two outputs")
    tanh = graph.node(through(graph, classifier.source))
    pooler = linear(graph, tanh.inputs[0]) if tanh is not None and tanh.op == "Tanh" else None
    first = graph.node(through(graph, pooler.source)) if pooler else None
    if pooler is None or first is None or first.op not in ("Gather", "Slice"):
        raise not_bert(graph, classifier.source, "Tanh of a linear layer over the first token")
    return {"bert.pooler.dense": pooler, "classifier": classifier}, first.inputs[0]


def _half(graph: OnnxGraph, output: str) -> int | None:
    """0 or 1: which half of the logits this output is, by the node that splits them; None if it is neither."""
    name = through(graph, output)
    node = graph.node(name)
    if node is None:
        return None
    if node.op == "Split":
        return node.outputs.index(name) if len(node.outputs) == COLUMNS else None
    if node.op not in ("Gather", "Slice"):
        return None
    given = node.attributes.get("starts") if len(node.inputs) == 1 else graph.constant(node.inputs[1])
    at = np.reshape([] if given is None else given, -1)  # an index, or the starts of one axis or of all up to the last
    return int(at[-1]) % COLUMNS if at.size and not at[:-1].any() and at[-1] in (-2, -1, 0, 1) else None


_READERS: dict[str, Callable[[OnnxGraph, tuple[str, ...]], Found]] = {SPANS: _spans, CLASSES: _classes}
