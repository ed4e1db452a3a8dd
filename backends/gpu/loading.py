"""Loads a model: its weights onto a device, and the GEMM variant of each product."""

from __future__ import annotations

import torch

from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.gpu import engine, gemm_tuning, weights
from backends.gpu.kernels import TRITON
from backends.gpu.packed_bert import GpuBert
from backends.gpu.weights import FLOATS, GpuWeights

_CALL_MS = 20  # time spent on measuring one variant


def on_gpu(model: Model, precision: str, device: torch.device) -> GpuBert:
    """The model on a GPU; if the engine has no choices for this GPU, its GEMMs are measured first."""
    found, recorded = read(model, precision, device)
    name = torch.cuda.get_device_name(device)
    return GpuBert(found, TRITON, recorded.get(name) or measure(found))


def read(model: Model, precision: str, device: torch.device) -> tuple[GpuWeights, engine.ChoicesByGpu]:
    """The weights, and the choices of GEMM variants that an engine holds, by GPU.

    Raises:
        BackendError: the weights or the engine cannot be read.
    """
    if precision in FLOATS:
        source = read_weights(model)
        return weights.from_floats(source.config, source.tensors, FLOATS[precision], device), {}
    built = engine.read_for(model)
    return weights.from_engine(built, device), built.choices


def measure_engine(built: engine.Engine) -> gemm_tuning.GemmChoices:
    """The fastest variants for an engine that is about to be written, on the first GPU."""
    return measure(weights.from_engine(built, torch.device("cuda", 0)))


def measure(found: GpuWeights) -> gemm_tuning.GemmChoices:
    """The fastest variant of each product on the GPU that holds the weights."""
    return gemm_tuning.measured(found.layers[0], TRITON, _milliseconds)


def _milliseconds(call: gemm_tuning.Call) -> float:
    """The median time of one call with a cold L2 cache."""
    from triton.testing import do_bench

    return float(do_bench(call, warmup=_CALL_MS // 4, rep=_CALL_MS, return_mode="median"))
