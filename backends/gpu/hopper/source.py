"""The CUDA C++ source of one variant of the Hopper product: gemm.cu with its constants.

Everything that is known when a model is loaded is a constant of the source; numbers of rows, columns and K are not, so
a model needs two or three kernels of each variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NO_RESIDUAL, AS_IT_IS, NORMALIZED = range(3)  # what is added to the result; see kernels/residual.py
STEP = 128  # bytes of K in a stage
S8, E4M3, F16, BF16 = range(4)
BYTES = (S8, E4M3)
SHARED_MEMORY = 227 * 1024  # bytes that a CTA may use
_PRODUCER_REGISTERS, _CONSUMER_REGISTERS = 40, 232  # of a thread
_NAMES = ("S8", "E4M3", "F16", "BF16")
# type → its sums, the wgmma instruction's types, and its operands after the descriptors
_INSTRUCTIONS = {
    S8: ("int", "k32.s32.s8.s8", "p"),
    E4M3: ("float", "k32.f32.e4m3.e4m3", "p, 1, 1"),
    F16: ("float", "k16.f32.f16.f16", "p, 1, 1, 0, 0"),
    BF16: ("float", "k16.f32.bf16.bf16", "p, 1, 1, 0, 0"),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the result is cut into tiles, and who computes them."""

    blocks: int  # of 64 rows, a warpgroup's part of a tile
    columns: int
    ping_pong: bool = False  # the warpgroups take turns with a tile each; else each has half of one tile's rows
    pair: bool = False  # clusters of two CTAs, which share W
    stages: int = 0  # 0: as many as fit

    @property
    def rows(self) -> int:
        """Rows of a CTA's tile."""
        return self.blocks * 64 * (1 if self.ping_pong else 2)

    @property
    def ctas(self) -> int:
        """CTAs of a cluster; 1: there are no clusters."""
        return 2 if self.pair else 1

    @property
    def copies(self) -> tuple[int, int]:
        """Rows of x and of W in one copy: of a shared W each CTA loads a half."""
        return self.rows, self.columns // self.ctas


@dataclass(frozen=True, kw_only=True)
class Types:
    """What a kernel reads and writes."""

    operand: int
    result: int
    gelu: bool
    scaled: bool
    residual: int = NO_RESIDUAL  # of 16 bits, as is the result

    @property
    def group(self) -> int:
        """Columns of the result of which four threads hold 16 bytes each."""
        return 64 if self.result in BYTES else 32

    @property
    def constants(self) -> int:
        """Floats of each column: bias, scale, multiplier, weight of the residual's LayerNorm."""
        return 1 + self.scaled + (self.result in BYTES) + (self.residual == NORMALIZED)


def stages(shape: Shape, types: Types) -> int:
    """Stages of the ring: as many as fit next to the constants of the columns, if the shape sets no number."""
    fixed = 1024 + 4 * types.constants * shape.columns * 4  # alignment; two buffers for each warpgroup
    return shape.stages or (SHARED_MEMORY - fixed) // ((shape.rows + shape.columns) * STEP + 16)


def shared_memory(shape: Shape, types: Types) -> int:
    """Bytes of dynamic shared memory."""
    stage = (shape.rows + shape.columns) * STEP + 16  # with its two barriers
    return 1024 + 4 * types.constants * shape.columns * 4 + stages(shape, types) * stage


def source(shape: Shape, types: Types, kernel: str = "gemm.cu") -> str:
    """The complete source of `kernel`; it includes nothing."""
    defined = {
        "NORMALIZED": NORMALIZED,
        "OPERAND": types.operand,
        "RESULT": types.result,
        "GELU": int(types.gelu),
        "SCALED": int(types.scaled),
        "RESIDUAL": types.residual,
        "BLOCKS": shape.blocks,
        "COLUMNS": shape.columns,
        "PINGPONG": int(shape.ping_pong),
        "PAIR": int(shape.pair),
        "STAGES": stages(shape, types),
        "PRODUCER_REGISTERS": _PRODUCER_REGISTERS,
        "CONSUMER_REGISTERS": _CONSUMER_REGISTERS,
        "SUM(x)": '"+r"(x)' if types.operand == S8 else '"+f"(x)',
    }
    return assembled(defined, _product(types.operand, shape.columns), kernel)


def assembled(defined: Mapping[str, int | str], products: str, kernel: str) -> str:
    """A kernel's source: its constants, the functions that issue its products, what all kernels share, itself."""
    names = {name: number for number, name in enumerate(_NAMES)}
    lines = (f"#define {name} {value}" for name, value in {**names, **defined}.items())
    return "\n".join((*lines, products, _text("instructions.cu"), _text(kernel)))


def _product(operand: int, columns: int) -> str:
    """The function that issues one wgmma: sum += (64 rows of x) (`columns` rows of W)ᵀ, 32 bytes of K."""
    sums, types, rest = _INSTRUCTIONS[operand]
    registers = columns // 2
    places = ", ".join(f"%{number}" for number in range(registers))
    outputs = ", ".join(f"SUM(sum[{number}])" for number in range(registers))
    left, right, accumulate = (f"%{registers + number}" for number in range(3))
    return f"""typedef {sums} Sum;
__device__ __forceinline__ void product(
    Sum (&sum)[{registers}], unsigned long long left, unsigned long long right, int accumulate) {{
    asm volatile(
        "{{\\n.reg .pred p;\\nsetp.ne.b32 p, {accumulate}, 0;\\n"
        "wgmma.mma_async.sync.aligned.m64n{columns}{types} {{{places}}}, {left}, {right}, {rest};\\n}}"
        : {outputs}
        : "l"(left), "l"(right), "r"(accumulate));
}}"""


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
