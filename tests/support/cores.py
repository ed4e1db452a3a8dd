"""The cores that the tests may use, and each test process's share of them (tests/conftest.py imports this first)."""

from __future__ import annotations

import os

# Before this process is held to its share; empty where a system knows no affinity.
ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def take_share() -> None:
    """Hold this process of a parallel run, and all that it starts, to its cores: every N-th, or one of too few."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if ALL_CORES and count > 1:
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % len(ALL_CORES)
        os.sched_setaffinity(0, ALL_CORES[number::count])


def take_all() -> None:
    if ALL_CORES:
        os.sched_setaffinity(0, ALL_CORES)
