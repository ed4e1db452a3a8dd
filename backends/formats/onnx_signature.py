"""Reads the signature of an .onnx file that is to run as it is: what it takes and gives, without its weights.

A graph is fed what it declares: int32 or int64, a fixed batch or length, ids of samples that nothing depends on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backends.bert import config_files
from backends.bert.heads import CLASSES
from backends.bert.signature import Field, GraphInput, Signature
from backends.errors import BackendError
from backends.formats import onnx_file, onnx_graph_walk, onnx_heads, onnx_reader, onnx_tables
from backends.formats.onnx_io_names import FIELDS, REQUIRED, plain


def read(path: Path) -> Signature:
    """The signature of the graph in `path`.

    Raises:
        BackendError: it is not a graph, or not one that takes and gives what a BERT does.
    """
    proto = onnx_file.parse(path).graph
    graph = onnx_graph_walk.of_proto(path, proto, weights=None)
    head, outputs = onnx_heads.outputs(graph)
    axes = {value.name: len(value.type.tensor_type.shape.dim) for value in proto.output}
    if head == CLASSES and axes[outputs[0]] > 2:
        raise BackendError(
            f"expected {outputs[0]} [batch, 2] in {path}, found {axes[outputs[0]]} axes. Export start and end logits "
            f"as two outputs, or name the model that it was exported from."
        )
    given = [value for value in proto.input if value.name in graph.inputs]
    inputs = tuple(_input(path, value, [one.name for one in given]) for value in given)
    if {one.field for one in inputs} < REQUIRED or len({one.field for one in inputs}) < len(inputs):
        raise _wrong_inputs(path, [one.name for one in inputs])
    sizes = [_sizes(value) for value, one in zip(given, inputs, strict=True) if one.field in REQUIRED]
    return Signature(
        head=head,
        inputs=inputs,
        outputs=outputs,
        batch=_one(path, "samples", [batch for batch, _ in sizes]),
        length=_one(path, "tokens", [length for _, length in sizes]),
        order=config_files.class_order(path) if head == CLASSES else (0, 1),
        tables=onnx_tables.read(graph, {one.name: one.field for one in inputs}),
        geometry=onnx_reader.geometry(path, proto),
    )


def _input(path: Path, value: Any, names: list[str]) -> GraphInput:
    """An input by its name; one of a single axis that no name explains is taken for the samples' own ids."""
    from onnx import helper

    tensor = value.type.tensor_type
    rank = len(tensor.shape.dim) if tensor.HasField("shape") else None
    field: Field | None = FIELDS.get(plain(value.name)) or ("samples" if rank == 1 else None)
    dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(tensor.elem_type) if tensor.elem_type else np.dtype(object)
    if field is None or rank not in (None, 1 if field == "samples" else 2) or dtype.kind not in "iufb":
        raise _wrong_inputs(path, names)
    return GraphInput(value.name, field, dtype.name)


def _wrong_inputs(path: Path, names: list[str]) -> BackendError:
    return BackendError(
        f"expected the inputs input_ids, input_mask (or attention_mask), segment_ids (or token_type_ids) of numbers, "
        f"[batch, sequence], in {path}, found {', '.join(names)}. Export it with these, or type --backend pytorch, "
        f"which reads its weights alone."
    )


def _sizes(value: Any) -> tuple[int, int]:
    """(samples, tokens) of an input [batch, sequence]; 0 for one that is free."""
    axes = value.type.tensor_type.shape.dim
    return (max(0, axes[0].dim_value), max(0, axes[1].dim_value)) if axes else (0, 0)


def _one(path: Path, what: str, sizes: list[int]) -> int | None:
    fixed = {size for size in sizes if size}
    if len(fixed) > 1:
        raise BackendError(
            f"expected inputs of one size in {path}, found {' and '.join(map(str, sorted(fixed)))} {what}. "
            f"Export it again."
        )
    return next(iter(fixed), None)
