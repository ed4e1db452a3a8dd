"""The CUDA C++ source of one form of Hopper's attention: attention.cu with its constants."""

from __future__ import annotations

from dataclasses import dataclass

from backends.gpu.hopper.source import BF16, BYTES, F16, SHARED_MEMORY, assembled

HEAD_SIZE = 64
ROW_BYTES = 128  # of a head's queries, keys or values
BLOCK, TAIL = 64, 16  # rows of a copy, and of a copy of a sample's last block
_BLOCK_BYTES = BLOCK * ROW_BYTES
_NAMES = {F16: "f16", BF16: "bf16"}
_MOST_SORTED = 256  # samples; each is compared with all others, so more would take microseconds
_REGISTERS = {2: (56, 224), 3: (32, 160)}  # consumers → of a thread of the producer, of a consumer


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a CTA divides its work."""

    consumers: int  # warpgroups
    whole: int  # most blocks of keys that a consumer takes at once; samples with more have
    chunk: int  # this many at once
    early: bool = False  # a block's values are multiplied while the next block's exponentials are computed
    sorted: bool = False  # the longest samples come first, which divides the work evenly
    turns: bool = False  # consumers begin their blocks one after the other
    skip: bool = False  # warps without a row of the sample compute no exponentials
    near: bool = False  # L2 reads 128 bytes, a head's row; else 256, the next head's too

    @property
    def threads(self) -> int:
        """Of a CTA: one warpgroup copies."""
        return 128 * (1 + self.consumers)

    @property
    def query_places(self) -> int:
        """Blocks of queries in shared memory."""
        return 2 * self.consumers


def pairs(form: Form, result: int, width: int) -> int:
    """Places for a block of keys and one of values, of which as many are used as fit; at most 32."""
    places = form.query_places
    fixed = 1024 + places * (_BLOCK_BYTES + 16) + _table_bytes(form, result, width)
    return min(32, (SHARED_MEMORY - fixed) // (2 * _BLOCK_BYTES + 32))


def shared_memory(form: Form, result: int, width: int) -> int:
    """Bytes of dynamic shared memory: alignment, blocks, barriers, every column's multiplier, the samples' order."""
    blocks = form.query_places * (_BLOCK_BYTES + 16) + pairs(form, result, width) * (2 * _BLOCK_BYTES + 32)
    return 1024 + blocks + _table_bytes(form, result, width)


def _table_bytes(form: Form, result: int, width: int) -> int:
    return (4 * width if result in BYTES else 0) + (2 * _MOST_SORTED if form.sorted else 0)


def source(form: Form, operand: int, result: int, width: int) -> str:
    """The complete source; it includes nothing."""
    producer, consumer = _REGISTERS[form.consumers]
    defined: dict[str, int | str] = {
        "OPERAND": operand,
        "RESULT": result,
        "HEADS": width // HEAD_SIZE,
        "CONSUMERS": form.consumers,
        "WHOLE": form.whole,
        "CHUNK": form.chunk,
        "EARLY": int(form.early),
        "SORTED": int(form.sorted),
        "TURNS": int(form.turns),
        "SKIP": int(form.skip),
        "MOST_SORTED": _MOST_SORTED,
        "PAIRS": pairs(form, result, width),
        "PAIR": 0,
        "CLUSTER": 1,
        "PRODUCER_REGISTERS": producer,
        "CONSUMER_REGISTERS": consumer,
        "SUM(x)": '"+f"(x)',
    }
    name = _NAMES[operand]
    products = ["typedef float Sum;", _product("score", name, 0), _product("mix", name, 1), _pair(name)]
    return assembled(defined, "\n".join(products), "attention.cu")


def _product(function: str, name: str, rows: int) -> str:
    """A function that issues one wgmma: sum += (64 x 16 in registers) (16 x 64 in shared memory).

    `rows`: the second operand lies in rows of K, each with 64 columns; else in rows of columns.
    """
    places = ", ".join(f"%{number}" for number in range(32))
    outputs = ", ".join(f"SUM(sum[{number}])" for number in range(32))
    return f"""__device__ __forceinline__ void {function}(
    Sum (&sum)[32], const unsigned* left, unsigned long long right, int accumulate) {{
    asm volatile(
        "{{\\n.reg .pred p;\\nsetp.ne.b32 p, %37, 0;\\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.{name}.{name} {{{places}}}, {{%32, %33, %34, %35}}, %36, "
        "p, 1, 1, {rows};\\n}}"
        : {outputs}
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(accumulate));
}}"""


def _pair(name: str) -> str:
    """A function that packs two floats, the first in the lower bits."""
    return f"""__device__ __forceinline__ unsigned pair_of(float left, float right) {{
    unsigned pair;
    asm("cvt.rn.{name}x2.f32 %0, %2, %1;" : "=r"(pair) : "f"(left), "f"(right));
    return pair;
}}"""
