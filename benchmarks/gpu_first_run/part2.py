"""The steps of part 2: LoadGen's scenarios, transformers, and last the profiler's counters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu_first_run import goals, inputs
from benchmarks.gpu_first_run.part1 import COMPILED, last_line, measured, preparation
from benchmarks.gpu_first_run.steps import Step

PRECISIONS = ("fp8", "int8", "fp16")
_LIMITS_S = {"Offline": 100, "SingleStream": 60, "Server": 110}
LOADGEN = ("loadgen", *(scenario.lower() for scenario in _LIMITS_S))
_HERE = "benchmarks.gpu_first_run"


def steps(work: Path, out: Path) -> Iterator[Step]:
    """All steps; `work` is for files that later steps read, `out` for those to keep."""
    yield from preparation(work)
    made = (inputs.LENGTHS, "fp8", "int8")
    for what in made:
        yield Step(
            name=f"inputs {what}", words=(*LOADGEN, *((what,) if what in PRECISIONS else ("peers",))),
            module=f"{_HERE}.inputs", arguments=(what, "--work", str(work)), limit_s=100, digest=last_line,
        )  # fmt: skip
    ready = ("facts", COMPILED, *(f"inputs {what}" for what in made))
    yield from (_loadgen(work, "Offline", precision, ready) for precision in PRECISIONS)
    yield _peer(work, ready)
    yield from (_loadgen(work, "SingleStream", precision, ready) for precision in PRECISIONS)
    yield _loadgen(work, "Server", PRECISIONS[0], ready)
    before = (f"{scenario} {precision}" for scenario in ("Offline", "SingleStream") for precision in PRECISIONS)
    yield Step(
        name="goals", words=(*LOADGEN, "peers", "goals"), module=f"{_HERE}.goals", arguments=("--work", str(work)),
        limit_s=30, after=(goals.PEER, *before, f"Server {PRECISIONS[0]}"),
    )  # fmt: skip
    yield from (_loadgen(work, "Server", precision, ready) for precision in PRECISIONS[1:])
    for precision in PRECISIONS:
        yield measured(work, "counters", precision, str(out), limit_s=75)


def _loadgen(work: Path, scenario: str, precision: str, ready: tuple[str, ...]) -> Step:
    return Step(
        name=f"{scenario} {precision}", words=("loadgen", scenario.lower(), precision), module=f"{_HERE}.loadgen",
        arguments=(scenario, precision, "--work", str(work)), limit_s=_LIMITS_S[scenario], after=ready, alone=True,
        digest=last_line,
    )  # fmt: skip


def _peer(work: Path, ready: tuple[str, ...]) -> Step:
    data = inputs.data(work, "random:bert-large", inputs.PADDED)
    arguments = (
        *("pytorch-gpu", "--model", data.model, "--dataset", str(data.dataset)),
        *("--vocab", str(data.vocab), "--cache-dir", str(data.cache_dir)),
    )
    return Step(
        name=goals.PEER, words=("peers", "fp16"), module="benchmarks.peers", arguments=arguments, limit_s=75,
        after=ready, alone=True, digest=last_line,
    )  # fmt: skip
