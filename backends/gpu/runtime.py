"""What the backend asks of a GPU: streams, events, pinned memory, graphs, a clock; and how PyTorch answers.

`Gpu` is the whole seam between the engine and CUDA. Tests have a second one that runs on the CPU, where work that was
enqueued is done as late as its events allow, so that a buffer that is reused too early gives a wrong answer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
import triton
from torch import Tensor

from backends.gpu.kernels import TRITON, GpuKernels

Work = Callable[[], object]  # launches kernels; runs on the host when it is enqueued
_CALL_MS = 20  # time spent on measuring one call
_SHORT_MS = 0.1  # below this a call may take as long as its launch on the host
_CALLS = 4  # of the graph in which a short call is measured
_IN_A_ROW, _REPEATS = 5, 5  # replays of a graph that is measured
_FLUSHED_FLOATS = 32 << 20  # 128 MiB, twice the largest L2 cache


class Stream(Protocol):
    """Work that runs in the order in which it was enqueued."""

    def wait_event(self, event: Any) -> None:
        """What is enqueued from now on begins after `event`."""


class Event(Protocol):
    """A point in a stream."""

    def record(self) -> None:
        """Move to the end of the current stream, as it is now."""

    def query(self) -> bool:
        """Whether the work before it is done; True if it was never recorded."""

    def synchronize(self) -> None:
        """Wait for the work before it."""


class Gpu(Protocol):
    """One GPU, used from one thread. `copy`, `launch` and `Event.record` go to the current stream."""

    name: str
    device: torch.device
    kernels: GpuKernels
    choices_dir: Path | None  # where measured choices of kernels are kept; None: nowhere

    def stream(self) -> Stream: ...

    def event(self) -> Event: ...

    def current(self, stream: Stream) -> AbstractContextManager[object]:
        """Makes `stream` the current one inside a block."""

    def pinned(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uninitialized memory of the host that the GPU can copy from and to."""

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uninitialized memory of the GPU."""

    def copy(self, to: Tensor, source: Tensor) -> None:
        """Enqueue a copy; the host's memory must stay as it is until it is done."""

    def launch(self, work: Work) -> None:
        """Enqueue the kernels that `work` launches."""

    def capture(self, work: Work) -> Callable[[], None]:
        """The kernels that `work` launches as a graph; the result enqueues it. All graphs share their scratch memory.

        They must therefore be enqueued on one stream, and write what is read later to memory of their own. `work` must
        have run before: a capture cannot compile.
        """

    def synchronize(self) -> None:
        """Wait for everything. Raises RuntimeError if the GPU failed, and then at every call."""

    def milliseconds(self, call: Work) -> float:
        """The median time of one call with a cold L2 cache."""

    def replay_milliseconds(self, replay: Callable[[], None]) -> float:
        """The median time of a captured graph, of several in a row."""


class CudaGpu:
    """GPU `number` of this process, through `torch.cuda`."""

    kernels = TRITON

    def __init__(self, number: int) -> None:
        self.choices_dir: Path | None = Path(triton.knobs.cache.dir)
        self.device = torch.device("cuda", number)
        torch.cuda.set_device(self.device)
        self.name: str = torch.cuda.get_device_name(self.device)
        self._pool: Any = None
        self._first_graph: torch.cuda.CUDAGraph | None = None
        self._clear_ms: float | None = None

    def stream(self) -> Stream:
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def event(self) -> Event:
        return torch.cuda.Event()  # type: ignore[no-untyped-call]

    def current(self, stream: Any) -> AbstractContextManager[object]:
        return torch.cuda.stream(stream)

    def pinned(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def copy(self, to: Tensor, source: Tensor) -> None:
        to.copy_(source, non_blocking=True)

    def launch(self, work: Work) -> None:
        work()

    def capture(self, work: Work) -> Callable[[], None]:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        self._first_graph = self._first_graph or graph  # the pool is gone with the last of its graphs
        return graph.replay

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def milliseconds(self, call: Work) -> float:
        from triton.testing import do_bench

        ms = float(do_bench(call, warmup=_CALL_MS // 4, rep=_CALL_MS, return_mode="median"))
        return ms if ms > _SHORT_MS else self._short_milliseconds(call)

    def _short_milliseconds(self, call: Work) -> float:
        """The same from a graph that clears memory before each call, less the time of a graph that only clears."""
        buffer = self.empty(_FLUSHED_FLOATS)

        def cleared_and_called() -> None:
            buffer.zero_()
            call()

        if self._clear_ms is None:
            self._clear_ms = self._graph_ms(buffer.zero_)
        return max(self._graph_ms(cleared_and_called) - self._clear_ms, 1e-4)

    def _graph_ms(self, work: Work) -> float:
        """Time of `work`, of which a graph has many."""
        return self.replay_milliseconds(self.capture(lambda: [work() for _ in range(_CALLS)])) / _CALLS

    def replay_milliseconds(self, replay: Callable[[], None]) -> float:
        times = []
        for _ in range(1 + _REPEATS):
            self.synchronize()
            start_s = time.perf_counter()
            for _ in range(_IN_A_ROW):
                replay()
            self.synchronize()
            times.append(time.perf_counter() - start_s)
        return statistics.median(times[1:]) / _IN_A_ROW * 1e3
