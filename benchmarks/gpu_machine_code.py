"""Compiles a Triton kernel for compute capability 9.0 without a GPU, and counts what its machine code does.

A kernel is compiled through the function that launches it, with tensors on the CPU and a driver that launches nothing:
the machine code is the one that a GPU would run, with the same specializations.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.runtime import driver
from triton.runtime.jit import JITFunction

_ARCHITECTURE = 90
_WARP = 32
# What one multiprocessor of an H100 has. A program reserves 1 KiB of shared memory, and registers in steps of 8.
_REGISTERS, _SHARED_BYTES, _WARPS, _PROGRAMS = 65536, 228 << 10, 64, 32
_RESERVED_BYTES, _REGISTER_STEP = 1 << 10, 8
_PRODUCT = re.compile(r"\b[HQI]GMMA\.(\S+)")
_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?);")


@dataclass(frozen=True, kw_only=True)
class MachineCode:
    """Counts are instructions of one warp as they stand in the code, each once."""

    loop: int  # the innermost loop around the matrix instructions; 0 without one
    others: int
    products: tuple[str, ...]  # the kinds of matrix instructions, such as "64x128x32.F32.E4M3.E4M3"
    products_in_loop: int
    special: int  # instructions of the special function unit: exp2, tanh, 1/x
    registers: int
    spilled_bytes: int
    shared_bytes: int
    warps: int
    waits: tuple[str, ...]  # how many products may be unfinished where the loop waits: "0x1" is asynchronous
    serialized: bool  # the assembler waits after every matrix instruction
    copies_ahead: tuple[str, ...]  # "tma", "cp.async"

    @property
    def programs(self) -> int:
        """Programs that one multiprocessor runs at the same time."""
        registers = -(-self.registers // _REGISTER_STEP) * _REGISTER_STEP * _WARP * self.warps
        shared = self.shared_bytes + _RESERVED_BYTES
        return min(_REGISTERS // registers, _SHARED_BYTES // shared, _WARPS // self.warps, _PROGRAMS)


class _Driver:
    """A GPU of compute capability 9.0 that is not there."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: object = None) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", _ARCHITECTURE, _WARP)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def map_python_to_cpp_type(self, kind: str) -> str:
        return kind


@contextmanager
def collected() -> Iterator[list[Any]]:
    """Kernels that are launched inside are compiled and appended to the list; nothing runs."""
    found: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: object, warmup: bool, **named: Any) -> Any:
        found.append(run(self, *arguments, grid=grid, warmup=True, **named))
        return found[-1]

    driver.set_active(_Driver())
    JITFunction.run = compile_only
    try:
        yield found
    finally:
        JITFunction.run = run


def is_interpreted() -> bool:
    """True if kernels would run in Triton's interpreter, which compiles nothing."""
    return bool(triton.knobs.runtime.interpret)


def of(launch: Callable[[], object]) -> MachineCode:
    """The machine code of the kernel that `launch` launches."""
    with collected() as found:
        launch()
    (kernel,) = found
    return read(kernel)


def read(kernel: Any) -> MachineCode:
    """What is in a compiled kernel."""
    ptx, report = kernel.asm["ptx"], _assembler_report(kernel.asm["ptx"])
    code = list(_instructions(kernel.asm["cubin"]))
    loop = _main_loop(code)
    return MachineCode(
        loop=len(loop),
        others=len(code) - len(loop),
        products=tuple(sorted({found[1] for _, text in code if (found := _PRODUCT.search(text))})),
        products_in_loop=sum(bool(_PRODUCT.search(text)) for _, text in loop),
        special=sum("MUFU" in text for _, text in code),
        registers=_number(r"Used (\d+) registers", report),
        spilled_bytes=_number(r"(\d+) bytes spill stores", report),
        shared_bytes=kernel.metadata.shared,
        warps=kernel.metadata.num_warps,
        waits=tuple(sorted({found[1] for _, text in loop if (found := re.search(r"DEPBAR\S* gsb0, (\S+)", text))})),
        serialized="serialized" in report,
        copies_ahead=tuple(
            name
            for name, word in (("tma", "cp.async.bulk.tensor"), ("cp.async", "cp.async.c"))
            if word in ptx
        ),
    )  # fmt: skip


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _assembler_report(ptx: str) -> str:
    """What the assembler says about registers, spills and matrix instructions."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx, encoding="utf-8")
        command = [get_ptxas(_ARCHITECTURE).path, "-v", "--gpu-name=sm_90a", str(source), "-o", f"{folder}/cubin"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def _instructions(cubin: bytes) -> Iterator[tuple[int, str]]:
    """Addresses and instructions, without what only fills the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-sass", str(path)]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        found = _INSTRUCTION.match(line)
        if found and not found[2].startswith("NOP"):
            yield int(found[1], 16), found[2]


def _main_loop(code: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The shortest loop that has a matrix instruction."""
    loops = []
    for at, text in code:
        back = re.search(r"BRA\S*\s.*?(0x[0-9a-f]+)", text)
        if back and int(back[1], 16) < at:
            inside = [one for one in code if int(back[1], 16) <= one[0] <= at]
            if any(_PRODUCT.search(one) for _, one in inside):
                loops.append(inside)
    return min(loops, key=len, default=[])
