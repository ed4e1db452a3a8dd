"""Sparse or dense: the faster of two layers, tried once for a shape and share of zeros."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backends.pytorch_cpu import sparse_trial
from backends.pytorch_cpu.kernels import Encoding
from backends.pytorch_cpu.sparse_trial import Case


class Layer:
    """Multiplies `squares` times; far more often than what it is compared with, or never."""

    input_encoding = Encoding(torch.uint8)

    def __init__(self, squares: int) -> None:
        self._squares = squares

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.ones(64, 64)
        for _ in range(self._squares):
            y = y @ y
        return y


@pytest.mark.parametrize(("sparse", "dense", "faster"), [(0, 30, True), (30, 0, False), (20, 20, False)])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_sparse_product_runs_where_it_is_clearly_faster(
    sparse: int, dense: int, faster: bool, threads: int
) -> None:
    case, made = Case(sparse, dense, 16, False, False, torch.uint8, False, threads), []

    def make(squares: int) -> Layer:
        made.append(squares)
        return Layer(squares)

    found = [sparse_trial.is_faster(case, lambda: make(sparse), lambda: make(dense)) for _ in range(2)]
    if (sparse, dense) != (20, 20):  # of equal ones, chance may find one 5 % faster, but no more than once
        assert found[0] is faster
    assert found[0] is found[1]
    assert made == [sparse, dense]
