"""An instance that never gets ready, or whose machine is at its limits while it loads."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.base import Options
from backends.bert.model import Model
from qsl.base import Features
from qsl.feature_cache import FeatureFiles
from sut.errors import RunFailedError
from sut.executors import blas_threads
from sut.executors.inline import InlineExecutor
from sut.executors.worker import WorkerSpec


@dataclass(frozen=True)
class Files(FeatureFiles):
    """Features that are opened by what a test does."""

    how: Callable[[], Features]

    def open(self) -> Features:
        return self.how()


def executor(how: Callable[[], Features]) -> InlineExecutor:
    features = Files(Path(), 1, 1, "", how)
    model = Model("fake", None, None)
    return InlineExecutor(WorkerSpec(
        backend="fake", options=Options(), model=model, features=features, vocab=Path(), max_tokens=1, shapes=((1, 1),)
    ), patience_s=0.05)  # fmt: skip


def test_one_that_never_loads() -> None:
    released = threading.Event()

    def never() -> Features:
        released.wait()
        raise AssertionError

    one, before = executor(never), blas_threads.used()
    with pytest.raises(RunFailedError, match=r"within 0\.05 s, found that it is not ready.*--stall-timeout-s"):
        one.start()
    released.set()
    one.close()
    assert blas_threads.used() == before


LIMITS = {
    errno.EMFILE: "ulimit -n",
    errno.EAGAIN: "pids.max",
    errno.ENOMEM: "ulimit -v",
    errno.EFBIG: "ulimit -f",
    errno.ENOSPC: "Free space",
    errno.EROFS: "Make it writable",
    errno.EIO: "Check the machine",
}


@pytest.mark.parametrize("words", ["can't start new thread", "Resource temporarily unavailable"])
def test_a_machine_without_another_thread(words: str) -> None:
    def without() -> Features:
        raise RuntimeError(words)

    with pytest.raises(RunFailedError, match=r"start the instance, found: .*pids\.max"):
        executor(without).start()


@pytest.mark.parametrize("number", LIMITS)
def test_a_machine_at_its_limits(number: int) -> None:
    def at_the_limit() -> Features:
        raise OSError(number, os.strerror(number))

    with pytest.raises(RunFailedError, match=f"start the instance, found: .*{os.strerror(number)}.*{LIMITS[number]}"):
        executor(at_the_limit).start()
