"""What a step measures with: the GPU and sizes, or in a dry run the CPU, the kernels' twins and small sizes."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.gpu.engine import BUCKETS
from backends.gpu.kernels import TWIN
from backends.gpu.runtime import CudaGpu, Gpu

PRECISIONS = ("fp8", "int8", "fp16", "bf16")
FACTS = "facts.json"  # in the working directory: what the first step measured of the GPU
GPU_FAILED = "CUDA error"  # in the text of errors after which nothing on the GPU can be trusted
_OFFLINE = 32768
_BATCHES = (192, 384, 2048, 4096, 8192, 16384, _OFFLINE, 65536)
_DRY_TOKENS = (32, 64)


class _Instant:
    """A stream or an event of a GPU that does everything at once."""

    def wait_event(self, event: object) -> None:
        pass

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True


class DryGpu:
    """The CPU as `runtime.Gpu`, with the kernels' twins; nothing is timed."""

    name = "none, a dry run"
    device = torch.device("cpu")
    kernels = TWIN
    choices_dir: Path | None = None

    def stream(self) -> _Instant:
        return _Instant()

    def event(self) -> _Instant:
        return _Instant()

    def current(self, stream: object) -> AbstractContextManager[object]:
        return nullcontext()

    def pinned(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    empty = pinned

    def copy(self, to: Tensor, source: Tensor) -> None:
        to.copy_(source)

    def launch(self, work: Callable[[], object]) -> None:
        work()

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        return lambda: self.launch(work)

    def synchronize(self) -> None:
        pass

    def milliseconds(self, call: Callable[[], object]) -> float:
        call()
        return 1.0

    replay_milliseconds = milliseconds


@dataclass(frozen=True)
class Rig:
    """A GPU, and the sizes at which a step measures it."""

    gpu: Gpu
    config: BertConfig
    product_tokens: tuple[int, ...]  # of products alone: the buckets of the tuning, and Offline's batch
    batch_tokens: tuple[int, ...]  # of whole batches

    @property
    def is_dry(self) -> bool:
        return isinstance(self.gpu, DryGpu)

    @property
    def most_tokens(self) -> int:
        """Tokens of Offline's batch."""
        return self.product_tokens[-1]


def of(geometry: str, *, is_dry: bool) -> Rig:
    """The rig for a geometry such as bert-large."""
    if is_dry:
        return Rig(DryGpu(), RANDOM_GEOMETRIES["bert-tiny"], _DRY_TOKENS, _DRY_TOKENS)
    return Rig(CudaGpu(0), RANDOM_GEOMETRIES[geometry], (*BUCKETS, _OFFLINE), _BATCHES)


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
