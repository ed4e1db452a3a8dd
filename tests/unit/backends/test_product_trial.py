"""Trials of the first layer: our int8 product or oneDNN's, MobileBERT's chains or its products one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_bert import SMALL, random_tensors, round_to_nearest
from small_mobilebert import TINY
from small_mobilebert import random_tensors as mobilebert_tensors

from backends.formats.random_weights import Pruning
from backends.pytorch_cpu import onednn, product_trial
from backends.pytorch_cpu.kernels import best, chain, int8_product, sparse_product
from backends.pytorch_cpu.kernels.chain import ChainKernels
from backends.pytorch_cpu.kernels.int8_product import VARIANTS, Int8Product

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


@pytest.mark.parametrize("variant", chain.VARIANTS)
@torch.inference_mode()
def test_chains_are_tried_against_products_that_skip_zeros(variant: str) -> None:
    found, tensors = chain.load(variant), mobilebert_tensors(1)
    if found is None:
        pytest.skip(f"{variant} was not built, or does not run here")

    def chains() -> ChainKernels | None:
        engine, kernels = round_to_nearest(TINY, tensors), best(TINY.hidden_size, TINY.head_size)
        return product_trial.chains(engine, kernels, found, sparse_product.find(), int8_product.find())

    if variant != "avx2" or not onednn.has_exact_int8():
        assert chains() is found
    for name in [name for name, one in tensors.items() if ".encoder." in name and one.ndim == 2]:
        Pruning(0.8, "block4").apply(name, tensors[name])
    assert chains() in (found, None)


def test_where_there_are_no_chains_none_is_tried() -> None:
    engine = round_to_nearest(TINY, mobilebert_tensors(1))
    assert product_trial.chains(engine, best(TINY.hidden_size, TINY.head_size), None, None, None) is None
