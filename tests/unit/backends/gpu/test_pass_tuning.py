"""When a short pass is launched with kernels that start early, and which products it has then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from emulated_gpu import EmulatedGpu
from small_bert import SMALL, random_tensors

from backends.bert.config import LINEARS
from backends.errors import BackendError
from backends.gpu import gemm_tuning, pass_tuning, weights
from backends.gpu.hopper import small
from backends.gpu.packed_bert import ATTENTION
from backends.gpu.weights import GpuWeights, Product
from backends.pytorch_cpu.kernels import Encoding

OFFERED = ("32x64", "64x64")
BEFORE = gemm_tuning.default("fp16")
BROKEN = RuntimeError("CUDA error: an illegal memory access was encountered")


class ScriptedGpu(EmulatedGpu):
    """A replay takes the next of `times`, in ms; or raises it, and if it is BROKEN so does all that follows."""

    def __init__(self, times: Sequence[float | Exception]) -> None:
        super().__init__()
        self._times = iter(times)

    def replay_milliseconds(self, replay: Callable[[], None]) -> float:
        replay()
        self.synchronize()
        found = next(self._times)
        if isinstance(found, Exception):
            self.fault = found if found is BROKEN else None
            raise found
        return found


@pytest.fixture(scope="module")
def found() -> GpuWeights:
    return weights.from_floats(SMALL, random_tensors(SMALL, 1), torch.float16, torch.device("cpu"))


def offers(_: Product, tokens: int) -> tuple[str, ...]:
    return OFFERED if tokens == 64 else ()


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ((5, 4, 6, 3, 7, 4, 3.1), "64x64 32x64 64x64 32x64 64x64"),
        ((5, 4, 6, 3, 7, 4, 3), None),  # as it was is as fast
        ((5, 4, ValueError("rejected"), 3, 7, 2, 8), "64x64 32x64 64x64 32x64 64x128"),
        ((5, 6, 6, 6, 6, 6, ValueError("rejected")), "32x64 32x64 32x64 32x64 64x64"),
        ((ValueError("rejected"),) * 7, None),
    ],
)
def test_one_product_after_the_other_keeps_what_makes_the_pass_faster(
    found: GpuWeights, times: Sequence[float | Exception], chosen: str | None
) -> None:
    measured = pass_tuning.measured(found, ScriptedGpu(times), BEFORE, offers)
    assert {at: one for at, one in measured.items() if not at.endswith("@64")}.items() <= BEFORE.items()
    kernels = dict(zip((*LINEARS, ATTENTION), chosen.split(), strict=True)) if chosen else gemm_tuning.of(BEFORE, 64)
    assert {at.removesuffix("@64"): one for at, one in measured.items() if at.endswith("@64")} == kernels


def test_products_that_break_the_gpu_are_named(found: GpuWeights) -> None:
    with pytest.raises(BackendError, match=r"64x64 32x64 32x64 32x64 64x64 for a pass over 64 tokens.*illegal memory"):
        pass_tuning.measured(found, ScriptedGpu((5, BROKEN)), BEFORE, offers)


def test_nothing_starts_early_where_nothing_is_offered(found: GpuWeights) -> None:
    assert pass_tuning.measured(found, EmulatedGpu(), BEFORE) == BEFORE


def test_a_pass_starts_early_if_all_its_products_do() -> None:
    early = dict.fromkeys((f"{name}@256" for name in LINEARS), "small 64x64 by 2")
    assert gemm_tuning.start_early(BEFORE | early, 193) and gemm_tuning.start_early(BEFORE | early, 256)
    for tokens in (192, 257, 10**6):
        assert not gemm_tuning.start_early(BEFORE | early, tokens)
    assert not gemm_tuning.start_early(BEFORE | early | {"qkv@256": "64x64"}, 256)


@pytest.mark.parametrize(
    ("tokens", "n", "k", "first", "never"),
    [
        (192, 3072, 1024, "small 64x64", "small 64x64 by 4"),
        (192, 1024, 1024, "small 64x64 by 2", "small 64x128"),
        (256, 1024, 4096, "small 64x64 by 2", "small 64x128"),
        (320, 4096, 1024, "small 64x128", "small 64x64 by 4"),
        (320, 1088, 1024, "small 64x64 by 2", "small 64x128"),  # 17 columns of 64
    ],
)
def test_as_many_programs_as_processors_are_the_likely_best(
    tokens: int, n: int, k: int, first: str, never: str
) -> None:
    encoding, device = Encoding(torch.float16), torch.device("meta")
    product = Product(
        weight=torch.empty(n, k, dtype=torch.int8, device=device),
        scale=None,
        bias=torch.empty(n, device=device),
        gelu=False,
        input_encoding=encoding,
        output_encoding=encoding,
        has_residual=False,
    )
    likely = small.likely(product, tokens, 132)
    assert likely[0] == first and never not in likely and len(likely) <= 5
