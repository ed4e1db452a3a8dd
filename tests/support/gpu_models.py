"""The gpu backend's models for tests that run without a GPU: built on the CPU, and fp32's answers to compare with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from backends import engine_builder
from backends.base import Batch
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import read_tensors
from backends.bert.model import Model
from backends.bert.torch_module import BertForQuestionAnswering
from foundation.arrays import Float32


def readable(model: Model, batch: Batch) -> Float32:
    """fp32's answers, one rectangle for all."""
    assert model.config is not None
    bert = BertForQuestionAnswering(require_bert(model.config, "this test"))
    bert.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in read_tensors(model).items()})
    bert.eval()
    view = batch.padded()
    with torch.inference_mode():
        mask = torch.from_numpy(view.attention_mask).bool()
        return batch.pack(bert(torch.from_numpy(view.input_ids), torch.from_numpy(view.token_type_ids), mask).numpy())


def built(model: Model, precision: str, samples: list[Batch], folder: Path) -> Model:
    """The model with an engine, where the precision needs one."""
    if precision not in ("fp8", "int8"):
        return model
    engine_builder("gpu").build(folder / precision, model, samples, {"precision": precision}, 2, lambda *_: None)
    return replace(model, engine=folder / precision)
