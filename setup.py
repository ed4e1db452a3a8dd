"""Builds the native libraries; everything else is in pyproject.toml.

They are the kernels of inference and of training, one library per instruction set, and what makes pre-training data of
text. All are plain C functions, called through ctypes, so building them needs neither Python's headers nor torch.
Without a compiler the package installs without them, and their twins in Python run instead. Each knows the sources that
it was built from, so one that an update of the checkout left behind is refused (foundation/native_library.py).
"""

import hashlib
import os
import platform
import re
import sys
from pathlib import Path

from setuptools import Extension, setup

KERNELS, TRAINING, TEXT = "backends/pytorch_cpu/kernels", "training/network/native", "training/text/native"
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
FLAGS = {
    "portable": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx2bounded": ["-mavx2", "-mfma", "-DBOUNDED_GROUPS"],
    "avxvnni": ["-mavx2", "-mfma", "-mavxvnni"],
    "avx512": AVX512,
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "avx512bf16": [*AVX512, "-mavx512bf16"],
    "amx": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-mamx-int8"],
    "dotprod": ["-march=armv8.2-a+dotprod"],
    "i8mm": ["-march=armv8.2-a+dotprod+i8mm"],
}
AVX2 = ("avx2", "avx2bounded")  # any int8 weights; those with bounded groups (backends/quantization/bounded_groups.py)
OF_X86 = {*AVX2, "avxvnni", "avx512", "avx512vnni", "avx512bf16"}
OF_MACHINE = {"x86_64": OF_X86, "AMD64": OF_X86}
OF_LINUX = {"x86_64": {"amx"}, "aarch64": {"dotprod", "i8mm"}}  # which it must grant, or say that they are there
BUILT = {"portable"} | OF_MACHINE.get(platform.machine(), set())
BUILT |= OF_LINUX.get(platform.machine(), set()) if sys.platform == "linux" else set()
COMPILED = ["-O3", "-std=c++17", "-Wall", "-Wno-psabi"]
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]
LIBRARIES = (  # folder, C++ file, the library's name without its instruction set, instruction sets
    (KERNELS, "kernels.cpp", "_", ("portable", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx")),
    (KERNELS, "products.cpp", "_products_", (*AVX2, "avx512vnni", "amx", "dotprod", "i8mm")),
    (KERNELS, "float_products.cpp", "_float_product_", ("avx2", "avx512")),
    (KERNELS, "int8_attention.cpp", "_int8_attention_", ("avx512vnni", "amx", "dotprod", "i8mm")),
    (KERNELS, "sparse_products.cpp", "_sparse_", ("portable", *AVX2, "avxvnni", "avx512vnni", "dotprod")),
    (KERNELS, "mobilebert.cpp", "_mobilebert_", (*AVX2, "avx512vnni", "amx")),
    (TRAINING, "training.cpp", "_", ("portable", "avx2", "avx512")),
    (TEXT, "text.cpp", "_text_", ("portable",)),
)


def sources(path: Path) -> list[Path]:
    """A C++ file and all that it includes of its own folder and of the kernels', by name."""
    found, todo = {}, [path]
    while todo:
        one = todo.pop()
        found[one.name] = one
        names = set(re.findall(r'^#include "(.+)"', one.read_text(encoding="utf-8"), re.MULTILINE)) - set(found)
        todo += [next(at for at in (path.parent / name, Path(KERNELS) / name) if at.exists()) for name in names]
    return [found[name] for name in sorted(found)]


def library(folder: str, file: str, name: str, instructions: str) -> Extension:
    """One library, with the hashes of its sources compiled in; their names are relative to its folder."""
    read = sources(Path(folder) / file)
    hashes = {os.path.relpath(one, folder): hashlib.sha256(one.read_bytes()).hexdigest()[:16] for one in read}
    return Extension(
        f"{folder.replace('/', '.')}.{name}{instructions}",
        [f"{folder}/{file}"],
        depends=[str(one) for one in read],
        include_dirs=[KERNELS],
        define_macros=[("BUILT_FROM", '"{}"'.format(" ".join(f"{one}={of}" for one, of in hashes.items())))],
        extra_compile_args=[*COMPILED, *OPENMP, *FLAGS[instructions]],
        extra_link_args=OPENMP,
        language="c++",
        optional=True,
    )


setup(
    ext_modules=[
        library(folder, file, name, instructions)
        for folder, file, name, sets in LIBRARIES
        for instructions in sets
        if instructions in BUILT
    ]
)
