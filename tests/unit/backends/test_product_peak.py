"""The ways to compute a product of which the fastest is the machine's peak."""

from __future__ import annotations

import pytest

from backends.pytorch_cpu import onednn, product_peak
from backends.pytorch_cpu.kernels import int8_product

SIZES = (16, 64, 64)


@pytest.mark.parametrize("precision", product_peak.PRECISIONS)
def test_every_way_runs_on_this_machine(precision: str) -> None:
    ways = list(product_peak.kernels(precision, SIZES))
    assert ways and all(product_peak.seconds(way) > 0 for way in ways)


def test_a_product_whose_sums_are_wrong_is_no_peak() -> None:
    product = int8_product.find()
    ours = 2 * (product is not None) + 2 * (product is not None and product.of_bounded is not None)
    exact = onednn.has_exact_int8() * (2 + onednn.has_bfloat16())
    assert len(list(product_peak.kernels("int8", SIZES))) == ours + exact
