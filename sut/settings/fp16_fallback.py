"""`--precision fp16` on a CPU: the precision that runs in its place, and the notice that says so.

Accelerators' presets ask for fp16. A CPU with bfloat16 products runs bf16; any other is fastest in fp32, because 16-bit
numbers that are converted before each product save nothing.
"""

from __future__ import annotations

from dataclasses import replace

from backends import BACKENDS
from backends.entry import FP16
from foundation import cpu_info
from sut.settings.settings import RunConfig


def resolve(config: RunConfig) -> RunConfig:
    """The same run with fp16 replaced by a precision that its backend has here; other precisions are unchanged."""
    return replace(config, precision=_best(config.backend)) if config.precision == FP16 else config


def _best(backend: str) -> str:
    halves = BACKENDS[backend].halves
    if FP16 in halves:
        return FP16
    return "bf16" if "bf16" in halves and cpu_info.multiplies_bf16() else "fp32"


def notices(asked: RunConfig) -> tuple[str, ...]:
    """The notice of a run that asked for `asked.precision`, if another precision runs."""
    found = resolve(asked).precision
    if found == asked.precision or BACKENDS[asked.backend].served:
        return ()
    why = {
        "bf16": "which this processor multiplies itself",
        "fp32": "since backend and processor have no 16-bit products together",
    }
    return (f"--precision fp16: {asked.backend} runs {found} here, {why[found]}",)
