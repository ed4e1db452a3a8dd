"""Loads a model: its weights onto a device, and the GEMM variant of each product."""

from __future__ import annotations

import torch

from backends.bert.architectures import require_bert
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.gpu import choice_cache, engine, gemm_tuning, pass_tuning, weights
from backends.gpu.packed_bert import GpuBert
from backends.gpu.runtime import Gpu
from backends.gpu.weights import FLOATS, GpuWeights


def on_gpu(model: Model, precision: str, gpu: Gpu) -> GpuBert:
    """The model on a GPU; its GEMMs are measured first if neither engine nor cache has choices for this GPU."""
    found, recorded = read(model, precision, gpu.device)
    return GpuBert(found, gpu.kernels, recorded.get(choice_cache.measured_on(gpu)) or measure(found, gpu))


def read(model: Model, precision: str, device: torch.device) -> tuple[GpuWeights, engine.ChoicesByGpu]:
    """The weights, and the choices of GEMM variants that an engine holds, by GPU.

    Raises:
        BackendError: the weights or the engine cannot be read.
    """
    if precision in FLOATS:
        source = read_weights(model)
        return weights.from_floats(
            require_bert(source.config, "backend gpu"), source.tensors, FLOATS[precision], device
        ), {}
    built = engine.read_for(model)
    return weights.from_engine(built, device), built.choices


def measure(found: GpuWeights, gpu: Gpu) -> gemm_tuning.GemmChoices:
    """The fastest variant of each product on the GPU that holds the weights, as measured now or earlier."""
    if (choices := choice_cache.read(gpu, found)) is None:
        choices = pass_tuning.measured(found, gpu, gemm_tuning.measured(found.layers[0], gpu))
        choice_cache.write(gpu, found, choices)
    return choices


def measure_engine(built: engine.Engine, gpu: Gpu) -> engine.ChoicesByGpu:
    """The fastest variants for an engine that is about to be written, under the key that they are valid for."""
    return {choice_cache.measured_on(gpu): measure(weights.from_engine(built, gpu.device), gpu)}
