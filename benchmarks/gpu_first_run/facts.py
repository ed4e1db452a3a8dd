"""The machine, and its two ceilings: the rate of a copy, and of a large matrix product of the library in each type.

python -m benchmarks.gpu_first_run.facts --work DIR
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import metadata

import torch
from torch import Tensor

from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run.rig import Rig
from benchmarks.gpu_report import driver
from foundation import program

_COPIED_BYTES, _SIDE = 2 << 30, 8192
_DRY_BYTES, _DRY_SIDE = 1 << 16, 32
_TOOLS = ("nvidia-smi", "ncu", "nvcc", "cuobjdump")
_PACKAGES = ("torch", "triton", "numpy", "transformers", "mlcommons-loadgen", "onnxruntime")


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv)
    rig = rigs.of(options.geometry, is_dry=options.dry_run)
    found = dict(_ceilings(rig))
    (options.work / rigs.FACTS).write_text(json.dumps(found), encoding="utf-8")
    for line in (_gpu(rig), _machine()):
        print(line)
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in found.items())
    print(f"ceilings: {rates} (copy in GB/s read and written; products of {_SIDE}^3 in TFLOP/s)", flush=True)
    return 0


def _gpu(rig: Rig) -> str:
    if rig.is_dry:
        return f"GPU: {rig.gpu.name}"
    of = torch.cuda.get_device_properties(0)
    sizes = f"{of.total_memory >> 30} GiB, {of.multi_processor_count} SMs, {of.L2_cache_size >> 20} MiB L2"
    return f"GPU: {of.name}, {sizes}; {driver()}"


def _machine() -> str:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    kernel = os.uname().release
    return (
        f"{os.cpu_count()} cores, kernel {kernel}; {', '.join(versions)}; missing tools: {', '.join(missing) or 'none'}"
    )


def _ceilings(rig: Rig) -> dict[str, float]:
    size, side = (_DRY_BYTES, _DRY_SIDE) if rig.is_dry else (_COPIED_BYTES, _SIDE)
    found = {"copy": 2 * size / rig.gpu.milliseconds(_copy(size, rig.gpu.device)) / 1e6}
    for precision, product in _PRODUCTS.items():
        try:
            call = product(side, rig.gpu.device)
            found[precision] = 2 * side**3 / rig.gpu.milliseconds(call) / 1e9
        except Exception as error:  # noqa: BLE001 - a library without a type raises what it likes
            rigs.note(f"{precision}: {rigs.first_line(error)}")
    return found


def _copy(size: int, device: torch.device) -> Callable[[], Tensor]:
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    to = torch.empty_like(source)
    return lambda: to.copy_(source)


def _floats(dtype: torch.dtype) -> Callable[[int, torch.device], Callable[[], Tensor]]:
    def product(side: int, device: torch.device) -> Callable[[], Tensor]:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        return lambda: a @ b.T

    return product


def _int8(side: int, device: torch.device) -> Callable[[], Tensor]:
    a, b = (torch.randint(-128, 128, (side, side), dtype=torch.int8, device=device) for _ in range(2))
    return lambda: torch._int_mm(a, b.T)


def _fp8(side: int, device: torch.device) -> Callable[[], Tensor]:
    a, b = ((torch.randn(side, side, device=device) * 30).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device=device)
    return lambda: torch._scaled_mm(a, b.T, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)


_PRODUCTS = {"fp8": _fp8, "int8": _int8, "fp16": _floats(torch.float16), "bf16": _floats(torch.bfloat16)}


if __name__ == "__main__":
    sys.exit(program.run(main))
