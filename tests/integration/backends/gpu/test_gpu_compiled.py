"""The kernels compiled for Hopper: Triton needs no GPU for that, and shows what the interpreter cannot."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

if platform.machine() != "x86_64" or sys.platform != "linux":
    pytest.skip("Triton brings its assembler for Linux on x86-64", allow_module_level=True)

# Kernels of each kind, and the matrix instruction of their precision, by its last words.
COMPILED = ("ffn_inner 128x128 described", "qkv 128x256 persistent", "attention 64x64", "fp16 qkv 64x128")
PRODUCTS = {"fp16": "F32", "int8": "S8.S8", "fp8": "F32.E4M3.E4M3"}
SHARED_MEMORY = 227 << 10  # of one program, at most


def test_products_run_on_the_tensor_cores_and_everything_fits(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "benchmarks.gpu_compiled", "--only", *COMPILED]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 10
    shares = re.findall(r"^(?:fp16|fp8|int8) (?:ffn_inner|attention) .* ([+-]\d+)%", done.stdout, re.MULTILINE)
    assert len(shares) == 6 and all(int(share) < 0 for share in shares), "more instructions than the first edition"
    for name, kernel in found.items():
        precision, what = name.split()[:2]
        assert kernel["shared_bytes"] <= SHARED_MEMORY and not kernel["spilled_bytes"], name
        assert not kernel["serialized"], f"{name}: the assembler waits after every matrix instruction"
        if what in ("ffn_inner", "qkv"):
            assert all(one.endswith(PRODUCTS[precision]) for one in kernel["products"]) and kernel["products"], name
            # The next operands are loaded during a product, those of large tiles by the TMA.
            assert kernel["copies_ahead"] == ["tma" if "described" in name or "persistent" in name else "cp.async"]
            drained = ["0x0"] if precision == "int8" or "persistent" in name else []  # its loop has the epilogue too
            assert kernel["waits"] == drained + ["0x1"] * (precision != "int8"), name
    for precision in PRODUCTS:
        assert found[f"{precision} ffn_inner 128x128 described"]["programs"] == 2
        assert found[f"{precision} attention 64x64"]["products"] == ["64x64x16.F32"]
