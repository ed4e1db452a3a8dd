"""The same weights as a transformers model, and as the plain ONNX graph that its exporter makes."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from backends.bert.checkpoints import read_tensors
from backends.bert.model import Model

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def transformers_model(model: Model, **settings: Any) -> Any:
    """transformers' BertForQuestionAnswering with the weights of `model`."""
    assert model.config is not None
    config = transformers.BertConfig(**asdict(model.config), **settings)
    with torch.device("meta"):
        found = transformers.BertForQuestionAnswering(config)
    found = found.to_empty(device="cpu")
    found.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in read_tensors(model).items()}, strict=True)
    # Not in a checkpoint, so still without values.
    embeddings: Any = found.bert.embeddings
    embeddings.position_ids = torch.arange(config.max_position_embeddings)[None]
    embeddings.token_type_ids = torch.zeros_like(embeddings.position_ids)
    found.train(False)
    return found


def plain_onnx(model: Model, folder: Path) -> Path:
    """The exported graph, as MLPerf's published model was made: nothing fused, batch and length free."""
    path = folder / "plain.onnx"
    if path.is_file():
        return path
    temporary = path.with_suffix(".part")
    ids = torch.ones((1, 16), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own remarks on its age
        torch.onnx.export(
            transformers_model(model, attn_implementation="eager"),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            temporary,
            dynamo=False,
            opset_version=17,
            input_names=list(INPUTS),
            output_names=["start_logits", "end_logits"],
            dynamic_axes={name: {0: "batch", 1: "sequence"} for name in (*INPUTS, "start_logits", "end_logits")},
        )
    temporary.replace(path)
    return path
