"""The processor as Linux describes it in /proc/cpuinfo, on x86 and on ARM; the only reader of that file.

ARM kernels give no name there: `lscpu`, which knows the part numbers, is asked instead. Elsewhere than on Linux nothing
is known, and the answers are empty.
"""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path("/")
_LSCPU_TIMEOUT_S = 10.0
_BF16 = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def name(root: Path = ROOT) -> str:
    """The processor's name; "" if unknown."""
    return _first(root, "model name") or (_lscpu("Model name") if root == ROOT else "")


def flags(root: Path = ROOT) -> frozenset[str]:
    """The processor's features under the kernel's names: "avx512_vnni", "amx_int8"; on ARM "bf16", "i8mm"."""
    return frozenset((_first(root, "flags") or _first(root, "features")).split())


def adds_bytes_in_16_bits(machine: str = platform.machine(), root: Path = ROOT) -> bool:
    """True on x86 without VNNI: libraries add two products of uint8 by int8 in 16 bits there, where they saturate."""
    return machine.lower() in ("x86_64", "amd64") and not any("_vnni" in flag for flag in flags(root))


def multiplies_bf16(root: Path = ROOT) -> bool | None:
    """Whether it has matrix instructions for bfloat16 (AMX's or AVX-512's on x86, or ARM's); None if unknown."""
    known = flags(root)
    return not known.isdisjoint(_BF16) if known else None


def mhz(root: Path = ROOT) -> float | None:
    """The current clock of the first core; None if unknown, as on ARM."""
    try:
        return float(_first(root, "cpu mhz"))
    except ValueError:
        return None


def _first(root: Path, key: str) -> str:
    """The value of the first line with this key, ignoring case; "" if there is none."""
    pairs = (line.partition(":") for line in _lines(root / "proc/cpuinfo"))
    return next((value.strip() for found, _, value in pairs if found.strip().lower() == key), "")


@cache
def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()


@cache
def _lscpu(key: str) -> str:
    try:
        done = subprocess.run(
            ["lscpu"],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=_LSCPU_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return next((value.strip() for found, _, value in pairs if found.strip() == key), "")
