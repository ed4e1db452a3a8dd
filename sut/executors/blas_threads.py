"""The threads of numpy's BLAS in an instance: as many as the instance has, also for a library that is loaded later.

An instance starts with one: threads that exist before it is pinned would run on other cores, and a fork would lose
them. In a process that is not its own, such as a notebook, it gives back what it took. threadpoolctl knows the
functions of each BLAS; OpenMP's threads are for the engine to set.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

_BLAS = "blas"
_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@contextmanager
def kept(variables: Collection[str] = ()) -> Iterator[None]:
    """After the block, every BLAS that was loaded before it has its threads again, and these variables their values."""
    before = {name: os.environ.get(name) for name in (*_VARIABLES, *variables)}
    with ThreadpoolController().select(user_api=_BLAS).limit(limits=None):
        yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def use(threads: int) -> None:
    """Let every BLAS of this process, now and later, use this number of threads."""
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    for library in ThreadpoolController().select(user_api=_BLAS).lib_controllers:
        library.set_num_threads(threads)


def used() -> int | None:
    """The most threads that a BLAS of this process uses; None without one that can be asked."""
    return max((one.num_threads for one in ThreadpoolController().select(user_api=_BLAS).lib_controllers), default=None)
