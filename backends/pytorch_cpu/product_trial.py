"""Which of two ways multiplies in int8 where no measurement decides: a trial of the first layer at load, 512 tokens.

* Our product or oneDNN's, on ARM and with AVX2: what oneDNN has there differs by its version and the processor. Where
  its sums are wrong there is nothing to try: ours is used.
* MobileBERT's chains or its products one by one, of which some may skip zeros, or have VNNI where the chains do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import torch

from backends.base import Batch
from backends.pytorch_cpu import onednn, packed_bert, packed_mobilebert, sparse_trial, weight_zeros
from backends.pytorch_cpu.kernels import CpuKernels
from backends.pytorch_cpu.kernels.chain import ChainKernels
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.quantization.int8_model import QuantizedModel

TRIED = ("i8mm", "dotprod", "avx2")  # variants
_TOKENS, _LENGTH = 512, 256


def chosen(
    engine: QuantizedModel, kernels: CpuKernels, product: Int8Product | None, tried: Collection[str] = TRIED
) -> Int8Product | None:
    """`product`, or None for oneDNN's, where its variant is one of `tried` and not clearly faster on this machine."""
    if product is None or product.variant not in tried or not onednn.has_exact_int8():
        return product
    load = partial(packed_bert.from_engine, _first_layer(engine), kernels)
    return product if _is_faster(engine, load(product), load(None)) else None


def chains(
    engine: QuantizedModel,
    kernels: CpuKernels,
    found: ChainKernels | None,
    sparse: SparseProduct | None,
    product: Int8Product | None,
) -> ChainKernels | None:
    """`found`, or None for products one by one: `sparse` where that is faster, `product` or oneDNN's elsewhere."""
    without_vnni = found is not None and found.name == "avx2" and onednn.has_exact_int8()
    if found is None or not (without_vnni or weight_zeros.of_engine(engine).is_pruned):
        return found
    load = partial(packed_mobilebert.from_engine, _first_layer(engine), kernels, sparse, product=product)
    return None if _is_faster(engine, load(chains=None), load(chains=found)) else found


def _first_layer(engine: QuantizedModel) -> QuantizedModel:
    return replace(engine, config=replace(engine.config, num_hidden_layers=1))


def _is_faster(engine: QuantizedModel, one: Callable[[Batch], object], other: Callable[[Batch], object]) -> bool:
    """Whether `one` is clearly faster than the other."""
    length = min(_LENGTH, engine.config.max_position_embeddings)
    batch = Batch.blank(_TOKENS // length, length)
    return sparse_trial.is_call_faster([partial(one, batch), partial(other, batch)], torch.get_num_threads())
