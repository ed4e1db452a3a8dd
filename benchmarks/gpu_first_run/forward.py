"""Whole forward passes by batch size: samples per second as in a run, and the device's own time from a CUDA graph."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator

import torch

from backends.base import Batch, Pending
from backends.gpu.packed_bert import DeviceBatch, GpuBert
from backends.gpu.pipeline import Pipeline, integers, lay_out, packed
from benchmarks import length_matched
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.rig import Rig
from foundation.arrays import Float32
from sut.executors.base import JOBS_PER_INSTANCE

_TOKENS_OF_A_FIGURE = 600_000  # about half a second
_SMALL = 2048  # below this a batch takes as long as its launches
_FEWEST, _REPLAYS = 8, 10
_WARM_UP_S, _ASKED_S = 1.5, 5.0  # of a load, until its clocks are read
HEADING = ("tokens", "samples", "samples/s", "at 177", "host ms", "graph ms", "graph at 177")


def on_device(device: torch.device, one: Batch) -> DeviceBatch:
    """A batch as the kernels read it."""
    host = torch.empty(integers(one.tokens), dtype=torch.int32)
    lay_out(one, host)
    return packed(host.to(device), one.tokens, len(one), one.max_length)


def table(rig: Rig, bert: GpuBert) -> Iterator[tuple[str, ...]]:
    """A row for each batch size; samples/s with as many batches under way as in a run."""
    yield HEADING
    pipeline = Pipeline(bert, rig.gpu)
    for tokens in rig.batch_tokens:
        one = workload.batch(tokens, rig.config.vocab_size)
        seconds, host_ms = _in_flight(pipeline, one, JOBS_PER_INSTANCE if rig.is_dry else _batches(one))
        graph_ms = _graph_ms(rig, bert, one)
        yield (
            *(str(one.tokens), str(len(one)), f"{len(one) / seconds:.0f}", _at_mean(one.tokens, seconds)),
            *(f"{host_ms:.2f}", f"{graph_ms:.3f}", _at_mean(one.tokens, graph_ms / 1e3)),
        )


def _at_mean(tokens: int, seconds: float) -> str:
    """Samples of the mean length per second."""
    return f"{tokens / length_matched.MEAN_LENGTH / seconds:.0f}"


def _batches(one: Batch) -> int:
    """Batches of a figure."""
    return max(_FEWEST, _TOKENS_OF_A_FIGURE // max(one.tokens, _SMALL))


def _in_flight(pipeline: Pipeline, one: Batch, count: int) -> tuple[float, float]:
    """Seconds of a batch in a steady flow, and the host's median ms to enqueue one."""
    for _ in range(2):
        pipeline.begin(one).answers()
    host_s = []
    under_way: list[Pending[Float32]] = []
    start_s = time.perf_counter()
    for _ in range(count):
        before_s = time.perf_counter()
        under_way.append(pipeline.begin(one))
        host_s.append(time.perf_counter() - before_s)
        if len(under_way) == JOBS_PER_INSTANCE:
            under_way.pop(0).answers()
    for pending in under_way:
        pending.answers()
    return (time.perf_counter() - start_s) / count, statistics.median(host_s) * 1e3


@torch.inference_mode()
def _graph_ms(rig: Rig, bert: GpuBert, one: Batch) -> float:
    """The time of a pass without the host's launches."""
    gpu, batch = rig.gpu, on_device(rig.gpu.device, one)
    logits = gpu.empty(bert.rows(one.tokens, len(one)), 2)
    gpu.launch(lambda: bert(batch, logits))  # compiles what a capture must not
    gpu.synchronize()
    replay = gpu.capture(lambda: bert(batch, logits))
    replay()
    gpu.synchronize()
    replays = 1 if rig.is_dry else _REPLAYS
    start_s = time.perf_counter()
    for _ in range(replays):
        replay()
    gpu.synchronize()
    return (time.perf_counter() - start_s) / replays * 1e3


@torch.inference_mode()
def under_load(rig: Rig, bert: GpuBert) -> str:
    """Clocks and power while full batches follow each other; "" where nvidia-smi is missing."""
    batch = on_device(rig.gpu.device, workload.batch(rig.most_tokens, rig.config.vocab_size))
    fields = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active"

    def work_until(is_over: Callable[[], bool]) -> None:
        while not is_over():
            bert(batch)
            rig.gpu.synchronize()

    start_s = time.perf_counter()
    work_until(lambda: rig.is_dry or time.perf_counter() > start_s + _WARM_UP_S)
    try:
        asked = subprocess.Popen(
            ["nvidia-smi", fields, "--format=csv,noheader", "--id=0"], stdout=subprocess.PIPE, text=True
        )
    except OSError:
        return ""
    work_until(lambda: asked.poll() is not None or time.perf_counter() > start_s + _WARM_UP_S + _ASKED_S)
    asked.kill()
    return asked.communicate()[0].strip()
