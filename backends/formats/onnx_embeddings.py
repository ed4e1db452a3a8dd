"""The embedding tables of an ONNX graph, with their values, found from the sum that the first layer reads."""

from __future__ import annotations

from backends.formats.onnx_file import Array
from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_io_names import FIELDS, plain
from backends.formats.onnx_patterns import LAYOUT, ROUNDING, GraphLinear, linear, not_bert, through

# Operators of a sum of embeddings.
_SUMS = {"Add"} | LAYOUT | ROUNDING


def read(graph: OnnxGraph, total: str) -> tuple[dict[str, Array], GraphLinear | None]:
    """The three embedding tables of a sum, by what indexes them: an input's values, or a sample's length.

    One of them may go through a linear layer, as MobileBERT's words do; it is the second result.
    """
    found: dict[str | None, list[Array]] = {}
    dense: GraphLinear | None = None
    for name, node in graph.upstream(total, lambda name, node: node.op not in _SUMS or bool(linear(graph, name))):
        if through_dense := linear(graph, name):
            dense = through_dense
            found["word"] = [_words(graph, dense.source)]
            continue
        lookup = lookup_of(graph, node)
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
    return tables, dense


_KINDS = {"input_ids": "word", "token_type_ids": "token_type", "positions": "position"}


def _kind(graph: OnnxGraph, indices: str) -> str | None:
    """The table that these indices belong to, by the input of the graph that they are the values of; the positions if
    they depend on the shape of inputs only."""
    reached = graph.upstream(indices, lambda _, node: node.op == "Shape")
    names = {indices, *(name for _, node in reached if node.op != "Shape" for name in node.inputs)}
    inputs = [name for name in graph.inputs if name in names]
    field = FIELDS.get(plain(inputs[0])) if inputs else "positions"
    return _KINDS.get(str(field))


def lookup_of(graph: OnnxGraph, node: OnnxNode) -> tuple[Array, str] | None:
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


def _words(graph: OnnxGraph, name: str) -> Array:
    """The table whose rows `name` is made of. Raises BackendError if there is none."""
    found = graph.nearest(name, lambda one: lookup_of(graph, node) if (node := graph.node(one)) else None)
    if found is None:
        raise not_bert(graph, name, "rows of a table of words")
    return found[0]
