"""Our int8 product or oneDNN's: a trial of the first layer, where no measurement decided before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_bert import SMALL, random_tensors, round_to_nearest

from backends.pytorch_cpu import product_trial
from backends.pytorch_cpu.kernels import best, int8_product
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
