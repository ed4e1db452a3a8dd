"""Which of two ways multiplies in int8 where no measurement decides: a trial of the first layers at load.

* Our product or oneDNN's, on ARM and with AVX2: what oneDNN has there differs by its version and the processor. Where
  its sums are wrong there is nothing to try: ours is used.
* MobileBERT's chains or its products one by one, where some of these may skip zeros, or have VNNI and the chains not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import torch

from backends.base import Batch
from backends.bert.mobilebert import MobileBertConfig
from backends.pytorch_cpu import (
    chained_mobilebert,
    onednn,
    packed_bert,
    packed_mobilebert,
    sparse_trial,
    trial,
    weight_zeros,
)
from backends.pytorch_cpu.kernels import CpuKernels
from backends.pytorch_cpu.kernels.chain import ChainKernels
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.quantization.int8_model import QuantizedModel

TRIED = ("i8mm", "dotprod", "avx2")  # variants
_TOKENS, _LENGTH = 768, 256  # as many blocks of a chain for one thread as for eight
_CHAINED_LAYERS = 4  # next to which the embeddings, computed once, hardly count

IsFaster = Callable[[Callable[[], object], Callable[[], object], int], bool]  # trial.is_faster


def chosen(
    engine: QuantizedModel, kernels: CpuKernels, product: Int8Product | None, tried: Collection[str] = TRIED
) -> Int8Product | None:
    """`product`, or None for oneDNN's, where its variant is one of `tried` and not clearly faster on this machine."""
    if product is None or product.variant not in tried or not onednn.has_exact_int8():
        return product
    batch, load = _batch(engine), partial(packed_bert.from_engine, _first(engine, 1), kernels)
    ours, onednns = (partial(load(one), batch) for one in (product, None))
    return product if trial.is_faster(ours, onednns, torch.get_num_threads()) else None


def chosen_chains(
    engine: QuantizedModel,
    kernels: CpuKernels,
    chains: ChainKernels | None,
    sparse: SparseProduct | None,
    product: Int8Product | None,
    is_faster: IsFaster = trial.is_faster,
) -> ChainKernels | None:
    """`chains`, or None where products one by one are clearly faster, or the chains do not take the model's sizes.

    Tried if zeros may be skipped by `sparse`, or if oneDNN alone has VNNI; `product` as of `packed_mobilebert`.
    """
    config, first = engine.config, _first(engine, _CHAINED_LAYERS)
    assert isinstance(config, MobileBertConfig)
    if chains is None or not chained_mobilebert.fits(chains, config):
        return None
    skips = sparse is not None and weight_zeros.of_engine(first).blocks >= sparse_trial.LEAST
    if not skips and not (chains.name == "avx2" and onednn.has_exact_int8()):
        return chains
    batch, load = _batch(engine), partial(packed_mobilebert.from_engine, first, kernels, sparse, product=product)
    single, chained = (partial(load(chains=one), batch) for one in (None, chains))
    return None if is_faster(single, chained, torch.get_num_threads()) else chains


def _first(engine: QuantizedModel, layers: int) -> QuantizedModel:
    """The model of the first layers alone."""
    return replace(
        engine, config=replace(engine.config, num_hidden_layers=min(layers, engine.config.num_hidden_layers))
    )


def _batch(engine: QuantizedModel) -> Batch:
    length = min(_LENGTH, engine.config.max_position_embeddings)
    return Batch.blank(_TOKENS // length, length)
