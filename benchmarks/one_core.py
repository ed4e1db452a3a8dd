"""Measuring by the CPU time of one pinned core, in which other work on the machine does not count.

Clock rates and shared caches still depend on the neighbours, so contestants take turns as they do by the wall clock.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

Clock = Callable[[], float]  # seconds


def add_flag(parser: argparse.ArgumentParser) -> None:
    """`--cpu-time`, for `clock`."""
    parser.add_argument("--cpu-time", action="store_true", help="pinned to one core, by its CPU time")


def clock(cpu_time: bool) -> Clock:
    """The wall clock; or, with this process pinned to the first of its cores, the CPU time of all its threads."""
    if not cpu_time:
        return time.perf_counter
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return time.process_time
