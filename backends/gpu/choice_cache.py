"""Keeps the GEMM variants that were measured for a precision and geometry, next to Triton's compiled kernels.

fp16 and bf16 have no engine to keep them in, and an engine may have been built on another machine. A choice is valid
for one GPU, one version of PyTorch (whose library it may name) and of Triton, and these sources.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
import triton

from backends.gpu.runtime import Gpu
from backends.gpu.weights import GpuWeights
from foundation import atomic_write, bounded_readers

_MOST_BYTES = 1 << 20
_SOURCES = (
    "engine.py",
    "gemm_variants.py",
    "gemm_tuning.py",
    "pass_tuning.py",
    "kernels/*.py",
    "hopper/*",
    "residual_norm.py",
)  # what a variant is, and how it is timed


def measured_on(gpu: Gpu) -> str:
    """What a measurement on this GPU is valid for: its name and the software."""
    return f"{gpu.name}, torch {torch.__version__}, triton {triton.__version__}, kernels {_digest()}"


@cache
def _digest() -> str:
    here = Path(__file__).parent
    files = sorted(file for pattern in _SOURCES for file in here.glob(pattern) if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def read(gpu: Gpu, weights: GpuWeights) -> dict[str, str] | None:
    """The choices that `write` stored for these shapes and this GPU; None if there are none, or none that are whole."""
    if gpu.choices_dir is None:
        return None
    with suppress(ValueError, OSError):
        found = bounded_readers.read_json(_path(gpu.choices_dir, gpu, weights), _MOST_BYTES)
        if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
            return found
    return None


def write(gpu: Gpu, weights: GpuWeights, choices: dict[str, str]) -> None:
    """Store choices for the next load. Where that is not possible, the next load measures again."""
    if gpu.choices_dir is None:
        return
    with suppress(OSError):
        gpu.choices_dir.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(_path(gpu.choices_dir, gpu, weights), json.dumps(choices, indent=2) + "\n")


def _path(directory: Path, gpu: Gpu, weights: GpuWeights) -> Path:
    """A file for the products of a layer, as the kernels see them."""
    layer = weights.layers[0]
    shapes = [
        (tuple(product.weight.shape), product.weight.dtype, product.output_encoding.dtype)
        for product in (layer.qkv, layer.attention_output, layer.ffn_inner, layer.ffn_output)
    ]
    key = hashlib.sha256(f"{measured_on(gpu)} {shapes}".encode()).hexdigest()[:32]
    return directory / f"bert-gemm-choices-{key}.json"
