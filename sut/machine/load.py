"""What slows a run down from outside: other work on its cores, and a governor that holds their clocks down.

From the kernel's own counters, so nothing is said where there are none (macOS, some sandboxes).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sut.machine import cgroups

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_BUSY = (
    0,
    1,
    2,
    5,
    6,
    7,
)  # in /proc/stat: user, nice, system, irq, softirq, and stolen by a hypervisor
_LEAST_S = 0.1  # between two moments: the kernel counts in hundredths of a second


@dataclass(frozen=True)
class Moment:
    """Seconds of CPU time up to now."""

    wall_s: float
    busy_s: Mapping[int, float]  # by cpu, of all processes
    own_s: float  # of this process and of children that have ended


def now(root: Path = ROOT) -> Moment:
    """The counters at this moment; without any cpu where the kernel has none."""
    tick_s, busy_s = 1 / os.sysconf("SC_CLK_TCK"), {}
    for line in cgroups.text(root / "proc/stat").splitlines():
        name, _, rest = line.partition(" ")
        fields = rest.split()
        if name.startswith("cpu") and name[3:].isdigit() and len(fields) > max(_BUSY):
            busy_s[int(name[3:])] = tick_s * sum(int(fields[one]) for one in _BUSY)
    own = os.times()
    return Moment(time.monotonic(), busy_s, own.user + own.system + own.children_user + own.children_system)


def other_cores(before: Moment, after: Moment, cpus: Collection[int]) -> float | None:
    """How many of these cpus other processes kept busy between two moments; None if unknown, or too soon to tell."""
    window_s = after.wall_s - before.wall_s
    if window_s < _LEAST_S or not cpus or not before.busy_s.keys() & after.busy_s.keys() >= set(cpus):
        return None
    all_s = sum(after.busy_s[cpu] - before.busy_s[cpu] for cpu in cpus)
    return max(0.0, (all_s - (after.own_s - before.own_s)) / window_s)


def slow_governor(cpus: Collection[int], root: Path = ROOT) -> str | None:
    """The governor that holds the clocks of one of these cpus down; None if none does, or the kernel does not say.

    Under intel_pstate and amd_pstate, "powersave" is the usual name for clocks that the processor chooses by itself.
    """
    for cpu in sorted(cpus):
        at = root / _CPUS / f"cpu{cpu}" / "cpufreq"
        governor, driver = cgroups.text(at / "scaling_governor"), cgroups.text(at / "scaling_driver")
        preference = cgroups.text(at / "energy_performance_preference")
        if governor == "powersave" and ("pstate" not in driver or preference in ("power", "balance_power")):
            return f"{governor}, {preference}" if preference else governor
    return None
