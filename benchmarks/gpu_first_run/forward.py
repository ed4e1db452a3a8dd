"""Whole forward passes by batch size: samples per second as in a run, and the device's own time from a CUDA graph."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator

import torch

from backends.base import Batch, Pending
from backends.gpu.packed_bert import DeviceBatch, GpuBert
from backends.gpu.pipeline import Pipeline, integers, lay_out, packed
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.rig import Rig
from foundation.arrays import Float32
from sut.executors.base import JOBS_PER_INSTANCE

_TOKENS_OF_A_FIGURE = 600_000  # about half a second
_FEWEST, _REPLAYS = 8, 10
HEADING = ("tokens", "samples", "samples/s", "at 177", "host ms", "graph ms", "graph at 177")


def on_device(rig: Rig, one: Batch) -> DeviceBatch:
    """A batch as the kernels read it."""
    host = torch.empty(integers(one.tokens), dtype=torch.int32)
    lay_out(one, host)
    return packed(host.to(rig.device), one.tokens, len(one), one.max_length)


def table(rig: Rig, bert: GpuBert) -> Iterator[tuple[str, ...]]:
    """A row for each batch size; samples/s with as many batches under way as in a run."""
    yield HEADING
    pipeline = None if rig.is_dry else Pipeline(bert, rig.device)
    for tokens in rig.batch_tokens:
        one = workload.batch(tokens, rig.config.vocab_size)
        seconds, host_ms = (1.0, 1.0) if pipeline is None else _in_flight(pipeline, one)
        graph_ms = _graph_ms(rig, bert, one)
        yield (
            *(str(one.tokens), str(len(one)), f"{len(one) / seconds:.0f}", _at_mean(one.tokens, seconds)),
            *(f"{host_ms:.2f}", f"{graph_ms:.3f}", _at_mean(one.tokens, graph_ms / 1e3)),
        )


def _at_mean(tokens: int, seconds: float) -> str:
    """Samples of the mean length per second."""
    return f"{tokens / workload.MEAN_LENGTH / seconds:.0f}"


def _in_flight(pipeline: Pipeline, one: Batch) -> tuple[float, float]:
    """Seconds of a batch in a steady flow, and the host's median ms to enqueue one."""
    for _ in range(2):
        pipeline.begin(one).answers()
    count, host_s = max(_FEWEST, _TOKENS_OF_A_FIGURE // max(one.tokens, 2048)), []
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
    batch = on_device(rig, one)
    bert(batch)  # compiles what a capture must not
    if rig.is_dry:
        return 1.0
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bert(batch)
    graph.replay()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    first.record()
    for _ in range(_REPLAYS):
        graph.replay()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / _REPLAYS


@torch.inference_mode()
def under_load(rig: Rig, bert: GpuBert) -> str:
    """Clocks and power while full batches follow each other; "" where nvidia-smi is missing."""
    batch = on_device(rig, workload.batch(rig.most_tokens, rig.config.vocab_size))
    fields = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active"
    try:
        asked = subprocess.Popen(
            ["nvidia-smi", fields, "--format=csv,noheader", "--id=0"], stdout=subprocess.PIPE, text=True
        )
    except OSError:
        return ""
    end_s = time.perf_counter() + 5
    while asked.poll() is None and time.perf_counter() < end_s:
        bert(batch)
        if not rig.is_dry:
            torch.cuda.synchronize()
    asked.kill()
    return asked.communicate()[0].strip()
