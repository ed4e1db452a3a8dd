"""A GPU on the CPU, as far as the order of work goes: for the backend's `runtime.Gpu`, and as a program for `sut`.

Everything that is enqueued is done as late as its events allow: when the host waits for it. New memory is poisoned. A
host that reuses a buffer too early, reads one before its copy, or forgets an event therefore gets wrong answers here.
Kernels are the twins.

    python -m emulated_gpu …            # `python -m sut …` on a machine that seems to have such a GPU
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backends import BACKENDS
from backends.base import Accelerator
from backends.gpu.backend import GpuBackend
from backends.gpu.kernels import TWIN
from backends.gpu.runtime import Gpu, Work
from sut.__main__ import main

NAME = "Emulated GPU"
_POLLS = 20  # of an event, until time has passed: a host that only polls must not wait for ever
_POISON = {torch.int32: -(2**31)}  # of every other type: NaN


class Mark:
    """A point in a stream that an event was moved to."""

    def __init__(self, stream: EmulatedStream) -> None:
        self.stream, self.is_passed = stream, False

    def reach(self) -> None:
        """Do the work before it."""
        while not self.is_passed:
            self.stream.step()


class EmulatedStream:
    def __init__(self) -> None:
        self.work: deque[Work] = deque()

    def wait_event(self, event: EmulatedEvent) -> None:
        if mark := event.mark:
            self.work.append(mark.reach)

    def step(self) -> None:
        self.work.popleft()()


class EmulatedEvent:
    def __init__(self, gpu: EmulatedGpu) -> None:
        self._gpu, self._polls = gpu, 0
        self.mark: Mark | None = None

    def record(self) -> None:
        mark = self.mark = Mark(self._gpu.now)
        self._gpu.launch(lambda: setattr(mark, "is_passed", True))

    def query(self) -> bool:
        self._gpu.check()
        self._polls += 1
        if self._polls % _POLLS == 0:
            self.synchronize()
        return self.mark is None or self.mark.is_passed

    def synchronize(self) -> None:
        self._gpu.check()
        if self.mark:
            self.mark.reach()


class EmulatedGpu:
    """See `runtime.Gpu`. A `fault` is raised by every call that waits, as CUDA does once a kernel has failed."""

    name = NAME
    device = torch.device("cpu")
    kernels = TWIN
    choices_dir: Path | None = None

    def __init__(self) -> None:
        self.now = EmulatedStream()
        self._streams = [self.now]
        self._measured = 0
        self.fault: Exception | None = None

    def stream(self) -> EmulatedStream:
        self._streams.append(EmulatedStream())
        return self._streams[-1]

    def event(self) -> EmulatedEvent:
        return EmulatedEvent(self)

    @contextmanager
    def current(self, stream: Any) -> Iterator[None]:
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    def pinned(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(shape, _POISON.get(dtype, float("nan")), dtype=dtype)

    empty = pinned

    def copy(self, to: Tensor, source: Tensor) -> None:
        self.launch(lambda: to.copy_(source))

    def launch(self, work: Work) -> None:
        self.now.work.append(lambda: _poisoned(work))

    def capture(self, work: Work) -> Callable[[], None]:
        return lambda: self.launch(work)

    def synchronize(self) -> None:
        self.check()
        for stream in self._streams:
            while stream.work:
                stream.step()

    def milliseconds(self, call: Work) -> float:
        """Nothing is measured: the last variant is always the fastest."""
        self._measured += 1
        return 1 / self._measured

    def replay_milliseconds(self, replay: Callable[[], None]) -> float:
        """As `milliseconds`, but the work is done."""
        replay()
        self.synchronize()
        return self.milliseconds(replay)

    def check(self) -> None:
        if self.fault:
            raise self.fault


@torch.inference_mode()
def _poisoned(work: Work) -> None:
    """Do it with memory that torch poisons: `torch.empty` gives NaN, and the largest integer. All of it is small."""
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    try:
        work()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


class EmulatedGpuBackend(GpuBackend):
    """The gpu backend on an emulated GPU."""

    def open(self) -> Gpu:
        self.gpu = EmulatedGpu()
        return self.gpu


def find() -> tuple[Accelerator, ...]:
    return (Accelerator(NAME, 80 << 30, (9, 0)),)


if __name__ in ("__main__", "__mp_main__"):  # an instance's process imports this file again, under the second name
    BACKENDS["gpu"] = replace(
        BACKENDS["gpu"], target="emulated_gpu:EmulatedGpuBackend", accelerators="emulated_gpu:find"
    )
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
