"""The native kernels against their PyTorch twins and against float64, on odd lengths, into poisoned outputs."""

from __future__ import annotations

import _ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from products import poisoned
from torch import Tensor

from backends.pytorch_cpu.kernels import (
    Activation,
    CpuKernels,
    EmbeddingTables,
    Encoding,
    LayerNorm,
    best,
    native,
    reference,
)
from foundation import native_library

LENGTHS = [1, 2, 63, 64, 65, 183, 383, 384]
FLOAT, BFLOAT16, BYTE, SIGNED = torch.float32, torch.bfloat16, torch.uint8, torch.int8
# The largest error that rounding explains, as a share of the values around it.
TOLERANCES = {FLOAT: 2e-5, BFLOAT16: 1e-2}


@pytest.fixture(params=["plain", *native.VARIANTS])
def kernels(request: pytest.FixtureRequest) -> CpuKernels:
    if request.param == "plain":
        return reference.ReferenceKernels()
    library = native.load(request.param)
    if library is None:
        pytest.skip(f"{request.param} was not built, or this machine has not its instructions")
    return native.NativeKernels(request.param, library)


def encoding(dtype: torch.dtype, width: int, seed: int) -> Encoding:
    if dtype in (FLOAT, BFLOAT16):
        return Encoding(dtype)
    multiplier = torch.from_numpy(np.random.default_rng(seed).uniform(10, 60, width).astype(np.float32))
    return Encoding(dtype, multiplier, 121 if dtype == BYTE else -7)


def random(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def check(found: Activation, exact: Tensor, tolerance: float) -> None:
    """`exact` is float64; bytes may differ by one where rounding could go either way."""
    values, (dtype, multiplier, zero_point, *_) = found
    if multiplier is None:
        torch.testing.assert_close(values.double(), exact, rtol=tolerance, atol=max(tolerance, TOLERANCES[dtype]))
        return
    expected = (exact * multiplier.double() + zero_point).clamp(torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    slack = 0.5 + tolerance * float(exact.abs().max()) * float(multiplier.max())
    assert (values.double() - expected).abs().max() <= slack + 1e-3


def exact_attention(qkv: Tensor, lengths: list[int], heads: int) -> Tensor:
    contexts = []
    for sample in torch.split(qkv.double(), lengths):
        query, key, value = sample.view(len(sample), 3, heads, -1).permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1)
        contexts.append((weights @ value).transpose(0, 1).flatten(1))
    return torch.cat(contexts)


@pytest.mark.parametrize("out", [FLOAT, BFLOAT16, BYTE, SIGNED], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
@pytest.mark.parametrize(("heads", "size"), [(2, 64), (3, 32), (1, 16)])
def test_attention(kernels: CpuKernels, heads: int, size: int, dtype: torch.dtype, out: torch.dtype) -> None:
    seed = heads
    if isinstance(kernels, native.NativeKernels) and not native.fits(kernels.library, heads * size, size):
        pytest.skip("its vectors are wider than this head")
    lengths = np.random.default_rng(seed).permutation(LENGTHS).tolist()
    qkv = (2 * random(sum(lengths), 3 * heads * size, seed=seed)).to(dtype)
    ends = torch.tensor([0, *lengths]).cumsum(0)
    to = poisoned(encoding(out, heads * size, seed), sum(lengths), heads * size)
    kernels.attention(qkv, ends, heads, to)
    check(to, exact_attention(qkv, lengths, heads), 1e-2 if BFLOAT16 in (dtype, out) else 2e-5)


def test_attention_does_not_overflow_on_large_scores(kernels: CpuKernels) -> None:
    qkv = 40 * random(65, 3 * 64, seed=3)
    to = poisoned(Encoding(FLOAT), 65, 64)
    kernels.attention(qkv, torch.tensor([0, 65]), 1, to)
    check(to, exact_attention(qkv, [65], 1), 2e-3)


@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
def test_attention_accepts_zeros_and_tiny_values(kernels: CpuKernels, dtype: torch.dtype) -> None:
    qkv = torch.cat([torch.zeros(33, 3 * 64), 1e-36 * random(32, 3 * 64, seed=4)]).to(dtype)
    to = poisoned(Encoding(FLOAT), 65, 64)
    kernels.attention(qkv, torch.tensor([0, 33, 65]), 1, to)
    check(to, exact_attention(qkv, [33, 32], 1), 1e-2)


@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
@pytest.mark.parametrize(("query", "key"), [(0, 0), (0, 1), (1, 0), (1e-25, 1), (1e-22, 1e-22)])
@pytest.mark.parametrize("length", [1, 33, 65])
def test_a_head_that_looks_at_nothing_takes_the_mean_of_its_values(
    kernels: CpuKernels, dtype: torch.dtype, query: float, key: float, length: int
) -> None:
    qkv = (random(length, 3 * 64, seed=6) * torch.tensor([query, key, 1.0]).repeat_interleave(64)).to(dtype)
    to = poisoned(Encoding(FLOAT), length, 64)
    kernels.attention(qkv, torch.tensor([0, length]), 1, to)
    check(to, qkv[:, 128:].double().mean(0).expand(length, 64), 1e-2)


@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
@pytest.mark.parametrize(("heads", "size"), [(4, 8), (2, 16), (2, 24), (3, 32), (2, 64), (2, 96), (2, 128)])
def test_blocks_of_channels_are_rows(kernels: CpuKernels, dtype: torch.dtype, heads: int, size: int) -> None:
    channels = 64 // dtype.itemsize
    if isinstance(kernels, native.NativeKernels) and size % kernels.library.head_multiple():
        pytest.skip(f"{kernels.name} takes no heads of {size}")
    if 3 * heads * size % channels or (size % channels and channels % size):
        pytest.skip("heads do not begin blocks, nor lie within one")
    qkv, to = random(65, 3 * heads * size, seed=7).to(dtype), []
    for in_blocks in (False, True):
        to.append(poisoned(Encoding(FLOAT), 65, heads * size))
        kernels.attention(Encoding(dtype, in_blocks=in_blocks).laid_out(qkv), torch.tensor([0, 33, 65]), heads, to[-1])
    check(to[0], exact_attention(qkv, [33, 32], heads), 1e-2)
    assert torch.equal(to[0].values, to[1].values)


@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
def test_samples_longer_than_any_of_squads_do_not_overflow(kernels: CpuKernels, dtype: torch.dtype) -> None:
    qkv = torch.ones(2000, 3 * 64).to(dtype) * 3
    qkv[:, 128:] *= random(2000, 64, seed=5).abs().to(dtype)
    to = poisoned(Encoding(FLOAT), 2000, 64)
    kernels.attention(qkv, torch.tensor([0, 2000]), 1, to)
    check(to, exact_attention(qkv, [2000], 1), 1e-2)


@pytest.mark.parametrize("out", [FLOAT, BFLOAT16, BYTE, SIGNED], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
@pytest.mark.parametrize(("tokens", "width"), [(1, 16), (7, 30), (65, 160)])
def test_gelu(kernels: CpuKernels, tokens: int, width: int, dtype: torch.dtype, out: torch.dtype) -> None:
    x = (4 * random(tokens, width, seed=1)).to(dtype)
    to = poisoned(encoding(out, width, 2), tokens, width)
    kernels.gelu(x, to)
    check(to, torch.nn.functional.gelu(x.double()), 1e-2 if out == BFLOAT16 else 2e-4)


@pytest.mark.parametrize("out", [None, FLOAT, BFLOAT16, BYTE, SIGNED], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT16], ids=str)
@pytest.mark.parametrize(("tokens", "width"), [(1, 16), (7, 48), (65, 1024)])
def test_add_norm(kernels: CpuKernels, tokens: int, width: int, dtype: torch.dtype, out: torch.dtype | None) -> None:
    projected, stream = random(tokens, width, seed=1).to(dtype), 5 * random(tokens, width, seed=2) + 3
    norm = LayerNorm(random(width, seed=3), random(width, seed=4), 1e-12)
    exact = torch.layer_norm(
        projected.double() + stream.double(), (width,), norm.weight.double(), norm.bias.double(), norm.epsilon
    )
    to = poisoned(encoding(out, width, 5), tokens, width) if out else None
    kernels.add_norm(projected, stream, norm, to)
    check(Activation(stream, Encoding(FLOAT)), exact, 2e-5)
    if to:
        check(to, exact, 1e-2 if out == BFLOAT16 else 2e-5)


def test_embed(kernels: CpuKernels) -> None:
    rows, tokens, width = (100, 2, 384), 67, 64
    tables = EmbeddingTables(*(random(count, width, seed=count) for count in rows))
    rng = np.random.default_rng(7)
    words, types, positions = (torch.from_numpy(rng.integers(0, count, tokens)) for count in rows)
    norm = LayerNorm(random(width, seed=3), random(width, seed=4), 1e-12)
    to = poisoned(encoding(BYTE, width, 5), tokens, width)
    stream = kernels.embed((words, types, positions), tables, norm, to)
    summed = tables.words[words].double() + tables.types[types].double() + tables.positions[positions].double()
    exact = torch.layer_norm(summed, (width,), norm.weight.double(), norm.bias.double(), norm.epsilon)
    check(Activation(stream, Encoding(FLOAT)), exact, 2e-5)
    check(to, exact, 2e-5)


def test_widths_that_no_vector_divides_use_the_reference_kernels() -> None:
    assert best(hidden_size=36, head_size=6).name == "plain"


def test_native_kernels_are_used_if_they_were_built() -> None:
    if not any(native.load(variant) for variant in native.VARIANTS):
        pytest.skip("built without a compiler: the twins run instead")
    assert best(hidden_size=1024, head_size=64).name != "plain"


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.1, 0.9, 0.999, None])
def test_a_library_that_is_broken_is_refused_and_does_not_crash(tmp_path: Path, share: float | None) -> None:
    whole = next(Path(native.__file__).parent.glob("_portable.*.so"), None)
    if whole is None:
        pytest.skip("the kernels were not built")
    content = whole.read_bytes()
    path = tmp_path / "kernels.so"
    path.write_bytes(b"text" if share is None else content[: int(share * len(content))])
    with pytest.raises(OSError, match=r"cut short|file too short|invalid ELF header"):
        native_library.open_library(path, native.FUNCTIONS)
    path.write_bytes(content)
    assert native_library.open_library(path, native.FUNCTIONS).width_multiple() > 0


def test_a_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    """An update of the checkout left it behind: what it would read and compute is undefined."""
    folder = Path(native.__file__).parent
    built = next(folder.glob("_portable.*.so"), None)
    if built is None:
        pytest.skip("the kernels were not built")
    path = Path(shutil.copy(built, tmp_path))
    for source in (*folder.glob("*.h"), folder / "kernels.cpp"):
        shutil.copy(source, tmp_path)
    assert native_library.open_library(path, native.FUNCTIONS).width_multiple() > 0
    with (tmp_path / "activation.h").open("a") as file:
        file.write("// newer")
    with pytest.raises(OSError, match=r"built from another activation\.h"):
        native_library.open_library(path, native.FUNCTIONS)


def test_another_library_is_refused() -> None:
    with pytest.raises(OSError, match="it has no "):
        native_library.open_library(Path(_ctypes.__file__), native.FUNCTIONS)
