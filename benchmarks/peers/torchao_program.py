"""The same weights as a program of PyTorch in int8: exported, quantized by torchao, compiled for this machine."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backends.bert.model import Model
from benchmarks.peers import export
from benchmarks.peers.base import Sample

_PT2E = "torchao.quantization.pt2e"  # no extra brings it, so type checkers may lack it
_LONGEST = 512  # tokens, of the position embeddings


class _OneSample(nn.Module):
    """A model without an attention mask: one sample has no padding."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        found = self._model(input_ids=input_ids, token_type_ids=token_type_ids)
        return found.start_logits, found.end_logits


def inputs(sample: Sample) -> tuple[Tensor, Tensor]:
    """The program's arguments, int64 [1, S] each."""
    return torch.from_numpy(sample.input_ids), torch.from_numpy(sample.token_type_ids)


@torch.no_grad()
def write(model: Model, calibration: Sequence[Sample], path: Path) -> None:
    """Write the compiled program, a .pt2 file."""
    steps: Any = importlib.import_module(f"{_PT2E}.quantize_pt2e")
    x86: Any = importlib.import_module(f"{_PT2E}.quantizer.x86_inductor_quantizer")
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_dynamic=True))
    exported = _exported(_OneSample(export.transformers_model(model)), calibration[0])
    prepared = steps.prepare_pt2e(exported.module(), quantizer)
    for sample in calibration:
        prepared(*inputs(sample))
    program = _exported(steps.convert_pt2e(prepared), calibration[0])
    torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs={"freezing": True})


def _exported(module: nn.Module, sample: Sample) -> torch.export.ExportedProgram:
    """For samples of any length."""
    length = {1: torch.export.Dim("length", min=2, max=_LONGEST)}
    return torch.export.export(module, inputs(sample), dynamic_shapes=(length, length), strict=False)
