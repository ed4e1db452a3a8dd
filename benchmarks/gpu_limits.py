"""The limits of this GPU, to which results are related: copying memory, and BERT's matrix products in each type.

Per type, the four products of a layer are run by every available kernel, the libraries' and our own, on random data
(zeros run faster); the limit is the operations divided by the sum of the best times.

    python -m benchmarks.gpu_limits --model random:bert-large
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from backends.bert.checkpoints import find_model
from backends.bert.encoder import EncoderConfig
from backends.gpu.gemm_variants import build_variant, variants
from backends.gpu.kernels import TRITON
from backends.gpu.weights import Product
from backends.pytorch_cpu.kernels import Encoding
from backends.pytorch_cpu.product_peak import products
from benchmarks import sut_runs
from foundation import program

TOKENS = (4096, 16384)  # of a packed batch
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn, "int8": torch.int8}
_COPIED_BYTES = 2 << 30  # many times the size of any cache
_CALL_MS = 50


def milliseconds(call: Callable[[], object]) -> float:
    """Median time of one call."""
    from triton.testing import do_bench

    return float(do_bench(call, rep=_CALL_MS, return_mode="median"))


def copied_bytes_per_s() -> float:
    """Bytes read and written per second by a copy within the device's memory."""
    source = torch.randint(0, 256, (_COPIED_BYTES,), dtype=torch.uint8, device="cuda")
    to = torch.empty_like(source)
    return 2 * _COPIED_BYTES / milliseconds(lambda: to.copy_(source)) * 1e3


def rate(precision: str, config: EncoderConfig) -> float:
    """Operations per second of a layer's products, at the better of TOKENS."""
    found = []
    for tokens in TOKENS:
        shapes = products(config, tokens)
        found.append(sum(2 * m * k * n for m, k, n in shapes) / sum(_best_ms(precision, *one) for one in shapes) * 1e3)
    return max(found)


def _best_ms(precision: str, m: int, k: int, n: int) -> float:
    product, x = _product(precision, k, n), _random(precision, m, k)
    times = []
    for name in variants(product, m):
        call = build_variant(name, product, TRITON)
        try:
            times.append(milliseconds(lambda call=call: call(x)))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - compilers and libraries raise various errors
            print(f"{precision} {m}x{k}x{n} {name}: {type(error).__name__}", file=sys.stderr)
    return min(times)


def _product(precision: str, k: int, n: int) -> Product:
    dtype = DTYPES[precision]
    gives = Encoding(dtype if precision in ("fp16", "bf16") else torch.bfloat16)
    scale = None if precision in ("fp16", "bf16") else torch.full((n,), 1e-3, device="cuda")
    bias = torch.randn(n, device="cuda")
    return Product(
        weight=_random(precision, n, k),
        scale=scale,
        bias=bias,
        gelu=False,
        input_encoding=Encoding(dtype),
        output_encoding=gives,
        has_residual=False,
    )


def _random(precision: str, *shape: int) -> Tensor:
    values = torch.randn(*shape, device="cuda")
    return (values if precision in ("fp16", "bf16") else values * 30).to(DTYPES[precision])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_limits", description=__doc__)
    parser.add_argument("--model", default="random:bert-large")
    parser.add_argument("--only", choices=["copy", *DTYPES], help="(default: all)")
    options = parser.parse_args()
    sut_runs.first_gpu()
    config = find_model(options.model).config
    assert config is not None
    found = {} if options.only not in (None, "copy") else {"copy_gb_per_s": copied_bytes_per_s() / 1e9}
    for name in DTYPES if options.only is None else {options.only} & set(DTYPES):
        found[name] = rate(name, config) / 1e12
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(program.run(main))
