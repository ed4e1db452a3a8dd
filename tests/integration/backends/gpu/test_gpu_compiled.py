"""The kernels compiled for Hopper: Triton needs no GPU for that, and shows what the interpreter cannot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

if platform.machine() != "x86_64" or sys.platform != "linux":
    pytest.skip("Triton brings its assembler for Linux on x86-64", allow_module_level=True)

# The matrix instructions of Hopper's tensor cores, by what they sum in and multiply.
PRODUCTS = {"fp16": "f32.f16.f16", "i8": "s32.s8.s8", "fp8e4nv": "f32.e4m3.e4m3"}
SHARED_MEMORY = 227 << 10  # of one program, at most


def test_products_run_on_the_tensor_cores_and_everything_fits(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env |= {"PYTHONPATH": str(ROOT), "TRITON_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    program = ROOT / "tests" / "support" / "compile_for_hopper.py"
    done = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for name, kernel in found.items():
        if name.startswith("gemm"):
            assert kernel["products"] == [PRODUCTS[name.split()[1]]]
            # The next operands are loaded during a product, those of large tiles by the TMA.
            assert ("cp.async.bulk.tensor" if "described" in name else "cp.async") in kernel["copies_ahead"]
    for dtype in ("fp16", "fp8e4nv"):
        assert found[f"attention {dtype}"]["products"] == ["f32.f16.f16"]
    assert all(kernel["bytes_of_code"] and kernel["shared_memory"] <= SHARED_MEMORY for kernel in found.values())
