"""The processor on x86, on ARM, and where nothing says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation import cpu_info

X86 = """processor\t: 0
model name\t: A CPU @ 2.60GHz: v2
cpu MHz\t\t: 2600.5
flags\t\t: fpu avx512_vnni amx_bf16

processor\t: 1
model name\t: A CPU @ 2.60GHz: v2
cpu MHz\t\t: 1000.0
flags\t\t: fpu avx512_vnni amx_bf16
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd4f
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def test_x86(root: Path) -> None:
    (root / "proc/cpuinfo").write_text(X86)
    assert cpu_info.name(root) == "A CPU @ 2.60GHz: v2"
    assert cpu_info.flags(root) == {"fpu", "avx512_vnni", "amx_bf16"}
    assert cpu_info.mhz(root) == 2600.5


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fpu avx2", True),
        ("AMD64", "avx512f", True),
        ("x86_64", "avx2 avx_vnni", False),
        ("x86_64", "avx512_vnni", False),
        ("aarch64", "asimd", False),
    ],
)
def test_where_libraries_add_bytes_in_16_bits(root: Path, machine: str, flags: str, expected: bool) -> None:
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert cpu_info.adds_bytes_in_16_bits(machine, root) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags: fpu avx2", False),
        ("flags: avx512f avx512_vnni", False),
        ("flags: avx512f avx512_bf16", True),
        ("flags: amx_tile amx_bf16", True),
        ("Features: asimd i8mm bf16", True),
        ("Features: asimd", False),
        ("", None),
    ],
)
def test_whether_it_multiplies_bfloat16(root: Path, line: str, expected: bool | None) -> None:
    (root / "proc/cpuinfo").write_text(f"{line}\n")
    assert cpu_info.multiplies_bf16(root) is expected


def test_arm(root: Path) -> None:
    (root / "proc/cpuinfo").write_text(ARM)
    assert (cpu_info.name(root), cpu_info.mhz(root)) == ("", None)
    assert cpu_info.flags(root) == {"fp", "asimd", "i8mm", "bf16"}


def test_no_such_file(root: Path) -> None:
    assert (cpu_info.name(root), cpu_info.flags(root), cpu_info.mhz(root)) == ("", frozenset(), None)


@pytest.mark.parametrize("lscpu", ["#!/bin/sh\necho 'Architecture: aarch64'\necho 'Model name: Neoverse-V2'\n", None])
def test_a_name_that_the_kernel_does_not_know_is_asked_of_lscpu(
    root: Path, monkeypatch: pytest.MonkeyPatch, lscpu: str | None
) -> None:
    (root / "proc/cpuinfo").write_text(ARM)
    if lscpu:
        (root / "lscpu").write_text(lscpu)
        (root / "lscpu").chmod(0o755)
    monkeypatch.setattr(cpu_info, "ROOT", root)
    monkeypatch.setenv("PATH", str(root))
    cpu_info._lscpu.cache_clear()
    try:
        assert cpu_info.name(root) == ("Neoverse-V2" if lscpu else "")
    finally:
        cpu_info._lscpu.cache_clear()
