"""What a step measures with: the GPU and its clock, or in a dry run the CPU, the kernels' twins and small sizes."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.gpu.engine import BUCKETS
from backends.gpu.kernels import TRITON, TWIN, GpuKernels

PRECISIONS = ("fp8", "int8", "fp16", "bf16")
FACTS = "facts.json"  # in the working directory: what the first step measured of the GPU
GPU_FAILED = "CUDA error"  # in the text of errors after which nothing on the GPU can be trusted
_WARM_UP_MS, _CALL_MS = 5, 20  # spent on one figure


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Where and at which sizes a step measures."""

    device: torch.device
    kernels: GpuKernels
    config: BertConfig
    product_tokens: tuple[int, ...]  # of products alone: the buckets of the tuning, and Offline's batch
    batch_tokens: tuple[int, ...]  # of whole batches
    is_dry: bool

    @property
    def most_tokens(self) -> int:
        """Tokens of Offline's batch."""
        return self.product_tokens[-1]

    def milliseconds(self, call: Callable[[], object]) -> float:
        """Median time of a call, with a cold L2 cache."""
        if self.is_dry:
            call()
            return 1.0
        from triton.testing import do_bench

        return float(do_bench(call, warmup=_WARM_UP_MS, rep=_CALL_MS, return_mode="median"))


def of(geometry: str, *, is_dry: bool, on_cpu: bool = False) -> Rig:
    """The rig for a geometry such as bert-large; `on_cpu` touches no GPU and can only compile."""
    if is_dry:
        sizes = (32, 64)
        return Rig(
            device=torch.device("cpu"),
            kernels=TWIN,
            config=RANDOM_GEOMETRIES["bert-tiny"],
            product_tokens=sizes,
            batch_tokens=sizes,
            is_dry=True,
        )
    device = torch.device("cpu") if on_cpu else torch.device("cuda", 0)
    if not on_cpu:
        torch.cuda.set_device(device)
    return Rig(
        device=device,
        kernels=TRITON,
        config=RANDOM_GEOMETRIES[geometry],
        product_tokens=(*BUCKETS, 32768),
        batch_tokens=(192, 384, 2048, 4096, 8192, 16384, 32768, 65536),
        is_dry=False,
    )


def options(about: str | None, argv: Sequence[str] | None, *more: str) -> argparse.Namespace:
    """The flags of a step. `more` are names of positional arguments, such as a precision."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in more:
        parser.add_argument(name)
    parser.add_argument("--geometry", choices=RANDOM_GEOMETRIES, default="bert-large")
    parser.add_argument("--work", type=Path, required=True, help="directory of files that steps leave for later ones")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with twins, at small sizes")
    return parser.parse_args(argv)


def ceilings(work: Path) -> dict[str, float]:
    """What the step `facts` measured: copy in GB/s, products in TFLOP/s by precision; empty without it."""
    try:
        found: dict[str, float] = json.loads((work / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def show(title: str, rows: Iterable[Sequence[object]]) -> None:
    """Print a table in as few characters as its columns allow; the first row is its heading.

    Rows that were made before an error are printed before it is raised.
    """
    text: list[list[str]] = []
    try:
        text.extend([str(cell) for cell in row] for row in rows)
    finally:
        print(title)
        widths = [max(map(len, column)) for column in zip(*text, strict=True)]
        for row in text:
            cells = (
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            print(" ".join(cells).rstrip())
        sys.stdout.flush()


def note(words: str) -> None:
    """A line for the log, not for the table."""
    print(words, file=sys.stderr, flush=True)


def first_line(error: BaseException) -> str:
    """An error's type and the beginning of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


class Sections:
    """Parts of a step that do without each other: the next one runs unless the GPU itself has failed."""

    def __init__(self) -> None:
        self.code = 0
        self._is_over = False

    def run(self, name: str, section: Callable[[], object]) -> None:
        """Run one; its error is one line of the table and a traceback in the log."""
        if self._is_over:
            return
        try:
            section()
        except Exception as error:  # noqa: BLE001 - libraries and compilers raise what they like
            print(f"{name} failed: {first_line(error)}", flush=True)
            note(traceback.format_exc())
            self.code, self._is_over = 1, GPU_FAILED in str(error)
