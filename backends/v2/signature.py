"""How to call a model, from what its server says of it: which input gets what, and which outputs are the answer.

Names are those of published BERT graphs (`formats.onnx_io_names`), which servers keep: MLPerf's input_mask and
segment_ids, Hugging Face's attention_mask and token_type_ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.bert.signature import Field, GraphInput, Signature
from backends.errors import BackendError
from backends.formats import onnx_io_names
from backends.formats.onnx_io_names import FIELDS, plain
from backends.v2.messages import ModelMetadata, TensorMetadata
from foundation.foreign_text import printable

_INPUT_TYPES = {"INT64": "int64", "INT32": "int32"}
_OUTPUT_TYPES = ("FP32", "FP16", "FP64")
_JOINT = "logits"  # start and end logits in one output, [B, S, 2]


@dataclass(frozen=True, kw_only=True)
class ServedSignature:
    """The inputs and outputs of a model on a server."""

    graph: Signature
    datatypes: tuple[str, ...]  # of its inputs, in their order
    is_joint: bool = False  # one output has start and end logits
    most_batch: int | None = None  # samples of a call; None: any number

    @property
    def has_mask(self) -> bool:
        """False: padding reaches the answers, so that a call may only have samples of one length."""
        return any(one.field == "attention_mask" for one in self.graph.inputs)


def of(model: ModelMetadata, most_batch: int | None = None) -> ServedSignature:
    """The signature of a model.

    Args:
        most_batch: the largest batch, if the server says it.

    Raises:
        BackendError: its inputs or outputs are not those of a BERT.
    """
    inputs, (batch, length) = _inputs(model), _sizes(model)
    head, outputs, is_joint = _outputs(model)
    found = Signature(head=head, inputs=inputs, outputs=outputs, batch=batch, length=length)
    datatypes = tuple(one.datatype for one in model.inputs)
    signature = ServedSignature(graph=found, datatypes=datatypes, is_joint=is_joint, most_batch=most_batch)
    if length is not None and not signature.has_mask:
        raise BackendError(f"{_expected(model)} an input attention_mask or input_mask, since its length is fixed.")
    return signature


def _inputs(model: ModelMetadata) -> tuple[GraphInput, ...]:
    fields: list[Field | None] = [FIELDS.get(plain(one.name)) for one in model.inputs]
    known = [field for field in fields if field]
    if "input_ids" not in known or len(set(known)) < len(fields):
        raise BackendError(f"{_expected(model)} inputs among {', '.join(FIELDS)}, found {_shown(model.inputs)}.")
    if any(one.datatype not in _INPUT_TYPES for one in model.inputs):
        raise BackendError(f"{_expected(model)} inputs of {' or '.join(_INPUT_TYPES)}, found {_shown(model.inputs)}.")
    return tuple(
        GraphInput(one.name, field, _INPUT_TYPES[one.datatype]) for one, field in zip(model.inputs, known, strict=True)
    )


def _sizes(model: ModelMetadata) -> tuple[int | None, int | None]:
    """The fixed number of samples and the fixed length; None: free."""
    shapes = {one.shape for one in model.inputs}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise BackendError(f"{_expected(model)} inputs of one shape, [samples, tokens], found {_shown(model.inputs)}.")
    batch, length = (size if size > 0 else None for size in shapes.pop())
    return batch, length


def _outputs(model: ModelMetadata) -> tuple[str, tuple[str, ...], bool]:
    """The head, its outputs, and whether one output has both logits of spans."""
    names, by_name = [one.name for one in model.outputs], {one.name: one for one in model.outputs}
    spans, others = onnx_io_names.named(SPANS, names), onnx_io_names.named(CLASSES, names)
    found: tuple[str, tuple[str, ...], bool] | None = None
    if spans:
        found = SPANS, spans, False
    elif others and len(by_name[others[0]].shape) == 3:
        found = SPANS, others, True
    elif others:
        found = CLASSES, others, False
    if found is None or any(by_name[name].datatype not in _OUTPUT_TYPES for name in found[1]):
        raise BackendError(
            f"{_expected(model)} outputs start_logits and end_logits [samples, tokens], or {_JOINT} [samples, tokens, "
            f"{COLUMNS}] or [samples, {COLUMNS}], of {', '.join(_OUTPUT_TYPES)}, found {_shown(model.outputs)}."
        )
    return found


def _expected(model: ModelMetadata) -> str:
    return f"expected the model {printable(model.name)!r} on the server to have"


def _shown(tensors: Sequence[TensorMetadata]) -> str:
    return printable(", ".join(map(str, tensors)))[:500] or "none"
