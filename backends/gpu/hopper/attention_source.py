"""The CUDA C++ source of Hopper's attention: attention.cu with its constants."""

from __future__ import annotations

from backends.gpu.hopper.source import BF16, BYTES, F16, SHARED_MEMORY, assembled

HEAD_SIZE = 64
ROW_BYTES = 128  # of a head's queries, keys or values
BLOCK, TAIL = 64, 16  # rows of a copy, and of a copy of a sample's last block
_BLOCK_BYTES = BLOCK * ROW_BYTES
CONSUMERS = 3  # warpgroups
THREADS = 128 * (1 + CONSUMERS)  # of a CTA: one warpgroup copies
_QUERY_PLACES = 2 * CONSUMERS  # for blocks of queries in shared memory
_WHOLE, _CHUNK = 3, 2  # most blocks of keys that a consumer takes at once; how many of a sample with more
_PRODUCER_REGISTERS, _CONSUMER_REGISTERS = 32, 160  # of a thread
_NAMES = {F16: "f16", BF16: "bf16"}
_MOST_SORTED = 256  # samples, longest first; each is compared with all others, so more would take microseconds


def pairs(result: int, width: int) -> int:
    """Places for a block of keys and one of values, of which as many are used as fit; at most 32."""
    fixed = 1024 + _QUERY_PLACES * (_BLOCK_BYTES + 16) + _table_bytes(result, width)
    return min(32, (SHARED_MEMORY - fixed) // (2 * _BLOCK_BYTES + 32))


def shared_memory(result: int, width: int) -> int:
    """Bytes of dynamic shared memory: alignment, blocks, barriers, every column's multiplier, the samples' order."""
    blocks = _QUERY_PLACES * (_BLOCK_BYTES + 16) + pairs(result, width) * (2 * _BLOCK_BYTES + 32)
    return 1024 + blocks + _table_bytes(result, width)


def _table_bytes(result: int, width: int) -> int:
    return (4 * width if result in BYTES else 0) + 2 * _MOST_SORTED


def source(operand: int, result: int, width: int) -> str:
    """The complete source; it includes nothing."""
    defined: dict[str, int | str] = {
        "OPERAND": operand,
        "RESULT": result,
        "HEADS": width // HEAD_SIZE,
        "CONSUMERS": CONSUMERS,
        "WHOLE": _WHOLE,
        "CHUNK": _CHUNK,
        "MOST_SORTED": _MOST_SORTED,
        "PAIRS": pairs(result, width),
        "PAIR": 0,
        "PRODUCER_REGISTERS": _PRODUCER_REGISTERS,
        "CONSUMER_REGISTERS": _CONSUMER_REGISTERS,
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
