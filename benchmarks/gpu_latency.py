"""One short batch as a CUDA graph: how long is a pass, by GEMM variant, with and without dependent launches?

    python -m benchmarks.gpu_latency --json latency.jsonl

Dependent launches: backends/gpu/kernels/dependent.py. Processes import and compile at once, then take turns on the GPU.
A pass is right if its logits are those of the kernels' twins, about, and exactly the same with dependent launches
as without, after many passes in a row. Last is the backend's whole way from a batch to its answers, with the kernels
and the kind of launch that it chooses (pass_tuning.py). `--dry-run` does the same on a CPU, with twins.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backends.base import Batch
from backends.bert.config import LINEARS
from backends.gpu import choice_cache, gemm_tuning, pass_tuning
from backends.gpu.cuda_graphs import BatchSizes, CudaGraphs
from backends.gpu.engine import BUCKETS
from backends.gpu.kernels import TWIN, dependent
from backends.gpu.packed_bert import ATTENTION, DeviceBatch, GpuBert
from backends.gpu.pipeline import Pipeline
from backends.gpu.weights import GpuWeights
from benchmarks.gpu_first_run import forward, workload
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run.rig import Rig
from foundation import program
from foundation.arrays import Float32

PRECISIONS, TOKENS = ("fp16", "fp8", "int8"), (192, 288, 384)
_WHOLE_TOKENS = (192, 256, 288, 320, 384)
DEFAULT = "default"
# The variant of each product, in the order of LINEARS, by contestant; a process for each row.
_PLANS: tuple[dict[str, tuple[str, ...]], ...] = (
    {DEFAULT: ()},
    {"64x64": ("64x64",) * 4},
    {
        "small 64x64": ("small 64x64",) * 4,
        "small 1 2 1 4": ("small 64x64", "small 64x64 by 2", "small 64x64", "small 64x64 by 4"),
        "small 1 2 1 2": ("small 64x64", "small 64x64 by 2", "small 64x64", "small 64x64 by 2"),
        "wide 1 2 1 2": ("small 64x128", "small 64x64 by 2", "small 64x128", "small 64x64 by 2"),
        "wide 1 4 1 4": ("small 64x128", "small 64x128 by 4", "small 64x128", "small 64x128 by 4"),
        "wide by 2": ("small 64x128 by 2",) * 4,
    },
)
_IN_A_ROW, _REPEATS = 20, 3
_WHOLE = 100
_PREPARE_S, _MEASURE_S = 120.0, 40.0
_READY = "prepared, waits for its turn"
Line = dict[str, Any]


def choices(precision: str, variants: Sequence[str]) -> gemm_tuning.GemmChoices:
    """The variants as `GpuBert` takes them: the same for all numbers of tokens."""
    if not variants:
        return gemm_tuning.default(precision)
    chosen = dict(zip(LINEARS, variants, strict=True))
    return {gemm_tuning.key(name, tokens): chosen[name] for name in LINEARS for tokens in BUCKETS}


class Passes:
    """Captured passes of one batch."""

    def __init__(self, rig: Rig, bert: GpuBert, batch: DeviceBatch) -> None:
        self._rig, self._bert, self._batch = rig, bert, batch
        self.logits = {early: rig.gpu.empty(bert.rows(len(batch.ids[0]), 1), 2) for early in (False, True)}

    def captured(self, early: bool) -> Callable[[], None]:
        gpu, logits = self._rig.gpu, self.logits[early]
        with dependent.launches(early and dependent.can(gpu.device)):
            gpu.launch(lambda: self._bert(self._batch, logits))  # compiles what a capture must not
            gpu.synchronize()
            return gpu.capture(lambda: self._bert(self._batch, logits))

    def milliseconds(self, replay: Callable[[], None]) -> tuple[float, float]:
        """Of a pass among many in a row, and of one alone with its launch."""
        gpu, count = self._rig.gpu, 1 if self._rig.is_dry else _IN_A_ROW
        row, alone = [], []
        for _ in range(1 if self._rig.is_dry else _REPEATS):
            row.append(_seconds(replay, count, gpu.synchronize))
            alone += [_seconds(replay, 1, gpu.synchronize) for _ in range(count)]
        return 1e3 * statistics.median(row), 1e3 * statistics.median(alone)


def _seconds(replay: Callable[[], object], count: int, synchronize: Callable[[], None]) -> float:
    synchronize()
    start_s = time.perf_counter()
    for _ in range(count):
        replay()
    synchronize()
    return (time.perf_counter() - start_s) / count


@torch.inference_mode()
def measure(rig: Rig, precision: str, plan: int) -> Iterator[Line]:
    """A line for each contestant of a plan, number of tokens, and kind of launch."""
    weights = workload.on_device(rig.config, precision, rig.gpu.device)
    tokens_of = rig.batch_tokens if rig.is_dry else TOKENS
    batches = {tokens: forward.on_device(rig.gpu.device, workload.batch(tokens, rig.config.vocab_size))
               for tokens in tokens_of}  # fmt: skip
    expected = {tokens: _expected(weights, precision, batch) for tokens, batch in batches.items()}
    made = list[tuple[Line, int, bool, Passes, Callable[[], None]]]()
    for name, variants in _PLANS[plan].items():
        case = {"precision": precision, "contestant": name}
        try:
            bert = GpuBert(weights, rig.gpu.kernels, choices(precision, () if rig.is_dry else variants))
            for tokens, batch in batches.items():
                passes = Passes(rig, bert, batch)
                for early in (False, True):
                    made.append((case, tokens, early, passes, passes.captured(early)))
        except Exception as error:  # noqa: BLE001 - a compiler's or CUDA's; it is this contestant's result
            yield {**case, "failed": rigs.first_line(error)}
    if plan == 0:
        _chosen(rig, weights, precision)  # compiles
    print(_READY, flush=True)
    sys.stdin.readline()
    for case, tokens, early, passes, replay in made:
        row, alone = passes.milliseconds(replay)
        same = torch.equal(passes.logits[False], passes.logits[early])
        found = {"row_ms": row, "alone_ms": alone, "same": same, "off": _off(passes.logits[early], expected[tokens])}
        yield {**case, "tokens": tokens, "early": early, **found}
    if plan == 0:
        yield from _whole(rig, weights, precision)


def _whole(rig: Rig, weights: GpuWeights, precision: str) -> Iterator[Line]:
    """The backend's whole way from a batch to its answers, by default and as it chooses."""
    for name, way in {DEFAULT: choices(precision, ()), "chosen": _chosen(rig, weights, precision)}.items():
        bert = GpuBert(weights, rig.gpu.kernels, way)
        for tokens, milliseconds, off in _answered(rig, bert, weights, precision):
            found = {"precision": precision, "contestant": name, "at": tokens, "whole_ms": milliseconds, "off": off}
            kind = "early" if bert.starts_early(tokens) else "plain"
            yield {**found, "kind": kind, "kernels": ", ".join(_kernels(way, tokens))}


def _kernels(way: gemm_tuning.GemmChoices, tokens: int) -> Iterator[str]:
    yield from gemm_tuning.of(way, tokens).values()
    yield f"attention {way.get(gemm_tuning.bucket_key(ATTENTION, tokens), DEFAULT)}"


def _chosen(rig: Rig, weights: GpuWeights, precision: str) -> gemm_tuning.GemmChoices:
    """What the backend chooses, if it has already chosen the fastest variant of each product; or else by default."""
    before = choice_cache.read(rig.gpu, weights) or gemm_tuning.default(precision)
    return pass_tuning.measured(weights, rig.gpu, before)


def _answered(rig: Rig, bert: GpuBert, weights: GpuWeights, precision: str) -> Iterator[tuple[int, float, float]]:
    """Tokens; milliseconds through the pipeline, which shows what the host adds to a pass; how far answers are off."""
    tokens_of = rig.batch_tokens if rig.is_dry else _WHOLE_TOKENS
    pipeline, graphs = Pipeline(bert, rig.gpu), CudaGraphs(bert, rig.gpu)
    graphs.capture(BatchSizes(most_tokens=max(tokens_of), most_samples=1, longest=max(tokens_of), typical=1))
    for tokens in tokens_of:
        batch = workload.batch(tokens, rig.config.vocab_size)

        def answer(batch: Batch = batch) -> Float32:
            return pipeline.begin(batch, graphs.of(batch)).answers()

        times = [_seconds(answer, 1, rig.gpu.synchronize) for _ in range(2 if rig.is_dry else _WHOLE)]
        expected = _expected(weights, precision, forward.on_device(rig.gpu.device, batch)).cpu()
        yield tokens, 1e3 * statistics.median(times), _off(torch.from_numpy(answer()), expected)


def _expected(weights: GpuWeights, precision: str, batch: DeviceBatch) -> Tensor:
    bert = GpuBert(weights, TWIN, choices(precision, ("64x64",) * len(LINEARS)))
    return bert(batch)


def _off(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖."""
    return float((found - expected).norm() / expected.norm())


class _Child:
    """A process that prepares a plan, says so, and measures when it is told to; each with a time limit."""

    def __init__(self, precision: str, plan: int, *, is_dry: bool) -> None:
        self._who = {"precision": precision, "contestant": f"plan {plan}"}
        command = [sys.executable, "-m", "benchmarks.gpu_latency", "--child", precision, str(plan)]
        self._process = subprocess.Popen(
            [*command, *(["--dry-run"] if is_dry else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._lines: list[str] = []
        self._timer = self._limited(_PREPARE_S)

    def _limited(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        return timer

    def prepare(self) -> None:
        """Returns when it is ready, or has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if _READY in line:
                break
            self._lines.append(line)
        self._timer.cancel()

    def measure(self) -> list[Line]:
        """What it found; the last line says why, if it failed."""
        timer = self._limited(_MEASURE_S)
        try:
            out, _ = self._process.communicate("go\n")
        except OSError:
            out = ""
        timer.cancel()
        lines = [*self._lines, *out.splitlines()]
        said = [line.strip() for line in lines if not line.startswith("{")][-1:]
        failed = [{**self._who, "failed": " ".join((f"exit code {self._process.returncode}", *said))}]
        return [json.loads(line) for line in lines if line.startswith("{")] + failed * bool(self._process.returncode)


def _measured(options: argparse.Namespace) -> list[Line]:
    plans = (0, len(_PLANS) - 1) if options.dry_run else range(len(_PLANS))
    children = [_Child(one, plan, is_dry=options.dry_run) for plan in plans for one in options.types]
    for child in children:
        child.prepare()
    return [line for child in children for line in child.measure()]


def table(lines: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """Milliseconds of a pass: plain, dependent, and dependent alone with its launch; ! where logits differ."""
    cases = {(one["precision"], one["contestant"]): None for one in lines if "row_ms" in one}
    tokens_of = sorted({one["tokens"] for one in lines if "tokens" in one})
    yield "", "", *(f"{tokens} {kind}" for tokens in tokens_of for kind in ("plain", "early", "alone")), "off"
    for precision, name in cases:
        own = [one for one in lines if (one["precision"], one["contestant"]) == (precision, name) and "row_ms" in one]
        at = {(one["tokens"], one["early"]): one for one in own}
        cells = []
        for tokens in tokens_of:
            plain, early = at.get((tokens, False)), at.get((tokens, True))
            cells.append(f"{plain['row_ms']:.3f}" if plain else "-")
            cells.append(f"{early['row_ms']:.3f}{'' if early['same'] else '!'}" if early else "-")
            cells.append(f"{early['alone_ms']:.3f}" if early else "-")
        yield precision, name, *cells, f"{max(one['off'] for one in own):.1e}"


def _child(precision: str, plan: str, *, is_dry: bool) -> None:
    if is_dry:
        torch.set_num_threads(1)
    for line in measure(rigs.of("bert-large", is_dry=is_dry), precision, int(plan)):
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--json", type=Path, help="all figures, as a file")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with twins, at small sizes")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(*options.child, is_dry=options.dry_run)
        return
    start_s = time.monotonic()
    lines = _measured(options)
    if options.json:
        options.json.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    rigs.show("ms of a pass", table(lines))
    for one in lines:
        if "whole_ms" in one:
            print(f"{one['precision']} {one['at']} {one['contestant']}: from batch to answers {one['whole_ms']:.3f} ms "
                  f"({one['kind']}; off {one['off']:.1e}; {one['kernels']})")  # fmt: skip
        if "failed" in one:
            print(f"{one['precision']} {one['contestant']} failed: {one['failed'][:300]}")
    print(f"{time.monotonic() - start_s:.0f} s")


if __name__ == "__main__":
    sys.exit(program.run(main))
