"""Whether our int8 product or oneDNN's is used where neither was measured before: on ARM and with AVX2, by a trial.

The first layer runs on 512 tokens at load, with either. What oneDNN has there differs by its version and the processor.
Where its sums are wrong there is nothing to try: ours is used.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import torch

from backends.base import Batch
from backends.pytorch_cpu import onednn, packed_bert, sparse_trial
from backends.pytorch_cpu.kernels import CpuKernels
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.quantization.int8_model import QuantizedModel

TRIED = ("i8mm", "dotprod", "avx2")  # variants
_TOKENS, _LENGTH = 512, 256


def chosen(
    engine: QuantizedModel, kernels: CpuKernels, product: Int8Product | None, tried: Collection[str] = TRIED
) -> Int8Product | None:
    """`product`, or None for oneDNN's, where its variant is one of `tried` and not clearly faster on this machine."""
    if product is None or product.variant not in tried or not onednn.has_exact_int8():
        return product
    length = min(_LENGTH, engine.config.max_position_embeddings)
    batch = Batch.blank(_TOKENS // length, length)
    layer = replace(engine, config=replace(engine.config, num_hidden_layers=1))
    calls = [partial(packed_bert.from_engine(layer, kernels, one), batch) for one in (product, None)]
    return product if sparse_trial.is_call_faster(calls, torch.get_num_threads()) else None
