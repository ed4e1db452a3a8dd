"""Trials of the first layers: our int8 product or oneDNN's, MobileBERT's chains or its products one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_bert import SMALL, random_tensors, round_to_nearest
from small_mobilebert import TINY
from small_mobilebert import random_tensors as mobilebert_tensors

from backends.base import Batch
from backends.bert.mobilebert import MobileBertConfig
from backends.formats.random_weights import Pruning
from backends.pytorch_cpu import onednn, packed_mobilebert, product_trial
from backends.pytorch_cpu.kernels import best, chain, int8_product, sparse_product
from backends.pytorch_cpu.kernels.chain import ChainKernels
from backends.pytorch_cpu.kernels.int8_product import VARIANTS, Int8Product
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct
from backends.quantization.int8_model import QuantizedModel

CONFIG = replace(SMALL, num_hidden_layers=2)
PRODUCTS = {one: found for one in VARIANTS if (found := int8_product.load(one))}


@torch.inference_mode()
def chosen(product: Int8Product | None, tried: tuple[str, ...]) -> Int8Product | None:
    engine = round_to_nearest(CONFIG, random_tensors(CONFIG, 1))
    return product_trial.chosen(engine, best(CONFIG.hidden_size, CONFIG.head_size), product, tried)


def test_without_ours_it_is_onednns() -> None:
    assert chosen(None, VARIANTS) is None


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_one_that_was_measured_is_not_tried_and_another_is(product: Int8Product) -> None:
    assert chosen(product, ()) is product
    assert chosen(product, VARIANTS) in (product, None)


class Trial:
    """Stands for the clock: it notes what two calls compute, and finds the first of them faster, or not."""

    def __init__(self, finds: bool) -> None:
        self._finds = finds
        self.calls: list[object] = []

    def __call__(self, one: Callable[[], object], other: Callable[[], object], _: int) -> bool:
        self.calls += [one(), other()]
        return self._finds


def mobilebert(config: MobileBertConfig = TINY, zeros: float = 0.0) -> QuantizedModel:
    tensors = mobilebert_tensors(1, config)
    for name in [name for name, one in tensors.items() if ".encoder." in name and one.ndim == 2]:
        Pruning(zeros, "block4").apply(name, tensors[name])
    return round_to_nearest(config, tensors)


@torch.inference_mode()
def chosen_chains(
    engine: QuantizedModel, chains: ChainKernels | None, clock: Trial, sparse: SparseProduct | None
) -> ChainKernels | None:
    kernels = best(TINY.hidden_size, engine.config.head_size)
    return product_trial.chosen_chains(engine, kernels, chains, sparse, int8_product.find(), clock)


CHAINS = {one: loaded for one in chain.VARIANTS if (loaded := chain.load(one))}


@pytest.mark.parametrize("faster", [False, True])
@pytest.mark.parametrize("chains", CHAINS.values(), ids=CHAINS)
@torch.inference_mode()
def test_chains_are_tried_against_products_that_skip_zeros(chains: ChainKernels, faster: bool) -> None:
    clock, engine, sparse = Trial(faster), mobilebert(zeros=0.8), sparse_product.find()
    assert chosen_chains(engine, chains, clock, sparse) is (None if faster else chains)
    kernels, batch = best(TINY.hidden_size, TINY.head_size), Batch.blank(3, 256)
    for found, one in zip(clock.calls, (None, chains), strict=True):
        expected = packed_mobilebert.from_engine(engine, kernels, sparse, one, int8_product.find())(batch)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("chains", CHAINS.values(), ids=CHAINS)
def test_chains_that_nothing_can_beat_are_not_tried(chains: ChainKernels) -> None:
    for engine, sparse in ((mobilebert(), sparse_product.find()), (mobilebert(zeros=0.8), None)):
        clock = Trial(True)
        tried = chains.name == "avx2" and onednn.has_exact_int8()
        assert chosen_chains(engine, chains, clock, sparse) is (None if tried else chains)
        assert bool(clock.calls) == tried


@pytest.mark.parametrize("chains", [None, *CHAINS.values()], ids=["none", *CHAINS])
def test_without_chains_or_where_they_do_not_fit_none_is_tried(chains: ChainKernels | None) -> None:
    clock, engine = Trial(False), mobilebert(replace(TINY, intermediate_size=100) if chains else TINY, 0.8)
    assert chosen_chains(engine, chains, clock, sparse_product.find()) is None
    assert not clock.calls
