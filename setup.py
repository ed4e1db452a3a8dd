"""Builds the native libraries; everything else is in pyproject.toml.

They are the kernels of inference and of training, one library per instruction set, and what makes pre-training data of
text. All are plain C
functions, called through ctypes, so building them needs neither Python's headers nor torch. Without a compiler the
package installs without them, and their twins in Python run instead.
"""

import platform
import sys

from setuptools import Extension, setup

KERNELS = "backends/pytorch_cpu/kernels"
TRAINING = "training/network/native"
TEXT = "training/text/native"
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
AMX = [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-mamx-int8"]
HAS_AMX = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")
X86 = {
    **({"amx": AMX} if HAS_AMX else {}),
    "avx512bf16": [*AVX512, "-mavx512bf16"],
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "avx512": AVX512,
    "avx2": ["-mavx2", "-mfma"],
}
VARIANTS = {"portable": [], **(X86 if platform.machine() in ("x86_64", "AMD64") else {})}
MOBILEBERT_VARIANTS = ("amx", "avx512vnni")
TRAINING_VARIANTS = ("avx512", "avx2", "portable")
SPARSE_VARIANTS = ("avx512vnni", "avxvnni", "portable")
SPARSE = {"avxvnni": ["-mavx2", "-mfma", "-mavxvnni"]} if "avx2" in VARIANTS else {}
COMPILED = ["-O3", "-std=c++17", "-Wall", "-Wno-psabi"]
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]

setup(
    ext_modules=[
        Extension(
            f"{KERNELS.replace('/', '.')}._{variant}",
            [f"{KERNELS}/kernels.cpp"],
            depends=[
                f"{KERNELS}/{name}.h"
                for name in ("activation", "attention", "norm", "peak", "simd", "tiles", "vector_math")
            ],
            extra_compile_args=[*COMPILED, *OPENMP, *flags],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
        for variant, flags in VARIANTS.items()
    ]
    + [
        Extension(
            f"{KERNELS.replace('/', '.')}._amx_products",
            [f"{KERNELS}/products.cpp"],
            depends=[
                f"{KERNELS}/{name}.h"
                for name in ("activation", "gelu", "int8_attention", "int8_product", "peak", "simd", "tiles")
            ],
            extra_compile_args=[*COMPILED, *OPENMP, *AMX],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
    ]
    * HAS_AMX
    + [
        Extension(
            f"{KERNELS.replace('/', '.')}._sparse_{variant}",
            [f"{KERNELS}/sparse_products.cpp"],
            depends=[f"{KERNELS}/{name}.h" for name in ("activation", "gelu", "simd", "sparse_product")],
            extra_compile_args=[*COMPILED, *OPENMP, *flags],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
        for variant, flags in {**VARIANTS, **SPARSE}.items()
        if variant in SPARSE_VARIANTS
    ]
    + [
        Extension(
            f"{KERNELS.replace('/', '.')}._mobilebert_{variant}",
            [f"{KERNELS}/mobilebert.cpp"],
            depends=[
                f"{KERNELS}/{name}.h" for name in ("activation", "attention", "chain", "simd", "tiles", "vector_math")
            ],
            extra_compile_args=[*COMPILED, *OPENMP, *flags, "-mavx512vnni"],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
        for variant, flags in VARIANTS.items()
        if variant in MOBILEBERT_VARIANTS
    ]
    + [
        Extension(
            f"{TRAINING.replace('/', '.')}._{variant}",
            [f"{TRAINING}/training.cpp"],
            depends=[
                f"{TRAINING}/{name}.h" for name in ("attention", "exponential", "gelu", "product", "random", "residual")
            ],
            include_dirs=[KERNELS],
            extra_compile_args=[*COMPILED, *OPENMP, *flags],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
        for variant, flags in VARIANTS.items()
        if variant in TRAINING_VARIANTS
    ]
    + [
        Extension(
            f"{TEXT.replace('/', '.')}._text",
            [f"{TEXT}/text.cpp"],
            depends=[f"{TEXT}/{name}.h" for name in ("pairs", "random", "words")],
            extra_compile_args=COMPILED,
            language="c++",
            optional=True,
        )
    ]
)
