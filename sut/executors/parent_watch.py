"""Ends this process when its parent ends, even during a batch, when a closed pipe would not be noticed.

A thread waits for the parent: an instance outlives neither its loader nor the main process, even if those are killed.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait

_POLL_S = 0.1  # how often `during` checks whether it is over


def start() -> None:
    """Watch from now on."""
    threading.Thread(target=_exit_after_parent, args=(None,), daemon=True).start()


@contextmanager
def during() -> Iterator[None]:
    """Watch while the block runs; afterwards no other thread is left, so that this process may fork."""
    over = threading.Event()
    watcher = threading.Thread(target=_exit_after_parent, args=(over,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _exit_after_parent(over: threading.Event | None) -> None:
    parent = mp.parent_process()
    assert parent is not None
    while over is None or not over.is_set():
        if wait([parent.sentinel], None if over is None else _POLL_S):
            os._exit(1)
