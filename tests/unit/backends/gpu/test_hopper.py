"""The Hopper product's parts that need no GPU: its shapes, the order of columns, and that NVRTC compiles it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from backends.gpu.hopper import gemm, nvrtc, small
from backends.gpu.hopper.source import (
    AS_IT_IS,
    BF16,
    E4M3,
    F16,
    NORMALIZED,
    S8,
    STEP,
    Shape,
    Types,
    shared_memory,
    source,
    stages,
)
from backends.gpu.weights import Product
from backends.pytorch_cpu.kernels import Encoding

KINDS = (
    Types(operand=S8, result=S8, gelu=True, scaled=True),
    Types(operand=S8, result=F16, gelu=False, scaled=True, residual=NORMALIZED),
    Types(operand=E4M3, result=E4M3, gelu=True, scaled=True),
    Types(operand=F16, result=F16, gelu=True, scaled=False),
    Types(operand=BF16, result=BF16, gelu=False, scaled=False, residual=AS_IT_IS),
)
EVERY = list(itertools.product(gemm.SHAPES.values(), KINDS))


@pytest.mark.parametrize(("shape", "kind"), EVERY)
def test_a_ring_of_four_stages_fits(shape: Shape, kind: Types) -> None:
    assert stages(shape, kind) >= 4
    assert shared_memory(shape, kind) <= 227 * 1024


@pytest.mark.parametrize(("shape", "kind"), EVERY)
def test_copies_are_what_tma_takes(shape: Shape, kind: Types) -> None:
    """Boxes of at most 256 in a dimension that begin at a swizzle atom, and reach every row of the tile once."""
    sizes, strides, box = gemm.weight_box(4096, 1024, shape, kind)
    assert len(sizes) == len(box) == len(strides) + 1 <= 5
    assert np.prod(sizes) == 4096 * 1024
    assert max(box) <= 256
    assert box[0] == STEP
    assert np.prod(box[1:]) == shape.copies[1]
    assert all(stride % 16 == 0 for stride in strides)
    assert all(rows % 8 == 0 for rows in shape.copies)


@pytest.mark.parametrize("kind", KINDS)
def test_a_permuted_copy_gives_every_thread_adjacent_columns(kind: Types) -> None:
    """Thread q of four holds columns 8 j + 2 q + e of a product: 16 bytes of the result in a row."""
    shape, group = Shape(blocks=1, columns=256), kind.group
    sizes, strides, box = gemm.weight_box(256, 128, shape, kind)
    rows = np.arange(256)
    loaded = np.lib.stride_tricks.as_strided(
        rows, box[:0:-1], [stride // 128 * rows.itemsize for stride in strides[::-1]]
    ).ravel()
    place = np.arange(256)
    block, quad, odd = place % group // 8, place % 8 // 2, place % 2
    assert sizes[-1] == box[-1] == 256 // group
    assert np.array_equal(loaded, place // group * group + group // 4 * quad + 2 * block + odd)


@pytest.mark.parametrize(
    ("pair", "rows", "columns", "blocks"),
    [
        *((False, 1, 1024, 4), (False, 32768, 4096, 135)),
        *((True, 256, 1024, 8), (True, 257, 1024, 16), (True, 32768, 4096, 134)),
    ],
)
def test_ctas_of_a_launch(pair: bool, rows: int, columns: int, blocks: int) -> None:
    """As many as there are tiles, at most one for each of 135 processors, in whole pairs."""
    assert gemm.blocks_of(Shape(blocks=1, columns=256, pair=pair), rows, columns, 135) == blocks


@pytest.mark.parametrize(("n", "k", "taken"), [(512, 16, True), (384, 16, False), (512, 24, False)])
def test_products_with_whole_tiles_and_aligned_rows_are_taken(n: int, k: int, taken: bool) -> None:
    weight = torch.zeros(n, k, dtype=torch.int8)
    encoding = Encoding(torch.int8)
    product = Product(
        weight=weight,
        scale=None,
        bias=torch.zeros(n),
        gelu=False,
        input_encoding=encoding,
        output_encoding=encoding,
        has_residual=False,
    )
    assert gemm.takes(Shape(blocks=1, columns=256, pair=True), product) is taken


def test_a_cpu_is_offered_none() -> None:
    encoding = Encoding(torch.float16)
    product = Product(
        weight=torch.zeros(1024, 1024, dtype=torch.float16),
        scale=None,
        bias=torch.zeros(1024),
        gelu=False,
        input_encoding=encoding,
        output_encoding=encoding,
        has_residual=False,
    )
    assert gemm.variants(product, 16384) == ()


@pytest.mark.skipif(nvrtc.library() is None, reason="NVRTC is not installed")
@pytest.mark.parametrize(("name", "kind"), [("hopper 64x256 turns", KINDS[0]), ("hopper 128x128 turns", KINDS[1])])
def test_nvrtc_compiles_it(name: str, kind: Types) -> None:
    found = nvrtc.library()
    assert found is not None
    assert nvrtc.compiled(found, source(gemm.SHAPES[name], kind)).startswith(b"\x7fELF")


@pytest.mark.parametrize("one", small.SHAPES.values())
def test_two_programs_of_a_small_product_fit_a_processor(one: small.Small) -> None:
    assert one.shape.stages >= 3
    assert 2 * (one.shared_memory + 1024) <= 228 * 1024
    assert one.columns // one.split % 8 == 0


@pytest.mark.parametrize("name", small.SHAPES)
def test_nvrtc_compiles_small_products(name: str) -> None:
    found = nvrtc.library()
    if found is None:
        pytest.skip("needs NVRTC")
    for kind in KINDS[:2]:
        assert nvrtc.compiled(found, small.SHAPES[name].source(kind)).startswith(b"\x7fELF")
