"""The rows of the embedding tables of an ONNX graph, found from its inputs by shapes alone.

An engine may answer for an index beyond its table: OpenVINO takes zeros. So the sizes are read from the graph, to be
compared with the data before anything runs. A table that is not found is None, and left to the engine's own check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backends.bert.signature import Field, Tables
from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_patterns import LAYOUT, ROUNDING, through

_SUMS = {"Add", "Sum"} | LAYOUT | ROUNDING
_SLICES = {"Gather", "Slice", "Expand"}  # select rows of a table of positions
_FUSED = "EmbedLayerNormalization"  # ONNX Runtime's: ids, types, tables of words, positions, types


@dataclass(frozen=True)
class _Lookup:
    """A row of `table` for each value of a graph's input; `rows` None: not known."""

    field: Field
    rows: int | None
    table: str
    output: str


def read(graph: OnnxGraph, fields: Mapping[str, Field]) -> Tables:
    """The rows of each table. `fields`: name of a graph's input → what it receives."""
    fused = next((node for node in graph.made_by.values() if node.op == _FUSED), None)
    if fused is not None and len(fused.inputs) > 4:
        words, positions, types = (_rows(graph, name) for name in fused.inputs[2:5])
        return Tables(words, types, positions)
    lookups = list(_lookups(graph, fields))
    rows = {
        field: min((one.rows for one in lookups if one.field == field and one.rows is not None), default=None)
        for field in ("input_ids", "token_type_ids", "positions")
    }
    known = (one for one in (rows["positions"], _positions(graph, lookups)) if one is not None)
    return Tables(rows["input_ids"], rows["token_type_ids"], min(known, default=None))


def _lookups(graph: OnnxGraph, fields: Mapping[str, Field]) -> Iterator[_Lookup]:
    for output, node in graph.made_by.items():
        if node.op not in ("Gather", "OneHot"):
            continue
        table, indices = node.inputs[:2] if node.op == "Gather" else (node.inputs[1], node.inputs[0])
        field = fields.get(through(graph, indices))
        if field is not None:
            yield _Lookup(field, _depth(graph, table) if node.op == "OneHot" else _rows(graph, table), table, output)


def _rows(graph: OnnxGraph, name: str) -> int | None:
    """The rows of a table that the file holds, as it is or rounded."""
    shape = graph.shapes.get(through(graph, name), ())
    return shape[0] if len(shape) == 2 else None


def _depth(graph: OnnxGraph, name: str) -> int | None:
    value = graph.constant(name)
    return int(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _positions(graph: OnnxGraph, lookups: list[_Lookup]) -> int | None:
    """The rows of the table that is added to the words' rows and that no input indexes."""
    readers: dict[str, list[tuple[str, OnnxNode]]] = {}
    for output, node in graph.made_by.items():
        for name in node.inputs:
            readers.setdefault(name, []).append((output, node))
    waiting = [one.output for one in lookups if one.field == "input_ids"]
    seen = {*waiting, *(one.output for one in lookups)}
    found: list[int] = []
    for name in waiting:
        for output, node in readers.get(name, ()):
            if node.op not in _SUMS or output in seen:
                continue
            seen.add(output)
            waiting.append(output)
            others = (other for other in node.inputs if other not in seen) if node.op in ("Add", "Sum") else ()
            found += [rows for other in others for rows in _rows_below(graph, other, seen)]
    return min(found, default=None)


def _rows_below(graph: OnnxGraph, name: str, seen: set[str]) -> Iterator[int]:
    """The rows of tables that `name` is a part or a sum of."""
    waiting, width = [name], 2
    for one in waiting:
        shape, node = graph.shapes.get(one, ()), graph.node(one)
        if len(shape) >= width:
            yield shape[-width]
        elif node is not None and one not in seen and node.op in _SUMS | _SLICES:
            seen.add(one)
            waiting.extend(node.inputs if node.op in ("Add", "Sum") else node.inputs[:1])
