"""Everything between the matrix products of a packed BERT: embedding, residual + LayerNorm, attention.

Each kernel takes packed tokens and writes its result in the encoding of the next matrix product's input: float,
bfloat16 or quantized bytes. `native.py` has them in C++, `reference.py` in PyTorch; a test compares the two.
"""

from __future__ import annotations

from backends.pytorch_cpu.kernels.base import Activation, CpuKernels, EmbeddingTables, Encoding, LayerNorm


def best(hidden_size: int, head_size: int) -> CpuKernels:
    """The fastest kernels that run on this machine and support these sizes."""
    from backends.pytorch_cpu.kernels import native, reference

    return native.find(hidden_size, head_size) or reference.ReferenceKernels()


__all__ = ["Activation", "CpuKernels", "EmbeddingTables", "Encoding", "LayerNorm", "best"]
