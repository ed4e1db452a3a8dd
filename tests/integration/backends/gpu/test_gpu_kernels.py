"""Every kernel against its PyTorch twin and against float64, on odd lengths, into poisoned outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gpu_encodings import BFLOAT16, BYTE, DTYPES, FP8, HALF, check, check_alike, encoding, on, poisoned, random
from torch import Tensor

from backends.gpu.hopper import attention as hopper
from backends.gpu.hopper.gemm import available
from backends.gpu.kernels import TRITON, TWIN, GpuKernels, add_norm, attention
from backends.gpu.kernels import residual as residuals
from backends.gpu.kernels.attention import FORMS
from backends.gpu.kernels.gemm import TILES, multiprocessors
from backends.gpu.kernels.norm import MANY_TOKENS, form_of
from backends.gpu.kernels.residual import Residual
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm

LENGTHS = [1, 2, 63, 64, 65, 383, 384]
BOTH = (TRITON, TWIN)


def norm(width: int, device: str) -> LayerNorm:
    return LayerNorm(random(width, seed=3).to(device), random(width, seed=4).to(device), 1e-12)


def exact_norm(x: Tensor, norm: LayerNorm) -> Tensor:
    weight, bias = norm.weight.cpu().double(), norm.bias.cpu().double()
    return torch.layer_norm(x.double(), weight.shape, weight, bias, norm.epsilon)


def exact_attention(qkv: Tensor, lengths: list[int], heads: int) -> Tensor:
    contexts = []
    size = qkv.shape[1] // 3 // heads
    for sample in torch.split(qkv.double(), lengths):
        query, key, value = sample.view(len(sample), 3, heads, size).permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
        contexts.append((weights @ value).transpose(0, 1).flatten(1))
    return torch.cat(contexts)


def attend(kernels: GpuKernels, qkv: Tensor, lengths: list[int], heads: int, encoding: Encoding, device: str) -> Tensor:
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
    to = poisoned(encoding.dtype, len(qkv), qkv.shape[1] // 3, device=device)
    kernels.attention(qkv.to(device), ends, max(lengths), heads, on(encoding, device), to)
    return to


@pytest.mark.parametrize(
    ("heads", "size", "dtype", "out"),
    [
        *((2, 64, HALF, out) for out in DTYPES),
        (1, 64, BFLOAT16, FP8),
        (1, 16, BFLOAT16, BFLOAT16),
        (3, 32, HALF, BYTE),
        (2, 20, HALF, HALF),
        (1, 128, HALF, HALF),
    ],
)
def test_attention(device: str, heads: int, size: int, dtype: torch.dtype, out: torch.dtype) -> None:
    lengths = np.random.default_rng(size).permutation(LENGTHS if size == 64 else [1, 65, 130]).tolist()
    qkv = random(sum(lengths), 3 * heads * size, seed=heads, size=2.0).to(dtype)
    expected, slack = exact_attention(qkv, lengths, heads), 0.03 if dtype == BFLOAT16 else 4e-3
    found, twin = (attend(one, qkv, lengths, heads, encoding(out, heads * size), device) for one in BOTH)
    check(found, expected, encoding(out, heads * size), slack)
    check(twin, expected, encoding(out, heads * size), 1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_attention_gives_the_same(device: str, form: str) -> None:
    lengths = [1, 0, 63, 64, 65, 130, 129, 0]
    qkv, expected = random(sum(lengths), 3 * 64, seed=1, size=2.0).half(), encoding(BYTE, 64)
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device)
    to = poisoned(BYTE, len(qkv), 64, device=device)
    attention.launch(qkv.to(device), ends, max(lengths), 1, on(expected, device), to, form)
    check(to, exact_attention(qkv, lengths, 1), expected, 4e-3)


def test_attention_of_one_sample_and_of_many(device: str) -> None:
    for lengths in ([3], [2] * 60, [512, 64, 1]):
        qkv = random(sum(lengths), 3 * 16, seed=len(lengths)).half()
        found = attend(TRITON, qkv, lengths, 1, Encoding(HALF), device)
        check(found, exact_attention(qkv, lengths, 1), Encoding(HALF), 2e-3)


def test_attention_neither_overflows_nor_divides_by_zero(device: str) -> None:
    large, tiny = random(65, 3 * 16, seed=3, size=60.0), torch.zeros(33, 3 * 16)
    qkv = torch.cat([large, tiny]).half()
    found = attend(TRITON, qkv, [65, 33], 1, Encoding(HALF), device)
    check(found, exact_attention(qkv, [65, 33], 1), Encoding(HALF), 0.1)


def test_attention_does_not_write_beyond_the_last_sample(device: str) -> None:
    """The batch of a CUDA graph is longer than its samples, and has empty ones behind them."""
    qkv = random(96, 3 * 32, seed=3).half().to(device)
    to = poisoned(HALF, 96, 32, device=device)
    ends = torch.tensor([0, 65, 65, 65], dtype=torch.int32, device=device)
    qkv[65:] = float("nan")
    TRITON.attention(qkv, ends, 96, 1, Encoding(HALF), to)
    check(to[:65], exact_attention(qkv[:65].cpu(), [65], 1), Encoding(HALF), 4e-3)
    assert to[65:].isnan().all()


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "out"), [*((HALF, out) for out in DTYPES), (BFLOAT16, BFLOAT16), (BFLOAT16, FP8)])
def test_attention_on_hopper(dtype: torch.dtype, out: torch.dtype) -> None:
    """Neither rows beyond the samples nor a sample of NaN reach the others."""
    if not available(0):
        pytest.skip("the GPU is no Hopper, or NVRTC is missing")
    edges = [0, 1, 2, 63, 64, 65, 127, 128, 0, 177, 191, 192, 193, 256, 257, 384, 385, 512]
    lengths = [*np.random.default_rng(3).permutation(edges * 2).tolist(), 100]
    used = sum(lengths)
    qkv = random(used + 70, 3 * 128, seed=5, size=1.5).to(dtype)
    qkv[used - 100 :] = float("nan")
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).cuda()
    to = poisoned(out, len(qkv), 128, device="cuda")
    hopper.launch(qkv.cuda(), ends, 512, 2, on(encoding(out, 128), "cuda"), to)
    slack = 0.03 if dtype == BFLOAT16 else 4e-3
    check(to[: used - 100], exact_attention(qkv[: used - 100], lengths[:-1], 2), encoding(out, 128), slack)
    beyond = to[used:].float()
    assert (beyond == 127).all() if out == BYTE else beyond.isnan().all()


def residual_of(form: str, tokens: int, width: int, dtype: torch.dtype, device: str) -> tuple[Residual | None, Tensor]:
    """A residual in one of its forms, and its exact values."""
    rows = (5 * random(tokens, width, seed=2) + 3).to(dtype)
    placed = rows.to(device)
    if form == "added":
        return None, torch.zeros(tokens, width, dtype=torch.float64)
    if form == "rows":
        return Residual(placed), rows.double()
    variance, mean = torch.var_mean(placed.float(), 1, correction=0, keepdim=True)
    statistics = torch.cat([variance.rsqrt(), -mean * variance.rsqrt()], 1)
    return Residual(placed, statistics, norm(width, device)), exact_norm(rows.double(), norm(width, "cpu"))


@pytest.mark.parametrize(
    ("tokens", "width", "out", "form"),
    [
        *((67, 48, out, form) for out in DTYPES for form in ("added", "rows", "normalized")),
        *((3, 1024, out, "normalized") for out in DTYPES),
        (1, 16, HALF, "rows"),
    ],
    ids=str,
)
def test_add_norm(device: str, tokens: int, width: int, out: torch.dtype, form: str) -> None:
    """Into bytes it leaves the sums and their statistics, from which the next residual is exact but for rounding."""
    dtype = BFLOAT16 if out == BFLOAT16 else HALF
    product, expected = random(tokens, width, seed=1).to(dtype), encoding(out, width)
    residual, added = residual_of(form, tokens, width, dtype, device)
    exact, is_bytes, results = product.double() + added, out in (BYTE, FP8), []
    slack = 1e-4 if not is_bytes or form == "added" else 5e-3  # the sums are rounded before they are normalized
    for kernels in BOTH:
        sums, to = product.clone().to(device), poisoned(out, tokens, width, device=device)
        statistics = poisoned(torch.float32, tokens, 2, device=device) if is_bytes else None
        kernels.add_norm(sums, residual, norm(width, device), on(expected, device), to, statistics)
        check(to, exact_norm(exact, norm(width, "cpu")), expected, slack)
        results.append(to)
        if statistics is not None:
            check(sums, exact, Encoding(dtype), 1e-4)
            again = residuals.twin(Residual(sums, statistics, norm(width, device)))
            torch.testing.assert_close(
                again.cpu().double(), exact_norm(sums.cpu(), norm(width, "cpu")), rtol=0, atol=1e-4
            )
    found, twin = results
    check_alike(found, twin, expected, 1e-4)


@pytest.mark.parametrize("out", [BYTE, HALF], ids=str)
def test_add_norm_of_many_tokens(device: str, out: torch.dtype) -> None:
    """Some programs have one block of rows more than others; in place, none may be read after it was written."""
    tokens, width = 32 * multiprocessors(torch.device(device)) + 3, 20
    assert form_of(tokens, torch.device(device), MANY_TOKENS) is MANY_TOKENS
    product, expected = random(tokens, width, seed=1).half(), encoding(out, width)
    sums = product.clone().to(device)
    to = sums if out == HALF else poisoned(out, tokens, width, device=device)
    statistics = None if out == HALF else poisoned(torch.float32, tokens, 2, device=device)
    add_norm.launch(sums, None, norm(width, device), on(expected, device), to, statistics)
    check(to, exact_norm(product, norm(width, "cpu")), expected, 1e-4)
    if statistics is not None:
        variance, mean = torch.var_mean(product.double(), 1, correction=0, keepdim=True)
        exact = torch.cat([variance.rsqrt(), -mean * variance.rsqrt()], 1)
        torch.testing.assert_close(statistics.cpu().double(), exact, rtol=1e-4, atol=1e-4)


def test_add_norm_in_place(device: str) -> None:
    sums = random(5, 48, seed=1).half()
    for kernels in BOTH:
        to = sums.clone().to(device)
        kernels.add_norm(to, None, norm(48, device), Encoding(HALF), to, None)
        check(to, exact_norm(sums, norm(48, "cpu")), Encoding(HALF), 1e-4)


@pytest.mark.parametrize("out", [HALF, BYTE, FP8], ids=str)
def test_embed(device: str, out: torch.dtype) -> None:
    counts, tokens, width = (100, 2, 384), 67, 48
    tables = EmbeddingTables(*(random(count, width, seed=count) for count in counts))
    draw = np.random.default_rng(7)
    words, types, positions = (torch.from_numpy(draw.integers(0, count, tokens)).int() for count in counts)
    summed = tables.words[words].double() + tables.types[types].double() + tables.positions[positions].double()
    exact, expected = exact_norm(summed, norm(width, "cpu")), encoding(out, width)
    ids, placed = (
        [one.to(device) for one in (words, types, positions)],
        EmbeddingTables(*(one.to(device) for one in tables)),
    )
    for kernels in BOTH:
        to, sums, statistics = poisoned(out, tokens, width, device=device), None, None
        if out != HALF:
            sums, statistics = (
                poisoned(one, tokens, n, device=device) for one, n in ((HALF, width), (torch.float32, 2))
            )
        kernels.embed(tuple(ids), placed, norm(width, device), on(expected, device), to, sums, statistics)
        check(to, exact, expected, 1e-4 if sums is None else 5e-3)
        if sums is not None:
            check(sums, summed, Encoding(HALF), 1e-4)
            again = residuals.twin(Residual(sums, statistics, norm(width, device)))
            torch.testing.assert_close(
                again.cpu().double(), exact_norm(sums.cpu(), norm(width, "cpu")), rtol=0, atol=1e-4
            )


@pytest.mark.parametrize(("tokens", "width", "outputs"), [(1, 16, 2), (65, 48, 2), (3, 1024, 3)])
def test_head(device: str, tokens: int, width: int, outputs: int) -> None:
    stream, weight, bias = random(tokens, width, seed=1).half(), random(outputs, width, seed=2), random(outputs, seed=3)
    exact = stream.double() @ weight.double().T + bias.double()
    for kernels in BOTH:
        to = poisoned(torch.float32, tokens, outputs, device=device)
        kernels.head(stream.to(device), weight.to(device), bias.to(device), to)
        torch.testing.assert_close(to.cpu().double(), exact, rtol=1e-4, atol=1e-4)


def exact_product(x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor, gelu: bool) -> Tensor:
    y = x.double() @ weight.double().T
    y = (y if scale is None else y * scale.double()) + bias.double()
    return torch.nn.functional.gelu(y) if gelu else y


def operands(dtype: torch.dtype, m: int, k: int, n: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """x, weight, scale and bias such that the result has a deviation of about 1."""
    x, weight, bias = random(m, k, seed=0), random(n, k, seed=1), random(n, seed=6)
    if dtype not in (BYTE, FP8):
        return x.to(dtype), (weight / math.sqrt(k)).to(dtype), None, bias
    scale = torch.from_numpy(np.random.default_rng(5).uniform(0.5, 1.5, n).astype(np.float32)) / (900 * math.sqrt(k))
    x, weight = ((30 * one).clamp(-127, 127).to(dtype) for one in (x, weight))
    return x, weight, scale, bias


@pytest.mark.parametrize("gelu", [False, True], ids=["plain", "gelu"])
@pytest.mark.parametrize(
    ("dtype", "out"),
    [(HALF, HALF), (BFLOAT16, BFLOAT16), (BYTE, HALF), (BYTE, BYTE), (FP8, BFLOAT16), (FP8, FP8)],
    ids=str,
)
@pytest.mark.parametrize(("m", "k", "n"), [(1, 64, 16), (130, 160, 48)])
def test_gemm(device: str, m: int, k: int, n: int, dtype: torch.dtype, out: torch.dtype, gelu: bool) -> None:
    x, weight, scale, bias = operands(dtype, m, k, n)
    exact, expected = exact_product(x, weight, scale, bias, gelu), encoding(out, n)
    placed = [one if one is None else one.to(device) for one in (x, weight, scale, bias)]
    results = []
    for kernels in BOTH:
        to = poisoned(out, m, n, device=device)
        kernels.gemm(*placed, gelu, on(expected, device), to)
        check(to, exact, expected, 1e-4 if dtype == BYTE else 4e-3)
        results.append(to)
    found, twin = results
    if dtype != FP8:  # tensor cores sum its products in fewer bits than float32 has: more than one step in the output
        check_alike(found, twin, expected, 4e-3)


@pytest.mark.parametrize("n", [256, 272], ids=["whole", "cut"])
@pytest.mark.parametrize("tile", TILES)
def test_every_tile_gives_the_same(device: str, tile: str, n: int) -> None:
    x, weight, scale, bias = operands(BYTE, 260, 48, n)
    expected, to = encoding(BYTE, n), poisoned(BYTE, 260, n, device=device)
    assert scale is not None
    placed = [one.to(device) for one in (x, weight, scale, bias)]
    TRITON.gemm(*placed, True, on(expected, device), to, tile)
    check(to, exact_product(x, weight, scale, bias, True), expected, 1e-4)


@pytest.mark.parametrize("out", DTYPES, ids=str)
def test_gelu_far_from_zero(device: str, out: torch.dtype) -> None:
    sums = torch.tensor([-6e4, -1e3, -100, -11.2, -8, -6, -0.1, -0.0, 0, 1e-3, 6, 8, 11.2, 100, 440, 6e4])
    to, expected = poisoned(out, 1, 16, device=device), encoding(out, 16)
    TRITON.epilogue(sums[None].to(device), None, torch.zeros(16, device=device), True, on(expected, device), to)
    check(to, torch.nn.functional.gelu(sums[None].double()), expected, 1e-4)


@pytest.mark.parametrize("gelu", [False, True], ids=["plain", "gelu"])
@pytest.mark.parametrize(("dtype", "out"), [(torch.int32, BYTE), (HALF, HALF), (BFLOAT16, FP8)], ids=str)
@pytest.mark.parametrize(("tokens", "width"), [(1, 16), (65, 48), (2, 1500)])
def test_epilogue(device: str, tokens: int, width: int, dtype: torch.dtype, out: torch.dtype, gelu: bool) -> None:
    sums, scale = random(tokens, width, seed=1, size=2.0), None
    if dtype == torch.int32:
        sums, scale = sums * 1000, random(width, seed=2).abs() / 1000
    sums, bias, expected = sums.to(dtype), random(width, seed=3), encoding(out, width)
    exact = sums.double() * (1 if scale is None else scale.double()) + bias.double()
    exact = torch.nn.functional.gelu(exact) if gelu else exact
    for kernels in BOTH:
        to = poisoned(out, tokens, width, device=device)
        placed = [one if one is None else one.to(device) for one in (sums, scale, bias)]
        kernels.epilogue(*placed, gelu, on(expected, device), to)
        check(to, exact, expected, 1e-4)
