"""An instance's process whose machine is at its limits in the engine's warm-up: the main process gets that error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backends.base import Options
from backends.bert.model import Model
from qsl.base import Features
from sut.errors import RunFailedError
from sut.executors.processes import ProcessExecutor
from sut.executors.worker import WorkerSpec
from sut.machine.topology import Place


class Shapes(tuple[tuple[int, int], ...]):
    """Shapes to warm up on, of an engine that then finds a full disk."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("forked", [False, True])
def test_a_full_disk_in_warm_up(forked: bool) -> None:
    spec = WorkerSpec(
        backend="fake",
        options=Options(),
        model=Model("fake", None, None),
        features=Features(np.zeros(4, np.int32), np.zeros(4, np.int32), np.array([0, 4])),
        vocab=Path(),
        max_tokens=4,
        shapes=Shapes(((1, 4),)),
    )
    places = [Place(0, 1, (min(os.sched_getaffinity(0)),), False)] * (2 if forked else 1)
    executor = ProcessExecutor(spec, places, forked=forked)
    with pytest.raises(RunFailedError, match=r"start the instances, found: .*No space left on device.*Free space"):
        executor.start()
    executor.close()
